"""exec and attach: one session between a client and a process, whatever the wire between them is.

The wires are `channels.WebSocketChannels` and `spdy_streams.SpdyStreams`; both number the streams as the WebSocket
protocol does. Source: k8s.io/kubelet/pkg/cri/streaming/remotecommand
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

STDIN, STDOUT, STDERR, ERROR, RESIZE, CLOSE = 0, 1, 2, 3, 4, 255
PING_SECONDS = 5.0


@dataclass(frozen=True)
class Wanted:
    """Which streams the client asked for. `code`: does the Status tell the exit code (exec), or is every end a success
    (attach: the pod's own status tells it)?"""

    stdin: bool = False
    stdout: bool = True
    stderr: bool = True
    tty: bool = False
    code: bool = True


class Client(Protocol):
    """The other end of a session."""

    async def open(self) -> None:
        """Return once its streams stand. Raises ConnectionError when it left before that."""
        ...

    async def receive(self) -> tuple[int, bytes] | None:
        """(STDIN, data), (RESIZE, JSON) or (CLOSE, b"") at the end of its input; None when it has left."""
        ...

    async def send(self, channel: int, data: bytes) -> None:
        """STDOUT or STDERR. Waits while the client reads too slowly."""
        ...

    async def finish(self, status: Obj) -> None:
        """The Status that ends the session."""
        ...

    async def ping(self) -> None:
        """Raises ConnectionError when it has gone."""
        ...


async def serve(
    client: Client, wanted: Wanted, begin: Callable[[], Awaitable[Process]], pause: float = PING_SECONDS
) -> None:
    """Run one session: `begin` starts or attaches the process. Ends when it has ended or the client has left."""
    await client.open()
    try:
        process = await begin()
    except SampanError as error:
        await client.finish(_failure("InternalError", str(error), code=500))
        return
    incoming = asyncio.ensure_future(_incoming(client, wanted, process))
    outgoing = asyncio.ensure_future(_outgoing(client, wanted, process))
    alive = asyncio.ensure_future(_alive(client, pause))
    try:
        await asyncio.wait((incoming, outgoing, alive), return_when=asyncio.FIRST_COMPLETED)
        status = _end(outgoing, wanted)
    finally:
        for task in (incoming, outgoing, alive):
            task.cancel()
        await asyncio.gather(incoming, outgoing, alive, return_exceptions=True)
        await process.close()
    if status:
        await client.finish(status)


def _end(outgoing: asyncio.Future[int], wanted: Wanted) -> Obj | None:
    """The Status to end with, None when it was the client that left."""
    if not outgoing.done():
        return None
    error = outgoing.exception()
    if error is None:
        return exit_status(outgoing.result() if wanted.code else 0)
    return _failure("InternalError", str(error), code=500) if isinstance(error, SampanError) else None


async def _alive(client: Client, pause: float) -> None:
    """Until the client has gone. Who waits for a process to take its input reads nothing, and would not notice."""
    while True:
        await asyncio.sleep(pause)
        await client.ping()


async def _incoming(client: Client, wanted: Wanted, process: Process) -> None:
    """Until the client leaves."""
    while (message := await client.receive()) is not None:
        channel, content = message
        try:
            if channel == STDIN and wanted.stdin and content:
                await process.write(content)
            elif channel == RESIZE:
                _resize(process, content)
            elif channel == CLOSE and wanted.stdin:
                await process.close_stdin()
        except BrokenPipeError:
            continue  # nobody reads its input any more; its output goes on


async def _outgoing(client: Client, wanted: Wanted, process: Process) -> int:
    """Until the process has ended; its exit code."""
    shown = {STDOUT: wanted.stdout, STDERR: wanted.stderr and not wanted.tty}
    async for stream, data in process.output():
        if shown[stream]:
            await client.send(stream, data)
    return await process.wait()


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
