"""The Client inside the server's process: the same registry that HTTP requests end at, without the bytes between.

Objects are shared with the server's cache, not copied: read-only, as all that a client hands out.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing
from typing import Any, Generic, Protocol, TypeVar

from sampan.api import status
from sampan.api.meta import Obj
from sampan.client.types import MERGE, UNCONDITIONAL, Page, Preconditions, WatchEvent

A = TypeVar("A", contravariant=True)
D = TypeVar("D", contravariant=True)


class Held(Protocol):
    @property
    def obj(self) -> Obj: ...


class Listing(Protocol):
    @property
    def items(self) -> Sequence[Held]: ...
    @property
    def revision(self) -> str: ...


class Deleted(Protocol):
    @property
    def held(self) -> Held: ...


class Registry(Protocol[A, D]):
    """What `server.registry.Registry` offers: A is its `watch.Asked`, D its `types.Deletion`."""

    def get(self, resource: str, name: str, namespace: str = "") -> Held: ...

    async def list(self, resource: str, namespace: str = "", *, labels: str = "", fields: str = "") -> Listing: ...

    def watch(self, resource: str, namespace: str = "", asked: A | None = None) -> AsyncIterator[Any]: ...

    async def create(self, resource: str, obj: Obj) -> Held: ...

    async def update(self, resource: str, obj: Obj) -> Held: ...

    async def update_status(self, resource: str, obj: Obj) -> Held: ...

    async def patch(
        self, resource: str, name: str, namespace: str, patch: Any, *, kind: str = MERGE, subresource: str = ""
    ) -> Held: ...

    async def delete(self, resource: str, name: str, namespace: str = "", asked: D | None = None) -> Deleted: ...


class LocalClient(Generic[A, D]):
    """Implements `Client`. `asked(after=, labels=, fields=, bookmarks=)` and `deletion(grace=, propagation=, uid=,
    revision=)` make the registry's own records: pass `watch.Asked` and `types.Deletion`."""

    def __init__(self, registry: Registry[A, D], asked: Callable[..., A], deletion: Callable[..., D]) -> None:
        self._registry = registry
        self._asked = asked
        self._deletion = deletion

    async def get(self, resource: str, name: str, namespace: str = "") -> Obj:
        return self._registry.get(resource, name, namespace).obj

    async def list(self, resource: str, namespace: str = "", *, labels: str = "", fields: str = "") -> Page:
        listing = await self._registry.list(resource, namespace, labels=labels, fields=fields)
        return Page([held.obj for held in listing.items], listing.revision)

    async def watch(
        self, resource: str, namespace: str = "", *, after: str, labels: str = "", fields: str = ""
    ) -> AsyncIterator[WatchEvent]:
        asked = self._asked(after=after, labels=labels, fields=fields, bookmarks=True)
        async with aclosing(self._registry.watch(resource, namespace, asked)) as batches:  # type: ignore[type-var]
            async for batch in batches:
                for kind, held in batch:
                    yield WatchEvent(kind, held.obj)

    async def create(self, resource: str, obj: Obj, *, subresource: str = "") -> Obj:
        if subresource:
            raise status.method_not_allowed(f"{resource}/{subresource} is served over HTTP only")
        return (await self._registry.create(resource, obj)).obj

    async def update(self, resource: str, obj: Obj) -> Obj:
        return (await self._registry.update(resource, obj)).obj

    async def update_status(self, resource: str, obj: Obj) -> Obj:
        return (await self._registry.update_status(resource, obj)).obj

    async def patch(
        self, resource: str, name: str, namespace: str, patch: Any, *, kind: str = MERGE, subresource: str = ""
    ) -> Obj:
        held = await self._registry.patch(resource, name, namespace, patch, kind=kind, subresource=subresource)
        return held.obj

    async def delete(
        self,
        resource: str,
        name: str,
        namespace: str = "",
        *,
        grace: int | None = None,
        propagation: str = "",
        preconditions: Preconditions = UNCONDITIONAL,
    ) -> Obj:
        asked = self._deletion(
            grace=grace, propagation=propagation, uid=preconditions.uid, revision=preconditions.revision
        )
        return (await self._registry.delete(resource, name, namespace, asked)).held.obj

    async def stream(
        self, resource: str, name: str, namespace: str, subresource: str, query: dict[str, str] | None = None
    ) -> AsyncIterator[bytes]:
        """Refused: these bytes come from a node's agent, through the API server's HTTP side."""
        raise status.method_not_allowed(f"{resource}/{subresource} is served over HTTP only")

    async def close(self) -> None:
        """Nothing to close: the registry belongs to the server."""
