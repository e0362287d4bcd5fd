"""The agent's end of the connection to the spawner, which it starts when there is none."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import sampan
from sampan.base import log
from sampan.base.errors import SampanError
from sampan.node.runtime import wire
from sampan.node.runtime.paths import Paths

START_SECONDS = 5.0
POLL_SECONDS = 0.002

_log = log.get("runtime")


class Link:
    """`on_push` gets what the spawner tells unasked, in order; `lost` is set when the connection has ended."""

    def __init__(self, paths: Paths, arguments: Sequence[str], on_push: Callable[[wire.Message], None]) -> None:
        self._paths, self._arguments, self._on_push = paths, list(arguments), on_push
        self._socket: socket.socket | None = None
        self._reader = wire.Reader()
        self._calls: dict[int, asyncio.Future[tuple[Any, list[int]]]] = {}
        self._count = 0
        self._sending = asyncio.Lock()
        self._spawner: subprocess.Popen[bytes] | None = None
        self._connected = asyncio.Event()
        self.lost = asyncio.Event()

    async def connect(self) -> None:
        """Reach a spawner that answers, starting one if needed. Raises SampanError when none comes up."""
        loop = asyncio.get_running_loop()
        give_up = loop.time() + START_SECONDS
        try:
            while not await self._reach():
                if self._spawner is None or self._spawner.poll() is not None:
                    self._start_spawner()
                if loop.time() > give_up:
                    raise SampanError(self._not_there())
                await asyncio.sleep(POLL_SECONDS)
        except asyncio.CancelledError:  # nobody wants the one that may just be coming up
            if self._spawner:
                self._spawner.kill()
            raise
        self.lost.clear()
        self._connected.set()

    def close(self) -> None:
        if self._socket is None:
            return
        asyncio.get_running_loop().remove_reader(self._socket.fileno())
        self._socket.close()
        self._socket = None
        self._connected.clear()
        for call in self._calls.values():
            if not call.done():
                call.set_exception(SampanError("the connection to the spawner was lost; try again"))
        self._calls.clear()
        self.lost.set()

    async def call(self, do: str, **fields: Any) -> Any:
        result, _ = await self.call_fds(do, **fields)
        return result

    async def call_fds(self, do: str, **fields: Any) -> tuple[Any, list[int]]:
        """Ask and wait for the answer and its descriptors. Raises SampanError with the spawner's text.

        Waits for a spawner that is being replaced; a request that was under way when the old one died fails.
        """
        try:
            await asyncio.wait_for(self._connected.wait(), START_SECONDS)
        except TimeoutError:
            raise SampanError(self._not_there()) from None
        return await self._request(do, fields)

    async def _request(self, do: str, fields: dict[str, Any]) -> tuple[Any, list[int]]:
        loop = asyncio.get_running_loop()
        self._count += 1
        number = self._count
        answer: asyncio.Future[tuple[Any, list[int]]] = loop.create_future()
        self._calls[number] = answer
        try:
            async with self._sending:
                if self._socket is None:
                    raise ConnectionError("it was killed")
                await loop.sock_sendall(self._socket, wire.frame({"id": number, "do": do, **fields}))
            return await answer
        except OSError as error:
            self.close()  # so that the next call waits for a new one
            raise SampanError(f"the connection to the spawner was lost: {error}") from error
        finally:
            self._calls.pop(number, None)

    async def _reach(self) -> bool:
        """Connect; a spawner that is just being killed still takes connections, but answers no ping."""
        sock = socket.socket(socket.AF_UNIX)
        try:
            sock.connect(str(self._paths.socket))
        except OSError:
            sock.close()
            return False
        sock.setblocking(False)
        self._socket, self._reader = sock, wire.Reader()
        asyncio.get_running_loop().add_reader(sock.fileno(), self._readable)
        try:
            await self._request("ping", {})
        except SampanError:
            return False
        return True

    def _not_there(self) -> str:
        return f"the spawner does not start; its log is {self._paths.run}/spawner.log"

    def _start_spawner(self) -> None:
        """In a session of its own: it outlives us. -S keeps site-packages out of its start-up and its memory."""
        self._paths.run.mkdir(mode=0o700, parents=True, exist_ok=True)
        package = Path(sampan.__file__).parent.parent
        argv = [sys.executable, "-S", "-m", "sampan.node.runtime.spawner", *self._arguments]
        with open(self._paths.run / "spawner.log", "ab") as output:
            self._spawner = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                env={"PYTHONPATH": str(package), "PATH": os.environ.get("PATH", os.defpath)},
            )

    def _readable(self) -> None:
        if self._socket is None:
            return
        try:
            for message, fds in self._reader.receive(self._socket):
                self._take(message, fds)
        except BlockingIOError:
            pass
        except OSError as error:
            _log.warning("connection to the spawner: %s", error)
            self.close()

    def _take(self, message: wire.Message, fds: list[int]) -> None:
        if "id" not in message:
            self._on_push(message)
            return
        answer = self._calls.pop(message["id"], None)
        if answer is None or answer.done():  # its caller was cancelled
            for fd in fds:
                os.close(fd)
        elif "error" in message:
            answer.set_exception(SampanError(message["error"]))
        else:
            answer.set_result((message["result"], fds))
