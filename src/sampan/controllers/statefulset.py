"""StatefulSet: pods with names of their own that come, change and go in order.

Source: https://kubernetes.io/docs/concepts/workloads/controllers/statefulset/
"""

from __future__ import annotations

from sampan.api import meta, pods
from sampan.api.meta import Key, Obj
from sampan.api.scheme import Scheme
from sampan.api.status import ApiError
from sampan.client.env import After, Controller, Env
from sampan.controllers import revisions
from sampan.controllers import statefulset_claims as claims
from sampan.controllers import statefulset_pods as members
from sampan.controllers.availability import is_available, until_available
from sampan.controllers.claim import claim
from sampan.controllers.keys import no_key, own_key, owners
from sampan.controllers.revisions import REVISIONS, History
from sampan.controllers.writes import create, patch_exactly, remove, write_status

RESOURCE = "statefulsets.apps"
_HASH = "controller.kubernetes.io/hash"


def controller(scheme: Scheme) -> Controller:
    """`scheme` says whether this cluster has PersistentVolumeClaims."""
    of_set = owners(RESOURCE, "StatefulSet")
    watches = {RESOURCE: own_key, "pods": of_set, REVISIONS: of_set}
    if claims.CLAIMS in scheme.by_id:
        watches[claims.CLAIMS] = no_key
    return Controller("statefulset-controller", watches, reconcile)


async def reconcile(key: Key, env: Env) -> After | None:
    stateful_set = env.caches[RESOURCE].get(key)
    if stateful_set is None or meta.deleting(stateful_set):
        return None
    history = await revisions.sync(env, RESOURCE, stateful_set, _HASH)
    candidates = (p for p in env.caches["pods"].list(key.namespace) if members.ordinal(stateful_set, p) is not None)
    mine = await claim(env, RESOURCE, stateful_set, "pods", candidates)
    return await _Step(env, stateful_set, history, mine).run()


class _Step:
    """One reconcile of one StatefulSet."""

    def __init__(self, env: Env, stateful_set: Obj, history: History, mine: list[Obj]) -> None:
        self.env = env
        self.set = stateful_set
        self.history = history
        self.members = {n: p for p in mine if (n := members.ordinal(stateful_set, p)) is not None}
        self.update = meta.name(history.update)
        present = (stateful_set.get("status") or {}).get("currentRevision") or self.update
        self.current = present if history.named(present) else self.update

    async def run(self) -> After | None:
        now = self.env.clock.now()
        for number, pod in self.members.items():
            if claims.CLAIMS in self.env.caches:
                await claims.keep_owners(self.env, self.set, number, pod)
            await self._keep_identity(pod)
        failure: ApiError | None = None
        for step in members.steps(self.set, self.members, self.update, now):
            try:
                await self._act(step)
            except ApiError as error:
                failure = failure or error
        await write_status(self.env, RESOURCE, self.set, self._status())
        if failure:
            raise failure
        live = {self.current, self.update, *map(members.revision, self.members.values())}
        await revisions.trim(self.env, self.set, self.history, live)
        waits = [w for p in self.members.values() if (w := until_available(p, self.set, now)) is not None and w > 0]
        return After(min(waits)) if waits else None

    async def _keep_identity(self, pod: Obj) -> None:
        """An adopted pod may lack the label a Service of this one pod selects by."""
        if meta.labels(pod).get(members.POD_NAME) != meta.name(pod) and not meta.deleting(pod):
            await patch_exactly(self.env, "pods", pod, {"metadata": {"labels": {members.POD_NAME: meta.name(pod)}}})

    async def _act(self, step: members.Step) -> None:
        match step:
            case members.Create(number, updated):
                await self._create(number, self.update if updated else self.current)
            case members.Delete(pod):
                await self._delete(pod)

    async def _create(self, number: int, revision: str) -> None:
        if claims.CLAIMS in self.env.caches:
            await claims.make(self.env, self.set, number)
        template = revisions.template(self.history.named(revision) or self.history.update)
        pod = members.new_pod(self.set, number, template, revision)
        what = f"create Pod {meta.name(pod)} in StatefulSet {meta.name(self.set)}"
        try:
            made = await create(self.env, "pods", pod)
        except ApiError as error:
            if error.reason == "AlreadyExists" and await self._is_mine(pod):
                return
            self.env.events.event(self.set, "Warning", "FailedCreate", f"{what} failed error: {error.message}")
            raise
        if made is not None:
            self.env.events.event(self.set, "Normal", "SuccessfulCreate", f"{what} successful")

    async def _is_mine(self, pod: Obj) -> bool:
        """Is the pod that has the name already one of ours, which the cache does not show yet?"""
        try:
            live = await self.env.client.get("pods", meta.name(pod), meta.namespace(pod))
        except ApiError as error:
            if error.code != 404:
                raise
            return False
        return (meta.controller_of(live) or {}).get("uid") == meta.uid(self.set)

    async def _delete(self, pod: Obj) -> None:
        name, stateful_set = meta.name(pod), meta.name(self.set)
        if pods.is_terminal(pod):
            text = f"StatefulSet {meta.key(self.set)} is recreating failed Pod {name}"
            self.env.events.event(self.set, "Warning", "RecreatingFailedPod", text)
        what = f"delete Pod {name} in StatefulSet {stateful_set}"
        try:
            gone = await remove(self.env, "pods", pod)
        except ApiError as error:
            self.env.events.event(self.set, "Warning", "FailedDelete", f"{what} failed error: {error.message}")
            raise
        if gone:
            self.env.events.event(self.set, "Normal", "SuccessfulDelete", f"{what} successful")

    def _status(self) -> Obj:
        """The counts; a rolling update that is complete makes the new template the current one."""
        now, mine = self.env.clock.now(), list(self.members.values())
        staying = [p for p in mine if not meta.deleting(p)]
        updated = sum(members.revision(p) == self.update for p in staying)
        old = self.set.get("status") or {}
        status: Obj = {
            "replicas": len(mine),
            "availableReplicas": sum(is_available(p, self.set, now) for p in mine),
            "readyReplicas": sum(pods.is_ready(p) for p in mine),
            "updatedReplicas": updated,
            "observedGeneration": self.set["metadata"].get("generation", 0),
            "updateRevision": self.update,
            "collisionCount": old.get("collisionCount", 0),
        }
        rolled = updated == len(mine) == status["readyReplicas"] and members.is_rolling(self.set)
        current = self.update if rolled else self.current
        status["currentRevision"] = current
        status["currentReplicas"] = sum(members.revision(p) == current for p in staying)
        always = ("replicas", "availableReplicas", "collisionCount")
        return {k: v for k, v in status.items() if v or k in always} | {
            k: v for k, v in old.items() if k == "conditions"
        }
