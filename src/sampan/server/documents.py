"""The OpenAPI documents: /openapi/v3, /openapi/v3/apis/GROUP/VERSION, /openapi/v2.

Built when first asked for, then kept.

Source: https://kubernetes.io/docs/concepts/overview/kubernetes-api/#openapi-interface-definition
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256

import orjson

from sampan.api import openapi
from sampan.api.scheme import Scheme
from sampan.base.http.types import Request, Response
from sampan.server.answer import JSON

_V2, _V3 = "/openapi/v2", "/openapi/v3"
_PROTOBUF = "proto-openapi.spec.v2"


class Documents:
    """Bytes and ETags by path and form."""

    def __init__(self, scheme: Scheme) -> None:
        self._scheme = scheme
        self._forget()
        scheme.changed.append(self._forget)

    def _forget(self) -> None:
        self._kept: dict[str, tuple[bytes, str]] = {}
        self._groups = {f"{_V3}/{openapi.root(r)}": openapi.root(r) for r in self._scheme.resources}

    def paths(self) -> list[str]:
        return [_V2, _V3, *self._groups]

    def answer(self, request: Request, path: str) -> Response | None:
        """The document at `path`, None when there is none."""
        if path == _V2:
            return self._v2(request)
        if path == _V3:
            return self._send(request, path, lambda: orjson.dumps(openapi.index(self._scheme)), JSON[1])
        group = self._groups.get(path)
        if group is None:
            return None
        found = self._send(request, path, lambda: orjson.dumps(openapi.v3(self._scheme, group)), JSON[1])
        if "hash=" in request.query_string:
            # The address names the content, so it never has to be asked for again.
            found.headers.append(("cache-control", "public, immutable"))
            found.headers.append(("expires", "Thu, 31 Dec 2037 23:59:59 GMT"))
        return found

    def _v2(self, request: Request) -> Response:
        if _PROTOBUF not in request.headers.get("accept", ""):
            return self._send(request, _V2, lambda: orjson.dumps(openapi.v2(self._scheme)), JSON[1])
        from sampan.api import openapi_v2_proto  # only kubectl wants this form

        return self._send(
            request,
            f"{_V2}+protobuf",
            lambda: openapi_v2_proto.encode(openapi.v2(self._scheme)),
            openapi_v2_proto.CONTENT_TYPE,
        )

    def _send(self, request: Request, key: str, build: Callable[[], bytes], kind: str) -> Response:
        if key not in self._kept:
            body = build()
            self._kept[key] = body, f'"{sha256(body).hexdigest().upper()}"'
        body, etag = self._kept[key]
        headers = [("etag", etag), ("vary", "Accept-Encoding, Accept")]
        if request.headers.get("if-none-match") == etag:
            return Response(304, b"", headers)
        return Response(200, body, [("content-type", kind), *headers])
