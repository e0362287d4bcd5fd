"""The cluster as the scheduler sees it at one moment."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from sampan.api import meta, pods
from sampan.api.meta import Obj
from sampan.api.quantity import Quantity

# Amounts by resource: cpu in thousandths, all else in whole units.
Amounts = dict[str, int]
NO_SCHEDULE, NO_EXECUTE, PREFER_NO_SCHEDULE = "NoSchedule", "NoExecute", "PreferNoSchedule"
_IMPLIED = {"False": "node.kubernetes.io/not-ready", "Unknown": "node.kubernetes.io/unreachable"}


@dataclass
class NodeInfo:
    """A node, the pods on it, and what they have taken."""

    node: Obj
    allocatable: Amounts
    taints: list[Obj]
    pods: list[Obj] = field(default_factory=list)
    used: Amounts = field(default_factory=dict)
    ports: set[tuple[str, str, int]] = field(default_factory=set)

    @property
    def name(self) -> str:
        return meta.name(self.node)

    @property
    def labels(self) -> dict[str, str]:
        return meta.labels(self.node)

    def add(self, pod: Obj, needs: Amounts) -> None:
        self.pods.append(pod)
        for resource, amount in needs.items():
            self.used[resource] = self.used.get(resource, 0) + amount
        self.ports |= host_ports(pod)


@dataclass(frozen=True)
class Snapshot:
    """All nodes by name, and the labels of all namespaces (for namespaceSelector)."""

    nodes: dict[str, NodeInfo]
    namespaces: Mapping[str, dict[str, str]]

    def pods(self) -> Iterable[tuple[NodeInfo, Obj]]:
        return ((info, pod) for info in self.nodes.values() for pod in info.pods)


class Needs:
    """What each pod needs, computed once a pod: parsing quantities is the dear part of a snapshot."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, int], Amounts] = {}

    def of(self, pod: Obj) -> Amounts:
        key = meta.uid(pod), pod["metadata"].get("generation", 0)
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = amounts(pods.requests(pod))
        return found

    def forget_all_but(self, alive: int) -> None:
        """Start anew when most of what is known is of pods long gone."""
        if len(self._known) > 2 * alive + 100:
            self._known.clear()


def take(
    nodes: Iterable[Obj], placed: Iterable[tuple[str, Obj]], namespaces: Mapping[str, dict[str, str]], needs: Needs
) -> Snapshot:
    """`placed` are (node name, pod) of all pods that hold something: bound or about to be, and not ended."""
    infos = {meta.name(n): NodeInfo(n, _allocatable(n), _taints(n)) for n in nodes if not meta.deleting(n)}
    count = 0
    for name, pod in placed:
        count += 1
        if name in infos:
            infos[name].add(pod, needs.of(pod))
    needs.forget_all_but(count)
    return Snapshot(infos, namespaces)


def amounts(resources: Mapping[str, Quantity]) -> Amounts:
    return {name: q.milli if name == "cpu" else q.value for name, q in resources.items()}


def host_ports(pod: Obj) -> set[tuple[str, str, int]]:
    """(hostIP, protocol, port) of each host port; a container of a host-network pod holds all its ports."""
    shared = pods.is_host_network(pod)
    return {
        (port.get("hostIP") or "0.0.0.0", port.get("protocol", "TCP"), number)
        for container in pod["spec"]["containers"]
        for port in container.get("ports") or ()
        if (number := port.get("hostPort") or (port["containerPort"] if shared else 0))
    }


def _allocatable(node: Obj) -> Amounts:
    status = node.get("status") or {}
    listed = status.get("allocatable") or status.get("capacity") or {}
    return amounts({name: Quantity.parse(text) for name, text in listed.items()})


def _taints(node: Obj) -> list[Obj]:
    """The node's taints, and those its condition and spec.unschedulable stand for before they are written."""
    taints = list(node["spec"].get("taints") or ())
    ready = meta.condition(node, "Ready")
    state = ready["status"] if ready else "False"
    if state in _IMPLIED:
        taints.append({"key": _IMPLIED[state], "effect": NO_SCHEDULE})
    if node["spec"].get("unschedulable"):
        taints.append({"key": "node.kubernetes.io/unschedulable", "effect": NO_SCHEDULE})
    return taints
