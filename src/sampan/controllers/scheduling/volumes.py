"""What a pod's claims mean for where it may run. Pure.

Source: https://kubernetes.io/docs/concepts/storage/storage-classes/#volume-binding-mode (and the texts of
k8s.io/kubernetes/pkg/scheduler/framework/plugins/volumebinding)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from sampan.api import meta
from sampan.api.kinds.persistentvolume import storage_class
from sampan.api.meta import Key, Obj
from sampan.client.env import Cache
from sampan.controllers import volume_match as match
from sampan.controllers.scheduling.snapshot import NodeInfo
from sampan.controllers.volumeprotection import claim_names

CLAIMS, VOLUMES, CLASSES = "persistentvolumeclaims", "persistentvolumes", "storageclasses.storage.k8s.io"
NO_PROVISIONER = "kubernetes.io/no-provisioner"


@dataclass
class Plan:
    """`problem`: why no node will do ("" none). `bound`: volumes that are there. `late`: claims that wait for a node.

    `static`: those of `late` for which nobody makes a volume.
    """

    problem: str = ""
    bound: list[Obj] = field(default_factory=list)
    late: list[Obj] = field(default_factory=list)
    static: list[Obj] = field(default_factory=list)

    def ask(self, volumes: Iterable[Obj]) -> Callable[[NodeInfo], list[str]]:
        """The filter over nodes."""
        present = list(volumes)

        def ask(info: NodeInfo) -> list[str]:
            def reachable(volume: Obj) -> bool:
                return match.node_allows(volume, info.labels, info.name)

            if not all(reachable(volume) for volume in self.bound):
                return ["node(s) didn't match PersistentVolume's node affinity"]
            if any(match.best(claim, present, reachable) is None for claim in self.static):
                return ["node(s) didn't find available persistent volumes to bind"]
            return []

        return ask

    def undecided(self, node: str) -> list[Obj]:
        """The waiting claims that do not know this node yet."""
        return [c for c in self.late if meta.annotations(c).get(match.SELECTED_NODE) != node]

    def chosen(self, names: Iterable[str]) -> str:
        """The one of these nodes that all waiting claims were told of, "" without."""
        told = {meta.annotations(c).get(match.SELECTED_NODE) for c in self.late}
        return next((name for name in names if told == {name}), "")


def plan(pod: Obj, caches: Mapping[str, Cache]) -> Plan | None:
    """None for a pod without claims."""
    names = list(claim_names(pod))
    if not names:
        return None
    found = Plan()
    for name in names:
        claim = caches[CLAIMS].get(Key(meta.namespace(pod), name))
        found.problem = _add(found, name, claim, caches)
        if found.problem:
            break
    return found


def _add(found: Plan, name: str, claim: Obj | None, caches: Mapping[str, Cache]) -> str:
    """Take one claim in; returns what is wrong with it."""
    if claim is None:
        return f'persistentvolumeclaim "{name}" not found'
    if meta.deleting(claim):
        return f'persistentvolumeclaim "{name}" is being deleted'
    volume_name = claim["spec"].get("volumeName") or ""
    if match.is_bound(claim):
        volume = caches[VOLUMES].get(Key("", volume_name))
        if volume is None or (claim.get("status") or {}).get("phase") == "Lost":
            return f'persistentvolumeclaim "{name}" bound to non-existent persistentvolume "{volume_name}"'
        found.bound.append(volume)
        return ""
    storage = caches[CLASSES].get(Key("", storage_class(claim)))
    if volume_name or storage is None or storage["volumeBindingMode"] != "WaitForFirstConsumer":
        return "pod has unbound immediate PersistentVolumeClaims"
    found.late.append(claim)
    if storage["provisioner"] == NO_PROVISIONER:
        found.static.append(claim)
    return ""
