"""The PersistentVolumeClaims of a StatefulSet's pods: made before the pod, kept or deleted as the policy says.

Source: https://kubernetes.io/docs/concepts/workloads/controllers/statefulset/#persistentvolumeclaim-retention
"""

from __future__ import annotations

from sampan.api import meta
from sampan.api.meta import Key, Obj
from sampan.api.status import ApiError
from sampan.client.env import Env
from sampan.controllers.statefulset_pods import claim_names, ordinals
from sampan.controllers.writes import create, patch_exactly

CLAIMS = "persistentvolumeclaims"


async def make(env: Env, stateful_set: Obj, number: int) -> None:
    """The claims of the pod with this number, those that are not there. Raises ApiError of what is refused."""
    names = claim_names(stateful_set, number)
    for template in stateful_set["spec"].get("volumeClaimTemplates") or ():
        name = names[meta.name(template)]
        if env.caches[CLAIMS].get(Key(meta.namespace(stateful_set), name)) is None:
            await _make(env, stateful_set, template, name)


async def _make(env: Env, stateful_set: Obj, template: Obj, name: str) -> None:
    metadata = {k: v for k, v in template["metadata"].items() if k in ("annotations", "finalizers")}
    selected = stateful_set["spec"]["selector"].get("matchLabels") or {}
    metadata |= {"name": name, "namespace": meta.namespace(stateful_set)}
    metadata["labels"] = {**meta.labels(template), **selected}
    claim = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata, "spec": template["spec"]}
    pod = f"{meta.name(stateful_set)}-{name.rpartition('-')[2]}"
    what = f"Claim {name} Pod {pod} in StatefulSet {meta.name(stateful_set)}"
    try:
        made = await create(env, CLAIMS, meta.copy(claim))
    except ApiError as error:
        if error.reason == "AlreadyExists":  # the cache lags
            return
        text = f"create {what} failed error: {error.message}"
        env.events.event(stateful_set, "Warning", "FailedCreate", text)
        raise
    if made is not None:
        env.events.event(stateful_set, "Normal", "SuccessfulCreate", f"create {what} success")


async def keep_owners(env: Env, stateful_set: Obj, number: int, pod: Obj) -> None:
    """Who takes the claims of this pod along: the set, the pod when it is too many, or nobody."""
    policy = stateful_set["spec"].get("persistentVolumeClaimRetentionPolicy") or {}
    condemned = number not in ordinals(stateful_set)
    owner: Obj | None = None
    if policy.get("whenScaled") == "Delete" and condemned:
        owner = {**pod, "apiVersion": "v1", "kind": "Pod"}
    elif policy.get("whenDeleted") == "Delete":
        owner = stateful_set
    ours = {meta.uid(stateful_set), meta.uid(pod)}
    for name in claim_names(stateful_set, number).values():
        claim = env.caches[CLAIMS].get(Key(meta.namespace(stateful_set), name))
        if claim is None:
            continue
        present = claim["metadata"].get("ownerReferences") or []
        # References to pods of this name that are gone are ours, too.
        others = [r for r in present if r["uid"] not in ours and (r["kind"], r["name"]) != ("Pod", meta.name(pod))]
        wanted = [*others, *([meta.owner_reference(owner, controller=False, block=False)] if owner else [])]
        if {r["uid"] for r in wanted} != {r["uid"] for r in present}:
            await patch_exactly(env, CLAIMS, claim, {"metadata": {"ownerReferences": wanted or None}})
