"""The taints that a node's state calls for. Pure.

Source: https://kubernetes.io/docs/concepts/scheduling-eviction/taint-and-toleration/#taint-nodes-by-condition
"""

from __future__ import annotations

from sampan.api.meta import Obj

NOT_READY, UNREACHABLE = "node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"
UNSCHEDULABLE = "node.kubernetes.io/unschedulable"
# (condition, its status): the taint's key.
_BY_CONDITION = {
    ("Ready", "False"): NOT_READY,
    ("Ready", "Unknown"): UNREACHABLE,
    ("MemoryPressure", "True"): "node.kubernetes.io/memory-pressure",
    ("DiskPressure", "True"): "node.kubernetes.io/disk-pressure",
    ("PIDPressure", "True"): "node.kubernetes.io/pid-pressure",
    ("NetworkUnavailable", "True"): "node.kubernetes.io/network-unavailable",
}
_OURS = {UNSCHEDULABLE, *_BY_CONDITION.values()}


def taints(node: Obj, now: str) -> list[Obj]:
    """spec.taints as it should be: others' taints stay, ours follow the node; `now` goes to timeAdded of new ones."""
    present = node["spec"].get("taints") or []
    ours = {(t["key"], t["effect"]): t for t in present if t["key"] in _OURS}
    wanted = []
    for key, effect in _called_for(node):
        new = {"key": key, "effect": effect, "timeAdded": now}
        wanted.append(ours.get((key, effect), new))
    return [*(t for t in present if t["key"] not in _OURS), *wanted]


def _called_for(node: Obj) -> list[tuple[str, str]]:
    found = []
    for condition in (node.get("status") or {}).get("conditions") or ():
        key = _BY_CONDITION.get((condition["type"], condition["status"]))
        if key:
            found.append((key, "NoSchedule"))
        if key in (NOT_READY, UNREACHABLE):
            found.append((key, "NoExecute"))
    if node["spec"].get("unschedulable"):
        found.append((UNSCHEDULABLE, "NoSchedule"))
    return found
