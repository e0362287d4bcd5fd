"""Which of the nodes that can take a pod is the best. Pure.

The order is lexical, not weighted: what the pod asks for, then spreading, then free room. So a person can predict it.
"""

from __future__ import annotations

from sampan.api import meta
from sampan.api.meta import Obj
from sampan.controllers.scheduling import affinity
from sampan.controllers.scheduling.affinity import PREFERRED
from sampan.controllers.scheduling.filters import domain_counts
from sampan.controllers.scheduling.snapshot import PREFER_NO_SCHEDULE, Amounts, NodeInfo, Snapshot
from sampan.controllers.tolerations import untolerated


def best(pod: Obj, needs: Amounts, candidates: list[NodeInfo], snapshot: Snapshot) -> NodeInfo:
    """The first of the order below; the name decides between equals."""
    soft = [
        (c["topologyKey"], domain_counts(c, pod, snapshot))
        for c in pod["spec"].get("topologySpreadConstraints") or ()
        if c["whenUnsatisfiable"] == "ScheduleAnyway"
    ]
    wishes = _wishes(pod, snapshot)

    def order(info: NodeInfo) -> tuple[float, ...]:
        return (
            len(untolerated(pod, info.taints, (PREFER_NO_SCHEDULE,))),
            -_preference(pod, info) - sum(w for key, domains, w in wishes if info.labels.get(key) in domains),
            sum(counts[info.labels.get(key, "")] for key, counts in soft),
            _siblings(pod, info),
            _allocated(needs, info),
            len(info.by_key),
        )

    return min(candidates, key=lambda info: (order(info), info.name))


def _preference(pod: Obj, info: NodeInfo) -> int:
    terms = affinity.terms(pod, "nodeAffinity", PREFERRED)
    return sum(int(t["weight"]) for t in terms if affinity.node_matches(t["preference"], info))


def _wishes(pod: Obj, snapshot: Snapshot) -> list[tuple[str, set[str], int]]:
    """(topologyKey, domains, weight) of preferred pod affinity; anti-affinity has negative weights."""
    return [
        (t["podAffinityTerm"]["topologyKey"], affinity.domains(t["podAffinityTerm"], pod, snapshot), sign * t["weight"])
        for kind, sign in (("podAffinity", 1), ("podAntiAffinity", -1))
        for t in affinity.terms(pod, kind, PREFERRED)
    ]


def _siblings(pod: Obj, info: NodeInfo) -> int:
    """Pods of the same controller on the node."""
    owner = meta.controller_of(pod)
    if owner is None:
        return 0
    return info.siblings[owner["uid"]]


def _allocated(needs: Amounts, info: NodeInfo) -> float:
    """The mean share of cpu and memory that would be taken."""
    total = 0.0
    for resource in ("cpu", "memory"):
        if room := info.allocatable.get(resource, 0):
            total += (info.used.get(resource, 0) + needs.get(resource, 0)) / room
    return total / 2
