"""Persistent volume binder: claims get volumes, made for them as local directories when their class says so.

Keys with a namespace are claims, those without are volumes.
Source: https://kubernetes.io/docs/concepts/storage/persistent-volumes/, k8s.io/kubernetes/pkg/controller/volume
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path

from sampan.api import meta
from sampan.api.kinds.persistentvolume import storage_class
from sampan.api.kinds.persistentvolumeclaim import size
from sampan.api.meta import Key, Obj
from sampan.api.status import ApiError
from sampan.client.env import Cache, Controller, Env
from sampan.controllers import volume_match as match
from sampan.controllers.keys import no_key
from sampan.controllers.volume_match import BIND_COMPLETED, LOCAL, SELECTED_NODE
from sampan.controllers.writes import create, patch_exactly, remove, write_status

CLAIMS, VOLUMES, CLASSES = "persistentvolumeclaims", "persistentvolumes", "storageclasses.storage.k8s.io"
_BY_CONTROLLER = "pv.kubernetes.io/bound-by-controller"
_PROVISIONED_BY = "pv.kubernetes.io/provisioned-by"
_ASKED_PROVISIONER = "volume.kubernetes.io/storage-provisioner"
_MADE_HERE = frozenset({LOCAL})


class Directories:
    """Where the volumes made here live: a directory each, below `root`."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def make(self, name: str) -> str:
        """Make the directory (it may exist), return its path. Raises OSError."""
        place = self._root / name
        place.mkdir(parents=True, exist_ok=True)
        place.chmod(0o777)  # whoever the pod runs as may write
        return str(place)

    def remove(self, name: str) -> None:
        """Remove it with all that is in it; fine when it is gone. Raises OSError."""
        place = self._root / name
        if place.exists():
            shutil.rmtree(place)


def controller(directories: Directories) -> Controller:
    watches = {CLAIMS: _claim_changed, VOLUMES: _volume_changed, CLASSES: _class_changed, "nodes": no_key}
    return Controller("persistentvolume-controller", watches, Binder(directories).reconcile)


def _claim_changed(claim: Obj, caches: Mapping[str, Cache]) -> Iterable[Key]:
    yield meta.key(claim)
    if name := claim["spec"].get("volumeName"):
        yield Key("", name)


def _volume_changed(volume: Obj, caches: Mapping[str, Cache]) -> Iterable[Key]:
    yield Key("", meta.name(volume))
    if claim := match.claim_key(volume):
        yield claim
    else:
        yield from (meta.key(c) for c in caches[CLAIMS].list() if not match.is_bound(c))


def _class_changed(obj: Obj, caches: Mapping[str, Cache]) -> Iterable[Key]:
    return [meta.key(c) for c in caches[CLAIMS].list() if not match.is_bound(c)]


class Binder:
    """Remembers which volume it has just promised to which claim: two claims must not get one volume."""

    def __init__(self, directories: Directories) -> None:
        self._directories = directories
        self._promised: dict[str, str] = {}

    async def reconcile(self, key: Key, env: Env) -> None:
        if not key.namespace:
            await self._volume(key, env)
            return
        claim = env.caches[CLAIMS].get(key)
        if claim is None or meta.deleting(claim):
            return
        if claim["spec"].get("volumeName"):
            await self._check(claim, env)
        else:
            await self._find(claim, env)

    # -- claims

    async def _find(self, claim: Obj, env: Env) -> None:
        """Give an unbound claim its volume, or say why it waits."""
        name = storage_class(claim)
        found = env.caches[CLASSES].get(Key("", name)) if name else None
        late = found is not None and found["volumeBindingMode"] == "WaitForFirstConsumer"
        chosen = meta.annotations(claim).get(SELECTED_NODE)
        volumes = [v for v in env.caches[VOLUMES].list() if self._free_for(v, claim)]
        kept = next((v for v in volumes if match.kept_for(v, claim)), None)
        if late and not chosen and kept is None:
            message = "waiting for first consumer to be created before binding"
            await _wait(claim, "Normal", "WaitForFirstConsumer", message, env)
            return
        node = env.caches["nodes"].get(Key("", chosen)) if late and chosen else None

        def reachable(volume: Obj) -> bool:
            return node is None or match.node_allows(volume, meta.labels(node), meta.name(node))

        volume = kept or match.best(claim, volumes, reachable)
        if volume is not None:
            self._promised[meta.name(volume)] = meta.uid(claim)
            await self._bind(claim, volume, env)
        elif not name:
            message = "no persistent volumes available for this claim and no storage class is set"
            await _wait(claim, "Normal", "FailedBinding", message, env)
        elif found is None:
            message = f'storageclass.storage.k8s.io "{name}" not found'
            await _wait(claim, "Warning", "ProvisioningFailed", message, env)
        else:
            await self._provision(claim, found, env)

    def _free_for(self, volume: Obj, claim: Obj) -> bool:
        return self._promised.get(meta.name(volume)) in (None, meta.uid(claim))

    async def _provision(self, claim: Obj, storage: Obj, env: Env) -> None:
        provisioner = storage["provisioner"]
        if provisioner not in _MADE_HERE:
            message = (
                f"Waiting for a volume to be created either by the external provisioner '{provisioner}' or manually "
                "by the system administrator. If volume creation is delayed, please verify that the provisioner is "
                "running and correctly registered."
            )
            await _annotate(claim, {_ASKED_PROVISIONER: provisioner}, env)
            await _wait(claim, "Normal", "ExternalProvisioning", message, env)
            return
        name = f"pvc-{meta.uid(claim)}"
        try:
            path = self._directories.make(name)
        except OSError as error:
            message = f'failed to provision volume with StorageClass "{meta.name(storage)}": {error}'
            await _wait(claim, "Warning", "ProvisioningFailed", message, env)
            raise
        try:
            await create(env, VOLUMES, _local_volume(name, path, claim, storage))
        except ApiError as error:
            if error.reason != "AlreadyExists":
                raise
            return
        env.events.event(claim, "Normal", "ProvisioningSucceeded", f"Successfully provisioned volume {name}")

    async def _bind(self, claim: Obj, volume: Obj, env: Env) -> None:
        """First the volume says whose it is, then the claim, then both statuses: every step can be repeated."""
        reference = volume["spec"].get("claimRef") or {}
        if reference.get("uid") != meta.uid(claim):
            patch: Obj = {"spec": {"claimRef": _reference(claim)}}
            if not reference:
                patch["metadata"] = {"annotations": {_BY_CONTROLLER: "yes"}}
            volume = await patch_exactly(env, VOLUMES, volume, patch)
        await write_status(env, VOLUMES, volume, {"phase": "Bound"})
        marks = {BIND_COMPLETED: "yes"}
        if not claim["spec"].get("volumeName"):
            marks[_BY_CONTROLLER] = "yes"
        if not match.is_bound(claim):
            spec = {"volumeName": meta.name(volume)}
            claim = await patch_exactly(env, CLAIMS, claim, {"metadata": {"annotations": marks}, "spec": spec})
        await write_status(env, CLAIMS, claim, _bound_status(claim, volume))
        self._promised.pop(meta.name(volume), None)

    async def _check(self, claim: Obj, env: Env) -> None:
        """A claim that names its volume."""
        volume = env.caches[VOLUMES].get(Key("", claim["spec"]["volumeName"]))
        if volume is None:
            volume = await _live(env, VOLUMES, claim["spec"]["volumeName"])
        if volume is None:
            if match.is_bound(claim):
                message = "Bound claim has lost its PersistentVolume. Data on the volume is lost!"
                await _lose(claim, "ClaimLost", message, env)
        elif match.claim_key(volume) is None or match.kept_for(volume, claim):
            volume = await self._grow(claim, volume, env)
            await self._bind(claim, volume, env)
        elif match.is_bound(claim):
            message = "Two claims are bound to the same volume, this one is bound incorrectly"
            await _lose(claim, "ClaimMisbound", message, env)
        else:
            message = f'volume "{meta.name(volume)}" already bound to a different claim.'
            await _wait(claim, "Warning", "FailedBinding", message, env)

    async def _grow(self, claim: Obj, volume: Obj, env: Env) -> Obj:
        """A directory has no size of its own: what the claim asks for now is written down."""
        if not _made_here(volume) or size(claim["spec"]) <= match.capacity(volume):
            return volume
        return await patch_exactly(env, VOLUMES, volume, {"spec": {"capacity": {"storage": str(size(claim["spec"]))}}})

    # -- volumes

    async def _volume(self, key: Key, env: Env) -> None:
        volume = env.caches[VOLUMES].get(key)
        if volume is None:
            self._promised.pop(key.name, None)
            return
        uid = (volume["spec"].get("claimRef") or {}).get("uid")
        owner = match.claim_key(volume)
        if not uid or owner is None:
            await write_status(env, VOLUMES, volume, {"phase": "Available"})
            return
        # Asked of the server: on a cache that lags, data would be deleted.
        claim = await _live(env, CLAIMS, owner.name, owner.namespace)
        if claim is None or meta.uid(claim) != uid:
            await self._reclaim(volume, env)

    async def _reclaim(self, volume: Obj, env: Env) -> None:
        """What happens to a volume whose claim is gone."""
        status = volume.get("status") or {}
        if status.get("phase") not in ("Released", "Failed"):
            await write_status(env, VOLUMES, volume, {"phase": "Released"})
        policy = volume["spec"]["persistentVolumeReclaimPolicy"]
        if policy == "Retain":
            return
        if policy == "Delete" and _made_here(volume):
            await asyncio.to_thread(self._directories.remove, meta.name(volume))
            await remove(env, VOLUMES, volume)
        elif status.get("phase") != "Failed" and not _outside(volume):
            verb = "recyclable" if policy == "Recycle" else "deletable"
            message = f'no {verb} volume plugin matched for volume "{meta.name(volume)}": delete its data by hand'
            env.events.event(volume, "Warning", f"VolumeFailed{policy}", message)
            await write_status(env, VOLUMES, volume, {"phase": "Failed", "message": message})


def _made_here(volume: Obj) -> bool:
    return meta.annotations(volume).get(_PROVISIONED_BY) in _MADE_HERE


def _outside(volume: Obj) -> bool:
    """Does another provisioner look after it?"""
    return _PROVISIONED_BY in meta.annotations(volume)


def _reference(claim: Obj) -> Obj:
    metadata = claim["metadata"]
    kept = {key: metadata[key] for key in ("namespace", "name", "uid", "resourceVersion")}
    return {"kind": "PersistentVolumeClaim", "apiVersion": "v1", **kept}


def _local_volume(name: str, path: str, claim: Obj, storage: Obj) -> Obj:
    spec = {
        "capacity": {"storage": str(size(claim["spec"]))},
        "accessModes": claim["spec"]["accessModes"],
        "claimRef": _reference(claim),
        "hostPath": {"path": path, "type": "DirectoryOrCreate"},
        "persistentVolumeReclaimPolicy": storage["reclaimPolicy"],
        "storageClassName": meta.name(storage),
        "volumeMode": claim["spec"]["volumeMode"],
    }
    if options := storage.get("mountOptions"):
        spec["mountOptions"] = options
    metadata = {"name": name, "annotations": {_PROVISIONED_BY: LOCAL}}
    return {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": metadata, "spec": spec}


def _bound_status(claim: Obj, volume: Obj) -> Obj:
    status = {k: v for k, v in (claim.get("status") or {}).items() if k != "phase"}
    capacity = {"storage": str(match.capacity(volume))}
    return {**status, "phase": "Bound", "accessModes": volume["spec"]["accessModes"], "capacity": capacity}


async def _wait(claim: Obj, kind: str, reason: str, message: str, env: Env) -> None:
    env.events.event(claim, kind, reason, message)
    await write_status(env, CLAIMS, claim, {**(claim.get("status") or {}), "phase": "Pending"})


async def _lose(claim: Obj, reason: str, message: str, env: Env) -> None:
    if (claim.get("status") or {}).get("phase") == "Lost":
        return
    env.events.event(claim, "Warning", reason, message)
    await write_status(env, CLAIMS, claim, {"phase": "Lost"})


async def _annotate(claim: Obj, annotations: dict[str, str], env: Env) -> None:
    if not annotations.items() <= meta.annotations(claim).items():
        await patch_exactly(env, CLAIMS, claim, {"metadata": {"annotations": annotations}})


async def _live(env: Env, resource: str, name: str, namespace: str = "") -> Obj | None:
    try:
        return await env.client.get(resource, name, namespace)
    except ApiError as error:
        if error.code != 404:
            raise
        return None
