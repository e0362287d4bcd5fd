"""Which nodes can take a pod. FILTERS is the whole list, in the order of the reasons a user is told.

A filter is prepared once a pod and then asked about each node; it answers with the reasons against it.
Source: k8s.io/kubernetes/pkg/scheduler/framework/plugins (names and texts).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator

from sampan.api import meta, selectors
from sampan.api.meta import Obj
from sampan.controllers.scheduling import affinity
from sampan.controllers.scheduling.affinity import REQUIRED
from sampan.controllers.scheduling.snapshot import NO_EXECUTE, NO_SCHEDULE, Amounts, NodeInfo, Snapshot, host_ports
from sampan.controllers.tolerations import untolerated

Ask = Callable[[NodeInfo], list[str]]
Filter = Callable[[Obj, Amounts, Snapshot], Ask]


def _taints(pod: Obj, needs: Amounts, snapshot: Snapshot) -> Ask:
    def ask(info: NodeInfo) -> list[str]:
        found = untolerated(pod, info.taints, (NO_SCHEDULE, NO_EXECUTE))
        if not found:
            return []
        if any(t["key"] == "node.kubernetes.io/unschedulable" for t in found):
            return ["node(s) were unschedulable"]
        return [f"node(s) had untolerated taint {{{found[0]['key']}: {found[0].get('value', '')}}}"]

    return ask


def _node_affinity(pod: Obj, needs: Amounts, snapshot: Snapshot) -> Ask:
    def ask(info: NodeInfo) -> list[str]:
        return [] if affinity.node_allowed(pod, info) else ["node(s) didn't match Pod's node affinity/selector"]

    return ask


def _ports(pod: Obj, needs: Amounts, snapshot: Snapshot) -> Ask:
    wanted = host_ports(pod)

    def clash(a: tuple[str, str, int], b: tuple[str, str, int]) -> bool:
        return a[1:] == b[1:] and (a[0] == b[0] or "0.0.0.0" in (a[0], b[0]))

    def ask(info: NodeInfo) -> list[str]:
        taken = any(clash(a, b) for a in wanted for b in info.ports)
        return ["node(s) didn't have free ports for the requested pod ports"] if taken else []

    return ask


def _resources(pod: Obj, needs: Amounts, snapshot: Snapshot) -> Ask:
    def ask(info: NodeInfo) -> list[str]:
        reasons = []
        if "pods" in info.allocatable and len(info.by_key) + 1 > info.allocatable["pods"]:
            reasons.append("Too many pods")
        for resource, amount in needs.items():
            if amount and info.used.get(resource, 0) + amount > info.allocatable.get(resource, 0):
                reasons.append(f"Insufficient {resource}")
        return reasons

    return ask


def _spread(pod: Obj, needs: Amounts, snapshot: Snapshot) -> Ask:
    constraints = [
        (c, domain_counts(c, pod, snapshot))
        for c in pod["spec"].get("topologySpreadConstraints") or ()
        if c["whenUnsatisfiable"] == "DoNotSchedule"
    ]

    def ask(info: NodeInfo) -> list[str]:
        for constraint, counts in constraints:
            domain = info.labels.get(constraint["topologyKey"])
            if domain is None:
                return ["node(s) didn't match pod topology spread constraints (missing required label)"]
            selector = selectors.from_object(affinity.with_label_keys(constraint, pod))
            least = 0 if len(counts) < constraint.get("minDomains", 1) else min(counts.values(), default=0)
            itself = int(selector.matches(meta.labels(pod)))
            if counts[domain] + itself - least > constraint["maxSkew"]:
                return ["node(s) didn't match pod topology spread constraints"]
        return []

    return ask


def domain_counts(constraint: Obj, pod: Obj, snapshot: Snapshot) -> Counter[str]:
    """Matching pods by domain, over the nodes the pod may use (domains without any count 0)."""
    key = constraint["topologyKey"]
    selector = selectors.from_object(affinity.with_label_keys(constraint, pod))
    counts: Counter[str] = Counter()
    for info in snapshot.nodes.values():
        if key not in info.labels:
            continue
        if constraint.get("nodeAffinityPolicy", "Honor") == "Honor" and not affinity.node_allowed(pod, info):
            continue
        counts[info.labels[key]] += sum(
            meta.namespace(p) == meta.namespace(pod) and not meta.deleting(p) and selector.matches(meta.labels(p))
            for p in info.pods
        )
    return counts


def _pod_affinity(pod: Obj, needs: Amounts, snapshot: Snapshot) -> Ask:
    wanted = [(t["topologyKey"], _near(t, pod, snapshot)) for t in affinity.terms(pod, "podAffinity", REQUIRED)]
    avoided = [
        (t["topologyKey"], affinity.domains(t, pod, snapshot)) for t in affinity.terms(pod, "podAntiAffinity", REQUIRED)
    ]
    refused = list(_refusals(pod, snapshot))

    def ask(info: NodeInfo) -> list[str]:
        for key, allowed in wanted:
            if key not in info.labels or (allowed is not None and info.labels[key] not in allowed):
                return ["node(s) didn't match pod affinity rules"]
        if any(info.labels.get(key) in domains for key, domains in avoided):
            return ["node(s) didn't match pod anti-affinity rules"]
        if any(info.labels.get(key) == domain for key, domain in refused):
            return ["node(s) didn't satisfy existing pods anti-affinity rules"]
        return []

    return ask


def _near(term: Obj, pod: Obj, snapshot: Snapshot) -> set[str] | None:
    """The domains a required affinity term allows; None is all, for the first pod of a group that wants its like."""
    found = affinity.domains(term, pod, snapshot)
    if not found and affinity.pod_matches(term, pod, pod, snapshot):
        return None
    return found


def _refusals(pod: Obj, snapshot: Snapshot) -> Iterator[tuple[str, str]]:
    """(topologyKey, domain) of running pods whose anti-affinity means this pod."""
    for info, other in snapshot.avoiding():
        for term in affinity.terms(other, "podAntiAffinity", REQUIRED):
            key = term["topologyKey"]
            if key in info.labels and affinity.pod_matches(term, other, pod, snapshot):
                yield key, info.labels[key]


FILTERS: tuple[tuple[str, Filter], ...] = (
    ("TaintToleration", _taints),  # also nodes that are not ready or cordoned: most often the whole answer
    ("NodeAffinity", _node_affinity),
    ("NodePorts", _ports),
    ("NodeResourcesFit", _resources),
    ("PodTopologySpread", _spread),
    ("InterPodAffinity", _pod_affinity),  # looks at all pods: last
)


def feasible(
    pod: Obj, needs: Amounts, snapshot: Snapshot, more: Iterable[Ask] = ()
) -> tuple[list[NodeInfo], Counter[str]]:
    """The nodes that can take the pod, and how many nodes were refused for each reason. `more`: asked last."""
    asks = [*(prepare(pod, needs, snapshot) for _, prepare in FILTERS), *more]
    fitting: list[NodeInfo] = []
    refused: Counter[str] = Counter()
    for info in snapshot.nodes.values():
        reasons = next((found for ask in asks if (found := ask(info))), [])
        refused.update(reasons)
        if not reasons:
            fitting.append(info)
    return fitting, refused


def explain(nodes: int, refused: Counter[str]) -> str:
    """The message of FailedScheduling."""
    if not nodes:
        return "no nodes available to schedule pods"
    reasons = ", ".join(sorted(f"{count} {reason}" for reason, count in refused.items()))
    return f"0/{nodes} nodes are available: {reasons}."
