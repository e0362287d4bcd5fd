"""Disruption controller: how many pods of each PodDisruptionBudget may be evicted now.

Source: https://kubernetes.io/docs/concepts/workloads/pods/disruptions/, k8s.io/kubernetes/pkg/controller/disruption
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

from sampan.api import meta, pods, selectors
from sampan.api.meta import Key, Obj
from sampan.client.env import After, Cache, Controller, Env
from sampan.controllers.keys import no_key, own_key
from sampan.controllers.writes import set_condition, write_status

BUDGETS = "poddisruptionbudgets.policy"
# Kinds whose spec.replicas says how many pods there should be.
_SCALED = {
    "ReplicaSet": "replicasets.apps",
    "Deployment": "deployments.apps",
    "StatefulSet": "statefulsets.apps",
    "ReplicationController": "replicationcontrollers",
}
# An evicted pod that is still not deleted after this long was not evicted after all.
DELETION_TIMEOUT = 120.0


def controller() -> Controller:
    watches = {BUDGETS: own_key, "pods": _pod_changed, **dict.fromkeys(_SCALED.values(), no_key)}
    return Controller("disruption-controller", watches, _reconcile)


def _pod_changed(pod: Obj, caches: Mapping[str, Cache]) -> Iterable[Key]:
    return [meta.key(b) for b in caches[BUDGETS].list(meta.namespace(pod)) if covers(b, pod)]


def covers(budget: Obj, pod: Obj) -> bool:
    return selectors.from_object(budget["spec"].get("selector")).matches(meta.labels(pod))


async def _reconcile(key: Key, env: Env) -> After | None:
    budget = env.caches[BUDGETS].get(key)
    if budget is None:
        return None
    covered = [p for p in env.caches["pods"].list(key.namespace) if covers(budget, p)]
    if meta.deleting(budget):
        return None
    now = env.clock.now()
    disrupted = _disrupted(budget, covered, now)
    expected = _expected(budget, covered, env)
    wanted = _desired(budget["spec"], expected)
    healthy = sum(pods.is_ready(p) and not meta.deleting(p) and meta.name(p) not in disrupted for p in covered)
    allowed = max(0, healthy - wanted) if expected > 0 else 0
    old = budget.get("status") or {}
    state, reason = ("True", "SufficientPods") if allowed else ("False", "InsufficientPods")
    conditions = set_condition(old.get("conditions") or [], "DisruptionAllowed", state, reason, "", meta.timestamp(now))
    generation = budget["metadata"].get("generation", 1)
    status: Obj = {
        "observedGeneration": generation,
        "disruptionsAllowed": allowed,
        "currentHealthy": healthy,
        "desiredHealthy": wanted,
        "expectedPods": expected,
        "conditions": [{"observedGeneration": generation, **c} for c in conditions],
    }
    if disrupted:
        status["disruptedPods"] = disrupted
    await write_status(env, BUDGETS, budget, status)
    return After(DELETION_TIMEOUT) if disrupted else None


def _disrupted(budget: Obj, covered: list[Obj], now: datetime) -> dict[str, str]:
    """Evicted pods whose deletion the caches do not show yet."""
    here = {meta.name(p) for p in covered if not meta.deleting(p)}
    limit = now - timedelta(seconds=DELETION_TIMEOUT)
    told = (budget.get("status") or {}).get("disruptedPods") or {}
    return {name: at for name, at in told.items() if name in here and meta.parse_time(at) > limit}


def _expected(budget: Obj, covered: list[Obj], env: Env) -> int:
    """How many pods there should be: those that are, unless the budget is a share of what controllers want."""
    if isinstance(budget["spec"].get("minAvailable"), int):
        return len(covered)
    owners: dict[str, int] = {}
    unmanaged = []
    for pod in covered:
        owner = _scaled_owner(pod, env)
        if owner is None:
            unmanaged.append(pod)
        else:
            owners[meta.uid(owner)] = int(owner["spec"].get("replicas", 1))
    if unmanaged:
        text = (
            "Pods selected by this PodDisruptionBudget were found to be unmanaged. As a result, the status of the PDB "
            "cannot be calculated correctly, which may result in undefined behavior. To account for these pods please "
            'set ".spec.minAvailable" field of the PDB to an integer value.'
        )
        env.events.event(budget, "Warning", "UnmanagedPods", text)
    return sum(owners.values())


def _scaled_owner(obj: Obj, env: Env) -> Obj | None:
    """The topmost controller that has a count: the Deployment, not its ReplicaSet."""
    found: Obj | None = None
    while (reference := meta.controller_of(obj)) and (resource := _SCALED.get(reference["kind"])):
        owner = env.caches[resource].get(Key(meta.namespace(obj), reference["name"]))
        if owner is None or meta.uid(owner) != reference["uid"]:
            break
        obj = found = owner
    return found


def _desired(spec: Obj, expected: int) -> int:
    if (most := spec.get("maxUnavailable")) is not None:
        return max(0, expected - _share(most, expected))
    least = spec.get("minAvailable")
    return _share(least, expected) if least is not None else 1


def _share(value: int | str, total: int) -> int:
    """An IntOrString of a total, percentages rounded up."""
    return value if isinstance(value, int) else -(-int(value.removesuffix("%")) * total // 100)
