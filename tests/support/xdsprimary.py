"""An xDS server in a process of its own, to be killed: `python xdsprimary.py PORT DIRECTORY-OF-CERTIFICATES [SNAPSHOT]`.

Commands are lines on stdin, each answered by a line of JSON: `publish KIND FILE`, `acked KIND VERSION`, `status`,
`nacks`.
"""

import asyncio
import dataclasses
import json
import sys
from pathlib import Path

import uvloop

from sampan.base import log
from sampan.base.clock import SystemClock
from sampan.xds import persist
from sampan.xds.server import XdsServer


async def main(port: int, pki: Path) -> None:
    log.setup("primary")
    nacks: list[object] = []
    server = XdsServer(SystemClock(), lambda *what: nacks.append(what[:3] + what[4:]))
    await server.start(
        "127.0.0.1", port, cert=pki / "xds.crt", key=pki / "xds.key", client_ca=pki / "ca.crt", users={"gateway"}
    )
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    print(json.dumps("ready"), flush=True)
    while line := (await reader.readline()).decode().split():
        answer: object = None
        match line:
            case ["publish", kind, file]:
                snapshot = persist.load(Path(file))
                assert snapshot
                server.publish(kind, snapshot)
            case ["acked", kind, version]:
                await asyncio.wait_for(server.acked(kind, int(version)), 20)
            case ["status"]:
                answer = [dataclasses.asdict(found) | {"since": ""} for found in server.status()]
            case ["nacks"]:
                answer = nacks
        print(json.dumps(answer), flush=True)
    await server.stop()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1]), Path(sys.argv[2])))
