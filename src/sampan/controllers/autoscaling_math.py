"""How many replicas metrics ask for, and how fast an autoscaler may get there. Pure.

Source: https://kubernetes.io/docs/concepts/workloads/autoscaling/horizontal-pod-autoscale/#algorithm-details,
k8s.io/kubernetes/pkg/controller/podautoscaler
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from math import ceil

from sampan.api.kinds import hpa_behavior
from sampan.api.meta import Obj

TOLERANCE = 0.1
_EPSILON = 1e-9


def replicas_for(
    target: float, used: Mapping[str, float], weight: Mapping[str, float], missing: Iterable[str], current: int
) -> int:
    """The count at which the average would meet the target.

    `used`: pod → what it uses. `weight`: pod → what 1.0 of it is (its request; 1 for plain averages), for all pods.
    `missing`: pods without a measurement: they count as idle when more pods are wanted, as busy when fewer are.
    """
    absent = list(missing)
    ratio = _ratio(used, weight, target)
    if not absent:
        return current if abs(1 - ratio) <= TOLERANCE else _up(ratio * len(used))
    assumed = {name: target * weight[name] if ratio < 1 else 0.0 for name in absent} if ratio != 1 else {}
    everyone = {**used, **assumed}
    again = _ratio(everyone, weight, target)
    if abs(1 - again) <= TOLERANCE or (ratio < 1) != (again < 1):
        return current
    wanted = _up(again * len(everyone))
    return current if (again < 1 and wanted > current) or (again > 1 and wanted < current) else wanted


def _ratio(used: Mapping[str, float], weight: Mapping[str, float], target: float) -> float:
    return sum(used.values()) / sum(weight[name] for name in used) / target


def _up(value: float) -> int:
    return ceil(value - _EPSILON)


@dataclass
class Memory:
    """What an autoscaler remembers: (moment, count) of its recommendations, (moment, change) of its rescales."""

    recommended: list[tuple[float, int]] = field(default_factory=list)
    changes: list[tuple[float, int]] = field(default_factory=list)

    def forget(self, before: float) -> None:
        self.recommended = [entry for entry in self.recommended if entry[0] >= before]
        self.changes = [entry for entry in self.changes if entry[0] >= before]


def stabilized(spec: Obj, memory: Memory, now: float, current: int, wanted: int) -> int:
    """Not above the lowest recommendation of the window for going up, not below the highest of that for going down."""

    def window(direction: str) -> list[int]:
        seconds = hpa_behavior.rules(spec, direction)["stabilizationWindowSeconds"]
        return [count for at, count in memory.recommended if at > now - seconds] + [wanted]

    return min(max(current, min(window("scaleUp"))), max(window("scaleDown")))


def limited(spec: Obj, memory: Memory, now: float, current: int, wanted: int) -> int:
    """As far as the policies let it go at once."""
    if wanted == current:
        return wanted
    up = wanted > current
    rules = hpa_behavior.rules(spec, "scaleUp" if up else "scaleDown")
    if rules["selectPolicy"] == "Disabled":
        return current
    bounds = [_bound(policy, memory, now, current, up) for policy in rules["policies"]]
    farthest = (rules["selectPolicy"] == "Max") == up
    bound = max(bounds) if farthest else min(bounds)
    return max(current, min(wanted, bound)) if up else min(current, max(wanted, bound))


def _bound(policy: Obj, memory: Memory, now: float, current: int, up: bool) -> int:
    recent = sum(c for at, c in memory.changes if at > now - policy["periodSeconds"] and (c > 0) == up)
    start = current - recent
    step = policy["value"] if policy["type"] == "Pods" else start * policy["value"] / 100
    return ceil(start + step) if up else int(start - step)
