"""The client's side of one connection: a request out, the answer's head and body in. Parsing is httptools' (llhttp)."""

from __future__ import annotations

import asyncio
from typing import cast

import httptools

from sampan.base.http.raw import Inbox, RawConnection


class Exchange(asyncio.Protocol):
    """One connection, one exchange at a time.

    `answered`: any byte of the present answer has come. `reusable`: the answer is complete and may be followed.
    """

    def __init__(self) -> None:
        self.raw: RawConnection | None = None
        self.answered = False
        self.reusable = False
        self.idle_since = 0.0
        self._phase = "idle"  # then "head", "body"
        self._lost = False

    async def send(self, request: bytes, method: str) -> None:
        """Send a request and wait for the answer's head."""
        if self._lost:
            raise ConnectionResetError("the server closed the connection")
        self.status, self.headers = 0, dict[str, str]()
        self.body = Inbox(self.transport)
        self.answered = self.reusable = False
        self._bodiless = method == "HEAD"
        self._phase = "head"
        self._parser = httptools.HttpResponseParser(self)
        self._head: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.transport.write(request)
        await self._head

    # -- transport events

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        if self.raw is not None:
            self.raw.feed(data)
            return
        if self._phase == "idle":
            self.transport.abort()  # nobody asked: what it says belongs to nothing
            return
        self.answered = True
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self.raw = RawConnection(self.transport, data[upgrade.args[0] :])
            self.body.feed_end()
            self._head_done()
        except httptools.HttpParserError as error:
            if self._phase != "idle":
                self._fail(ConnectionError(f"the server's answer is not HTTP: {error}"))

    def eof_received(self) -> bool:
        if self.raw is not None:
            self.raw.feed_end()
            return self.transport.get_extra_info("ssl_object") is None
        return False

    def connection_lost(self, error: Exception | None) -> None:
        self._lost = True
        if self.raw is not None:
            self.raw.lost()
        elif self._phase == "body" and not {"content-length", "transfer-encoding"} & self.headers.keys():
            self._phase = "idle"
            self.body.feed_end()  # the end of the connection is the end of the body
        elif self._phase != "idle":
            when = "in the middle of its answer" if self.answered else "before it answered"
            self._fail(ConnectionResetError(f"the server closed the connection {when}{f': {error}' if error else ''}"))

    def pause_writing(self) -> None:
        if self.raw is not None:
            self.raw.pause()

    def resume_writing(self) -> None:
        if self.raw is not None:
            self.raw.resume()

    # -- parser events

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._phase == "head":
            key, text = name.decode("latin-1").lower(), value.decode("latin-1")
            before = self.headers.get(key)
            self.headers[key] = text if before is None else f"{before}, {text}"

    def on_headers_complete(self) -> None:
        self.status = self._parser.get_status_code()
        if self.status == 101:
            return
        if self.status < 200:  # 100 Continue and the like: the real answer follows
            self.headers = {}
            return
        self._phase = "body"
        self._head_done()
        if self._bodiless:
            self.on_message_complete()

    def on_body(self, part: bytes) -> None:
        self.body.feed(part)

    def on_message_complete(self) -> None:
        if self._phase == "body":
            self.reusable = self._parser.should_keep_alive()
            self._phase = "idle"
            self.body.feed_end()

    def _head_done(self) -> None:
        if not self._head.done():
            self._head.set_result(None)

    def _fail(self, error: Exception) -> None:
        self._phase = "idle"
        self.transport.abort()
        if not self._head.done():
            self._head.set_exception(error)
        else:
            self.body.feed_end(error)
