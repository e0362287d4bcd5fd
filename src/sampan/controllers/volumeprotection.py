"""Claims in use and bound volumes stay until nobody needs them: their protection finalizers are taken off then.

Source: https://kubernetes.io/docs/concepts/storage/persistent-volumes/#storage-object-in-use-protection
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from sampan.api import meta, pods
from sampan.api.meta import Key, Obj
from sampan.client.env import Cache, Controller, Env
from sampan.controllers.keys import own_key
from sampan.controllers.writes import patch_exactly

CLAIMS, VOLUMES = "persistentvolumeclaims", "persistentvolumes"
CLAIM_FINALIZER, VOLUME_FINALIZER = "kubernetes.io/pvc-protection", "kubernetes.io/pv-protection"


def controllers() -> tuple[Controller, Controller]:
    return (
        Controller("pvc-protection-controller", {CLAIMS: own_key, "pods": _claims_of}, _claim, workers=1),
        Controller("pv-protection-controller", {VOLUMES: own_key}, _volume, workers=1),
    )


def claim_names(pod: Obj) -> Iterator[str]:
    """The claims a pod uses; one of a generic ephemeral volume is called POD-VOLUME."""
    for volume in pod["spec"].get("volumes") or ():
        if claim := volume.get("persistentVolumeClaim"):
            yield claim["claimName"]
        elif volume.get("ephemeral"):
            yield f"{meta.name(pod)}-{volume['name']}"


def _claims_of(pod: Obj, caches: Mapping[str, Cache]) -> Iterable[Key]:
    return [Key(meta.namespace(pod), name) for name in claim_names(pod)]


async def _claim(key: Key, env: Env) -> None:
    claim = env.caches[CLAIMS].get(key)
    if claim is None or not _held(claim, CLAIM_FINALIZER):
        return
    # Asked of the server: a pod the cache does not show yet may have begun to use it.
    page = await env.client.list("pods", key.namespace)
    using = (p for p in page.items if pods.node_name(p) and not pods.is_terminal(p))
    if not any(key.name in claim_names(pod) for pod in using):
        await _release(CLAIMS, claim, CLAIM_FINALIZER, env)


async def _volume(key: Key, env: Env) -> None:
    volume = env.caches[VOLUMES].get(key)
    if volume is None or not _held(volume, VOLUME_FINALIZER):
        return
    if (volume.get("status") or {}).get("phase") != "Bound":
        await _release(VOLUMES, volume, VOLUME_FINALIZER, env)


def _held(obj: Obj, finalizer: str) -> bool:
    return meta.deleting(obj) and finalizer in (obj["metadata"].get("finalizers") or ())


async def _release(resource: str, obj: Obj, finalizer: str, env: Env) -> None:
    kept = [f for f in obj["metadata"]["finalizers"] if f != finalizer]
    await patch_exactly(env, resource, obj, {"metadata": {"finalizers": kept or None}})
