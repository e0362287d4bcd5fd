"""Pod garbage collection: pods nobody will ever end.

Those of a node that no longer exists, those deleted before they had a node, and ended ones over a threshold.
Source: https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#pod-garbage-collection
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from sampan.api import meta, pods
from sampan.api.meta import Key, Obj
from sampan.api.status import ApiError
from sampan.client.env import Cache, Controller, Env
from sampan.controllers.writes import remove

# Ended pods that are kept: kube-controller-manager --terminated-pod-gc-threshold.
THRESHOLD = 12500
# All is looked at together.
SWEEP = Key("", "pods")


def controller(threshold: int = THRESHOLD) -> Controller:
    async def reconcile(key: Key, env: Env) -> None:
        everything = list(env.caches["pods"].list())
        for name in sorted({pods.node_name(p) for p in everything if _is_orphan(p, env.caches)}):
            if not await _node_exists(name, env):
                for pod in everything:
                    if pods.node_name(pod) == name:
                        await _end(pod, env)
        for pod in everything:
            if meta.deleting(pod) and not pods.node_name(pod):
                await remove(env, "pods", pod, grace=0)
        ended = sorted(
            (p for p in everything if pods.is_terminal(p) and not meta.deleting(p)),
            key=lambda p: (p["metadata"]["creationTimestamp"], meta.name(p)),
        )
        for pod in ended[: max(0, len(ended) - threshold)]:
            await remove(env, "pods", pod, grace=0)

    return Controller("pod-garbage-collector", {"pods": _suspect, "nodes": _bereft}, reconcile, workers=1)


def _suspect(pod: Obj, caches: Mapping[str, Cache]) -> Iterable[Key]:
    unscheduled = meta.deleting(pod) and not pods.node_name(pod)
    return (SWEEP,) if unscheduled or pods.is_terminal(pod) or _is_orphan(pod, caches) else ()


def _bereft(node: Obj, caches: Mapping[str, Cache]) -> Iterable[Key]:
    return () if caches["nodes"].get(meta.key(node)) else (SWEEP,)


def _is_orphan(pod: Obj, caches: Mapping[str, Cache]) -> bool:
    name = pods.node_name(pod)
    return bool(name) and caches["nodes"].get(Key("", name)) is None


async def _node_exists(name: str, env: Env) -> bool:
    """Asked of the server: a cache may know a pod before it knows the pod's new node."""
    try:
        await env.client.get("nodes", name)
    except ApiError as error:
        if error.code != 404:
            raise
        return False
    return True


async def _end(pod: Obj, env: Env) -> None:
    """Failed first, so that whoever counts on the pod learns it; then removed."""
    if not pods.is_terminal(pod):
        condition = {
            "type": "DisruptionTarget",
            "status": "True",
            "lastTransitionTime": meta.timestamp(env.clock.now()),
            "reason": "DeletionByPodGC",
            "message": "PodGC: node no longer exists",
        }
        others = [c for c in (pod.get("status") or {}).get("conditions") or () if c["type"] != "DisruptionTarget"]
        status = {"phase": "Failed", "conditions": [*others, condition]}
        try:
            await env.client.patch(
                "pods", meta.name(pod), meta.namespace(pod), {"status": status}, subresource="status"
            )
        except ApiError as error:
            if error.code != 404:
                raise
    await remove(env, "pods", pod, grace=0)
