"""Deployment: rolls its ReplicaSets from one pod template to the next.

Source: https://kubernetes.io/docs/concepts/workloads/controllers/deployment/
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from sampan.api import meta, pods
from sampan.api.meta import Key, Obj
from sampan.api.status import ApiError
from sampan.client.env import After, Cache, Controller, Env
from sampan.controllers import deployment_rollout as rollout
from sampan.controllers import deployment_status as progress
from sampan.controllers import deployment_template as templates
from sampan.controllers.claim import claim
from sampan.controllers.keys import own_key
from sampan.controllers.writes import patch_exactly, remove, set_condition, write_status

RESOURCE = "deployments.apps"
SETS = "replicasets.apps"


def controller() -> Controller:
    return Controller(
        "deployment-controller",
        {RESOURCE: own_key, SETS: _owner, "pods": _recreating},
        reconcile,
    )


def _owner(rs: Obj, caches: Mapping[str, Cache]) -> Iterable[Key]:
    """The Deployment of a ReplicaSet; for an orphan all of the namespace, one may adopt it."""
    reference = meta.controller_of(rs)
    if reference is None:
        return [meta.key(d) for d in caches[RESOURCE].list(meta.namespace(rs))]
    return (Key(meta.namespace(rs), reference["name"]),) if reference["kind"] == "Deployment" else ()


def _recreating(pod: Obj, caches: Mapping[str, Cache]) -> Iterable[Key]:
    """Only strategy Recreate waits for pods themselves: it starts when the last old one has vanished."""
    if not (meta.deleting(pod) or pods.is_terminal(pod)):
        return ()
    reference = meta.controller_of(pod)
    if reference is None or reference["kind"] != "ReplicaSet":
        return ()
    rs = caches[SETS].get(Key(meta.namespace(pod), reference["name"]))
    keys = _owner(rs, caches) if rs and meta.controller_of(rs) else ()
    return [k for k in keys if (d := caches[RESOURCE].get(k)) and not rollout.is_rolling(d)]


async def reconcile(key: Key, env: Env) -> After | None:
    deployment = env.caches[RESOURCE].get(key)
    if deployment is None:
        return None
    sets = await claim(env, RESOURCE, deployment, SETS, env.caches[SETS].list(key.namespace))
    return await _Step(env, deployment, sets).run()


class _Step:
    """One reconcile of one Deployment: the ReplicaSets as they are now, and the conditions found on the way."""

    def __init__(self, env: Env, deployment: Obj, sets: list[Obj]) -> None:
        self.env = env
        self.deployment = deployment
        self.new = templates.find_new(deployment, sets)
        self.olds = [rs for rs in sets if rs is not self.new]
        self.conditions: list[Obj] = (deployment.get("status") or {}).get("conditions") or []

    @property
    def sets(self) -> list[Obj]:
        return [*self.olds, *([self.new] if self.new else [])]

    async def run(self) -> After | None:
        deployment = self.deployment
        if not meta.deleting(deployment):
            self.conditions = progress.pause_noted(deployment, self.conditions, self.env.clock.now())
            if self.new:
                await self._keep_revision(self.new)
            if deployment["spec"].get("paused"):
                await self._resize(rollout.scale(deployment, self.new, self.olds))
                await self._clean_up()
            elif rollout.scale_was_changed(deployment, self.sets):
                await self._resize(rollout.scale(deployment, self.new, self.olds))
            elif rollout.is_rolling(deployment):
                await self._roll()
            else:
                await self._recreate()
        return await self._finish()

    async def _roll(self) -> None:
        """First more new pods, as far as maxSurge allows; when there is no room, fewer old ones."""
        new = await self._ensure_new()
        if await self._resize({meta.name(new): rollout.grow_new(self.deployment, new, self.olds)}):
            return
        if not await self._resize(rollout.shrink_olds(self.deployment, self.new or new, self.olds)):
            await self._clean_up_when_complete()

    async def _recreate(self) -> None:
        """All old pods go; when the last has vanished the new ones come."""
        if await self._resize({meta.name(rs): 0 for rs in self.olds}) or self._old_pods_run():
            return
        new = await self._ensure_new()
        if not await self._resize({meta.name(new): rollout.replicas(self.deployment)}):
            await self._clean_up_when_complete()

    def _old_pods_run(self) -> bool:
        cache = self.env.caches["pods"]
        return any(not pods.is_terminal(p) for rs in self.olds for p in cache.owned_by(meta.uid(rs)))

    async def _ensure_new(self) -> Obj:
        """The ReplicaSet of the present template, made if it is not there."""
        if self.new is not None:
            return self.new
        deployment, env = self.deployment, self.env
        size = rollout.grow_new(deployment, None, self.olds)
        wanted = templates.new_replicaset(deployment, size, self.olds)
        try:
            made = await env.client.create(SETS, wanted)
        except ApiError as error:
            made = await self._taken(wanted, error)
        else:
            if size:
                text = f"Scaled up replica set {meta.name(made)} from 0 to {size}"
                env.events.event(deployment, "Normal", "ScalingReplicaSet", text)
            self._progress("True", "NewReplicaSetCreated", f'Created new replica set "{meta.name(made)}"')
        self.new = made
        await self._write_revision(made)
        return made

    async def _taken(self, wanted: Obj, error: ApiError) -> Obj:
        """The create failed. Another look at the name: our cache may lag, or two templates have one hash."""
        deployment, env = self.deployment, self.env
        if error.reason != "AlreadyExists":
            text = f'Failed to create new replica set "{meta.name(wanted)}": {error.message}'
            env.events.event(deployment, "Warning", "ReplicaSetCreateError", text)
            self._progress("False", "ReplicaSetCreateError", text)
            await self._finish()
            raise error
        found = await env.client.get(SETS, meta.name(wanted), meta.namespace(wanted))
        owner = meta.controller_of(found)
        ours = owner is not None and owner["uid"] == meta.uid(deployment)
        if ours and templates.same_template(found["spec"]["template"], deployment["spec"]["template"]):
            return found
        status = deployment.get("status") or {}
        status = status | {"collisionCount": status.get("collisionCount", 0) + 1}
        await write_status(env, RESOURCE, deployment, status)
        raise error

    async def _keep_revision(self, new: Obj) -> None:
        """A template that came back (`rollout undo`) gets the next revision; annotations follow the Deployment's."""
        present = meta.annotations(new)
        wanted = templates.set_annotations(self.deployment, present, templates.next_revision(self.olds))
        if rollout.scale_was_changed(self.deployment, [new]):
            # The mark of the former scale stays until the sizes have followed.
            wanted |= {k: present[k] for k in (rollout.DESIRED, rollout.MAXIMUM) if k in present}
        ready = self.deployment["spec"].get("minReadySeconds", 0)
        patch: Obj = {"metadata": {"annotations": wanted}} if wanted != present else {}
        if new["spec"].get("minReadySeconds", 0) != ready:
            patch["spec"] = {"minReadySeconds": ready}
        if patch:
            self.new = await patch_exactly(self.env, SETS, new, patch)
        await self._write_revision(self.new or new)
        if not any(c["type"] == progress.PROGRESSING for c in self.conditions):
            self._progress("True", "FoundNewReplicaSet", f'Found new replica set "{meta.name(new)}"')

    async def _write_revision(self, new: Obj) -> None:
        """The Deployment carries the revision of its present ReplicaSet (`rollout undo` and `history` read it)."""
        number = meta.annotations(new).get(rollout.REVISION, "")
        if meta.annotations(self.deployment).get(rollout.REVISION) == number:
            return
        patch = {"metadata": {"annotations": {rollout.REVISION: number}}}
        key = meta.key(self.deployment)
        await self.env.client.patch(RESOURCE, key.name, key.namespace, patch)

    def _progress(self, status: str, reason: str, message: str) -> None:
        if progress.deadline(self.deployment) is None:
            return
        now = meta.timestamp(self.env.clock.now())
        self.conditions = set_condition(
            self.conditions, progress.PROGRESSING, status, reason, message, now, updated=True
        )

    async def _resize(self, sizes: rollout.Sizes) -> bool:
        """Give ReplicaSets their sizes and mark those in use with the scale they were sized for; says whether any size
        changed."""
        changed = False
        for rs in self.sets:
            size, present = sizes.get(meta.name(rs), rollout.replicas(rs)), rollout.replicas(rs)
            marks = templates.size_annotations(self.deployment)
            marked = size == present == 0 or marks.items() <= meta.annotations(rs).items()
            if size == present and (marked or not sizes):
                continue
            patched = await patch_exactly(
                self.env, SETS, rs, {"metadata": {"annotations": marks}, "spec": {"replicas": size}}
            )
            self._replace(rs, patched)
            if size != present:
                changed = True
                text = (
                    f"Scaled {'up' if size > present else 'down'} replica set {meta.name(rs)} from {present} to {size}"
                )
                self.env.events.event(self.deployment, "Normal", "ScalingReplicaSet", text)
        return changed

    def _replace(self, old: Obj, new: Obj) -> None:
        if old is self.new:
            self.new = new
        self.olds = [new if rs is old else rs for rs in self.olds]

    async def _clean_up_when_complete(self) -> None:
        result = progress.counts(self.deployment, self.new, self.olds)
        if progress.is_complete(self.deployment, result):
            await self._clean_up()

    async def _clean_up(self) -> None:
        for rs in rollout.out_of_history(self.deployment, self.olds):
            await remove(self.env, SETS, rs)

    async def _finish(self) -> After | None:
        """Write the status; come back when the progress deadline is due."""
        now = self.env.clock.now()
        status = progress.status(self.deployment, self.new, self.olds, self.conditions, now)
        await write_status(self.env, RESOURCE, self.deployment, status)
        left = progress.time_left(self.deployment, status["conditions"], now)
        waiting = not self.deployment["spec"].get("paused") and left < float("inf")
        return After(max(left, 0) + 1) if waiting else None
