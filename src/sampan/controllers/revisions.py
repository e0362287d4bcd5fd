"""ControllerRevisions: the templates of a StatefulSet or DaemonSet, which `kubectl rollout history` and `undo` read.

Source: k8s.io/kubernetes/pkg/controller/history
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from sampan.api import meta
from sampan.api.meta import Obj
from sampan.api.status import ApiError
from sampan.client.env import Env
from sampan.controllers.claim import claim
from sampan.controllers.deployment_template import template_hash
from sampan.controllers.writes import patch_exactly, remove, write_status

REVISIONS = "controllerrevisions.apps"
# The label of a pod that says which template it was made from.
HASH = "controller-revision-hash"


@dataclass(frozen=True)
class History:
    """All revisions by their number, and the one of the present template, which is the last."""

    revisions: list[Obj]
    update: Obj

    def named(self, name: str) -> Obj | None:
        return next((r for r in self.revisions if meta.name(r) == name), None)


def snapshot(owner: Obj) -> Obj:
    """What a revision keeps: a patch that brings this template back as a whole."""
    return {"spec": {"template": {**owner["spec"]["template"], "$patch": "replace"}}}


def template(revision: Obj) -> Obj:
    return {k: v for k, v in revision["data"]["spec"]["template"].items() if k != "$patch"}


async def sync(env: Env, resource: str, owner: Obj, label: str) -> History:
    """Make sure the present template has a revision and that it is the newest; `label` carries its hash.

    Raises ApiError 409 when a name is taken: the next try uses another hash.
    """
    found = await claim(env, resource, owner, REVISIONS, env.caches[REVISIONS].list(meta.namespace(owner)))
    ordered = sorted(found, key=lambda r: (r["revision"], r["metadata"].get("creationTimestamp", ""), meta.name(r)))
    number = ordered[-1]["revision"] + 1 if ordered else 1
    data = snapshot(owner)
    equal = [r for r in ordered if r["data"] == data]
    if not equal:
        update = await _create(env, resource, owner, data, label, number)
    elif equal[-1] is ordered[-1]:
        return History(ordered, ordered[-1])
    else:  # an old template came back (`rollout undo`)
        update = await patch_exactly(env, REVISIONS, equal[-1], {"revision": number})
    others = [r for r in ordered if meta.uid(r) != meta.uid(update)]
    return History([*others, update], update)


async def _create(env: Env, resource: str, owner: Obj, data: Obj, label: str, number: int) -> Obj:
    collisions = (owner.get("status") or {}).get("collisionCount") or 0
    suffix = template_hash(owner["spec"]["template"], collisions)
    labels = (owner["spec"]["template"].get("metadata") or {}).get("labels") or {}
    made = {
        "apiVersion": "apps/v1",
        "kind": "ControllerRevision",
        "metadata": {
            "name": f"{meta.name(owner)}-{suffix}",
            "namespace": meta.namespace(owner),
            "labels": {**labels, label: suffix},
            "annotations": dict(meta.annotations(owner)),
            "ownerReferences": [meta.owner_reference(owner)],
        },
        "data": data,
        "revision": number,
    }
    try:
        return await env.client.create(REVISIONS, made)
    except ApiError as error:
        if error.reason != "AlreadyExists":
            raise
        present = await env.client.get(REVISIONS, meta.name(made), meta.namespace(made))
        if present["data"] == data:  # our own: the cache lags
            return present
        status = (owner.get("status") or {}) | {"collisionCount": collisions + 1}
        await write_status(env, resource, owner, status)
        raise


async def trim(env: Env, owner: Obj, history: History, live: Collection[str]) -> None:
    """Delete the oldest revisions over revisionHistoryLimit; those in `live` (names) are in use."""
    limit = owner["spec"].get("revisionHistoryLimit", 10)
    idle = [r for r in history.revisions if meta.name(r) not in live and r is not history.update]
    for revision in idle[: max(0, len(idle) - limit)]:
        await remove(env, REVISIONS, revision)
