"""Generic ephemeral volumes: a pod's `ephemeral.volumeClaimTemplate` becomes a claim that lives as long as the pod.

Source: https://kubernetes.io/docs/concepts/storage/ephemeral-volumes/#generic-ephemeral-volumes
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from sampan.api import meta, pods
from sampan.api.meta import Key, Obj
from sampan.client.env import Cache, Controller, Env
from sampan.controllers.writes import create_missing

CLAIMS = "persistentvolumeclaims"


def controller() -> Controller:
    watches = {"pods": _pod_changed, CLAIMS: _claim_changed}
    return Controller("ephemeral_volume", watches, _reconcile, workers=1)


def _pod_changed(pod: Obj, caches: Mapping[str, Cache]) -> Iterable[Key]:
    wants = any("ephemeral" in volume for volume in pod["spec"].get("volumes") or ())
    return (meta.key(pod),) if wants and pods.is_active(pod) else ()


def _claim_changed(claim: Obj, caches: Mapping[str, Cache]) -> Iterable[Key]:
    owner = meta.controller_of(claim)
    return (Key(meta.namespace(claim), owner["name"]),) if owner and owner["kind"] == "Pod" else ()


async def _reconcile(key: Key, env: Env) -> None:
    pod = env.caches["pods"].get(key)
    if pod is None or not pods.is_active(pod):
        return
    for volume in pod["spec"].get("volumes") or ():
        if "ephemeral" in volume:
            await _ensure(pod, volume, env)


async def _ensure(pod: Obj, volume: Obj, env: Env) -> None:
    name = f"{meta.name(pod)}-{volume['name']}"
    present = env.caches[CLAIMS].get(Key(meta.namespace(pod), name))
    if present is not None:
        owner = meta.controller_of(present)
        if owner is None or owner["uid"] != meta.uid(pod):
            text = f"PVC {meta.key(present)} was not created for pod {meta.key(pod)} (pod is not owner)"
            env.events.event(pod, "Warning", "ClaimMisbound", text)
        return
    template = volume["ephemeral"]["volumeClaimTemplate"]
    told = template.get("metadata") or {}
    metadata = {key: told[key] for key in ("labels", "annotations") if key in told}
    metadata |= {"name": name, "namespace": meta.namespace(pod)}
    metadata["ownerReferences"] = [meta.owner_reference(pod | {"apiVersion": "v1", "kind": "Pod"})]
    claim = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata, "spec": template["spec"]}
    await create_missing(env, CLAIMS, claim)
