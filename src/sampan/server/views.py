"""A resource that shows the objects of another one in another form: one storage, one revision, two names."""

from __future__ import annotations

from typing import Any

import orjson

from sampan.api.meta import Obj
from sampan.api.scheme import Resource, View
from sampan.server.binding import Binding
from sampan.server.types import Held
from sampan.store.types import Record


class ViewBinding(Binding):
    """With a record stays the form that is kept; this one is made anew for each reader, for few read it."""

    __slots__ = ("_kept", "_view")

    converts = True  # what is written goes through `stored`

    def __init__(self, resource: Resource, view: View) -> None:
        super().__init__(resource)
        self._view = view
        self._kept = Binding(view.of)
        self.prefix = self._kept.prefix

    def held(self, record: Record) -> Held:
        return self._shown(self._kept.held(record), record.revision)

    def again(self, record: Record, revision: int) -> Held:
        return self._shown(self._kept.again(record, revision), revision)

    def keep(self, value: bytes, revision: int, obj: Obj, managed: bytes) -> Any:
        kept = self._view.keep(obj)
        return self._kept.hold(self._kept.encode(kept, managed), revision, kept, managed)

    async def stored(self, value: bytes) -> bytes:
        obj = orjson.loads(value)
        owners = obj["metadata"].pop("managedFields", None)
        managed = orjson.dumps(owners, option=orjson.OPT_SORT_KEYS) if owners else b""
        return self._kept.encode(self._view.keep(obj), managed)

    def _shown(self, kept: Held, revision: int) -> Held:
        obj = self._view.show(kept.obj)
        return self.hold(self.encode(obj, kept.managed), revision, obj, kept.managed)
