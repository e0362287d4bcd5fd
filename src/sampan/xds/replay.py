"""`python -m sampan.xds.replay`: serves a saved snapshot to the Envoy of its own pod until the real server is back.

Once it has answered Envoy, Envoy stays with it until it closes the stream, and then asks the real server first (see
`bootstrap`). So it goes when that can be reached: after Envoy has taken all of the snapshot, or after `GRACE` when it
does not ask here at all.
"""

from __future__ import annotations

import argparse
import asyncio
import ctypes
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from sampan.base import log
from sampan.base.clock import Clock, SystemClock
from sampan.base.errors import UserError
from sampan.xds import persist
from sampan.xds.hub import Hub
from sampan.xds.server import XdsServer
from sampan.xds.types import Snapshot

_log = log.get("replay")

PROBE_SECONDS = 0.2
# Between the types that it asks for one after the other, an Envoy that starts has answered to all it got.
QUIET = 0.6
GRACE = 5.0
_PR_SET_PDEATHSIG = 1


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="sampan.xds.replay", description="serve a saved snapshot to one Envoy")
    parser.add_argument("--snapshot", type=Path, required=True)
    parser.add_argument("--listen", required=True, metavar="HOST:PORT")
    parser.add_argument("--primary", required=True, metavar="HOST:PORT", help="the server to give way to")
    parser.add_argument("--kind", required=True, help="node.cluster of the Envoy")
    given = parser.parse_args(argv)
    log.setup("replay")
    _die_with_parent()
    try:
        snapshot = persist.load(given.snapshot)
        if snapshot is None:
            raise UserError(f"there is no {given.snapshot}")
        asyncio.run(_serve(snapshot, given.kind, _address(given.listen), _address(given.primary)))
    except UserError as error:
        _log.error("%s", error)
        return 1
    return 0


async def _serve(snapshot: Snapshot, kind: str, listen: tuple[str, int], primary: tuple[str, int]) -> None:
    clock = SystemClock()
    server = XdsServer(clock)
    server.publish(kind, snapshot)
    await server.start_insecure(*listen)
    _log.info("serving version %d of %s on %s:%d", snapshot.version, kind, *listen)
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    waiting = asyncio.ensure_future(stopped.wait())
    giving_way = asyncio.ensure_future(give_way(server, kind, clock, lambda: reaches(primary, 1.0)))
    await asyncio.wait([waiting, giving_way], return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    giving_way.cancel()
    await server.stop()
    _log.info("gave way to %s:%d", *primary)


async def give_way(hub: Hub, kind: str, clock: Clock, primary_answers: Callable[[], Awaitable[bool]]) -> None:
    """Returns when the primary answers and nobody needs this one any more."""
    answers_since: float | None = None
    quiet_since: float | None = None
    while True:
        now = clock.monotonic()
        quiet_since = _since(quiet_since, now, bool(hub.status()) and hub.settled(kind))
        answers_since = _since(answers_since, now, await primary_answers())
        if answers_since is not None:
            if quiet_since is not None and now >= quiet_since + QUIET:
                return
            if now >= answers_since + GRACE:
                return
        await clock.sleep(PROBE_SECONDS)


def _since(before: float | None, now: float, still: bool) -> float | None:
    return (now if before is None else before) if still else None


async def reaches(address: tuple[str, int], seconds: float) -> bool:
    """Whether somebody accepts connections there."""
    try:
        _, writer = await asyncio.wait_for(asyncio.open_connection(*address), seconds)
    except OSError:
        return False
    writer.close()
    return True


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    return host.strip("[]"), int(port)


def _die_with_parent() -> None:
    """The parent is Envoy: without it there is nobody to serve."""
    parent = os.getppid()
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        sys.exit(0)


if __name__ == "__main__":
    sys.exit(main())
