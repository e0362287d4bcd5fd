"""Scheduler: gives each new pod a node, at once.

Source: https://kubernetes.io/docs/concepts/scheduling-eviction/kube-scheduler/
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from sampan.api import meta, pods
from sampan.api.meta import Key, Obj
from sampan.api.status import ApiError
from sampan.client.env import Cache, Controller, Env
from sampan.controllers.keys import no_key
from sampan.controllers.scheduling import snapshot as snapshots
from sampan.controllers.scheduling.filters import explain, feasible
from sampan.controllers.scheduling.scores import best
from sampan.controllers.writes import patch_exactly

NAME = "default-scheduler"


def controller() -> Controller:
    scheduler = Scheduler()
    watches = {"pods": scheduler.pod_changed, "nodes": scheduler.node_changed, "namespaces": no_key}
    # Many workers: deciding never waits, so only the writes of bindings overlap.
    return Controller(NAME, watches, scheduler.reconcile, workers=16)


class Scheduler:
    """Remembers bindings its cache does not show yet, and the pods that fit nowhere (any change may free a place)."""

    def __init__(self) -> None:
        self._assumed: dict[str, tuple[Key, str]] = {}
        self._waiting: set[Key] = set()
        self._needs = snapshots.Needs()

    def pod_changed(self, pod: Obj, caches: Mapping[str, Cache]) -> Iterable[Key]:
        return tuple(self._waiting) if pods.node_name(pod) else (meta.key(pod),)

    def node_changed(self, node: Obj, caches: Mapping[str, Cache]) -> Iterable[Key]:
        return tuple(self._waiting)

    async def reconcile(self, key: Key, env: Env) -> None:
        pod = env.caches["pods"].get(key)
        if pod is None or not _wants_node(pod) or meta.uid(pod) in self._assumed:
            self._waiting.discard(key)
            return
        needs = self._needs.of(pod)
        snapshot = self._snapshot(env)
        candidates, refused = feasible(pod, needs, snapshot)
        if candidates:
            await self._bind(key, pod, best(pod, needs, candidates, snapshot).name, env)
        else:
            self._waiting.add(key)
            await _tell(pod, explain(len(snapshot.nodes), refused), env)

    def _snapshot(self, env: Env) -> snapshots.Snapshot:
        namespaces = {meta.name(n): meta.labels(n) for n in env.caches["namespaces"].list()}
        return snapshots.take(env.caches["nodes"].list(), self._placed(env.caches["pods"]), namespaces, self._needs)

    def _placed(self, cache: Cache) -> Iterator[tuple[str, Obj]]:
        for uid, (key, _) in list(self._assumed.items()):
            pod = cache.get(key)
            if pod is None or meta.uid(pod) != uid or pods.node_name(pod):
                del self._assumed[uid]
        for pod in cache.list():
            node = pods.node_name(pod)
            if not node and meta.uid(pod) in self._assumed:
                node = self._assumed[meta.uid(pod)][1]
            if node and not pods.is_terminal(pod):
                yield node, pod

    async def _bind(self, key: Key, pod: Obj, node: str, env: Env) -> None:
        """From here on the pod counts as placed, before the server has answered."""
        self._waiting.discard(key)
        self._assumed[meta.uid(pod)] = key, node
        scheduled = _conditions(pod, {"status": "True", "lastTransitionTime": meta.timestamp(env.clock.now())})
        patch = {"spec": {"nodeName": node}, "status": {"conditions": scheduled}}
        try:
            await patch_exactly(env, "pods", pod, patch, subresource="binding")
        except ApiError as error:
            self._assumed.pop(meta.uid(pod), None)
            if error.code != 404:
                raise
            return
        env.events.event(pod, "Normal", "Scheduled", f"Successfully assigned {key} to {node}")


def _wants_node(pod: Obj) -> bool:
    spec = pod["spec"]
    if pods.node_name(pod) or not pods.is_active(pod) or spec.get("schedulingGates"):
        return False
    return bool(spec.get("schedulerName", NAME) == NAME)


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
