"""Objects by what refers to them: a tuple for each key, the same one as long as its objects are the same."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from sampan.api import meta
from sampan.api.meta import Key, Obj
from sampan.gateway.gatewayapi.memo import same
from sampan.gateway.gatewayapi.names import GRANTS, GROUP, POLICIES, SETS
from sampan.gateway.types import Objects, Resources

_Groups = dict[Any, tuple[Obj, ...]]


def _namespace(obj: Obj) -> Iterable[Any]:
    yield meta.namespace(obj)


def _parent(obj: Obj) -> Iterable[Any]:
    parent = obj["spec"]["parentRef"]
    if (parent.get("group", GROUP), parent.get("kind", "Gateway")) == (GROUP, "Gateway"):
        yield Key(parent.get("namespace") or meta.namespace(obj), parent["name"])


def _services(obj: Obj) -> Iterable[Any]:
    for target in obj["spec"]["targetRefs"]:
        if (target.get("group", ""), target["kind"]) == ("", "Service"):
            yield Key(meta.namespace(obj), target["name"])


INDEXES: dict[str, tuple[str, Callable[[Obj], Iterable[Any]]]] = {
    f"of-namespace/{GRANTS}": (GRANTS, _namespace),
    f"of-gateway/{SETS}": (SETS, _parent),
    f"of-service/{POLICIES}": (POLICIES, _services),
}


@dataclass(slots=True)
class Indexes:
    """Keeps the last ones."""

    _groups: dict[str, _Groups] = field(default_factory=dict)

    def update(self, resources: Resources) -> dict[str, _Groups]:
        for name, (resource, keys) in INDEXES.items():
            self._groups[name] = _grouped(resources.of(resource), keys, self._groups.get(name, {}))
        return self._groups


def _grouped(objects: Objects, keys: Callable[[Obj], Iterable[Any]], before: _Groups) -> _Groups:
    made: dict[Any, list[Obj]] = {}
    for obj in objects.values():
        for key in dict.fromkeys(keys(obj)):
            made.setdefault(key, []).append(obj)
    return {key: _kept(tuple(found), before.get(key, ())) for key, found in made.items()}


def _kept(now: tuple[Obj, ...], before: tuple[Obj, ...]) -> tuple[Obj, ...]:
    return before if len(now) == len(before) and all(map(same, before, now)) else now
