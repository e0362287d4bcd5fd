"""Eviction: deleting a pod only if its PodDisruptionBudget allows.

Source: https://kubernetes.io/docs/concepts/scheduling-eviction/api-eviction/, pkg/registry/core/pod/storage/eviction.go
"""

from __future__ import annotations

from sampan.api import meta, pods, selectors
from sampan.api.meta import Obj, copy
from sampan.api.status import ApiError, too_many_requests
from sampan.server.registry import Registry
from sampan.server.types import Deletion, Options

BUDGETS = "poddisruptionbudgets.policy"
_REFUSED = "Cannot evict pod as it would violate the pod's disruption budget."
_RETRY = 10  # seconds


async def evict(registry: Registry, namespace: str, name: str, body: Obj, options: Options) -> None:
    """Delete the pod, as `kubectl drain` asks. Raises ApiError 404, 429 when its budget is spent."""
    pod = registry.get("pods", name, namespace).obj
    budget = _budget(registry, pod)
    if budget is not None and not _free(pod, budget):
        await _spend(registry, budget, pod, options)
    if not options.dry_run and not meta.deleting(pod) and not pods.is_terminal(pod):
        await _tell(registry, pod)
    asked = body.get("deleteOptions") or {}
    conditions = asked.get("preconditions") or {}
    await registry.delete(
        "pods",
        name,
        namespace,
        Deletion(
            grace=asked.get("gracePeriodSeconds"),
            propagation=asked.get("propagationPolicy") or "",
            uid=conditions.get("uid") or "",
            revision=conditions.get("resourceVersion") or "",
            dry_run=options.dry_run,
            user=options.user,
        ),
    )


def _budget(registry: Registry, pod: Obj) -> Obj | None:
    """The pod's budget, None for one that does not run. Raises ApiError 500 for several."""
    if pods.is_terminal(pod) or pods.phase(pod) in ("", "Pending") or meta.deleting(pod):
        return None
    found = [
        budget
        for budget in registry.scan(BUDGETS, meta.namespace(pod))
        if selectors.from_object(budget["spec"].get("selector")).matches(meta.labels(pod))
    ]
    if len(found) > 1:
        text = "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support."
        raise ApiError(500, "InternalError", text)
    return found[0] if found else None


def _free(pod: Obj, budget: Obj) -> bool:
    """May a pod that is not ready go without counting?"""
    if pods.is_ready(pod):
        return False
    if budget["spec"].get("unhealthyPodEvictionPolicy") == "AlwaysAllow":
        return True
    status = budget.get("status") or {}
    wanted = status.get("desiredHealthy", 0)
    return bool(wanted > 0 and status.get("currentHealthy", 0) >= wanted)


async def _spend(registry: Registry, budget: Obj, pod: Obj, options: Options) -> None:
    """Take one disruption off the budget: written down, so that two evictions cannot both have the last one."""
    now = meta.timestamp(registry.clock.now())

    def change(old: Obj) -> Obj:
        status = dict(old.get("status") or {})
        if status.get("observedGeneration", 0) < old["metadata"].get("generation", 0):
            why = f"The disruption budget {meta.name(old)} is still being processed by the server."
            raise _refusal(why, _RETRY)
        allowed = status.get("disruptionsAllowed", 0)
        if allowed < 1:
            wanted, has = status.get("desiredHealthy", 0), status.get("currentHealthy", 0)
            why = f"The disruption budget {meta.name(old)} needs {wanted} healthy pods and has {has} currently"
            raise _refusal(why)
        status["disruptionsAllowed"] = allowed - 1
        status["disruptedPods"] = {**(status.get("disruptedPods") or {}), meta.name(pod): now}
        new = copy(old)
        new["status"] = status
        return new

    name, namespace = meta.name(budget), meta.namespace(budget)
    await registry.modify(BUDGETS, name, namespace, change, Options(dry_run=options.dry_run), "status")


async def _tell(registry: Registry, pod: Obj) -> None:
    """Why the pod will end, in its conditions."""
    now = meta.timestamp(registry.clock.now())
    told = {
        "type": "DisruptionTarget",
        "status": "True",
        "lastProbeTime": None,
        "lastTransitionTime": now,
        "reason": "EvictionByEvictionAPI",
        "message": "Eviction API: evicting",
    }

    def change(old: Obj) -> Obj:
        new = copy(old)
        status = new.setdefault("status", {})
        kept = [c for c in status.get("conditions") or () if c["type"] != told["type"]]
        status["conditions"] = [*kept, told]
        return new

    await registry.modify("pods", meta.name(pod), meta.namespace(pod), change, Options(), "status")


def _refusal(why: str, retry: int = 0) -> ApiError:
    return too_many_requests(_REFUSED, retry, [{"reason": "DisruptionBudget", "message": why}])
