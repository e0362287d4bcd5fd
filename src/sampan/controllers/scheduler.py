"""Scheduler: gives each new pod a node, at once.

Source: https://kubernetes.io/docs/concepts/scheduling-eviction/kube-scheduler/
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from sampan.api import meta, pods
from sampan.api.meta import Key, Obj
from sampan.api.status import ApiError
from sampan.client.env import Cache, Controller, Env
from sampan.controllers.scheduling import volumes
from sampan.controllers.scheduling.filters import explain, feasible
from sampan.controllers.scheduling.scores import best
from sampan.controllers.scheduling.snapshot import Needs, Snapshot
from sampan.controllers.volume_match import SELECTED_NODE
from sampan.controllers.writes import patch_exactly

NAME = "default-scheduler"


def controller() -> Controller:
    scheduler = Scheduler()
    watches = {
        "pods": scheduler.pod_changed,
        "nodes": scheduler.node_changed,
        "namespaces": scheduler.namespace_changed,
        volumes.CLAIMS: scheduler.claim_changed,
        volumes.VOLUMES: scheduler.storage_changed,
        volumes.CLASSES: scheduler.storage_changed,
    }
    # Many workers: deciding never waits, so only the writes of bindings overlap.
    return Controller(NAME, watches, scheduler.reconcile, workers=16)


class Scheduler:
    """Keeps a snapshot, bindings its cache does not show yet, and the pods that fit nowhere until something changes."""

    def __init__(self) -> None:
        self._snapshot = Snapshot()
        self._assumed: dict[str, str] = {}
        self._waiting: set[Key] = set()
        # Of those: pods that may fit because another pod came (affinity, spreading).
        self._hoping: set[Key] = set()
        self._needs = Needs()

    # -- the world changes: what is read here is the cache, which is ahead of the object we are told about

    def pod_changed(self, pod: Obj, caches: Mapping[str, Cache]) -> Iterable[Key]:
        key = meta.key(pod)
        woken = self._keep(key, caches["pods"].get(key))
        return woken if pods.node_name(pod) else (key, *woken)

    def node_changed(self, node: Obj, caches: Mapping[str, Cache]) -> Iterable[Key]:
        name = meta.name(node)
        present = caches["nodes"].get(meta.key(node))
        gone = present is None or meta.deleting(present)
        return tuple(self._waiting) if self._snapshot.set_node(name, None if gone else present) else ()

    def namespace_changed(self, namespace: Obj, caches: Mapping[str, Cache]) -> Iterable[Key]:
        present = caches["namespaces"].get(meta.key(namespace))
        self._snapshot.namespaces[meta.name(namespace)] = meta.labels(present) if present else {}
        if present is None:
            del self._snapshot.namespaces[meta.name(namespace)]
        return ()

    def claim_changed(self, claim: Obj, caches: Mapping[str, Cache]) -> Iterable[Key]:
        return [key for key in self._waiting if key.namespace == meta.namespace(claim)]

    def storage_changed(self, obj: Obj, caches: Mapping[str, Cache]) -> Iterable[Key]:
        return tuple(self._waiting)

    def _keep(self, key: Key, pod: Obj | None) -> Iterable[Key]:
        """Bring the snapshot up to date with a pod; returns the waiting pods that this may help."""
        before = self._snapshot.placed(key)
        if before is not None and (pod is None or meta.uid(before) != meta.uid(pod) or pods.node_name(pod)):
            self._assumed.pop(meta.uid(before), None)
        if before is pod:
            return ()
        node = (pods.node_name(pod) or self._assumed.get(meta.uid(pod), "")) if pod is not None else ""
        if pod is None or not node or pods.is_terminal(pod):
            self._snapshot.remove(key)
            return tuple(self._waiting) if before is not None else ()
        self._snapshot.place(key, pod, node, self._needs.of(pod))
        if before is None or meta.labels(before) != meta.labels(pod):
            return tuple(self._hoping)
        return ()

    # -- a pod wants a node

    async def reconcile(self, key: Key, env: Env) -> None:
        pod = env.caches["pods"].get(key)
        if pod is None or not _wants_node(pod) or meta.uid(pod) in self._assumed:
            self._forget(key)
            return
        snapshot, needs = self._snapshot, self._needs.of(pod)
        self._needs.forget_all_but(len(snapshot) + len(self._waiting))
        claims = volumes.plan(pod, env.caches)
        if claims and claims.problem:
            self._waiting.add(key)
            await _tell(pod, f"0/{len(snapshot.nodes)} nodes are available: {claims.problem}.", env)
            return
        more = (claims.ask(env.caches[volumes.VOLUMES].list()),) if claims else ()
        candidates, refused = feasible(pod, needs, snapshot, more)
        if candidates and claims and claims.late:
            self._waiting.add(key)
            # Once told, the claims keep their node: their volumes may be on the way.
            node = claims.chosen(info.name for info in candidates)
            await _tell_claims(claims, node or best(pod, needs, candidates, snapshot).name, env)
            return
        if candidates:
            await self._bind(key, pod, best(pod, needs, candidates, snapshot).name, env)
            return
        self._waiting.add(key)
        if pod["spec"].get("affinity") or pod["spec"].get("topologySpreadConstraints"):
            self._hoping.add(key)
        await _tell(pod, explain(len(snapshot.nodes), refused), env)

    def _forget(self, key: Key) -> None:
        self._waiting.discard(key)
        self._hoping.discard(key)

    async def _bind(self, key: Key, pod: Obj, node: str, env: Env) -> None:
        """From here on the pod counts as placed, before the server has answered."""
        self._forget(key)
        self._assumed[meta.uid(pod)] = node
        self._snapshot.place(key, pod, node, self._needs.of(pod))
        scheduled = _conditions(pod, {"status": "True", "lastTransitionTime": meta.timestamp(env.clock.now())})
        patch = {"spec": {"nodeName": node}, "status": {"conditions": scheduled}}
        try:
            await patch_exactly(env, "pods", pod, patch, subresource="binding")
        except ApiError as error:
            self._assumed.pop(meta.uid(pod), None)
            self._snapshot.remove(key)
            self._keep(key, env.caches["pods"].get(key))
            if error.code != 404:
                raise
            return
        env.events.event(pod, "Normal", "Scheduled", f"Successfully assigned {key} to {node}")


def _wants_node(pod: Obj) -> bool:
    spec = pod["spec"]
    if pods.node_name(pod) or not pods.is_active(pod) or spec.get("schedulingGates"):
        return False
    return bool(spec.get("schedulerName", NAME) == NAME)


async def _tell_claims(claims: volumes.Plan, node: str, env: Env) -> None:
    """Let claims that waited for their first pod be bound for this node; the pod follows when they are."""
    for claim in claims.undecided(node):
        patch = {"metadata": {"annotations": {SELECTED_NODE: node}}}
        await patch_exactly(env, volumes.CLAIMS, claim, patch)


async def _tell(pod: Obj, message: str, env: Env) -> None:
    """Write down why the pod waits, once for each reason."""
    old = meta.condition(pod, "PodScheduled") or {}
    if (old.get("status"), old.get("reason"), old.get("message")) == ("False", "Unschedulable", message):
        return
    env.events.event(pod, "Warning", "FailedScheduling", message)
    since = old.get("lastTransitionTime") if old.get("status") == "False" else None
    found = {
        "status": "False",
        "lastTransitionTime": since or meta.timestamp(env.clock.now()),
        "reason": "Unschedulable",
        "message": message,
    }
    await patch_exactly(env, "pods", pod, {"status": {"conditions": _conditions(pod, found)}}, subresource="status")


def _conditions(pod: Obj, found: Obj) -> list[Obj]:
    """The pod's conditions with this PodScheduled."""
    others = [c for c in (pod.get("status") or {}).get("conditions") or () if c["type"] != "PodScheduled"]
    return [*others, {"type": "PodScheduled", "lastProbeTime": None, **found}]
