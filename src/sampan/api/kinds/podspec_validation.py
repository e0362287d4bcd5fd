"""Validation of a PodSpec, in a Pod or in the template of a workload.

Source: k8s.io/kubernetes/pkg/apis/core/validation (1.32).
"""

from __future__ import annotations

from sampan.api import fields, objectmeta, selectors, validation
from sampan.api.kinds.container_validation import validate_containers, validate_image_padding
from sampan.api.kinds.scheduling_validation import validate_affinity, validate_spread, validate_tolerations
from sampan.api.kinds.security_validation import validate_pod_context
from sampan.api.kinds.volume_validation import validate_volumes
from sampan.api.meta import Obj
from sampan.api.selectors import LabelSelector
from sampan.api.status import FieldError

_MAX = 2**31 - 1
# The orders are kube-apiserver's own.
RESTART_POLICIES = ("Always", "OnFailure", "Never")
_DNS_POLICIES = ("ClusterFirstWithHostNet", "ClusterFirst", "Default", "None")
_PREEMPTION_POLICIES = ("PreemptLowerPriority", "Never")
# field: the rule of its value
_NAMES = {
    "serviceAccountName": validation.dns_subdomain,
    "nodeName": validation.dns_subdomain,
    "hostname": validation.dns_label,
    "subdomain": validation.dns_label,
    "priorityClassName": validation.dns_subdomain,
    "runtimeClassName": validation.dns_subdomain,
}


def validate_pod_spec(spec: Obj, path: str, is_pod: bool) -> list[FieldError]:
    """The spec that stands at `path`; `is_pod` False for templates, which leave some things to be defaulted later."""
    volumes, found = validate_volumes(spec.get("volumes") or [], f"{path}.volumes")
    found += validate_containers(spec, path, volumes)
    if spec.get("hostNetwork"):
        found += _host_network(spec, path, is_pod)
    found += _enum(spec, "restartPolicy", RESTART_POLICIES, path)
    found += _enum(spec, "dnsPolicy", _DNS_POLICIES, path)
    found += validation.labels(f"{path}.nodeSelector", spec.get("nodeSelector"))
    found += validate_pod_context(spec.get("securityContext") or {}, spec, f"{path}.securityContext")
    found += validate_affinity(spec.get("affinity") or {}, f"{path}.affinity")
    found += _dns_config(spec.get("dnsConfig"), spec.get("dnsPolicy", ""), f"{path}.dnsConfig")
    found += _gates(spec, path)
    found += validate_spread(spec.get("topologySpreadConstraints") or [], f"{path}.topologySpreadConstraints")
    for field, rule in _NAMES.items():
        if spec.get(field):
            found += validation.each(rule, f"{path}.{field}", spec[field])
    deadline = spec.get("activeDeadlineSeconds")
    if deadline is not None and not 1 <= deadline <= _MAX:
        found.append(fields.invalid(f"{path}.activeDeadlineSeconds", deadline, validation.range_text(1, _MAX)))
    found += validate_tolerations(spec.get("tolerations") or [], f"{path}.tolerations")
    for i, alias in enumerate(spec.get("hostAliases") or ()):
        found += _host_alias(alias, f"{path}.hostAliases[{i}]")
    if spec.get("preemptionPolicy") is not None:
        found += _enum(spec, "preemptionPolicy", _PREEMPTION_POLICIES, path)
    system = (spec.get("os") or {}).get("name")
    if system not in (None, "linux", "windows"):
        found.append(fields.not_supported(f"{path}.os", system, ("linux", "windows")))
    return found


def _enum(spec: Obj, field: str, values: tuple[str, ...], path: str) -> list[FieldError]:
    value = spec.get(field)
    if not value:
        return [fields.required(f"{path}.{field}")]
    return [] if value in values else [fields.not_supported(f"{path}.{field}", value, values)]


def _host_network(spec: Obj, path: str, is_pod: bool) -> list[FieldError]:
    found: list[FieldError] = []
    for i, container in enumerate(spec.get("containers") or ()):
        for j, port in enumerate(container.get("ports") or ()):
            host = port.get("hostPort") or 0
            if (is_pod or host) and host != port.get("containerPort"):
                text = "must match `containerPort` when `hostNetwork` is true"
                found.append(fields.invalid(f"{path}.containers[{i}].ports[{j}].hostPort", host, text))
    return found


def _dns_config(config: Obj | None, policy: str, path: str) -> list[FieldError]:
    if policy == "None":
        if config is None:
            return [fields.required(path, "must provide `dnsConfig` when `dnsPolicy` is None")]
        if not config.get("nameservers"):
            text = "must provide at least one DNS nameserver when `dnsPolicy` is None"
            return [fields.required(f"{path}.nameservers", text)]
    found: list[FieldError] = []
    servers, searches = (config or {}).get("nameservers") or [], (config or {}).get("searches") or []
    if len(servers) > 3:
        found.append(fields.invalid(f"{path}.nameservers", servers, "must not have more than 3 nameservers"))
    for i, server in enumerate(servers):
        found += validation.ip(f"{path}.nameservers[{i}]", server)
    if len(searches) > 32:
        found.append(fields.invalid(f"{path}.searches", searches, "must not have more than 32 search paths"))
    if len(" ".join(searches)) > 2048:
        text = "must not have more than 2048 characters (including spaces) in the search list"
        found.append(fields.invalid(f"{path}.searches", searches, text))
    for i, search in enumerate(searches):
        found += validation.each(validation.dns_subdomain, f"{path}.searches[{i}]", search.removesuffix("."))
    for i, option in enumerate((config or {}).get("options") or ()):
        if not option.get("name"):
            found.append(fields.required(f"{path}.options[{i}]", "must not be empty"))
    return found


def _gates(spec: Obj, path: str) -> list[FieldError]:
    """readinessGates and schedulingGates."""
    found: list[FieldError] = []
    for i, gate in enumerate(spec.get("readinessGates") or ()):
        at = f"{path}.readinessGates[{i}].conditionType"
        found += validation.each(validation.qualified_name, at, gate.get("conditionType", ""))
    seen: set[str] = set()
    for i, gate in enumerate(spec.get("schedulingGates") or ()):
        at, name = f"{path}.schedulingGates[{i}]", gate.get("name", "")
        found += validation.each(validation.qualified_name, at, name)
        if name in seen:
            found.append(fields.duplicate(at, name))
        seen.add(name)
    return found


def _host_alias(alias: Obj, path: str) -> list[FieldError]:
    found = validation.ip(f"{path}.ip", alias.get("ip", ""))
    for i, name in enumerate(alias.get("hostnames") or ()):
        found += validation.each(validation.dns_subdomain, f"{path}.hostnames[{i}]", name)
    return found


def validate_pod(pod: Obj) -> list[FieldError]:
    """Metadata and spec of a Pod, on creation and on every change."""
    spec = pod["spec"]
    found = objectmeta.validate(pod["metadata"], namespaced=True)
    found += validate_pod_spec(spec, "spec", is_pod=True)
    for listed in ("containers", "initContainers"):
        for i, container in enumerate(spec.get(listed) or ()):
            found += validate_image_padding(container, f"spec.{listed}[{i}]")
    return found


def validate_pod_template(template: Obj, path: str) -> list[FieldError]:
    """spec.template of any workload."""
    metadata = template.get("metadata") or {}
    found = validation.labels(f"{path}.labels", metadata.get("labels"))
    for key in metadata.get("annotations") or ():
        faults = validation.qualified_name(key.lower())
        found += [fields.invalid(f"{path}.annotations", key, text) for text in faults]
    found += validate_pod_spec(template.get("spec") or {}, f"{path}.spec", is_pod=False)
    if (template.get("spec") or {}).get("ephemeralContainers"):
        text = "ephemeral containers not allowed in pod template"
        found.append(fields.forbidden(f"{path}.spec.ephemeralContainers", text))
    return found


def validate_selected_template(spec: Obj, kind: str, called: str = "deployment") -> list[FieldError]:
    """spec.selector and spec.template of a workload that keeps its pods running (Deployment, ReplicaSet, DaemonSet).

    `kind` appears in the text of what the kind does not support, `called` in that of an empty selector.
    """
    selector = spec.get("selector")
    shown = fields.go_label_selector(selector)
    if selector is None:
        found = [fields.required("spec.selector")]
    else:
        found = validation.label_selector("spec.selector", selector)
        if not (selector.get("matchLabels") or selector.get("matchExpressions")):
            # ReplicaSets are told "deployment", too.
            found.append(fields.invalid("spec.selector", shown, f"empty selector is invalid for {called}"))
    try:
        chosen = selectors.from_object(selector)
    except KeyError:  # an operator that does not exist
        return [*found, fields.invalid("spec.selector", shown, "invalid label selector")]
    template = spec.get("template") or {}
    return found + template_matches(chosen, template) + validate_long_running(template, kind)


def template_matches(selector: LabelSelector, template: Obj) -> list[FieldError]:
    """Would the workload find the pods of its own template?"""
    labels = (template.get("metadata") or {}).get("labels") or {}
    if selector.empty or selector.matches(labels):
        return []
    shown = labels or fields.Raw("map[string]string(nil)")
    return [fields.invalid("spec.template.metadata.labels", shown, "`selector` does not match template `labels`")]


def validate_long_running(template: Obj, kind: str) -> list[FieldError]:
    found = validate_pod_template(template, "spec.template")
    spec = template.get("spec") or {}
    if (policy := spec.get("restartPolicy")) != "Always":
        found.append(fields.not_supported("spec.template.spec.restartPolicy", policy or "", ("Always",)))
    if spec.get("activeDeadlineSeconds") is not None:
        text = f"activeDeadlineSeconds in {kind} is not Supported"
        found.append(fields.forbidden("spec.template.spec.activeDeadlineSeconds", text))
    return found
