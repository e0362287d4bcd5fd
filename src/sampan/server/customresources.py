"""Custom resources: the established CustomResourceDefinitions of the store become rows of the scheme.

Source: k8s.io/apiextensions-apiserver/pkg/apiserver/customresource_handler.go
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import orjson

from sampan.api import meta
from sampan.api.crd.resource import resources, version_order
from sampan.api.kinds.customresourcedefinition import ID
from sampan.api.meta import Obj
from sampan.api.scheme import Resource
from sampan.base import log
from sampan.base.errors import Compacted
from sampan.server.registry import Registry

_log = log.get("customresources")
# While its definition goes, a resource can only be read and deleted.
_LEAVING = ("delete", "deletecollection", "get", "list", "watch")


class _Source:
    """The bytes a definition's schemas are read from, when somebody needs them."""

    __slots__ = ("value",)

    def __init__(self, value: bytes) -> None:
        self.value = value

    def schema(self, version: str) -> Obj:
        """openAPIV3Schema of a version, a copy of one's own."""
        spec = orjson.loads(self.value)["spec"]
        found: Obj = next(v["schema"]["openAPIV3Schema"] for v in spec["versions"] if v["name"] == version)
        return found


class _Served(NamedTuple):
    stamp: Any
    source: _Source
    rows: list[Resource]


class CustomResources:
    """`load` once before serving, then `run` as a task."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._prefix = registry.binding(ID).prefix
        self._served: dict[str, _Served] = {}
        self._read: int | None = None

    def load(self) -> int:
        """Serve what the store defines now; returns the revision that was read."""
        store = self._registry.store
        revision = store.revision
        records = {record.key: record for record in store.list(self._prefix)}
        self._served = {key: self._keep(key, record.value) for key, record in records.items()}
        self._publish()
        self._read = revision
        return revision

    async def run(self) -> None:
        """Follow the definitions from where they were read."""
        revision = self.load() if self._read is None else self._read
        while True:
            watch = self._registry.store.watch(self._prefix, revision)
            try:
                async for events in watch:
                    for event in events:
                        revision = event.record.revision
                        if event.deleted:
                            self._served.pop(event.record.key, None)
                        else:
                            self._served[event.record.key] = self._keep(event.record.key, event.record.value)
                    self._publish()
                return  # the store closed
            except Compacted:
                revision = self.load()
            finally:
                watch.close()

    def _keep(self, key: str, value: bytes) -> _Served:
        """The rows of a definition: those before when nothing that matters has changed, with all they have compiled."""
        crd = orjson.loads(value)
        stamp = _stamp(crd)
        before = self._served.get(key)
        if before is not None and before.stamp == stamp:
            before.source.value = value
            return before
        source = _Source(value)
        return _Served(stamp, source, _rows(crd, source))

    def _publish(self) -> None:
        rows = [row for served in self._served.values() for row in served.rows]
        rows.sort(key=lambda r: (r.group, version_order(r.version), r.plural))
        if [id(row) for row in rows] != [id(row) for row in self._registry.scheme.custom]:
            self._registry.scheme.serve(tuple(rows))


def _stamp(crd: Obj) -> Any:
    metadata, status = crd["metadata"], crd.get("status") or {}
    ready = meta.is_true(crd, "Established"), meta.deleting(crd)
    return metadata["uid"], metadata.get("generation"), status.get("acceptedNames"), ready


def _rows(crd: Obj, source: _Source) -> list[Resource]:
    if not meta.is_true(crd, "Established"):
        return []
    metadata = crd["metadata"]
    try:
        found = resources(crd, source.schema)
    except (KeyError, ValueError, TypeError) as error:
        # Only a store that was written by others can hold a definition that is not valid.
        _log.error("cannot serve %s: %s: %s", metadata["name"], type(error).__name__, error)
        return []
    verbs = _LEAVING if meta.deleting(crd) else None
    fingerprint = f"{metadata['uid']}/{metadata.get('generation')}"
    return [replace(r, fingerprint=fingerprint, verbs=verbs or r.verbs) for r in found]
