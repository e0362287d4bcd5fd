"""exec and attach over WebSocket: channels v4.channel.k8s.io and v5.channel.k8s.io.

A message's first byte is its channel: 0 stdin, 1 stdout, 2 stderr, 3 the Status that ends the session, 4 the
terminal's size; in v5 255 closes the channel named by the next byte.
Source: https://github.com/kubernetes/enhancements/tree/master/keps/sig-api-machinery/4006-transition-spdy-to-websockets
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

import orjson

from sampan.api.meta import Obj
from sampan.base.errors import SampanError
from sampan.node.runtime.types import Process

PROTOCOLS = ("v5.channel.k8s.io", "v4.channel.k8s.io")
STDIN, STDOUT, STDERR, ERROR, RESIZE, CLOSE = 0, 1, 2, 3, 4, 255


class Socket(Protocol):
    """The part of base.http's WebSocket that is used."""

    protocol: str

    async def receive(self) -> bytes | str | None: ...
    async def send(self, data: bytes) -> None: ...


@dataclass(frozen=True)
class Wanted:
    """Which streams the client asked for. `code`: does the Status tell the exit code (exec), or is every end a success
    (attach: the pod's own status tells it)?"""

    stdin: bool = False
    stdout: bool = True
    stderr: bool = True
    tty: bool = False
    code: bool = True


async def serve(socket: Socket, wanted: Wanted, begin: Callable[[], Awaitable[Process]]) -> None:
    """Run one session: `begin` starts or attaches the process. Ends when it has ended or the client has left."""
    try:
        process = await begin()
    except SampanError as error:
        await socket.send(bytes([ERROR]) + orjson.dumps(_failure("InternalError", str(error), code=500)))
        return
    # An empty message tells the client that the streams stand.
    await socket.send(bytes([STDOUT if wanted.stdout else ERROR]))
    incoming = asyncio.ensure_future(_incoming(socket, wanted, process))
    outgoing = asyncio.ensure_future(_outgoing(socket, wanted, process))
    try:
        await asyncio.wait((incoming, outgoing), return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in (incoming, outgoing):
            task.cancel()
        await asyncio.gather(incoming, outgoing, return_exceptions=True)
        await process.close()


async def _incoming(socket: Socket, wanted: Wanted, process: Process) -> None:
    """Until the client leaves."""
    while (message := await socket.receive()) is not None:
        data = message.encode() if isinstance(message, str) else message
        channel, content = data[:1], data[1:]
        try:
            if channel == bytes([STDIN]) and wanted.stdin and content:
                await process.write(content)
            elif channel == bytes([RESIZE]):
                _resize(process, content)
            elif channel == bytes([CLOSE]) and content[:1] == bytes([STDIN]) and socket.protocol == PROTOCOLS[0]:
                await process.close_stdin()
        except BrokenPipeError:
            continue  # nobody reads its input any more; its output goes on


async def _outgoing(socket: Socket, wanted: Wanted, process: Process) -> None:
    """Until the process has ended and its Status is sent."""
    shown = {STDOUT: wanted.stdout, STDERR: wanted.stderr and not wanted.tty}
    async for stream, data in process.output():
        if shown[stream]:
            await socket.send(bytes([stream]) + data)
    code = await process.wait()
    await socket.send(bytes([ERROR]) + orjson.dumps(exit_status(code if wanted.code else 0)))


def _resize(process: Process, content: bytes) -> None:
    try:
        size = orjson.loads(content)
        process.resize(int(size["Width"]), int(size["Height"]))
    except (ValueError, KeyError, TypeError):
        return  # a size that is none changes nothing


def exit_status(code: int) -> Obj:
    """The Status of a process that ended with this code."""
    if code == 0:
        return {"metadata": {}, "status": "Success"}
    message = f"command terminated with non-zero exit code: exit status {code}"
    return _failure("NonZeroExitCode", message, causes=[{"reason": "ExitCode", "message": str(code)}])


def _failure(reason: str, message: str, *, causes: list[Obj] | None = None, code: int = 0) -> Obj:
    status: Obj = {"metadata": {}, "status": "Failure", "message": message, "reason": reason}
    if causes:
        status["details"] = {"causes": causes}
    return status | ({"code": code} if code else {})
