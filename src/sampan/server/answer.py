"""Answers: an object's kept bytes, lists that join them, Tables, Status errors, warnings, gzip."""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import aclosing
from datetime import datetime
from typing import Any

import orjson

from sampan.api import table
from sampan.api.meta import Obj
from sampan.api.scheme import Resource
from sampan.api.status import ApiError, bad_request
from sampan.base.http.types import Request, Response
from sampan.server import watch
from sampan.server.negotiate import PLAIN, Shape
from sampan.server.types import Held, Listing

JSON = ("content-type", "application/json")
_TEXT = ("content-type", "text/plain; charset=utf-8")
_NOSNIFF = ("x-content-type-options", "nosniff")
# Events that are written at once: a client that does not read holds no more than these.
_PART = 64
# Characters of all warnings of one answer, as kube-apiserver has it: clients take only so much of a head.
_WARNING_ROOM = 4096
# Smaller answers are not worth compressing (kube-apiserver's own limit).
_GZIP_FROM = 128 * 1024


def json(status: int, body: Any, *headers: tuple[str, str]) -> Response:
    return Response(status, orjson.dumps(body), [JSON, *headers])


def text(status: int, body: str) -> Response:
    return Response(status, body.encode(), [_TEXT, _NOSNIFF])


def error(fault: ApiError) -> Response:
    headers = [JSON]
    if seconds := fault.details.get("retryAfterSeconds"):
        headers.append(("retry-after", str(seconds)))
    return Response(fault.code, orjson.dumps(fault.body()), headers)


def success(code: int, resource: str, name: str, uid: str = "") -> Response:
    """The Status of something that worked and has no object to show."""
    plural, _, group = resource.partition(".")
    details = {"name": name, "group": group, "kind": plural, "uid": uid}
    body = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}
    shown = {"details": {k: v for k, v in details.items() if v}} if name else {}
    return json(code, {**body, **shown})


def warn(response: Response, warnings: Iterable[str]) -> Response:
    """Add `Warning: 299` headers (RFC 7234), which kubectl prints; as many as a client may be expected to take."""
    room = _WARNING_ROOM
    for line in dict.fromkeys(warnings):
        room -= len(line)
        if room < 0:
            break
        quoted = line.replace("\\", "\\\\").replace('"', '\\"').replace("\n", " ")
        response.headers.append(("warning", f'299 - "{quoted}"'))
    return response


def compressed(request: Request, response: Response) -> Response:
    """The response, gzipped when it is large and the client takes it."""
    if len(response.body) < _GZIP_FROM or "gzip" not in request.headers.get("accept-encoding", ""):
        return response
    packer = zlib.compressobj(1, zlib.DEFLATED, 31)
    body = packer.compress(response.body) + packer.flush()
    return Response(
        response.status, body, [*response.headers, ("content-encoding", "gzip"), ("vary", "Accept-Encoding")]
    )


def one(resource: Resource, held: Held, shape: Shape, include: str, now: datetime, status: int = 200) -> Response:
    """One object in the shape asked for."""
    if shape is PLAIN:
        return Response(status, held.bytes, [JSON])
    if shape.kind == "Table":
        metadata = {"resourceVersion": held.obj["metadata"]["resourceVersion"]}
        return json(status, _table(resource, [held], now, include, shape, metadata))
    return json(status, _partial(held, shape))


def many(resource: Resource, found: Listing, shape: Shape, include: str, now: datetime) -> Response:
    """A list in the shape asked for."""
    metadata: Obj = {"resourceVersion": found.revision}
    if found.next:
        metadata["continue"] = found.next
        if found.remaining is not None:
            metadata["remainingItemCount"] = found.remaining
    if shape.kind == "Table":
        return json(200, _table(resource, found.items, now, include, shape, metadata))
    if shape is PLAIN:
        head = {"kind": f"{resource.kind}List", "apiVersion": resource.api_version, "metadata": metadata}
        items = b",".join([held.bytes for held in found.items])
        return Response(200, b'%b,"items":[%b]}\n' % (orjson.dumps(head)[:-1], items), [JSON])
    version = f"meta.k8s.io/{shape.version}"
    items_partial = [_partial(held, shape) for held in found.items]
    return json(
        200, {"kind": "PartialObjectMetadataList", "apiVersion": version, "metadata": metadata, "items": items_partial}
    )


async def events(
    resource: Resource, batches: AsyncIterator[watch.Batch], shape: Shape, include: str, now: Callable[[], datetime]
) -> AsyncIterator[bytes]:
    """A watch as lines on the wire; one that fails later ends with an ERROR event."""
    columns = True
    async with aclosing(batches) as source:  # type: ignore[type-var]
        try:
            async for batch in source:
                if shape is PLAIN:
                    for low in range(0, len(batch), _PART):
                        yield b"".join([watch.line(kind, held.bytes) for kind, held in batch[low : low + _PART]])
                    continue
                lines = []
                for kind, held in batch:
                    obj = _shown(resource, kind, held, shape, include, now(), columns)
                    columns = False
                    lines.append(watch.line(kind, orjson.dumps(obj)))
                yield b"".join(lines)
        except ApiError as fault:
            yield watch.line("ERROR", orjson.dumps(fault.body()))


def _shown(resource: Resource, kind: str, held: Held, shape: Shape, include: str, now: datetime, columns: bool) -> Obj:
    if shape.kind != "Table":
        return _partial(held, shape)
    metadata = {"resourceVersion": held.obj["metadata"]["resourceVersion"]}
    rows = [] if kind == "BOOKMARK" else [held]
    return _table(resource, rows, now, include, shape, metadata, columns)


def _table(
    resource: Resource,
    items: list[Held],
    now: datetime,
    include: str,
    shape: Shape,
    metadata: Obj,
    columns: bool = True,
) -> Obj:
    objects = (held.obj for held in items)
    try:
        return table.table(
            resource, objects, now, include=include, metadata=metadata, columns=columns, version=shape.version
        )
    except KeyError:
        raise bad_request(
            f'includeObject: Unsupported value: "{include}": supported values: "Metadata", "None", "Object"'
        ) from None


def _partial(held: Held, shape: Shape) -> Obj:
    found = {**table.partial(held.obj), "apiVersion": f"meta.k8s.io/{shape.version}"}
    if held.managed:
        found["metadata"] = {**found["metadata"], "managedFields": orjson.Fragment(held.managed)}
    return found
