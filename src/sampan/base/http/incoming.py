"""Bytes in, requests out: the reading half of a server connection, without I/O. Parsing is httptools' (llhttp)."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

import httptools

from sampan.base.http.types import Request, Response

TEXT = [("content-type", "text/plain")]


@dataclass(frozen=True)
class Limits:
    """Bytes of a request's body and of its head; `oversize` makes the answer to a body beyond.

    Each header counts 32 bytes beside its own: a million empty ones are no small head either.
    """

    body: int
    head: int
    oversize: Callable[[], Response]


class Job:
    """A request to answer, or (`request` None) an `answer` that is certain already.

    `keep`: another request may follow. `chunked`: the client knows chunked bodies (HTTP/1.1).
    """

    __slots__ = ("answer", "chunked", "keep", "request")

    def __init__(self, request: Request | None, answer: Response | None, keep: bool, chunked: bool) -> None:
        self.request = request
        self.answer = answer
        self.keep = keep
        self.chunked = chunked


# What a header costs beside its bytes (RFC 7541, 4.1, has the same figure).
_HEADER = 32


class _Refused(Exception):
    """Raised inside a parser callback to stop parsing; the answer is already queued."""


class Incoming:
    """`jobs` is what was read so far. `refused`: nothing after the last job will be read.

    `leftover`: bytes after a request that asks for an upgrade, None before one has come. `go_on` is called when a
    client waits for `100 Continue`.
    """

    def __init__(self, limits: Limits, peer: str, certificate: bytes | None, go_on: Callable[[], None]) -> None:
        self.jobs: deque[Job] = deque()
        self.refused = False
        self.leftover: bytes | None = None
        self._limits = limits
        self._peer = peer
        self._certificate = certificate
        self._go_on = go_on
        self._parser = httptools.HttpRequestParser(self)
        self._begin()

    def feed(self, data: bytes) -> None:
        if self.leftover is not None:
            self.leftover += data
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self.leftover = data[upgrade.args[0] :]
        except httptools.HttpParserError as error:
            if not self.refused:
                self._refuse(Response(400, f"malformed request: {error}\n".encode(), TEXT))
        else:
            self._check_head(data)

    def close(self) -> None:
        """No more bytes come. The parser knows us and we know it: without this both would wait for the collector."""
        del self._parser, self._go_on

    # -- parser events

    def _begin(self) -> None:
        self._target = b""
        self._headers: dict[str, str] = {}
        self._body: bytes | bytearray = b""
        self._head_size = 0
        self._head_done = False

    def on_url(self, part: bytes) -> None:
        self._target += part

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._head_done:
            return  # a trailer: nothing we serve has a meaning for it
        key = name.decode("latin-1").lower()
        text = value.decode("latin-1")
        before = self._headers.get(key)
        self._headers[key] = text if before is None else f"{before}, {text}"
        self._head_size += len(name) + len(value) + _HEADER
        if self._head_size > self._limits.head:
            self._stop(_head_too_large())

    def on_headers_complete(self) -> None:
        self._head_done = True
        if self._head_size + len(self._target) > self._limits.head:
            self._stop(_head_too_large())
        length = self._headers.get("content-length", "")
        if length and int(length) > self._limits.body:
            self._stop(self._limits.oversize())
        if self._headers.get("expect", "").lower() == "100-continue" and not self.jobs:
            self._go_on()

    def on_body(self, part: bytes) -> None:
        if not self._body:
            self._body = part
        else:
            if isinstance(self._body, bytes):
                self._body = bytearray(self._body)
            self._body += part
        if len(self._body) > self._limits.body:
            self._stop(self._limits.oversize())

    def on_message_complete(self) -> None:
        target = self._target.decode("latin-1")
        path, _, query = target.partition("?")
        if not path.startswith("/") and path != "*":
            path = urlsplit(path).path or "/"
        request = Request(
            method=self._parser.get_method().decode(),
            target=target,
            path=unquote(path) if "%" in path else path,
            query_string=query,
            headers=self._headers,
            body=bytes(self._body),
            peer=self._peer,
            certificate=self._certificate,
        )
        keep = self._parser.should_keep_alive()
        self.jobs.append(Job(request, None, keep, self._parser.get_http_version() != "1.0"))
        self._begin()

    # -- refusals

    def give_up(self, patience: float) -> None:
        """The rest of a request that was begun does not come."""
        text = f"the request did not arrive within {patience:g} s\n"
        self._refuse(Response(408, text.encode(), TEXT))

    def _check_head(self, data: bytes) -> None:
        """The parser keeps an unfinished header line to itself, so count what it was given."""
        if not self._head_done and not self.jobs:
            self._head_size += len(data)
            if self._head_size > 2 * self._limits.head:
                self._refuse(_head_too_large())

    def _refuse(self, response: Response) -> None:
        self.refused = True
        self.jobs.append(Job(None, response, False, True))

    def _stop(self, response: Response) -> None:
        self._refuse(response)
        raise _Refused


def _head_too_large() -> Response:
    return Response(431, b"request header too large\n", TEXT)
