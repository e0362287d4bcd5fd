"""The last snapshot of a kind in a file: what the replay process of a gateway pod serves while the server is away.

The file is one DeltaDiscoveryResponse with the resources of all types; a cluster's alias is the name of its endpoints.
Users' origins are not in it: who replays has nobody to tell. It holds private keys, so it is for the user of the
gateway pod alone.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from envoy.service.discovery.v3 import discovery_pb2
from google.protobuf.message import DecodeError

from sampan.base import fs, log
from sampan.base.clock import Clock
from sampan.base.errors import UserError
from sampan.base.tasks import Tasks
from sampan.xds.discovery import any_head, delta_body, entry
from sampan.xds.types import Resource, Snapshot
from sampan.xds.wire import text

_log = log.get("xds")

MODE = 0o600
# Seconds between two writes: endpoints of a busy cluster change many times a second.
INTERVAL = 1.0


def encode(snapshot: Snapshot) -> bytes:
    parts = [delta_body("", snapshot.version, (), ())]
    for url, resources in snapshot.resources.items():
        kind = any_head(url)
        for resource in resources.values():
            parts += entry(kind, resource, text(4, resource.endpoints))
    return b"".join(parts)


def decode(data: bytes) -> Snapshot:
    """Raises ValueError."""
    try:
        message = discovery_pb2.DeltaDiscoveryResponse.FromString(data)
        version = int(message.system_version_info)
    except DecodeError as error:
        raise ValueError(str(error)) from error
    resources: dict[str, dict[str, Resource]] = {}
    for found in message.resources:
        endpoints = found.aliases[0] if found.aliases else ""
        made = Resource(found.name, found.version, found.resource.value, (), endpoints)
        resources.setdefault(found.resource.type_url, {})[found.name] = made
    return Snapshot(version, resources)


def load(path: Path) -> Snapshot | None:
    """None when there is no file. Raises UserError when it cannot be read."""
    try:
        return decode(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise UserError(f"the saved proxy configuration {path} cannot be read: {error}", f"rm {path}") from error


class Keeper:
    """Writes the newest snapshot it was given, at once and then at most each `INTERVAL`, off the event loop.

    `owner`: user id that may read the file besides root. The disk may be full: that is logged, and tried again with
    the next snapshot.
    """

    def __init__(self, path: Path, clock: Clock, owner: int = -1) -> None:
        self._path = path
        self._clock = clock
        self._owner = owner
        self._newest: Snapshot | None = None
        self._wake = asyncio.Event()
        self._tasks = Tasks("xds-keeper")

    def start(self) -> None:
        self._tasks.start(self._path.name, self._run())

    def keep(self, snapshot: Snapshot) -> None:
        self._newest = snapshot
        self._wake.set()

    async def stop(self) -> None:
        """What was given last is written first."""
        await self._tasks.stop()
        await self._write()

    async def _run(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            await self._write()
            await self._clock.sleep(INTERVAL)

    async def _write(self) -> None:
        snapshot, self._newest = self._newest, None
        if snapshot is None:
            return
        try:
            await asyncio.to_thread(lambda: fs.write_atomic(self._path, encode(snapshot), MODE, self._owner))
        except OSError as error:
            _log.error("cannot write %s: %s", self._path, error)
