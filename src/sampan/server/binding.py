"""A resource of the scheme bound to its place in the store: keys, and the bytes an object is kept as.

Key: `/registry/GROUP/PLURAL/[NAMESPACE/]NAME`, GROUP `core` for the legacy group. A stored value has no
resourceVersion (it is the record's revision); `hold` splices it into the bytes, so nothing is encoded twice.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import orjson

from sampan.api.managedfields.schema import of_definition, of_object
from sampan.api.managedfields.types import Type
from sampan.api.meta import Obj
from sampan.api.scheme import Resource
from sampan.server.types import Bulky, Held
from sampan.store.types import Record

_MANAGED = b'"managedFields":'


class Binding:
    """`graceful`: deleting waits for the node, as pods do. `writes` counts them: who derives something knows when.

    `structure`: how the fields of its objects are owned and merged.
    """

    __slots__ = ("_head", "_lead", "_structure", "graceful", "id", "prefix", "resource", "writes")

    def __init__(self, resource: Resource) -> None:
        self.resource = resource
        self.writes = 0
        self.id = resource.id
        self.prefix = f"/registry/{resource.group or 'core'}/{resource.plural}/"
        self.graceful = resource.id == "pods"
        self._structure: Type | None = None
        self._lead = {"apiVersion": resource.api_version, "kind": resource.kind}
        self._head = orjson.dumps(self._lead)[:-1] + b',"metadata":{'

    @property
    def structure(self) -> Type:
        """Made when first needed: it reads the schema of a custom resource."""
        if self._structure is None:
            self._structure = structure_of(self.resource)
        return self._structure

    def key(self, namespace: str, name: str) -> str:
        return f"{self.prefix}{namespace}/{name}" if self.resource.namespaced else self.prefix + name

    def under(self, namespace: str) -> str:
        """The prefix of all keys of a namespace ("" is all of them)."""
        return f"{self.prefix}{namespace}/" if namespace and self.resource.namespaced else self.prefix

    def encode(self, obj: Obj, managed: bytes = b"") -> bytes:
        """The bytes to store: apiVersion, kind, metadata (managedFields first) first; no resourceVersion."""
        metadata = obj["metadata"]
        if "resourceVersion" in metadata:
            metadata = {k: v for k, v in metadata.items() if k != "resourceVersion"}
        rest = {k: v for k, v in obj.items() if k not in ("apiVersion", "kind", "metadata")}
        data = orjson.dumps({**self._lead, "metadata": metadata, **rest})
        return b"%b%b%b,%b" % (self._head, _MANAGED, managed, data[len(self._head) :]) if managed else data

    def hold(self, value: bytes, revision: int, obj: Obj | None = None, managed: bytes | None = None) -> Held:
        """The object as readers see it at a revision. `obj` and `managed`: what `value` was encoded from."""
        size = len(self._head)
        data = b'%b"resourceVersion":"%d",%b' % (self._head, revision, value[size:])
        if obj is not None:
            obj = {**self._lead, **obj, "metadata": {**obj["metadata"], "resourceVersion": str(revision)}}
        make = Bulky if self.resource.bulky else Held
        if managed is None:
            return make(data, obj)
        start = len(data) - len(value) + size + len(_MANAGED) if managed else 0
        return make(data, obj, (start, start + len(managed)))

    def held(self, record: Record) -> Held:
        """The decoded form kept with a record."""
        if record.held is None:
            record.held = self.hold(record.value, record.revision)
        held: Held = record.held
        return held

    # -- what the versions of a custom resource do in their own way (`conversion.VersionedBinding`)

    converts = False

    async def ready(self, records: Iterable[Record]) -> None:
        """Make ready what `held` will read. Raises ApiError 500."""

    def keep(self, value: bytes, revision: int, obj: Obj, managed: bytes) -> Any:
        """What is kept with a record just written; the parameters as those of `hold`."""
        return self.hold(value, revision, obj, managed)

    async def stored(self, value: bytes) -> bytes:
        """Encoded bytes as the store keeps them. Raises ApiError 500."""
        return value

    def again(self, record: Record, revision: int) -> Held:
        """The object of a record as if it were of a later revision."""
        return self.hold(record.value, revision)


def structure_of(resource: Resource) -> Type:
    """A custom resource brings its schema, all others have a definition."""
    return of_object(resource.schema) if resource.schema is not None else of_definition(resource.definition)
