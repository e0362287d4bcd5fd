"""One server connection: bytes in, requests to the handler one after the other, answers out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, cast

from sampan.base import log
from sampan.base.http import wire
from sampan.base.http.incoming import TEXT, Incoming, Job
from sampan.base.http.raw import RawConnection
from sampan.base.http.types import Response, Stream, Upgrade

if TYPE_CHECKING:
    from sampan.base.http.server import Server

_log = log.get("http")

# Bytes a client may send ahead while a request of its is being answered.
_AHEAD = 64 * 1024
# Seconds a refused client has to stop sending and read the answer before the connection is cut.
_LINGER = 5.0
_STALL = 30.0


class Connection(asyncio.Protocol):
    """`idle_since`: loop time since when it waits for a (whole) request, None while one is answered.

    `begun_at`: when the first bytes of the request came that it waits for the rest of.
    """

    def __init__(self, server: Server) -> None:
        self.server = server
        self.task: asyncio.Task[None] | None = None
        self.idle_since: float | None = None
        self.begun_at: float | None = None
        self._ahead = b""
        self._paused_reading = False
        self._streaming = False
        self._half_closed = False
        self._raw: RawConnection | None = None
        self._drained: asyncio.Future[None] | None = None
        self._stall = _STALL
        self._stall_timer: asyncio.TimerHandle | None = None

    # -- transport events

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._loop = asyncio.get_running_loop()
        peer = transport.get_extra_info("peername")
        name = f"{peer[0]}:{peer[1]}" if isinstance(peer, tuple) else ""
        tls = transport.get_extra_info("ssl_object")
        self._tls = tls is not None
        certificate = tls.getpeercert(True) if tls is not None else None
        self._incoming = Incoming(self.server.limits, name, certificate, self._go_on)
        self.idle_since = self._loop.time()
        self.server.admit(self)

    def data_received(self, data: bytes) -> None:
        if self._raw is not None:
            self._raw.feed(data)
        elif self._incoming.refused:
            return  # the answer is on its way, what still comes is not looked at
        elif self.task is not None:
            self._ahead += data
            if len(self._ahead) > _AHEAD and not self._paused_reading:
                self._paused_reading = True
                self._transport.pause_reading()
        else:
            self._feed(data)

    def eof_received(self) -> bool | None:
        if self._raw is not None:
            self._raw.feed_end()
            return not self._tls
        # A client that only closed its sending half still wants the answer it asked for; a watcher that did is gone.
        self._half_closed = True
        return self.task is not None and not self._streaming and not self._tls

    def pause_writing(self) -> None:
        if self._raw is not None:
            self._raw.pause()
            return
        self._drained = self._loop.create_future()
        self._watch_stall()

    def resume_writing(self) -> None:
        if self._raw is not None:
            self._raw.resume()
        if self._stall_timer is not None:
            self._stall_timer.cancel()
            self._stall_timer = None
        drained, self._drained = self._drained, None
        if drained is not None and not drained.done():
            drained.set_result(None)

    def connection_lost(self, error: Exception | None) -> None:
        self.server.connections.discard(self)
        self.resume_writing()
        self._incoming.close()
        self.idle_since = self.begun_at = None
        if self._raw is not None:
            self._raw.lost()
        elif self._streaming and self.task is not None:
            self.task.cancel()

    # -- called by the server

    def finish(self) -> None:
        """End an idle connection or a stream now; a request in progress is answered first."""
        if self.task is None:
            self._transport.close()
        elif self._streaming:
            self.task.cancel()
        elif self._raw is not None:
            self._raw.close()

    def abort(self) -> None:
        self._transport.abort()
        if self.task is not None:
            self.task.cancel()

    def refuse(self, answer: Response) -> None:
        """Say this, then close."""
        self._write_response(answer, "", False)
        self._transport.close()

    def give_up(self) -> None:
        """The rest of the request has not come in time."""
        self.begun_at = None
        self._incoming.give_up(self.server.patience)
        self._start()

    def _go_on(self) -> None:
        self._transport.write(wire.CONTINUE)

    def _feed(self, data: bytes) -> None:
        self._incoming.feed(data)
        if self._incoming.jobs:
            self._start()
        elif self.begun_at is None:
            self.begun_at = self._loop.time()

    def _start(self) -> None:
        self.idle_since = self.begun_at = None
        self.task = self._loop.create_task(self._serve(), name=self.server.name)

    # -- answering

    async def _serve(self) -> None:
        """Answer what is queued, in order; then go on parsing what came meanwhile."""
        try:
            while self._incoming.jobs:
                job = self._incoming.jobs.popleft()
                if not await self._answer(job):
                    self._end()
                    return
        except asyncio.CancelledError:
            self._transport.close()
            return
        except Exception:
            _log.exception("%s: connection failed", self.server.name)
            self._transport.abort()
            return
        finally:
            self.task = None
        if self.server.closing or self._half_closed:
            self._transport.close()
            return
        self.idle_since = self._loop.time()
        if self._ahead and not self._transport.is_closing():
            data, self._ahead = self._ahead, b""
            if self._paused_reading:
                self._paused_reading = False
                self._transport.resume_reading()
            self._feed(data)

    def _end(self) -> None:
        """Close after the last answer. A client still sending gets a while to read it: closing at once would reset."""
        if not self._incoming.refused or self._transport.is_closing():
            self._transport.close()
            return
        if self._paused_reading:
            self._transport.resume_reading()
        self.idle_since = self._loop.time()
        if not self._tls:
            self._transport.write_eof()
        self._loop.call_later(_LINGER, self._transport.abort)

    async def _answer(self, job: Job) -> bool:
        """Send one answer; may another request follow on this connection?"""
        request = job.request
        answer: Response | Stream | Upgrade
        if request is None:
            assert job.answer is not None
            answer, method = job.answer, ""
        else:
            method = request.method
            try:
                answer = await self.server.handler(request)
            except Exception:
                _log.exception("%s: %s %s failed", self.server.name, method, request.path)
                answer = Response(500, b"internal error; the log of this process says more\n", TEXT)
        # After an upgrade was asked for nothing can follow, whatever the answer to it is.
        more = bool(self._incoming.jobs) or self._incoming.leftover is None
        keep = job.keep and more and not self.server.closing and not self._half_closed
        if isinstance(answer, Response):
            self._write_response(answer, method, keep)
            if self._drained is not None:
                await self._drained
            return keep
        if isinstance(answer, Stream):
            return await self._stream(answer, method, keep, job.chunked)
        await self._hijack(answer)
        return False

    def _write_response(self, response: Response, method: str, keep: bool) -> None:
        status, body = response.status, response.body
        try:
            lines = wire.header_lines(response.headers)
        except ValueError:
            _log.exception("%s: bad answer", self.server.name)
            status, body, lines = 500, b"", ""
        head = wire.status_line(status) + lines + wire.date_line()
        if status != 204 and status != 304:
            head += f"content-length: {len(body)}\r\n"
        head += "\r\n" if keep else "connection: close\r\n\r\n"
        if method == "HEAD" or status == 204 or status == 304:
            self._transport.write(head.encode())
        else:
            self._transport.write(head.encode() + body)

    async def _stream(self, stream: Stream, method: str, keep: bool, chunked: bool) -> bool:
        head = wire.status_line(stream.status) + wire.header_lines(stream.headers) + wire.date_line()
        head += "transfer-encoding: chunked\r\n" if chunked else ""
        head += "\r\n" if keep else "connection: close\r\n\r\n"
        self._transport.write(head.encode())
        self._streaming = True
        self._stall = stream.stall
        chunks = stream.chunks
        try:
            if method != "HEAD":
                await self._pump(chunks, chunked)
                keep = keep and chunked
        except asyncio.CancelledError:
            keep = False  # the client left, or the server closes: then the stream ends in good order
        except Exception:
            # The head is out, so the only honest sign of failure left is to break off.
            _log.exception("%s: stream failed", self.server.name)
            self._transport.abort()
            return False
        finally:
            self._streaming = False
            self._stall = _STALL
            close = getattr(chunks, "aclose", None)
            if close is not None:
                await close()
        if chunked and method != "HEAD" and not self._transport.is_closing():
            self._transport.write(wire.LAST_CHUNK)
        return keep

    async def _pump(self, chunks: AsyncIterator[bytes], chunked: bool) -> None:
        write, closing = self._transport.write, self._transport.is_closing
        if closing():
            return
        async for data in chunks:
            if closing():
                return
            if data:
                write(wire.chunk(data) if chunked else data)
            if self._drained is not None:
                await self._drained

    async def _hijack(self, upgrade: Upgrade) -> None:
        self._raw = raw = RawConnection(self._transport, (self._incoming.leftover or b"") + self._ahead)
        if self._paused_reading:
            self._paused_reading = False
            self._transport.resume_reading()
        if self._half_closed or self._transport.is_closing():
            raw.feed_end()
        if upgrade.status:
            head = wire.status_line(101) + wire.header_lines(upgrade.headers) + "\r\n"
            self._transport.write(head.encode())
        try:
            await upgrade.run(raw)
        except ConnectionError:
            pass  # the peer left: the normal end of an exec session
        except Exception:
            _log.exception("%s: upgraded connection failed", self.server.name)
        finally:
            raw.close()

    def _watch_stall(self) -> None:
        """Cut off a client that takes nothing for a while; one that is slow but reads gets another while."""
        before = self._transport.get_write_buffer_size()

        def check() -> None:
            if self._transport.get_write_buffer_size() < before:
                self._watch_stall()
            else:
                self._transport.abort()

        self._stall_timer = self._loop.call_later(self._stall, check)
