"""The Client over HTTP: any Kubernetes API. Source: https://kubernetes.io/docs/reference/using-api/api-concepts/"""

from __future__ import annotations

import ssl
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import orjson

from sampan.api import meta, status
from sampan.api.meta import Obj
from sampan.api.scheme import Scheme
from sampan.api.status import ApiError
from sampan.base.http.client import ClientResponse, StreamResponse
from sampan.base.http.client import HttpClient as Transport
from sampan.client.types import MERGE, UNCONDITIONAL, Page, Preconditions, WatchEvent

_JSON = ("content-type", "application/json")
# Seconds after which a watch is to end and come back, so that a silently dead one is noticed.
_WATCH_SECONDS = 600


class HttpClient:
    """Implements `Client`. `base_url`: "https://host:port" or "unix:/path"; `scheme` tells each resource's path.

    Credentials: a bearer `token`, or a client certificate (`cert_file`, `key_file`). An unreachable server is an
    ApiError 503. Raises OSError or ssl.SSLError when a file cannot be read.
    """

    def __init__(
        self,
        base_url: str,
        scheme: Scheme,
        *,
        ca_file: str | Path | None = None,
        cert_file: str | Path | None = None,
        key_file: str | Path | None = None,
        token: str = "",
        user_agent: str = "sampan",
    ) -> None:
        self._scheme = scheme
        headers = [("accept", "application/json"), ("user-agent", user_agent)]
        if token:
            headers.append(("authorization", f"Bearer {token}"))
        context = None
        if base_url.startswith("https:"):
            context = ssl.create_default_context(cafile=ca_file)
            if cert_file:
                context.load_cert_chain(cert_file, key_file)
        self._transport = Transport(base_url, context, headers=headers)

    async def get(self, resource: str, name: str, namespace: str = "") -> Obj:
        return await self._call("GET", self._path(resource, namespace, name))

    async def list(self, resource: str, namespace: str = "", *, labels: str = "", fields: str = "") -> Page:
        query = {"labelSelector": labels, "fieldSelector": fields}
        body = await self._call("GET", self._path(resource, namespace), query)
        kind = {"apiVersion": body["apiVersion"], "kind": body["kind"].removesuffix("List")}
        # Items of a list may come without their own kind (as Kubernetes writes them): all code relies on it.
        items = [item if "kind" in item else kind | item for item in body.get("items") or ()]
        return Page(items, body["metadata"]["resourceVersion"])

    async def watch(
        self, resource: str, namespace: str = "", *, after: str, labels: str = "", fields: str = ""
    ) -> AsyncIterator[WatchEvent]:
        query = {
            "watch": "true",
            "resourceVersion": after,
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(_WATCH_SECONDS),
            "labelSelector": labels,
            "fieldSelector": fields,
        }
        response = await self._open("GET", self._path(resource, namespace), query)
        async with aclosing(_lines(response)) as lines:
            async for line in lines:
                event = orjson.loads(line)
                if event["type"] == "ERROR":
                    raise _error(event["object"].get("code", 500), event["object"], line)
                yield WatchEvent(event["type"], event["object"])

    async def create(self, resource: str, obj: Obj, *, subresource: str = "") -> Obj:
        name = meta.name(obj) if subresource else ""
        return await self._call("POST", self._path(resource, self._home(resource, obj), name, subresource), body=obj)

    async def update(self, resource: str, obj: Obj) -> Obj:
        return await self._call("PUT", self._path(resource, self._home(resource, obj), meta.name(obj)), body=obj)

    async def update_status(self, resource: str, obj: Obj) -> Obj:
        path = self._path(resource, self._home(resource, obj), meta.name(obj), "status")
        return await self._call("PUT", path, body=obj)

    async def patch(
        self, resource: str, name: str, namespace: str, patch: Any, *, kind: str = MERGE, subresource: str = ""
    ) -> Obj:
        return await self._call("PATCH", self._path(resource, namespace, name, subresource), body=patch, kind=kind)

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
        options: Obj = {"apiVersion": "v1", "kind": "DeleteOptions"}
        if grace is not None:
            options["gracePeriodSeconds"] = grace
        if propagation:
            options["propagationPolicy"] = propagation
        wanted = {"uid": preconditions.uid, "resourceVersion": preconditions.revision}
        if any(wanted.values()):
            options["preconditions"] = {k: v for k, v in wanted.items() if v}
        return await self._call("DELETE", self._path(resource, namespace, name), body=options)

    async def stream(
        self, resource: str, name: str, namespace: str, subresource: str, query: dict[str, str] | None = None
    ) -> AsyncIterator[bytes]:
        response = await self._open("GET", self._path(resource, namespace, name, subresource), query or {})
        return _chunks(response)

    async def close(self) -> None:
        await self._transport.close()

    # -- inside

    def _home(self, resource: str, obj: Obj) -> str:
        found = self._scheme.by_id.get(resource)
        return meta.namespace(obj) or ("default" if found is not None and found.namespaced else "")

    def _path(self, resource: str, namespace: str, name: str = "", subresource: str = "") -> str:
        found = self._scheme.by_id.get(resource)
        if found is None:
            raise status.not_found(resource, name)
        root = f"/apis/{found.group}/{found.version}" if found.group else f"/api/{found.version}"
        within = f"/namespaces/{quote(namespace, safe='')}" if namespace and found.namespaced else ""
        tail = "".join(f"/{quote(part, safe='')}" for part in (name, subresource) if part)
        return f"{root}{within}/{found.plural}{tail}"

    async def _call(
        self, method: str, path: str, query: dict[str, str] | None = None, body: Any = None, kind: str = ""
    ) -> Obj:
        headers = [("content-type", kind) if kind else _JSON] if body is not None else []
        data = b"" if body is None else body if isinstance(body, bytes) else orjson.dumps(body)
        try:
            response = await self._transport.request(method, _target(path, query or {}), headers, data)
        except (ConnectionError, TimeoutError, ssl.SSLError) as error:
            raise status.unavailable(_why(self._transport.base, error)) from error
        return _decode(response)

    async def _open(self, method: str, path: str, query: dict[str, str]) -> StreamResponse:
        try:
            response = await self._transport.stream(method, _target(path, query))
            if response.status >= 300:
                _decode(ClientResponse(response.status, response.headers, await response.read()))
        except (ConnectionError, TimeoutError, ssl.SSLError) as error:
            raise status.unavailable(_why(self._transport.base, error)) from error
        return response


def _target(path: str, query: dict[str, str]) -> str:
    text = urlencode({k: v for k, v in query.items() if v})
    return f"{path}?{text}" if text else path


def _why(base: str, error: Exception) -> str:
    return str(error) or f"{base} did not answer in time"


def _decode(response: ClientResponse) -> Obj:
    try:
        body: Any = orjson.loads(response.body) if response.body else {}
    except orjson.JSONDecodeError:
        body = {}
    if response.status >= 300:
        raise _error(response.status, body, response.body)
    result: Obj = body
    return result


def _error(code: int, body: Obj, raw: bytes) -> ApiError:
    """The Status the server sent, or what can be said of an answer that is none."""
    if body.get("kind") == "Status":
        return ApiError(code, body.get("reason", ""), body.get("message", ""), body.get("details"))
    text = raw.decode(errors="replace").strip()[:500]
    return ApiError(code, "", f"the server answered {code}: {text or 'nothing'}")


async def _chunks(response: StreamResponse) -> AsyncGenerator[bytes, None]:
    """The body as it comes, with a broken connection as an ApiError."""
    try:
        async with aclosing(aiter(response)) as chunks:
            async for chunk in chunks:
                yield chunk
    except ConnectionError as error:
        raise status.unavailable(str(error)) from error


async def _lines(response: StreamResponse) -> AsyncGenerator[bytes, None]:
    """Whole lines of a body; what follows the last line break is incomplete and dropped."""
    rest: list[bytes] = []
    async with aclosing(_chunks(response)) as chunks:
        async for chunk in chunks:
            first, *others = chunk.split(b"\n")
            rest.append(first)
            for part in others:
                if line := b"".join(rest):
                    yield line
                rest = [part]
