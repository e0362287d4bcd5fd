"""An independent client of the protocol: grpcio's `xds:///` resolver, with real servers and clients as processes."""

import asyncio
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import uvloop

from sampan import ir
from sampan.base.clock import SystemClock
from sampan.xds.build import Builder
from sampan.xds.grpc_services import GrpcBuilder, GrpcService
from sampan.xds.server import XdsServer
from sampan.xds.types import ENDPOINTS

SUPPORT = Path(__file__).parent.parent / "support"
HOST = "who.default.svc.cluster.local"


class Process:
    def __init__(self, script: str, *arguments: str, env: dict[str, str] | None = None) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(SUPPORT / script), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "GRPC_VERBOSITY": "NONE", **(env or {})},
        )

    def ask(self, line: str = "") -> str:
        if line:
            self.process.stdin.write(line + "\n")
            self.process.stdin.flush()
        return self.process.stdout.readline()

    def close(self) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def processes():
    found: list[Process] = []
    yield found
    for process in found:
        process.close()


def test_a_grpc_client_finds_endpoints_and_follows_them(processes, tmp_path):
    servers = [Process("grpcserver.py", name) for name in ("one", "two")]
    processes += servers
    ports = [int(server.ask()) for server in servers]

    def world(*chosen):
        members = tuple(sorted((ir.Endpoint("127.0.0.1", port) for port in chosen), key=lambda e: e.port))
        return {"e": ir.Endpoints("e", members)}

    async def main() -> None:
        server = XdsServer(SystemClock())
        port = await server.start_insecure("127.0.0.1", 0)
        bootstrap = tmp_path / "bootstrap.json"
        source = {
            "server_uri": f"127.0.0.1:{port}",
            "channel_creds": [{"type": "insecure"}],
            "server_features": ["xds_v3"],
        }
        bootstrap.write_text(json.dumps({"xds_servers": [source], "node": {"id": "a-grpc-client"}}))
        client = Process("grpcclient.py", f"xds:///{HOST}:80", env={"GRPC_XDS_BOOTSTRAP": str(bootstrap)})
        processes.append(client)
        builder, grpc = Builder(), GrpcBuilder()
        cluster = {"c": ir.Cluster("c", "e")}

        async def calls(count: int) -> dict[str, int]:
            return json.loads(await asyncio.to_thread(client.ask, str(count)))

        async def until(names: set[str]) -> dict[str, int]:
            end = time.monotonic() + 10
            while time.monotonic() < end:
                if (seen := await calls(20)).keys() == names:
                    return seen
            raise AssertionError(f"{seen}, not {names}")

        def publish(endpoints) -> int:
            snapshot = grpc.build([GrpcService(HOST, 80, "e")], endpoints.of(ENDPOINTS))
            server.publish("grpc", snapshot)
            return snapshot.version

        publish(builder.build(ir.Proxy(clusters=cluster, endpoints=world(ports[0]))))
        await until({"one"})
        (status,) = server.status()
        assert (status.node, status.kind) == ("a-grpc-client", "grpc")
        assert [t.state for t in status.types] == ["SYNCED", "SYNCED", "NOT SENT", "SYNCED", "SYNCED"]
        await server.acked("grpc", publish(builder.update_endpoints(world(*ports))))
        both = await until({"one", "two"})
        assert min(both.values()) >= 8, "round robin"
        await server.acked("grpc", publish(builder.update_endpoints(world(ports[1]))))
        assert await until({"two"}) == {"two": 20}
        await server.stop()

    uvloop.run(main())
