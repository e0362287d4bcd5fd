"""The pods of a DaemonSet: which nodes get one, what it looks like, and which steps to do next. Pure.

Source: https://kubernetes.io/docs/concepts/workloads/controllers/daemonset/,
k8s.io/kubernetes/pkg/controller/daemon
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from sampan.api import meta, pods
from sampan.api.kinds.daemonset import GENERATION
from sampan.api.meta import Obj
from sampan.controllers.availability import is_available
from sampan.controllers.deployment_rollout import absolute
from sampan.controllers.pod_template import pod_from_template
from sampan.controllers.revisions import HASH
from sampan.controllers.scheduling import affinity
from sampan.controllers.scheduling.snapshot import NO_EXECUTE, NO_SCHEDULE, NodeInfo
from sampan.controllers.tolerations import untolerated

# Trouble of a node that does not keep a daemon away, and its effect.
_TOLERATED = (
    ("node.kubernetes.io/not-ready", NO_EXECUTE),
    ("node.kubernetes.io/unreachable", NO_EXECUTE),
    ("node.kubernetes.io/disk-pressure", NO_SCHEDULE),
    ("node.kubernetes.io/memory-pressure", NO_SCHEDULE),
    ("node.kubernetes.io/pid-pressure", NO_SCHEDULE),
    ("node.kubernetes.io/unschedulable", NO_SCHEDULE),
)
_NETWORK = ("node.kubernetes.io/network-unavailable", NO_SCHEDULE)
_BY_NAME = "metadata.name"


@dataclass
class Place:
    """A node, the set's pods on it, oldest first. `runs`: should it have one? `keeps`: may one stay that is there?"""

    node: str
    runs: bool
    keeps: bool
    pods: list[Obj] = field(default_factory=list)


@dataclass
class Steps:
    create: list[str] = field(default_factory=list)  # names of nodes
    delete: list[Obj] = field(default_factory=list)


def places(daemon_set: Obj, nodes: Iterable[Obj], mine: Iterable[Obj]) -> list[Place]:
    found = {meta.name(node): Place(meta.name(node), *_fits(daemon_set, node)) for node in nodes}
    for pod in sorted(mine, key=lambda p: (p["metadata"].get("creationTimestamp", ""), meta.name(p))):
        if place := found.get(node_of(pod)):
            place.pods.append(pod)
    return list(found.values())


def _fits(daemon_set: Obj, node: Obj) -> tuple[bool, bool]:
    """(should run, may keep running) a pod of the set on this node."""
    pod = {"metadata": {}, "spec": {**daemon_set["spec"]["template"]["spec"]}}
    pod["spec"]["tolerations"] = _tolerations(pod["spec"])
    fixed = pod["spec"].get("nodeName", "")
    info = NodeInfo(meta.name(node), meta.labels(node), {}, [])
    if fixed not in ("", meta.name(node)) or not affinity.node_allowed(pod, info):
        return False, False
    taints = node["spec"].get("taints") or ()
    keeps = not untolerated(pod, taints, (NO_EXECUTE,))
    return keeps and not untolerated(pod, taints, (NO_SCHEDULE,)), keeps


def _tolerations(spec: Obj) -> list[Obj]:
    given = list(spec.get("tolerations") or ())
    borne = [*_TOLERATED, *([_NETWORK] if spec.get("hostNetwork") else [])]
    added = [{"key": key, "operator": "Exists", "effect": effect} for key, effect in borne]
    return given + [t for t in added if t not in given]


def node_of(pod: Obj) -> str:
    """The node the pod is on, or is meant for."""
    if name := pods.node_name(pod):
        return name
    for term in affinity.terms(pod, "nodeAffinity", affinity.REQUIRED):
        for match in term.get("matchFields") or ():
            if match["key"] == _BY_NAME and match["operator"] == "In" and len(match.get("values") or ()) == 1:
                return str(match["values"][0])
    return ""


def new_pod(daemon_set: Obj, node: str, revision_hash: str) -> Obj:
    """A pod that only fits `node`; the scheduler puts it there."""
    pod = pod_from_template(daemon_set, daemon_set["spec"]["template"])
    labels = pod["metadata"].setdefault("labels", {})
    labels |= {HASH: revision_hash, "pod-template-generation": meta.annotations(daemon_set).get(GENERATION, "1")}
    spec = pod["spec"]
    spec["tolerations"] = _tolerations(spec)
    here = {"key": _BY_NAME, "operator": "In", "values": [node]}
    wanted = spec["affinity"] = spec.get("affinity") or {}
    by_node = wanted["nodeAffinity"] = wanted.get("nodeAffinity") or {}
    terms = (by_node.get(affinity.REQUIRED) or {}).get("nodeSelectorTerms") or [{}]
    by_node[affinity.REQUIRED] = {"nodeSelectorTerms": [{**term, "matchFields": [here]} for term in terms]}
    return pod


def is_updated(pod: Obj, revision_hash: str) -> bool:
    return meta.labels(pod).get(HASH) == revision_hash


def bounds(daemon_set: Obj, nodes: int) -> tuple[int, int]:
    """(maxSurge, maxUnavailable) in pods; exactly one of them is not 0, or neither when pods are replaced by hand."""
    strategy = daemon_set["spec"].get("updateStrategy") or {}
    if strategy.get("type", "RollingUpdate") != "RollingUpdate":
        return 0, 0
    rolling = strategy.get("rollingUpdate") or {}
    surge = absolute(rolling.get("maxSurge", 0), nodes, round_up=True)
    return surge, 0 if surge else max(1, absolute(rolling.get("maxUnavailable", 1), nodes, round_up=True))


def steps(daemon_set: Obj, everywhere: list[Place], revision_hash: str, now: datetime) -> Steps:
    """What to do now: fill and clear nodes, then as much of a rolling update as may be done at once."""
    result = Steps()
    surge, unavailable = bounds(daemon_set, sum(place.runs for place in everywhere))
    for place in everywhere:
        alive = [p for p in place.pods if not meta.deleting(p)]
        if not place.keeps:
            result.delete += alive
            continue
        ended = [p for p in alive if pods.is_terminal(p)]
        running = [p for p in alive if not pods.is_terminal(p)]
        result.delete += ended + _superfluous(running, revision_hash, surge > 0)
        if place.runs and not place.pods:
            result.create.append(place.node)
    served = [place for place in everywhere if place.keeps and place.runs]
    if unavailable:
        result.delete += _roll_out(daemon_set, served, revision_hash, unavailable, now)
    elif surge:
        _roll_over(daemon_set, served, revision_hash, surge, now, result)
    return result


def _superfluous(running: list[Obj], revision_hash: str, surging: bool) -> list[Obj]:
    """One pod a node is enough, the oldest; while surging one of each template."""
    if not surging:
        return running[1:]
    new = [p for p in running if is_updated(p, revision_hash)]
    old = [p for p in running if not is_updated(p, revision_hash)]
    return new[1:] + old[1:]


def _present(place: Place, revision_hash: str) -> tuple[Obj | None, Obj | None]:
    """(new, old) pod that lives on the node."""
    alive = [p for p in place.pods if pods.is_active(p)]
    new = next((p for p in alive if is_updated(p, revision_hash)), None)
    old = next((p for p in alive if not is_updated(p, revision_hash)), None)
    return new, old


def _roll_out(daemon_set: Obj, served: list[Place], revision_hash: str, unavailable: int, now: datetime) -> list[Obj]:
    """Old pods to delete: those that do not work anyway, and as many more as may be missing."""
    missing = 0
    broken: list[Obj] = []
    working: list[Obj] = []
    for place in served:
        new, old = _present(place, revision_hash)
        if new is not None:
            missing += not is_available(new, daemon_set, now)
        elif old is not None and is_available(old, daemon_set, now):
            working.append(old)
        else:
            missing += 1
            broken += [old] if old is not None else []
    return broken + working[: max(0, unavailable - missing)]


def _roll_over(
    daemon_set: Obj, served: list[Place], revision_hash: str, surge: int, now: datetime, result: Steps
) -> None:
    """New pods beside old ones; an old one goes when its successor is available."""
    under_way = 0
    waiting: list[str] = []
    for place in served:
        new, old = _present(place, revision_hash)
        if old is None:
            continue
        if new is not None:
            if is_available(new, daemon_set, now):
                result.delete.append(old)
            else:
                under_way += 1
        elif is_available(old, daemon_set, now):
            waiting.append(place.node)
        else:
            result.create.append(place.node)
    result.create += waiting[: max(0, surge - under_way)]
