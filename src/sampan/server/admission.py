"""The built-in admission chain: one visible table, run in order for every create, update and delete.

Source: https://kubernetes.io/docs/reference/access-authn-authz/admission-controllers/
A plugin may change `obj` in place (it is the request's own copy) and refuses by raising ApiError.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sampan.api import meta
from sampan.api.kinds import priorityclass
from sampan.api.meta import Obj, deleting
from sampan.api.scheme import Resource
from sampan.api.status import forbidden, not_found
from sampan.base.clock import Clock
from sampan.server import admission_limits, admission_storage
from sampan.server.admission_quota import QuotaAdmission
from sampan.server.token_volume import automount
from sampan.server.types import SYSTEM, User

Lookup = Callable[[str, str, str], Obj | None]
Scan = Callable[[str, str], list[Obj]]
IMMORTAL = frozenset({"default", "kube-system", "kube-public"})


@dataclass(slots=True)
class Attributes:
    """One write. `operation` is CREATE, UPDATE or DELETE; `obj` is None for a delete, `old` for a create.

    `lookup(resource, name, namespace)` and `scan(resource, namespace)` read the store. `user` is who asks.
    """

    operation: str
    resource: Resource
    namespace: str
    name: str
    obj: Obj | None
    old: Obj | None
    lookup: Lookup
    subresource: str = ""
    user: User = SYSTEM
    dry_run: bool = False
    scan: Scan = lambda resource, namespace: []


Plugin = Callable[[Attributes], None]


def _namespace_lifecycle(request: Attributes) -> None:
    """Nothing new in a namespace that is not there or is going; the system's namespaces stay."""
    resource = request.resource
    if request.operation == "DELETE":
        if resource.id == "namespaces" and request.name in IMMORTAL:
            raise forbidden("namespaces", request.name, "this namespace may not be deleted")
        return
    if request.operation != "CREATE" or not resource.namespaced:
        return
    namespace = request.lookup("namespaces", request.namespace, "")
    if namespace is None:
        raise not_found("namespaces", request.namespace)
    if deleting(namespace):
        why = f"unable to create new content in namespace {request.namespace} because it is being terminated"
        error = forbidden(resource.id, request.name, why)
        cause = {
            "reason": "NamespaceTerminating",
            "message": f"namespace {request.namespace} is being terminated",
            "field": "metadata.namespace",
        }
        error.details["causes"] = [cause]
        raise error


def _service_account(request: Attributes) -> None:
    """A pod runs as a service account: `default` when it names none, and it must exist."""
    if request.resource.id != "pods" or request.operation != "CREATE" or request.obj is None:
        return
    spec = request.obj["spec"]
    name = spec.get("serviceAccountName") or spec.get("serviceAccount") or "default"
    # The account `default` of each namespace is made by a controller, perhaps a moment later.
    if name != "default" and request.lookup("serviceaccounts", name, request.namespace) is None:
        why = f'error looking up service account {request.namespace}/{name}: serviceaccount "{name}" not found'
        raise forbidden("pods", request.name, why)
    spec["serviceAccountName"] = spec["serviceAccount"] = name
    account = request.lookup("serviceaccounts", name, request.namespace) or {}
    if "imagePullSecrets" not in spec and account.get("imagePullSecrets"):
        spec["imagePullSecrets"] = [dict(secret) for secret in account["imagePullSecrets"]]
    mounts = spec.get("automountServiceAccountToken", account.get("automountServiceAccountToken"))
    if mounts is not False:
        automount(request.obj)


_UNHEALTHY = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")


def _default_tolerations(request: Attributes) -> None:
    """A pod stays 300 s on a node that went away, unless it says otherwise."""
    if request.resource.id != "pods" or request.operation == "DELETE" or request.obj is None:
        return
    spec = request.obj["spec"]
    tolerations = spec.get("tolerations") or []

    def tolerated(key: str) -> bool:
        return any(t.get("key", key) in (key, "") and t.get("effect", "NoExecute") == "NoExecute" for t in tolerations)

    more = [
        {"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}
        for key in _UNHEALTHY
        if not tolerated(key)
    ]
    if more:
        spec["tolerations"] = [*tolerations, *more]


_PRIORITIES = "priorityclasses.scheduling.k8s.io"


def _priority(request: Attributes) -> None:
    """A pod has the priority of its class; without one that of the default class, 0 without that."""
    if request.resource.id == _PRIORITIES:
        _one_default(request)
    if request.resource.id != "pods" or request.operation != "CREATE" or request.obj is None:
        return
    spec = request.obj["spec"]
    name = spec.get("priorityClassName") or ""
    found: Obj | None = None
    if name:
        found = request.lookup(_PRIORITIES, name, "") or _system_priority(name)
        if found is None:
            raise forbidden("pods", request.name, f"no PriorityClass with name {name} was found")
    elif found := _default_priority(request):
        spec["priorityClassName"] = meta.name(found)
    value = found["value"] if found else 0
    if spec.get("priority", value) != value:
        why = f"the integer value of priority ({spec['priority']}) must not be provided in pod spec; "
        why += f"priority admission controller computed {value} from the given PriorityClass name"
        raise forbidden("pods", request.name, why)
    spec["priority"] = value
    spec.setdefault("preemptionPolicy", (found or {}).get("preemptionPolicy") or "PreemptLowerPriority")


def _system_priority(name: str) -> Obj | None:
    """The classes that every cluster has count before they are there."""
    return next((c for c in priorityclass.SYSTEM if meta.name(c) == name), None)


def _default_priority(request: Attributes) -> Obj | None:
    """The default class; of several (made at the same moment) the lowest."""
    found = [c for c in request.scan(_PRIORITIES, "") if c.get("globalDefault")]
    return min(found, key=lambda c: int(c["value"]), default=None)


def _one_default(request: Attributes) -> None:
    """There is at most one default class."""
    if request.operation == "DELETE" or request.obj is None or not request.obj.get("globalDefault"):
        return
    other = _default_priority(request)
    if other is not None and meta.name(other) != request.name:
        why = f"PriorityClass {meta.name(other)} is already marked as default. Only one default can exist"
        raise forbidden(_PRIORITIES, request.name, why)


def chain(clock: Clock) -> tuple[tuple[str, Plugin], ...]:
    """The plugins of one server, in order."""
    return (
        ("NamespaceLifecycle", _namespace_lifecycle),
        ("ServiceAccount", _service_account),
        ("DefaultTolerationSeconds", _default_tolerations),
        ("Priority", _priority),
        ("DefaultStorageClass", admission_storage.default_storage_class),
        ("StorageObjectInUseProtection", admission_storage.protect_storage),
        ("PersistentVolumeClaimResize", admission_storage.resize_claim),
        ("DefaultIngressClass", admission_storage.default_ingress_class),
        ("LimitRanger", admission_limits.limit_ranger),
        ("ResourceQuota", QuotaAdmission(clock)),  # last: it counts what all others made of the object
    )
