"""The pods of a StatefulSet: their names, what they look like, and which steps bring them where they should be. Pure.

Source: https://kubernetes.io/docs/concepts/workloads/controllers/statefulset/
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from sampan.api import meta, pods
from sampan.api.meta import Obj
from sampan.controllers.availability import is_available
from sampan.controllers.pod_template import pod_from_template
from sampan.controllers.revisions import HASH

POD_NAME, POD_INDEX = "statefulset.kubernetes.io/pod-name", "apps.kubernetes.io/pod-index"
_MEMBER = re.compile(r"(.+)-([0-9]+)")


@dataclass(frozen=True)
class Create:
    """Make the pod with this number, from the template now or from the one before (below the partition)."""

    ordinal: int
    updated: bool


@dataclass(frozen=True)
class Delete:
    pod: Obj


Step = Create | Delete


def ordinal(stateful_set: Obj, pod: Obj) -> int | None:
    """The number at the end of the pod's name; None when it cannot be a member."""
    found = _MEMBER.fullmatch(meta.name(pod))
    return int(found[2]) if found and found[1] == meta.name(stateful_set) else None


def start(stateful_set: Obj) -> int:
    return int((stateful_set["spec"].get("ordinals") or {}).get("start") or 0)


def ordinals(stateful_set: Obj) -> range:
    """The numbers of the pods that are wanted."""
    first = start(stateful_set)
    return range(first, first + int(stateful_set["spec"].get("replicas", 1)))


def partition(stateful_set: Obj) -> int:
    """Pods below this number keep the former template."""
    strategy = stateful_set["spec"].get("updateStrategy") or {}
    return start(stateful_set) + int((strategy.get("rollingUpdate") or {}).get("partition") or 0)


def is_rolling(stateful_set: Obj) -> bool:
    return bool((stateful_set["spec"].get("updateStrategy") or {}).get("type", "RollingUpdate") == "RollingUpdate")


def is_ordered(stateful_set: Obj) -> bool:
    return bool(stateful_set["spec"].get("podManagementPolicy", "OrderedReady") == "OrderedReady")


def steps(stateful_set: Obj, members: Mapping[int, Obj], update: str, now: datetime) -> Iterator[Step]:
    """What to do now. An ordered set does one thing at a time and waits for each pod to be available.

    `members` are the pods by number, `update` names the revision of the present template.
    """
    wanted, ordered = ordinals(stateful_set), is_ordered(stateful_set)
    for number in wanted:
        pod = members.get(number)
        if pod is None:
            yield Create(number, not is_rolling(stateful_set) or number >= partition(stateful_set))
            waits = True
        elif pods.is_terminal(pod) and not meta.deleting(pod):
            yield Delete(pod)
            waits = True
        else:
            waits = not _settled(pod, stateful_set, now)
        if ordered and waits:
            return
    condemned = [members[number] for number in sorted(members, reverse=True) if number not in wanted]
    unready = [pod for pod in condemned if not pods.is_ready(pod)]
    for pod in condemned:
        # A pod that never becomes ready must not keep the one after it: only the last such pod may go.
        blocked = ordered and not pods.is_ready(pod) and pod is not unready[-1]
        if not meta.deleting(pod) and not blocked:
            yield Delete(pod)
        if ordered:
            return
    if is_rolling(stateful_set):
        yield from _roll(stateful_set, members, update, now)


def _settled(pod: Obj, stateful_set: Obj, now: datetime) -> bool:
    return not meta.deleting(pod) and is_available(pod, stateful_set, now)


def _roll(stateful_set: Obj, members: Mapping[int, Obj], update: str, now: datetime) -> Iterator[Step]:
    """From the highest number down to the partition, one pod at a time."""
    for number in reversed(ordinals(stateful_set)):
        pod = members.get(number)
        if number < partition(stateful_set) or pod is None:
            return
        if revision(pod) != update and not meta.deleting(pod):
            yield Delete(pod)
            return
        if not _settled(pod, stateful_set, now):
            return


def revision(pod: Obj) -> str:
    return meta.labels(pod).get(HASH, "")


def new_pod(stateful_set: Obj, number: int, template: Obj, revision: str) -> Obj:
    """The pod with this number, its name and claims."""
    pod = pod_from_template(stateful_set, template)
    name = f"{meta.name(stateful_set)}-{number}"
    metadata, spec = pod["metadata"], pod["spec"]
    del metadata["generateName"]
    metadata["name"] = name
    identity = {HASH: revision, POD_NAME: name, POD_INDEX: str(number)}
    metadata["labels"] = {**(metadata.get("labels") or {}), **identity}
    spec["hostname"] = name
    spec["subdomain"] = stateful_set["spec"].get("serviceName", "")
    claimed = [
        {"name": kind, "persistentVolumeClaim": {"claimName": claim}}
        for kind, claim in claim_names(stateful_set, number).items()
    ]
    if claimed:
        taken = {volume["name"] for volume in claimed}
        spec["volumes"] = [*claimed, *(v for v in spec.get("volumes") or () if v["name"] not in taken)]
    return pod


def claim_names(stateful_set: Obj, number: int) -> dict[str, str]:
    """Volume name → name of its PersistentVolumeClaim, for the pod with this number."""
    templates = stateful_set["spec"].get("volumeClaimTemplates") or ()
    names = [meta.name(claim) for claim in templates]
    return {name: f"{name}-{meta.name(stateful_set)}-{number}" for name in names}
