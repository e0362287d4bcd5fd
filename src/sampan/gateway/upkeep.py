"""Keeps objects of our own making as we want them, and leaves what others changed of them alone."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import orjson

from sampan.api import meta
from sampan.api.meta import Obj
from sampan.api.status import ApiError
from sampan.client.types import Client

MADE_OF = "sampan.io/made-of"  # a hash of what we last wrote: another one means that we want something else now
_UNCHANGING = ("replicas",)  # decided once; `kubectl scale` may say otherwise


async def ensure(client: Client, wanted: Iterable[tuple[str, Obj]]) -> None:
    """Create what is missing and bring up to date what we want otherwise than before. Raises ApiError."""
    for resource, obj in wanted:
        await _one(client, resource, marked(obj))


def marked(obj: Obj) -> Obj:
    """The object with its own hash."""
    digest = hashlib.sha256(orjson.dumps(obj, option=orjson.OPT_SORT_KEYS)).hexdigest()[:16]
    metadata = obj["metadata"]
    return obj | {"metadata": metadata | {"annotations": {**metadata.get("annotations", {}), MADE_OF: digest}}}


async def _one(client: Client, resource: str, obj: Obj) -> None:
    name, namespace = meta.name(obj), meta.namespace(obj)
    try:
        present = await client.get(resource, name, namespace)
    except ApiError as error:
        if error.code != 404:
            raise
        await client.create(resource, obj)
        return
    if meta.annotations(present).get(MADE_OF) == meta.annotations(obj)[MADE_OF]:
        return
    if meta.deleting(present):
        return  # it comes again when it is gone
    await client.patch(resource, name, namespace, _changes(obj))


def _changes(obj: Obj) -> Obj:
    """A merge patch: everything but identity and what is decided only once."""
    kept = {k: v for k, v in obj.items() if k not in ("apiVersion", "kind", "metadata", "type")}
    if "spec" in kept:
        kept["spec"] = {k: v for k, v in kept["spec"].items() if k not in _UNCHANGING}
    metadata = {k: v for k, v in obj["metadata"].items() if k in ("labels", "annotations")}
    return kept | {"metadata": metadata}
