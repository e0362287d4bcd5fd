"""The plainest ways from a changed object to the keys it concerns, for the `watches` of a row."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from sampan.api import meta
from sampan.api.meta import Key, Obj
from sampan.client.env import Cache


def own_key(obj: Obj, caches: Mapping[str, Cache]) -> Iterable[Key]:
    """The object itself."""
    return (meta.key(obj),)


def no_key(obj: Obj, caches: Mapping[str, Cache]) -> Iterable[Key]:
    """Nobody: the resource is only read."""
    return ()


def namespace_key(obj: Obj, caches: Mapping[str, Cache]) -> Iterable[Key]:
    """The object's namespace."""
    return (Key("", meta.namespace(obj)),)
