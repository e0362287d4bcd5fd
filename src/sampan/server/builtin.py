"""The definitions of `api.builtin` in the store: made when missing, renewed while they are ours, else let alone.

They are written as they will be served, with their status, all in one transaction: nothing has to wait for a controller
to establish them. That they are valid is a matter of the tests.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from uuid import UUID

import orjson

from sampan.api import builtin, meta
from sampan.api.crd.names import status_of
from sampan.api.kinds.customresourcedefinition import ID
from sampan.api.meta import Obj
from sampan.base.errors import Conflict
from sampan.server import audit, metadata
from sampan.server.registry import Registry

# The label says which text a definition was made from, the annotation which generation of it that was: a later one is
# somebody else's.
MARK, WRITTEN = "sampan.io/builtin", "sampan.io/builtin-generation"


async def ensure(registry: Registry, chance: random.Random) -> None:
    """Put into the store what is not there or not up to date. Raises StoreError."""
    stale = dict(_stale(registry))
    if not stale:
        return
    present = registry.scan(ID)
    fresh: list[Obj] = []
    for name, (group, old) in stale.items():
        others = [crd for crd in [*present, *fresh] if meta.name(crd) != name]
        fresh.append(_crd(registry, group, name, old, others, chance))
    await asyncio.gather(*(_write(registry, crd, stale[meta.name(crd)][1]) for crd in fresh))


def _stale(registry: Registry) -> Iterator[tuple[str, tuple[builtin.Group, Obj | None]]]:
    for group in builtin.GROUPS:
        for name in group.names:
            old = registry.lookup(ID, name)
            if old is None or (_ours(old) and meta.labels(old)[MARK] != group.fingerprint):
                yield name, (group, old)


def _ours(crd: Obj) -> bool:
    """Did nobody change what it says since we wrote it?"""
    generation = str(crd["metadata"].get("generation"))
    untouched = meta.annotations(crd).get(WRITTEN) == generation and not meta.deleting(crd)
    return MARK in meta.labels(crd) and untouched


def _crd(
    registry: Registry, group: builtin.Group, name: str, old: Obj | None, others: list[Obj], chance: random.Random
) -> Obj:
    binding, now = registry.binding(ID), registry.clock.now()
    crd = meta.copy(group.definitions()[name])
    about = crd["metadata"]
    if old is None:
        uid = UUID(int=chance.getrandbits(128), version=4)
        metadata.stamp(binding.resource, about, uid, now, chance.choice)
    else:
        about |= {**old["metadata"], "generation": old["metadata"]["generation"] + 1}
        crd["status"] = old["status"]
    about["labels"] = {**meta.labels(crd), MARK: group.fingerprint}
    about["annotations"] = {**meta.annotations(crd), WRITTEN: str(about["generation"])}
    binding.resource.strategy.default(crd)
    crd["status"] = status_of(crd, others, meta.timestamp(now))
    return crd


async def _write(registry: Registry, crd: Obj, old: Obj | None) -> None:
    binding = registry.binding(ID)
    revision = int(old["metadata"]["resourceVersion"]) if old is not None else 0
    value = binding.encode(crd, _owners(registry, crd, old))
    try:
        await registry.store.put(binding.key("", meta.name(crd)), value, revision, None, audit.author())
    except Conflict:  # somebody was faster: it is theirs now
        return
    binding.writes += 1


def _owners(registry: Registry, crd: Obj, old: Obj | None) -> bytes:
    """We own our marks and nothing else: a server-side apply of the upstream definition meets no conflict."""
    marks: Obj = {"f:labels": {f"f:{MARK}": {}}, "f:annotations": {f"f:{WRITTEN}": {}}}
    entry = {
        "manager": "sampan",
        "operation": "Apply",
        "apiVersion": crd["apiVersion"],
        "time": meta.timestamp(registry.clock.now()),
        "fieldsType": "FieldsV1",
        "fieldsV1": {"f:metadata": marks},
    }
    before = registry.get(ID, meta.name(crd)).owners if old is not None else []
    others = [one for one in before if one.get("manager") != "sampan"]
    return orjson.dumps([entry, *others], option=orjson.OPT_SORT_KEYS)
