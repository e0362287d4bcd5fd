"""Requests on kept connections, the way careful clients do it; what happened to them as JSON.

    python steady.py PORT HOST PATH SECONDS CONNECTIONS

answered, failed (a request that got no answer, or another than 200), dropped (connections that the other side ended,
idle ones and those whose answer said so too), p50 and p99 in ms.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time

import uvloop

PAUSE = 0.002


class Load:
    def __init__(self, port: int, host: str, path: str, seconds: float) -> None:
        self._port, self._until = port, time.monotonic() + seconds
        self._request = f"GET {path} HTTP/1.1\r\nhost: {host}\r\n\r\n".encode()
        self.failed = self.dropped = 0
        self.took: list[float] = []

    async def connection(self) -> None:
        """One after the other: each until the other side ends it."""
        while time.monotonic() < self._until:
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
            except OSError:
                self.failed += 1
                continue
            if not await self._use(reader, writer):
                self.dropped += 1
            writer.close()

    async def _use(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """False: the other side has ended it."""
        while time.monotonic() < self._until:
            if reader.at_eof():
                return False
            began = time.monotonic()
            try:
                writer.write(self._request)
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                length = int(head.partition(b"content-length: ")[2].split(b"\r\n")[0])
                await reader.readexactly(length)
            except (OSError, ValueError, asyncio.IncompleteReadError):
                self.failed += 1
                return False
            self.failed += head.split(b" ", 2)[1] != b"200"
            self.took.append(time.monotonic() - began)
            if b"\r\nconnection: close" in head:
                return False
            await asyncio.sleep(PAUSE)
        return True


async def main(port: str, host: str, path: str, seconds: str, connections: str) -> None:
    load = Load(int(port), host, path, float(seconds))
    await asyncio.gather(*[load.connection() for _ in range(int(connections))])
    took = sorted(load.took)
    p50, p99 = (round(took[int(len(took) * part)] * 1000, 2) for part in (0.5, 0.99))
    print(json.dumps({"answered": len(took), "failed": load.failed, "dropped": load.dropped, "p50": p50, "p99": p99}))


if __name__ == "__main__":
    uvloop.run(main(*sys.argv[1:]))
