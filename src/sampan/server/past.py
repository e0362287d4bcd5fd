"""The past over HTTP: who changed an object when, and which revision a moment was.

    GET /apis/sampan.io/v1/history?resource=deployments.apps&namespace=NS&name=NAME[&limit=N]
    GET /apis/sampan.io/v1/revision?time=RFC3339

Lists of the past need no address of their own: they are `?resourceVersion=N&resourceVersionMatch=Exact`.
"""

from __future__ import annotations

from typing import Any

import orjson

from sampan.api import meta
from sampan.api.fields import quote
from sampan.api.status import ApiError, bad_request, forbidden, not_found
from sampan.base.http.types import Request, Response
from sampan.server import answer, audit, negotiate
from sampan.server.authn import ANONYMOUS
from sampan.server.authz import Authorizer
from sampan.server.binding import Binding
from sampan.server.registry import Registry
from sampan.server.types import User
from sampan.store.types import Event, Record

PREFIX = "/apis/sampan.io/v1/"
_VERSION = {"apiVersion": "sampan.io/v1"}
# Writes in one answer, the newest ones.
_LIMIT = 500


class Past:
    def __init__(self, registry: Registry, authorizer: Authorizer) -> None:
        self._registry = registry
        self._authorizer = authorizer
        self._pages = {f"{PREFIX}history": self._history, f"{PREFIX}revision": self._revision}

    async def answer(self, request: Request, user: User) -> Response:
        """Raises ApiError 400, 403, 404, 405."""
        page = self._pages.get(request.path)
        if page is None:
            raise ApiError(404, "NotFound", "the server could not find the requested resource")
        if request.method != "GET":
            raise ApiError(405, "MethodNotAllowed", "the past can be read, not written")
        return answer.compressed(request, await page(user, request.query))

    async def _history(self, user: User, query: negotiate.Query) -> Response:
        """Needs the permission to get the object. The newest writes, oldest first."""
        binding = self._registry.binding(negotiate.one(query, "resource"))
        namespace, name = negotiate.one(query, "namespace"), negotiate.one(query, "name")
        if not name or bool(namespace) != binding.resource.namespaced:
            raise bad_request("history wants a resource, a name and, for namespaced resources, a namespace")
        self._authorizer.check_resource(user, "get", binding.resource, "", namespace, name)
        events = await self._registry.store.versions(binding.key(namespace, name))
        if not events:
            raise not_found(binding.id, name)
        limit = negotiate.integer(query, "limit") or _LIMIT
        items = [_shown(binding, event) for event in events[-min(max(limit, 1), _LIMIT) :]]
        return answer.json(200, {**_VERSION, "kind": "History", "total": len(events), "items": items})

    async def _revision(self, user: User, query: negotiate.Query) -> Response:
        """The newest revision at a moment; 0 when nothing of that time is kept."""
        if user is ANONYMOUS:
            raise forbidden("revision.sampan.io", "", f"User {quote(user.name)} cannot ask for revisions")
        text = negotiate.one(query, "time")
        try:
            moment = _seconds(text)
        except (ValueError, OverflowError):
            raise bad_request(f"time: Invalid value: {quote(text)}: must be a time as RFC 3339 writes it") from None
        revision = await self._registry.store.revision_at(moment)
        return answer.json(200, {**_VERSION, "kind": "Revision", "revision": revision})


def _seconds(text: str) -> float:
    moment = meta.parse_time(text)
    if moment.tzinfo is None:
        raise ValueError("a time without its zone is many times")
    return moment.timestamp()


def _shown(binding: Binding, event: Event) -> dict[str, Any]:
    record = event.record
    kind = "DELETED" if event.deleted else "ADDED" if record.created == record.revision else "MODIFIED"
    shown = {"revision": record.revision, "time": event.at, "type": kind, "author": audit.read(event.author)}
    if not event.deleted:
        shown["object"] = _object(binding, record)
    if event.previous is not None:
        shown["previous"] = _object(binding, event.previous)
    return shown


def _object(binding: Binding, record: Record) -> orjson.Fragment:
    return orjson.Fragment(binding.again(record, record.revision).bytes)
