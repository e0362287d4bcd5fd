"""Taints and tolerations. Pure.

Source: https://kubernetes.io/docs/concepts/scheduling-eviction/taint-and-toleration/
"""

from __future__ import annotations

from collections.abc import Iterable

from sampan.api.meta import Obj


def tolerates(toleration: Obj, taint: Obj) -> bool:
    """An empty key with Exists matches every taint, an empty effect every effect."""
    if toleration.get("effect", "") not in ("", taint["effect"]):
        return False
    if toleration.get("key", "") not in ("", taint["key"]):
        return False
    if toleration.get("operator", "Equal") == "Exists":
        return True
    return bool(toleration.get("key")) and toleration.get("value", "") == taint.get("value", "")


def untolerated(pod: Obj, taints: Iterable[Obj], effects: tuple[str, ...]) -> list[Obj]:
    """The taints with one of these effects that the pod does not tolerate."""
    tolerations = pod["spec"].get("tolerations") or ()
    return [t for t in taints if t["effect"] in effects and not any(tolerates(o, t) for o in tolerations)]


def seconds_tolerated(pod: Obj, taint: Obj) -> float:
    """For how long the pod bears a NoExecute taint: 0 not at all, infinite for ever."""
    matching = [t for t in pod["spec"].get("tolerations") or () if tolerates(t, taint)]
    if not matching:
        return 0.0
    limits = [t["tolerationSeconds"] for t in matching if t.get("tolerationSeconds") is not None]
    return float(max(0, min(limits))) if limits else float("inf")
