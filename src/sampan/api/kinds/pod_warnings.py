"""Warnings for pods and templates: what works, but hardly as meant.

Source: k8s.io/kubernetes/pkg/api/pod/warnings.go, pkg/api/node/util.go (1.32).
"""

from __future__ import annotations

from collections.abc import Iterator

from sampan.api import pods, validation
from sampan.api.fields import quote
from sampan.api.meta import Obj

_SYSCTLS = 'non-functional in v1.11+; use the "sysctls" field instead'
_ANNOTATIONS = {
    "scheduler.alpha.kubernetes.io/critical-pod": 'non-functional in v1.16+; use the "priorityClassName" field instead',
    "security.alpha.kubernetes.io/sysctls": _SYSCTLS,
    "security.alpha.kubernetes.io/unsafe-sysctls": _SYSCTLS,
}
_NODE_LABELS = {
    "beta.kubernetes.io/arch": 'deprecated since v1.14; use "kubernetes.io/arch" instead',
    "beta.kubernetes.io/os": 'deprecated since v1.14; use "kubernetes.io/os" instead',
    "failure-domain.beta.kubernetes.io/region": 'deprecated since v1.17; use "topology.kubernetes.io/region" instead',
    "failure-domain.beta.kubernetes.io/zone": 'deprecated since v1.17; use "topology.kubernetes.io/zone" instead',
    "beta.kubernetes.io/instance-type": 'deprecated since v1.17; use "node.kubernetes.io/instance-type" instead',
}
_VOLUMES = {
    "photonPersistentDisk": "deprecated in v1.11, non-functional in v1.16+",
    "gitRepo": "deprecated in v1.11",
    "scaleIO": "deprecated in v1.16, non-functional in v1.22+",
    "flocker": "deprecated in v1.22, non-functional in v1.25+",
    "storageos": "deprecated in v1.22, non-functional in v1.25+",
    "quobyte": "deprecated in v1.22, non-functional in v1.25+",
    "glusterfs": "deprecated in v1.25, non-functional in v1.26+",
    "cephfs": "deprecated in v1.28, non-functional in v1.31+",
    "rbd": "deprecated in v1.28, non-functional in v1.31+",
}


def pod_warnings(pod: Obj) -> list[str]:
    """For a new Pod. Its name becomes its hostname."""
    faults = validation.dns_label(pod["metadata"].get("name", ""))
    advice = (
        "metadata.name: this is used in the Pod's hostname, which can result in surprising behavior; "
        f"a DNS label is recommended: [{' '.join(faults)}]"
    )
    return ([advice] if faults else []) + list(_warnings(pod, ""))


def template_warnings(workload: Obj, path: str = "spec") -> list[str]:
    """For the spec.template of a workload whose spec stands at `path`."""
    return list(_warnings(workload["spec"].get("template") or {}, f"{path}.template."))


def _warnings(pod: Obj, at: str) -> Iterator[str]:
    spec = pod.get("spec") or {}
    for key in spec.get("nodeSelector") or ():
        if key in _NODE_LABELS:
            yield f"{at}spec.nodeSelector[{key}]: {_NODE_LABELS[key]}"
    for i, constraint in enumerate(spec.get("topologySpreadConstraints") or ()):
        if constraint.get("labelSelector") is None:
            path = f"{at}spec.topologySpreadConstraints[{i}].labelSelector"
            yield f"{path}: a null labelSelector results in matching no pod"
    for key in (pod.get("metadata") or {}).get("annotations") or ():
        if key in _ANNOTATIONS:
            yield f"{at}metadata.annotations[{key}]: {_ANNOTATIONS[key]}"
    for i, volume in enumerate(spec.get("volumes") or ()):
        for kind in _VOLUMES.keys() & volume.keys():
            yield f"{at}spec.volumes[{i}].{kind}: {_VOLUMES[kind]}"
    yield from _repeated(spec.get("hostAliases") or [], "ip", f"{at}spec.hostAliases")
    yield from _repeated(spec.get("imagePullSecrets") or [], "name", f"{at}spec.imagePullSecrets")
    for field, container in pods.containers(spec):
        yield from _hidden_variables(container.get("env") or [], f"{at}spec.{field}.env")
    yield from _repeated_ports(spec, at)
    if (spec.get("terminationGracePeriodSeconds") or 0) < 0:
        text = "must be >= 0; negative values are invalid and will be treated as 1"
        yield f"{at}spec.terminationGracePeriodSeconds: {text}"


def _repeated(entries: list[Obj], key: str, path: str) -> Iterator[str]:
    seen: set[str] = set()
    for i, entry in enumerate(entries):
        value = entry.get(key, "")
        if value in seen:
            yield f"{path}[{i}].{key}: duplicate {key} {quote(value)}"
        seen.add(value)


def _hidden_variables(variables: list[Obj], path: str) -> Iterator[str]:
    seen: set[str] = set()
    for i, variable in enumerate(variables):
        name, value = variable.get("name", ""), variable.get("value") or ""
        reference = f"$({name})"
        # X="$(X) and more" builds on the first X and is fine.
        builds_on = reference in value and value != reference and not variable.get("valueFrom")
        if name in seen and not builds_on:
            hides = f"hides previous definition of {quote(name)}, which may be dropped when using apply"
            yield f"{path}[{i}]: {hides}"
        seen.add(name)


def _repeated_ports(spec: Obj, at: str) -> Iterator[str]:
    seen: dict[tuple[int, str], list[tuple[str, Obj]]] = {}
    for field, container in pods.containers(spec):
        for i, port in enumerate(container.get("ports") or ()):
            path = f"{at}spec.{field}.ports[{i}]"
            others = seen.setdefault((port.get("containerPort", 0), port.get("protocol", "TCP")), [])
            for other_path, other in others:
                hosts = [(p.get("hostIP", ""), p.get("hostPort", 0)) for p in (port, other)]
                if hosts[0] == hosts[1]:
                    yield f"{path}: duplicate port definition with {other_path}"
                elif not (hosts[0][1] and hosts[1][1]):
                    yield f"{path}: overlapping port definition with {other_path}"
            others.append((path, port))
