"""The cluster as the scheduler sees it, kept up to date change by change: a full cluster makes no pod dearer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from sampan.api import meta, pods
from sampan.api.meta import Key, Obj
from sampan.api.quantity import Quantity

# Amounts by resource: cpu in thousandths, all else in whole units.
Amounts = dict[str, int]
NO_SCHEDULE, NO_EXECUTE, PREFER_NO_SCHEDULE = "NoSchedule", "NoExecute", "PreferNoSchedule"
_IMPLIED = {"False": "node.kubernetes.io/not-ready", "Unknown": "node.kubernetes.io/unreachable"}


@dataclass
class NodeInfo:
    """A node, the pods on it, and what they have taken. `siblings`: pods that stay, by the uid of their controller."""

    name: str
    labels: dict[str, str]
    allocatable: Amounts
    taints: list[Obj]
    by_key: dict[Key, Obj] = field(default_factory=dict)
    used: Counter[str] = field(default_factory=Counter)
    ports: Counter[tuple[str, str, int]] = field(default_factory=Counter)
    siblings: Counter[str] = field(default_factory=Counter)

    @property
    def pods(self) -> Iterable[Obj]:
        return self.by_key.values()

    def count(self, pod: Obj, needs: Amounts, sign: int) -> None:
        """Add (1) or take back (-1) what a pod holds."""
        for resource, amount in needs.items():
            self.used[resource] += sign * amount
        for port in host_ports(pod):
            self.ports[port] += sign
            if not self.ports[port]:
                del self.ports[port]
        owner = meta.controller_of(pod)
        if owner is not None and not meta.deleting(pod):
            self.siblings[owner["uid"]] += sign


class Snapshot:
    """All nodes by name, and the labels of all namespaces (for namespaceSelector)."""

    def __init__(self) -> None:
        self.nodes: dict[str, NodeInfo] = {}
        self.namespaces: dict[str, dict[str, str]] = {}
        self._placed: dict[Key, tuple[str, Obj, Amounts]] = {}
        self._avoiding: set[Key] = set()

    def pods(self) -> Iterable[tuple[NodeInfo, Obj]]:
        return ((info, pod) for info in self.nodes.values() for pod in info.pods)

    def avoiding(self) -> Iterable[tuple[NodeInfo, Obj]]:
        """The pods that have anti-affinity."""
        for key in self._avoiding:
            node, pod, _ = self._placed[key]
            if node in self.nodes:
                yield self.nodes[node], pod

    def placed(self, key: Key) -> Obj | None:
        """The pod of this key that holds something on a node."""
        found = self._placed.get(key)
        return found[1] if found else None

    def __len__(self) -> int:
        return len(self._placed)

    def place(self, key: Key, pod: Obj, node: str, needs: Amounts) -> None:
        """The pod holds room on the node: bound to it or about to be, and not ended."""
        self.remove(key)
        self._placed[key] = node, pod, needs
        if ((pod["spec"].get("affinity") or {}).get("podAntiAffinity")) is not None:
            self._avoiding.add(key)
        if (info := self.nodes.get(node)) is not None:
            info.by_key[key] = pod
            info.count(pod, needs, 1)

    def remove(self, key: Key) -> None:
        """The pod holds nothing any more."""
        found = self._placed.pop(key, None)
        if found is None:
            return
        node, pod, needs = found
        self._avoiding.discard(key)
        info = self.nodes.get(node)
        if info is not None and info.by_key.pop(key, None) is not None:
            info.count(pod, needs, -1)

    def set_node(self, name: str, node: Obj | None) -> bool:
        """The node as it is now, None when it is gone or going. Did anything change that matters for pods?"""
        old = self.nodes.get(name)
        if node is None:
            self.nodes.pop(name, None)
            return old is not None
        info = NodeInfo(name, meta.labels(node), _allocatable(node), _taints(node))
        if old is None:
            for key, (where, pod, needs) in self._placed.items():
                if where == name:
                    info.by_key[key] = pod
                    info.count(pod, needs, 1)
            self.nodes[name] = info
            return True
        same = (old.labels, old.allocatable, old.taints) == (info.labels, info.allocatable, info.taints)
        old.labels, old.allocatable, old.taints = info.labels, info.allocatable, info.taints
        return not same


class Needs:
    """What each pod needs, computed once a pod: parsing quantities is dear."""

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
