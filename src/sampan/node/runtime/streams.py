"""The two kinds of Process (types.py): one run by exec, and an attachment to a container's own streams."""

from __future__ import annotations

import asyncio
import fcntl
import os
import struct
import termios
from collections.abc import AsyncIterator, Awaitable, Callable

CHUNK = 1 << 16


class Streams:
    """Descriptors from the spawner as a Process.

    `reads` are (1 stdout | 2 stderr, descriptor); `write_fd` -1 when there is no stdin. `code` yields the exit code,
    `on_close_stdin` and `on_close` tell the spawner.
    """

    def __init__(
        self,
        reads: list[tuple[int, int]],
        write_fd: int,
        *,
        tty: bool,
        code: Awaitable[int],
        on_close_stdin: Callable[[], Awaitable[None]],
        on_close: Callable[[], Awaitable[None]],
    ) -> None:
        self._reads = {fd: number for number, fd in reads}
        self._write_fd, self._tty = write_fd, tty
        self._code = asyncio.ensure_future(code)
        self._on_close_stdin, self._on_close = on_close_stdin, on_close
        self._closed = False
        self._waiting: set[asyncio.Future[None]] = set()
        for fd in {*self._reads, *([write_fd] if write_fd >= 0 else [])}:
            os.set_blocking(fd, False)

    async def write(self, data: bytes) -> None:
        """Raises BrokenPipeError when nobody reads any more or stdin is closed."""
        view = memoryview(data)
        while view:
            if self._write_fd < 0:
                raise BrokenPipeError("stdin is closed")
            try:
                view = view[os.write(self._write_fd, view) :]
            except BlockingIOError:
                await self._ready([self._write_fd], write=True)
            except OSError as error:  # EIO: a terminal without programs
                raise BrokenPipeError(str(error)) from error

    async def close_stdin(self) -> None:
        """On a terminal that is the character ^D; the terminal itself stays open for output."""
        if self._write_fd < 0:
            return
        if self._tty:
            await self.write(b"\4")
            return
        fd, self._write_fd = self._write_fd, -1
        os.close(fd)
        await self._on_close_stdin()

    async def output(self) -> AsyncIterator[tuple[int, bytes]]:
        while self._reads and not self._closed:
            for fd in await self._ready(list(self._reads), write=False):
                try:
                    data = os.read(fd, CHUNK)
                except BlockingIOError:
                    continue
                except OSError:  # EIO: the last program on the terminal has gone
                    data = b""
                if data:
                    yield self._reads[fd], data
                    continue
                del self._reads[fd]
                if fd != self._write_fd:
                    os.close(fd)

    def resize(self, columns: int, rows: int) -> None:
        if self._tty and self._write_fd >= 0:
            fcntl.ioctl(self._write_fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    async def wait(self) -> int:
        return await asyncio.shield(self._code)

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        loop = asyncio.get_running_loop()
        for fd in {*self._reads, *([self._write_fd] if self._write_fd >= 0 else [])}:
            loop.remove_reader(fd)
            loop.remove_writer(fd)
            os.close(fd)
        self._reads, self._write_fd = {}, -1
        for waiting in self._waiting:
            if not waiting.done():
                waiting.set_result(None)
        await self._on_close()
        self._code.cancel()

    async def _ready(self, fds: list[int], *, write: bool) -> list[int]:
        """Wait until at least one is ready. One waiter for reading and one for writing at a time."""
        loop = asyncio.get_running_loop()
        add, remove = (loop.add_writer, loop.remove_writer) if write else (loop.add_reader, loop.remove_reader)
        first: asyncio.Future[None] = loop.create_future()
        ready: list[int] = []

        def note(fd: int) -> None:
            remove(fd)
            ready.append(fd)
            if not first.done():
                first.set_result(None)

        for fd in fds:
            add(fd, note, fd)
        self._waiting.add(first)
        try:
            await first
        finally:
            self._waiting.discard(first)
            if not self._closed:  # then the descriptors are gone, and may be others' by now
                for fd in fds:
                    remove(fd)
        return [] if self._closed else ready
