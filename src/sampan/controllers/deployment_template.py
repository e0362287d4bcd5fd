"""The pod template of a Deployment: which ReplicaSet runs it, and what the ReplicaSet made for it looks like. Pure."""

from __future__ import annotations

import zlib
from collections.abc import Iterable

import orjson

from sampan.api import meta
from sampan.api.meta import Obj
from sampan.controllers.deployment_rollout import (
    DESIRED,
    MAXIMUM,
    REVISION,
    REVISION_HISTORY,
    bounds,
    by_age,
    replicas,
    revision,
)

HASH = "pod-template-hash"
# No vowels and no digits that look like them: a hash never spells a word.
_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
_OWN = {
    "kubectl.kubernetes.io/last-applied-configuration",
    REVISION,
    REVISION_HISTORY,
    DESIRED,
    MAXIMUM,
    "deprecated.deployment.rollback.to",
}


def template_hash(template: Obj, collisions: int) -> str:
    """Up to ten safe letters that stand for this template; `collisions` (status.collisionCount) gives another one."""
    number = zlib.crc32(orjson.dumps([template, collisions], option=orjson.OPT_SORT_KEYS))
    return "".join(_ALPHABET[ord(digit) % len(_ALPHABET)] for digit in str(number))


def same_template(a: Obj, b: Obj) -> bool:
    """Are two templates equal but for the hash label?"""
    return _plain(a) == _plain(b)


def _plain(template: Obj) -> Obj:
    metadata = {k: v for k, v in (template.get("metadata") or {}).items() if v}
    labels = {k: v for k, v in metadata.get("labels", {}).items() if k != HASH}
    return {"metadata": metadata | {"labels": labels}, "spec": template["spec"]}


def find_new(deployment: Obj, sets: Iterable[Obj]) -> Obj | None:
    """The ReplicaSet with the Deployment's present template; the oldest if there are several."""
    template = deployment["spec"]["template"]
    return next((rs for rs in by_age(sets) if same_template(rs["spec"]["template"], template)), None)


def new_replicaset(deployment: Obj, size: int, olds: list[Obj]) -> Obj:
    """The ReplicaSet to create for the present template."""
    spec = deployment["spec"]
    suffix = template_hash(spec["template"], (deployment.get("status") or {}).get("collisionCount", 0))
    template = meta.copy(spec["template"])
    template.setdefault("metadata", {}).setdefault("labels", {})[HASH] = suffix
    selector = meta.copy(spec["selector"])
    selector["matchLabels"] = {**(selector.get("matchLabels") or {}), HASH: suffix}
    rs: Obj = {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {
            "name": f"{meta.name(deployment)}-{suffix}",
            "namespace": meta.namespace(deployment),
            "labels": dict(template["metadata"]["labels"]),
            "annotations": set_annotations(deployment, {}, next_revision(olds)),
            "ownerReferences": [meta.owner_reference(deployment)],
        },
        "spec": {"replicas": size, "selector": selector, "template": template},
    }
    if spec.get("minReadySeconds"):
        rs["spec"]["minReadySeconds"] = spec["minReadySeconds"]
    return rs


def next_revision(olds: Iterable[Obj]) -> int:
    return max((revision(rs) for rs in olds), default=0) + 1


def set_annotations(deployment: Obj, present: dict[str, str], number: int) -> dict[str, str]:
    """Annotations of the new ReplicaSet: the Deployment's, the sizes, and its revision.

    A ReplicaSet that comes back (`rollout undo`) gets a new revision and remembers the former ones.
    """
    result = present | {k: v for k, v in meta.annotations(deployment).items() if k not in _OWN}
    result |= size_annotations(deployment)
    former = int(present.get(REVISION) or 0)
    if former < number:
        result[REVISION] = str(number)
        if former:
            history = present.get(REVISION_HISTORY)
            result[REVISION_HISTORY] = f"{history},{former}" if history else str(former)
    return result


def size_annotations(deployment: Obj) -> dict[str, str]:
    surge, _ = bounds(deployment)
    return {DESIRED: str(replicas(deployment)), MAXIMUM: str(replicas(deployment) + surge)}
