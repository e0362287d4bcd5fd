"""What objects count for in ResourceQuotas. Pure.

Source: https://kubernetes.io/docs/concepts/policy/resource-quotas/, k8s.io/kubernetes/pkg/quota/v1/evaluator/core
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from sampan.api import pods
from sampan.api.kinds.persistentvolume import storage_class
from sampan.api.kinds.persistentvolumeclaim import size
from sampan.api.meta import Obj
from sampan.api.quantity import Quantity

Amounts = dict[str, Quantity]

_ONE = Quantity.parse(1)
_COMPUTE = ("cpu", "memory", "ephemeral-storage")
_NAMED = (
    *("configmaps", "persistentvolumeclaims", "pods", "replicationcontrollers", "resourcequotas", "secrets"),
    "services",
)
_OF_CLASS = ".storageclass.storage.k8s.io/"


def resource_of(name: str) -> str:
    """The resource ("pods", "deployments.apps") whose objects count for a name in spec.hard."""
    if name.startswith("count/"):
        return name.removeprefix("count/")
    if name in _NAMED:
        return name
    if name.startswith("services."):
        return "services"
    if name == "requests.storage" or _OF_CLASS in name:
        return "persistentvolumeclaims"
    return "pods"


def usage(resource: str, obj: Obj) -> Amounts:
    """All that an object counts for, under every name a quota may give it."""
    found: Amounts = {f"count/{resource}": _ONE}
    if resource == "pods":
        if not pods.is_terminal(obj):
            found |= _pod(obj)
    elif resource == "services":
        found |= _service(obj)
    elif resource == "persistentvolumeclaims":
        found |= _claim(obj)
    elif resource in _NAMED:
        found[resource] = _ONE
    return found


def _pod(pod: Obj) -> Amounts:
    found: Amounts = {"pods": _ONE}
    for name, amount in pods.requests(pod).items():
        found[f"requests.{name}"] = amount
        if name in _COMPUTE or name.startswith("hugepages-"):
            found[name] = amount
    for name, amount in pods.totals(pod["spec"], "limits").items():
        found[f"limits.{name}"] = amount
    return found


def _service(service: Obj) -> Amounts:
    spec = service["spec"]
    balanced = spec.get("type") == "LoadBalancer"
    ports = len(spec.get("ports") or ())
    nodeports = 0
    if spec.get("type") == "NodePort":
        nodeports = ports
    elif balanced:
        open_ports = spec.get("allocateLoadBalancerNodePorts", True)
        nodeports = ports if open_ports else sum(bool(p.get("nodePort")) for p in spec.get("ports") or ())
    return {
        "services": _ONE,
        "services.nodeports": Quantity.parse(nodeports),
        "services.loadbalancers": Quantity.parse(int(balanced)),
    }


def _claim(claim: Obj) -> Amounts:
    asked = size(claim["spec"])
    found = {"persistentvolumeclaims": _ONE, "requests.storage": asked}
    if name := storage_class(claim):
        found |= {
            f"{name}{_OF_CLASS}requests.storage": asked,
            f"{name}{_OF_CLASS}persistentvolumeclaims": _ONE,
        }
    return found


def total(quota: Obj, resource: str, objects: Iterable[Obj], usage: Callable[[str, Obj], Amounts] = usage) -> Amounts:
    """What objects of one resource use of a quota: only the names it limits, only objects in its scopes."""
    names = {name for name in quota["spec"].get("hard") or () if resource_of(name) == resource}
    found = dict.fromkeys(names, Quantity.ZERO)
    for obj in objects:
        if in_scope(quota, resource, obj):
            for name, amount in usage(resource, obj).items():
                if name in names:
                    found[name] = found[name] + amount
    return found


def in_scope(quota: Obj, resource: str, obj: Obj) -> bool:
    """A quota without scopes is about everything, one with scopes about pods that have them all."""
    spec = quota["spec"]
    terms = [{"scopeName": scope, "operator": "Exists"} for scope in spec.get("scopes") or ()]
    terms += (spec.get("scopeSelector") or {}).get("matchExpressions") or ()
    return not terms or (resource == "pods" and all(_has(obj, term) for term in terms))


def _has(pod: Obj, term: Obj) -> bool:
    spec = pod["spec"]
    scope, operator = term["scopeName"], term["operator"]
    if scope == "PriorityClass":
        name, values = spec.get("priorityClassName") or "", term.get("values") or ()
        tests = {"In": name in values, "NotIn": name not in values, "Exists": bool(name), "DoesNotExist": not name}
        return tests[operator]
    bounded = spec.get("activeDeadlineSeconds") is not None
    best_effort = scope in ("BestEffort", "NotBestEffort") and pods.qos_class(pod) == "BestEffort"
    found = {
        "Terminating": bounded,
        "NotTerminating": not bounded,
        "BestEffort": best_effort,
        "NotBestEffort": not best_effort,
        "CrossNamespacePodAffinity": _reaches_out(spec),
    }[scope]
    return not found if operator == "DoesNotExist" else found


def _reaches_out(spec: Obj) -> bool:
    """Do affinity terms look at other namespaces?"""
    for kind in ("podAffinity", "podAntiAffinity"):
        rules = (spec.get("affinity") or {}).get(kind) or {}
        terms = [*(rules.get("requiredDuringSchedulingIgnoredDuringExecution") or ())]
        weighted = rules.get("preferredDuringSchedulingIgnoredDuringExecution") or ()
        terms += [entry.get("podAffinityTerm") or {} for entry in weighted]
        if any(term.get("namespaces") or term.get("namespaceSelector") is not None for term in terms):
            return True
    return False


def unstated(names: Iterable[str], pod: Obj) -> dict[str, list[str]]:
    """Amounts of cpu and memory that a quota limits but containers do not state: name → container names."""
    found: dict[str, list[str]] = {}
    containers = [*(pod["spec"].get("containers") or ()), *(pod["spec"].get("initContainers") or ())]
    for name in sorted(names):
        kind, _, amount = name.rpartition(".")
        if amount not in ("cpu", "memory") or kind not in ("", "requests", "limits"):
            continue
        for container in containers:
            stated = (container.get("resources") or {}).get(kind or "requests") or {}
            if amount not in stated:
                found.setdefault(name, []).append(container["name"])
    return found
