"""The client contract: what every part of sampan (and nothing else) uses to talk to a Kubernetes API.

Resources are strings as kubectl writes them ("pods", "deployments.apps"). Objects are dicts and read-only once
received. All verbs raise `api.status.ApiError`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from sampan.api.meta import Obj

MERGE = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
JSON = "application/json-patch+json"


class Page(NamedTuple):
    """A list's items and the resourceVersion it was taken at."""

    items: list[Obj]
    revision: str


class WatchEvent(NamedTuple):
    """`type` is ADDED, MODIFIED, DELETED or BOOKMARK."""

    type: str
    object: Obj


@dataclass(frozen=True)
class Preconditions:
    """A write goes through only when the object still has this uid / resourceVersion."""

    uid: str = ""
    revision: str = ""


UNCONDITIONAL = Preconditions()


class Client(Protocol):
    """LocalClient (in the server's process) and HttpClient (any Kubernetes API) implement it."""

    async def get(self, resource: str, name: str, namespace: str = "") -> Obj: ...

    async def list(self, resource: str, namespace: str = "", *, labels: str = "", fields: str = "") -> Page: ...

    def watch(
        self, resource: str, namespace: str = "", *, after: str, labels: str = "", fields: str = ""
    ) -> AsyncIterator[WatchEvent]:
        """Events after a resourceVersion. Ends when the server ends it (resume from the last seen revision);
        raises ApiError 410 when `after` is too old (list again). Close with `aclose()`."""
        ...

    async def create(self, resource: str, obj: Obj, *, subresource: str = "") -> Obj:
        """`subresource`: of the object that the metadata name, as "token" of a service account."""
        ...

    async def update(self, resource: str, obj: Obj) -> Obj: ...

    async def update_status(self, resource: str, obj: Obj) -> Obj: ...

    async def patch(
        self, resource: str, name: str, namespace: str, patch: Any, *, kind: str = MERGE, subresource: str = ""
    ) -> Obj: ...

    async def delete(
        self,
        resource: str,
        name: str,
        namespace: str = "",
        *,
        grace: int | None = None,
        propagation: str = "",
        preconditions: Preconditions = UNCONDITIONAL,
    ) -> Obj: ...

    async def stream(
        self, resource: str, name: str, namespace: str, subresource: str, query: dict[str, str] | None = None
    ) -> AsyncIterator[bytes]:
        """A subresource that answers with bytes: `log`."""
        ...

    async def close(self) -> None: ...
