"""ReplicaSet: as many pods as spec.replicas says.

Source: https://kubernetes.io/docs/concepts/workloads/controllers/replicaset/
"""

from __future__ import annotations

import asyncio

from sampan.api import meta, pods
from sampan.api.meta import Key, Obj
from sampan.api.status import ApiError
from sampan.client.env import After, Controller, Env
from sampan.controllers.availability import until_available
from sampan.controllers.claim import claim
from sampan.controllers.deletion_order import deletion_order
from sampan.controllers.keys import own_key, owners
from sampan.controllers.own_writes import DOUBT, OwnWrites
from sampan.controllers.pod_template import pod_from_template
from sampan.controllers.writes import create, in_batches, remove, set_condition, write_status

RESOURCE = "replicasets.apps"
# At most so many pods are made or deleted in one reconcile.
BURST = 500


def controller() -> Controller:
    return row("replicaset-controller", RESOURCE, "ReplicaSet")


def row(name: str, resource: str, kind: str) -> Controller:
    """ReplicationControllers are ReplicaSets by another name."""
    return Controller(name, {resource: own_key, "pods": owners(resource, kind)}, ReplicaSets(resource).reconcile)


class ReplicaSets:
    """The controller of one resource; it remembers nothing but its own writes."""

    def __init__(self, resource: str) -> None:
        self._resource = resource
        self._writes = OwnWrites("pods")

    async def reconcile(self, key: Key, env: Env) -> After | None:
        rs = env.caches[self._resource].get(key)
        if rs is None:
            self._writes.forget(key)
            return None
        cached = [p for p in env.caches["pods"].list(key.namespace) if pods.is_active(p)]
        unseen = await self._writes.unseen(key, env)
        leaving = self._writes.leaving(key, cached)
        mine = await claim(env, self._resource, rs, "pods", cached)
        active = [p for p in mine if meta.uid(p) not in leaving] + unseen
        failure: tuple[str, str] | None = None
        if not meta.deleting(rs):
            failure = await self._scale(key, rs, active, env)
        return await self._write_status(rs, mine + unseen, failure, env) or (After(DOUBT) if unseen else None)

    async def _scale(self, key: Key, rs: Obj, active: list[Obj], env: Env) -> tuple[str, str] | None:
        """Make or delete pods; returns (reason, message) of what failed."""
        missing = rs["spec"].get("replicas", 1) - len(active)
        if missing > 0:
            return await self._create(key, rs, min(missing, BURST), env)
        if missing < 0:
            doomed = deletion_order(active, self._related(rs, active, env))[: min(-missing, BURST)]
            return await self._delete(key, rs, doomed, env)
        return None

    async def _create(self, key: Key, rs: Obj, count: int, env: Env) -> tuple[str, str] | None:
        pod = pod_from_template(rs, rs["spec"]["template"])
        error = await in_batches([lambda: self._create_one(key, rs, pod, env)] * count)
        return ("FailedCreate", error.message) if error else None

    async def _create_one(self, key: Key, rs: Obj, pod: Obj, env: Env) -> ApiError | None:
        try:
            made = await create(env, "pods", pod)
        except ApiError as error:
            env.events.event(rs, "Warning", "FailedCreate", f"Error creating: {error.message}")
            return error
        if made is None:
            return None
        self._writes.created(key, made, env)
        env.events.event(rs, "Normal", "SuccessfulCreate", f"Created pod: {meta.name(made)}")
        return None

    async def _delete(self, key: Key, rs: Obj, doomed: list[Obj], env: Env) -> tuple[str, str] | None:
        results = await asyncio.gather(*(self._delete_one(key, rs, pod, env) for pod in doomed))
        errors = [e for e in results if e is not None]
        return ("FailedDelete", errors[0].message) if errors else None

    async def _delete_one(self, key: Key, rs: Obj, pod: Obj, env: Env) -> ApiError | None:
        try:
            deleted = await remove(env, "pods", pod)
        except ApiError as error:
            env.events.event(rs, "Warning", "FailedDelete", f"Error deleting: {error.message}")
            return error
        self._writes.deleted(key, meta.uid(pod))
        if deleted:
            env.events.event(rs, "Normal", "SuccessfulDelete", f"Deleted pod: {meta.name(pod)}")
        return None

    async def _write_status(self, rs: Obj, mine: list[Obj], failure: tuple[str, str] | None, env: Env) -> After | None:
        """Writes the counts; returns when the next pod becomes available by itself (minReadySeconds)."""
        status, wait = replicaset_status(rs, mine, failure, env)
        await write_status(env, self._resource, rs, status)
        if failure:
            # The loop's back-off tries again.
            raise ApiError(500, "InternalError", f"{rs['kind']} {meta.key(rs)}: {failure[1]}")
        return After(wait) if wait is not None else None

    def _related(self, rs: Obj, active: list[Obj], env: Env) -> list[Obj]:
        """Active pods of all ReplicaSets with the same owner."""
        reference = meta.controller_of(rs)
        if reference is None:
            return active
        siblings = env.caches[self._resource].owned_by(reference["uid"])
        others = [p for s in siblings if meta.uid(s) != meta.uid(rs) for p in env.caches["pods"].owned_by(meta.uid(s))]
        return active + [p for p in others if pods.is_active(p)]


def replicaset_status(rs: Obj, mine: list[Obj], failure: tuple[str, str] | None, env: Env) -> tuple[Obj, float | None]:
    """The status, and the seconds until a ready pod will have been ready for minReadySeconds."""
    now = env.clock.now()
    wanted = (rs["spec"]["template"].get("metadata") or {}).get("labels") or {}
    waits = [w for p in mine if (w := until_available(p, rs, now)) is not None]
    counts = {
        "fullyLabeledReplicas": sum(wanted.items() <= meta.labels(p).items() for p in mine),
        "readyReplicas": len(waits),
        "availableReplicas": sum(w <= 0 for w in waits),
        "observedGeneration": rs["metadata"].get("generation", 0),
    }
    old = (rs.get("status") or {}).get("conditions") or []
    conditions = [c for c in old if c["type"] != "ReplicaFailure"]
    if failure:
        conditions = set_condition(old, "ReplicaFailure", "True", failure[0], failure[1], meta.timestamp(now))
    status: Obj = {"replicas": len(mine)} | {k: v for k, v in counts.items() if v}
    if conditions:
        status["conditions"] = conditions
    return status, min((w for w in waits if w > 0), default=None)
