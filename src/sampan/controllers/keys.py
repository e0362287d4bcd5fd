"""The plainest ways from a changed object to the keys it concerns, for the `watches` of a row."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from sampan.api import meta, selectors
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


def owners(resource: str, kind: str) -> Callable[[Obj, Mapping[str, Cache]], Iterable[Key]]:
    """The object of this kind that controls the changed one, or those that may adopt it."""

    def changed(obj: Obj, caches: Mapping[str, Cache]) -> Iterable[Key]:
        reference = meta.controller_of(obj)
        if reference is not None:
            return (Key(meta.namespace(obj), reference["name"]),) if reference["kind"] == kind else ()
        labels = meta.labels(obj)
        candidates = caches[resource].list(meta.namespace(obj))
        return [meta.key(c) for c in candidates if selectors.of_workload(c).matches(labels)]

    return changed
