"""Node lifecycle: a node that no longer renews its lease is unreachable, and its pods move on when they must.

Source: https://kubernetes.io/docs/concepts/architecture/nodes/#node-controller
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import timedelta

from sampan.api import meta, pods
from sampan.api.meta import Key, Obj
from sampan.client.env import After, Cache, Controller, Env
from sampan.controllers.keys import no_key, own_key
from sampan.controllers.node_taints import taints
from sampan.controllers.tolerations import seconds_tolerated
from sampan.controllers.writes import patch_exactly, remove

LEASES = "leases.coordination.k8s.io"
LEASE_NAMESPACE = "kube-node-lease"
# kube-controller-manager: --node-monitor-period, --node-monitor-grace-period, --node-startup-grace-period; seconds.
PERIOD = 5.0
GRACE = 40.0
STARTUP_GRACE = 60.0
_CONDITIONS = ("Ready", "MemoryPressure", "DiskPressure", "PIDPressure")


def controller() -> Controller:
    # Leases are looked at by the clock, not when they are renewed: that is every few seconds for every node.
    watches = {"nodes": own_key, "pods": _tainted_node, LEASES: no_key}
    return Controller("node-controller", watches, NodeLifecycle().reconcile)


def _tainted_node(pod: Obj, caches: Mapping[str, Cache]) -> Iterable[Key]:
    """A pod on a node it may have to leave."""
    key = Key("", pods.node_name(pod))
    node = caches["nodes"].get(key) if key.name else None
    return (key,) if node and _evicting(node) else ()


class NodeLifecycle:
    """Remembers when it last saw each node alive, by its own clock: after a pause of the server or of the whole
    machine, no node is blamed for the time nobody watched."""

    def __init__(self) -> None:
        self._alive: dict[str, tuple[tuple[str, str], float]] = {}

    async def reconcile(self, key: Key, env: Env) -> After | None:
        node = env.caches["nodes"].get(key)
        if node is None:
            self._alive.pop(key.name, None)
            return None
        silent = self._silence(node, env)
        ready = meta.condition(node, "Ready")
        if silent >= (GRACE if ready else STARTUP_GRACE) and (ready is None or ready["status"] != "Unknown"):
            node = await _mark_unknown(node, env)
        node = await _taint(node, env)
        there = [p for p in env.caches["pods"].list() if pods.node_name(p) == key.name]
        if (meta.condition(node, "Ready") or {}).get("status") == "Unknown":
            await _mark_pods_not_ready(there, env)
        return After(min(PERIOD, await _evict(node, there, env)))

    def _silence(self, node: Obj, env: Env) -> float:
        """Seconds since the node's lease or heartbeat last changed."""
        now, name = env.clock.monotonic(), meta.name(node)
        lease = env.caches[LEASES].get(Key(LEASE_NAMESPACE, name))
        renewed = ((lease or {}).get("spec") or {}).get("renewTime", "")
        ready = meta.condition(node, "Ready") or {}
        # The mark "Unknown" is our own write, no sign of life.
        beat = ready.get("lastHeartbeatTime", "") if ready.get("status") != "Unknown" else ""
        seen = renewed, beat
        before, since = self._alive.get(name, (None, now))
        if before is None or (seen != before and beat) or seen[0] != before[0]:
            since = now
        self._alive[name] = seen, since
        return now - since


async def _mark_unknown(node: Obj, env: Env) -> Obj:
    """The node is silent: nothing is known of it."""
    now = meta.timestamp(env.clock.now())
    present = (node.get("status") or {}).get("conditions") or []
    conditions = [c for c in present if c["type"] not in _CONDITIONS]
    for kind in _CONDITIONS:
        old = next((c for c in present if c["type"] == kind), None)
        reason, message = ("NodeStatusUnknown", "Kubelet stopped posting node status.")
        if old is None:
            reason, message = ("NodeStatusNeverUpdated", "Kubelet never posted node status.")
        conditions.append(
            {
                **(old or {"lastHeartbeatTime": node["metadata"]["creationTimestamp"]}),
                "type": kind,
                "status": "Unknown",
                "lastTransitionTime": now,
                "reason": reason,
                "message": message,
            }
        )
    name = meta.name(node)
    env.events.event(node, "Normal", "NodeNotReady", f"Node {name} status is now: NodeNotReady")
    return await patch_exactly(env, "nodes", node, {"status": {"conditions": conditions}}, subresource="status")


async def _taint(node: Obj, env: Env) -> Obj:
    wanted = taints(node, meta.timestamp(env.clock.now()))
    if wanted == (node["spec"].get("taints") or []):
        return node
    return await patch_exactly(env, "nodes", node, {"spec": {"taints": wanted or None}})


async def _mark_pods_not_ready(there: list[Obj], env: Env) -> None:
    """Their endpoints stop getting traffic; the kubelet says so itself again when it is back."""
    for pod in there:
        if not pods.is_ready(pod):
            continue
        now = meta.timestamp(env.clock.now())
        conditions = [
            {**c, "status": "False", "lastTransitionTime": now} if c["type"] == "Ready" else c
            for c in pod["status"]["conditions"]
        ]
        env.events.event(pod, "Warning", "NodeNotReady", "Node is not ready")
        await patch_exactly(env, "pods", pod, {"status": {"conditions": conditions}}, subresource="status")


def _evicting(node: Obj) -> list[Obj]:
    return [t for t in node["spec"].get("taints") or () if t["effect"] == "NoExecute"]


async def _evict(node: Obj, there: list[Obj], env: Env) -> float:
    """Delete the pods that no longer bear the node's taints; returns the seconds until the next one is due."""
    now, next_due = env.clock.now(), float("inf")
    for pod in there:
        if meta.deleting(pod):
            continue
        waits = [
            seconds_tolerated(pod, t) - (now - meta.parse_time(t["timeAdded"])) / timedelta(seconds=1)
            if "timeAdded" in t
            else seconds_tolerated(pod, t)
            for t in _evicting(node)
        ]
        wait = min(waits, default=float("inf"))
        if wait <= 0:
            env.events.event(pod, "Normal", "TaintManagerEviction", f"Marking for deletion Pod {meta.key(pod)}")
            await remove(env, "pods", pod)
        else:
            next_due = min(next_due, wait)
    return next_due
