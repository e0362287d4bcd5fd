"""DaemonSet: one pod on each node that fits.

Source: https://kubernetes.io/docs/concepts/workloads/controllers/daemonset/
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial

from sampan.api import meta, pods
from sampan.api.meta import Key, Obj
from sampan.api.status import ApiError
from sampan.client.env import After, Cache, Controller, Env
from sampan.controllers import daemonset_pods as daemons
from sampan.controllers import revisions
from sampan.controllers.availability import is_available, until_available
from sampan.controllers.claim import claim
from sampan.controllers.daemonset_pods import Place
from sampan.controllers.keys import own_key, owners
from sampan.controllers.own_writes import DOUBT, OwnWrites, as_deleting
from sampan.controllers.revisions import HASH, REVISIONS, History
from sampan.controllers.writes import create, in_batches, remove, write_status

RESOURCE = "daemonsets.apps"
# Seconds before a failed pod of the same node is replaced again: the first time at once, then doubled each time.
_FIRST, _LONGEST = 1.0, 900.0


def controller() -> Controller:
    of_set = owners(RESOURCE, "DaemonSet")
    watches = {RESOURCE: own_key, "pods": of_set, REVISIONS: of_set, "nodes": _all}
    return Controller("daemonset-controller", watches, DaemonSets().reconcile)


def _all(node: Obj, caches: Mapping[str, Cache]) -> Iterable[Key]:
    """A node that comes, goes or changes its labels and taints concerns every set."""
    return [meta.key(daemon_set) for daemon_set in caches[RESOURCE].list()]


class DaemonSets:
    """The controller; it remembers its own writes, and for how long a node whose pods fail has to wait."""

    def __init__(self) -> None:
        self._writes = OwnWrites("pods")
        # (set, node): the wait after the last failure, and when that was
        self._failures: dict[tuple[Key, str], tuple[float, float]] = {}

    async def reconcile(self, key: Key, env: Env) -> After | None:
        daemon_set = env.caches[RESOURCE].get(key)
        if daemon_set is None:
            self._writes.forget(key)
            self._failures = {place: wait for place, wait in self._failures.items() if place[0] != key}
            return None
        if meta.deleting(daemon_set):
            return None
        history = await revisions.sync(env, RESOURCE, daemon_set, HASH)
        cached = list(env.caches["pods"].list(key.namespace))
        unseen = await self._writes.unseen(key, env)
        leaving = self._writes.leaving(key, cached)
        mine = [*await claim(env, RESOURCE, daemon_set, "pods", cached), *unseen]
        shown = [p if meta.uid(p) not in leaving else as_deleting(p) for p in mine]
        places = daemons.places(daemon_set, env.caches["nodes"].list(), shown)
        revision_hash = meta.labels(history.update).get(HASH, "")
        steps = daemons.steps(daemon_set, places, revision_hash, env.clock.now())
        waits = {meta.uid(pod): self._wait(key, pod, env) for pod in steps.delete}
        doomed = [pod for pod in steps.delete if waits[meta.uid(pod)] <= 0]
        failed = await in_batches([partial(self._delete, key, daemon_set, pod, env) for pod in doomed])
        made = [partial(self._create, key, daemon_set, node, revision_hash, env) for node in steps.create]
        error = await in_batches(made) or failed
        await write_status(env, RESOURCE, daemon_set, _status(daemon_set, places, revision_hash, env))
        if error is not None:
            raise error
        await self._trim(daemon_set, history, mine, env)
        later = [w for w in waits.values() if w > 0] + _becoming_available(daemon_set, shown, env)
        return After(min(later)) if later else After(DOUBT) if unseen else None

    def _wait(self, key: Key, pod: Obj, env: Env) -> float:
        """Seconds until a pod may go and be replaced: a node that fails pods right away gets them more slowly."""
        if pods.phase(pod) != "Failed":
            return 0.0
        place, now = (key, daemons.node_of(pod)), env.clock.monotonic()
        wait, since = self._failures.get(place, (0.0, now))
        if since + wait > now:
            return since + wait - now
        calm = now - since > 2 * _LONGEST
        self._failures[place] = _FIRST if calm or not wait else min(2 * wait, _LONGEST), now
        return 0.0

    async def _create(self, key: Key, daemon_set: Obj, node: str, revision_hash: str, env: Env) -> ApiError | None:
        try:
            made = await create(env, "pods", daemons.new_pod(daemon_set, node, revision_hash))
        except ApiError as error:
            env.events.event(daemon_set, "Warning", "FailedCreate", f"Error creating: {error.message}")
            return error
        if made is not None:
            self._writes.created(key, made, env)
            env.events.event(daemon_set, "Normal", "SuccessfulCreate", f"Created pod: {meta.name(made)}")
        return None

    async def _delete(self, key: Key, daemon_set: Obj, pod: Obj, env: Env) -> ApiError | None:
        if pods.phase(pod) == "Failed":
            text = f"Found failed daemon pod {meta.key(pod)} on node {daemons.node_of(pod)}, will try to kill it"
            env.events.event(daemon_set, "Warning", "FailedDaemonPod", text)
        try:
            gone = await remove(env, "pods", pod)
        except ApiError as error:
            env.events.event(daemon_set, "Warning", "FailedDelete", f"Error deleting: {error.message}")
            return error
        self._writes.deleted(key, meta.uid(pod))
        if gone:
            env.events.event(daemon_set, "Normal", "SuccessfulDelete", f"Deleted pod: {meta.name(pod)}")
        return None

    async def _trim(self, daemon_set: Obj, history: History, mine: list[Obj], env: Env) -> None:
        hashes = {meta.labels(p).get(HASH) for p in mine}
        live = {meta.name(r) for r in history.revisions if meta.labels(r).get(HASH) in hashes}
        await revisions.trim(env, daemon_set, history, live)


def _becoming_available(daemon_set: Obj, mine: list[Obj], env: Env) -> list[float]:
    """In how many seconds pods become available by themselves (minReadySeconds)."""
    now = env.clock.now()
    return [w for p in mine if (w := until_available(p, daemon_set, now)) is not None and w > 0]


def _status(daemon_set: Obj, places: list[Place], revision_hash: str, env: Env) -> Obj:
    now = env.clock.now()
    wanted = [place for place in places if place.runs]
    # The newest pod speaks for its node.
    served = [place.pods[-1] for place in wanted if place.pods]
    available = sum(is_available(pod, daemon_set, now) for pod in served)
    status = {
        "currentNumberScheduled": len(served),
        "numberMisscheduled": sum(bool(place.pods) and not place.runs for place in places),
        "desiredNumberScheduled": len(wanted),
        "numberReady": sum(pods.is_ready(pod) for pod in served),
    }
    more = {
        "observedGeneration": daemon_set["metadata"].get("generation", 0),
        "updatedNumberScheduled": sum(daemons.is_updated(pod, revision_hash) for pod in served),
        "numberAvailable": available,
        "numberUnavailable": len(wanted) - available,
        "collisionCount": (daemon_set.get("status") or {}).get("collisionCount", 0),
    }
    return status | {k: v for k, v in more.items() if v}
