"""What a PodSpec means where it is silent: defaults of pods and of the templates that make pods.

Source: k8s.io/kubernetes/pkg/apis/core/v1/{defaults,zz_generated.defaults}.go (1.32).
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from sampan.api import pods
from sampan.api.meta import Obj
from sampan.api.quantity import Quantity, canonical

_PROBES = ("livenessProbe", "readinessProbe", "startupProbe")
_HOOKS = ("postStart", "preStop")


def default_pod(pod: Obj) -> None:
    """Defaults of a Pod: those of its spec and those that stay out of templates."""
    spec = pod.setdefault("spec", {})
    default_pod_spec(spec)
    spec.setdefault("enableServiceLinks", True)
    for field, container in pods.containers(spec):
        if not field.startswith("ephemeral"):
            _requests_from_limits(container)
        if spec.get("hostNetwork"):
            for port in container.get("ports") or ():
                _fill(port, hostPort=port.get("containerPort"))


def default_pod_template(template: Obj) -> None:
    """Defaults of spec.template of a workload."""
    template.setdefault("metadata", {})
    default_pod_spec(template.setdefault("spec", {}))


def default_pod_spec(spec: Obj) -> None:
    _fill(spec, dnsPolicy="ClusterFirst", restartPolicy="Always", schedulerName="default-scheduler")
    spec.setdefault("terminationGracePeriodSeconds", 30)
    if spec.get("securityContext") is None:
        spec["securityContext"] = {}
    # serviceAccount is the field's old name; the API keeps both in step.
    if account := spec.get("serviceAccountName") or spec.get("serviceAccount"):
        spec["serviceAccountName"] = spec["serviceAccount"] = account
    for volume in spec.get("volumes") or ():
        _default_volume(volume)
    for _, container in pods.containers(spec):
        _default_container(container)
    if overhead := spec.get("overhead"):
        _canonical(overhead)
    _default_resources(spec.get("resources") or {})


def _fill(holder: Obj, **defaults: Any) -> None:
    """Set what is absent or empty: the API does not tell these apart for plain values."""
    for key, value in defaults.items():
        if not holder.get(key):
            holder[key] = value


def _default_container(container: Obj) -> None:
    _fill(
        container,
        imagePullPolicy=pull_policy(container.get("image", "")),
        terminationMessagePath="/dev/termination-log",
        terminationMessagePolicy="File",
    )
    container.setdefault("resources", {})
    _default_resources(container["resources"])
    for port in container.get("ports") or ():
        _fill(port, protocol="TCP")
    for variable in container.get("env") or ():
        _default_field_ref(variable.get("valueFrom") or {})
    for kind in _PROBES:
        if probe := container.get(kind):
            _default_probe(probe)
    for hook in _HOOKS:
        _default_handler((container.get("lifecycle") or {}).get(hook) or {})
    if (context := container.get("securityContext")) and context.get("procMount") == "":
        context["procMount"] = "Default"


def pull_policy(image: str) -> str:
    """Always for the tag `latest`, said or implied; IfNotPresent for any other tag and for digests."""
    name, _, digest = image.partition("@")
    tag = name.rpartition("/")[2].partition(":")[2]
    return "Always" if tag == "latest" or not (tag or digest) else "IfNotPresent"


def _default_probe(probe: Obj) -> None:
    _fill(probe, timeoutSeconds=1, periodSeconds=10, successThreshold=1, failureThreshold=3)
    _default_handler(probe)
    if (grpc := probe.get("grpc")) is not None:
        grpc.setdefault("service", "")


def _default_handler(handler: Obj) -> None:
    if (get := handler.get("httpGet")) is not None:
        _fill(get, path="/", scheme="HTTP")


def _default_resources(resources: Obj) -> None:
    for kind in ("limits", "requests"):
        if amounts := resources.get(kind):
            _canonical(amounts)


def _canonical(amounts: Obj) -> None:
    """Amounts as the API writes them: 0.5 is 500m, 1024Mi is 1Gi; finer than a thousandth is rounded up."""
    for name, amount in amounts.items():
        amounts[name] = _in_thousandths(str(amount))


@lru_cache(maxsize=4096)
def _in_thousandths(amount: str) -> str:
    parsed = Quantity.parse(amount)
    return canonical(amount if parsed.amount * 1000 == parsed.milli else f"{parsed.milli}m")


def _requests_from_limits(container: Obj) -> None:
    resources = container["resources"]
    if limits := resources.get("limits"):
        resources["requests"] = limits | (resources.get("requests") or {})


def _default_field_ref(source: Obj) -> None:
    if (reference := source.get("fieldRef")) is not None:
        _fill(reference, apiVersion="v1")
    if (reference := source.get("resourceFieldRef")) is not None:
        _fill(reference, divisor="0")


def _default_volume(volume: Obj) -> None:
    sources = [key for key, value in volume.items() if key != "name" and value is not None]
    if not sources:
        volume["emptyDir"] = {}
    for kind in ("configMap", "secret", "downwardAPI", "projected"):
        if (source := volume.get(kind)) is not None:
            source.setdefault("defaultMode", 0o644)
    if (path := volume.get("hostPath")) is not None:
        path.setdefault("type", "")
    if (image := volume.get("image")) is not None:
        _fill(image, pullPolicy=pull_policy(image.get("reference", "")))
    if template := (volume.get("ephemeral") or {}).get("volumeClaimTemplate"):
        _fill(template.setdefault("spec", {}), volumeMode="Filesystem")
    projected = (volume.get("projected") or {}).get("sources") or ()
    for source in projected:
        if (token := source.get("serviceAccountToken")) is not None:
            token.setdefault("expirationSeconds", 3600)
    for holder in [volume, *projected]:
        for item in (holder.get("downwardAPI") or {}).get("items") or ():
            _default_field_ref(item)
