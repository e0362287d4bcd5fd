"""xDS: a change of the representation to the last of 50 proxies; one endpoint to the real Envoy's ACK.

Method: 1,000 Services with 10 endpoints and a virtual host each. The 50 are light clients in a process of their own
(HTTP/2 by hand, each acknowledges at once), the server is this process; time runs from the call of the builder until
the last of them has its last byte, and until the server has all their ACKs. A full push changes every cluster, endpoint
and route: two waves, because routes wait for the ACK of clusters. Then one real Envoy with the bootstrap of the gateway
pods, over TLS, in a network namespace: from the change of one endpoint to the ACK. Compare go-control-plane's 241 ms
and 31 ms (../shared/bench/performance.md), whose clients only read.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import subprocess
import sys
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import uvloop
from common import Row, row
from xdslab import KIND, PORT, XdsLab

from sampan import ir
from sampan.app.run import relax_collector
from sampan.base.clock import SystemClock
from sampan.base.netns import inside
from sampan.xds.build import Builder
from sampan.xds.discovery import delta_body
from sampan.xds.server import OPTIONS, XdsServer
from sampan.xds.types import ENDPOINTS, Resource, Snapshot
from sampan.xds.wire import text

SERVICES, MEMBERS, CLIENTS = 1000, 10, 50
FULL_ROUNDS, ONE_ROUNDS, ENVOY_ROUNDS = 8, 60, 100


def measure() -> list[Row]:
    return [*uvloop.run(_fifty()), *_envoy()]


def _members(service: int, generation: int) -> ir.Endpoints:
    address = f"10.{service // 250}.{service % 250}"
    members = tuple(ir.Endpoint(f"{address}.{n + 1}", 8000 + generation) for n in range(MEMBERS))
    return ir.Endpoints(f"e{service}", members)


def _world(generation: int) -> ir.Proxy:
    """Nothing of one generation equals the same thing of another."""
    clusters, hosts, endpoints = {}, [], {}
    for n in range(SERVICES):
        clusters[f"c{n}"] = ir.Cluster(f"c{n}", f"e{n}", service=f"default/s{n}", connect_timeout=1.0 + generation)
        action = ir.Forward((ir.Target(f"c{n}"),), timeout=10.0 + generation)
        routes = (ir.Route(f"r{n}", ir.Match(), action),)
        hosts.append(ir.VirtualHost(f"h{n}", (f"s{n}.example.com",), routes))
        endpoints[f"e{n}"] = _members(n, generation)
    table = ir.RouteTable("t", tuple(hosts))
    listener = ir.Listener("web", 8000, (ir.SniChain("all", ir.Http("t")),))
    return ir.Proxy({"web": listener}, {"t": table}, clusters, endpoints)


class _Readers:
    def __init__(self, port: int) -> None:
        argv = [sys.executable, str(Path(__file__).with_name("adsreaders.py")), str(port), KIND]
        self._process = subprocess.Popen(
            [*argv, str(CLIENTS), str(SERVICES)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def expect(self, responses: int) -> None:
        """Of each client."""
        assert self._process.stdin
        self._process.stdin.write(f"{responses * CLIENTS}\n")
        self._process.stdin.flush()

    async def heard(self) -> float:
        """When the last byte of those came."""
        assert self._process.stdout
        return float(await asyncio.to_thread(self._process.stdout.readline))

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()


async def _fifty() -> list[Row]:
    server, builder = XdsServer(SystemClock()), Builder()
    first = builder.build(_world(0))
    server.publish(KIND, first)
    readers = _Readers(await server.start_insecure("127.0.0.1", 0))
    relax_collector()  # as the server process does it
    try:
        readers.expect(4)
        await readers.heard()
        await server.acked(KIND, first.version)
        rows = [*await _full(server, builder, readers), *await _one(server, builder, readers)]
    finally:
        readers.close()
        await server.stop()
    return [*rows, await _grpc_alone(400_000), await _grpc_alone(500)]


async def _grpc_alone(size: int) -> Row:
    """What of it is gRPC's: a body of that size written to as many streams, without a thought."""
    contexts: list[Any] = []

    async def keep(_requests: object, context: Any) -> None:
        contexts.append(context)
        while await context.read() is not grpc.aio.EOF:
            pass

    handler = grpc.stream_stream_rpc_method_handler(keep)
    server = grpc.aio.server(options=OPTIONS)
    service = "envoy.service.discovery.v3.AggregatedDiscoveryService"
    methods = {"DeltaAggregatedResources": handler}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, methods),))
    readers = _Readers(server.add_insecure_port("127.0.0.1:0"))
    await server.start()
    try:
        while len(contexts) < CLIENTS:
            await asyncio.sleep(0.05)
        heard = []
        for n in range(FULL_ROUNDS):
            readers.expect(1)
            await asyncio.sleep(0.1)
            body = delta_body(ENDPOINTS, n, [Resource("one", "1", b"x" * size)], ()) + text(5, str(n))
            began = time.monotonic()
            await asyncio.gather(*(context.write(body) for context in contexts))
            heard.append((await readers.heard() - began) * 1e3)
    finally:
        readers.close()
        await server.stop(None)
    return row(f"for comparison: gRPC alone, {size / 1e3:,.1f} kB to {CLIENTS}", heard, "ms")


async def _full(server: XdsServer, builder: Builder, readers: _Readers) -> list[Row]:
    build, heard, acked, cpu = [], [], [], []
    for generation in range(1, FULL_ROUNDS + 1):
        world = _world(generation)
        readers.expect(3)
        await asyncio.sleep(0.2)
        spent, began = time.process_time(), time.monotonic()
        builder.build(world)
        snapshot = builder.update_endpoints(world.endpoints)
        build.append((time.monotonic() - began) * 1e3)
        server.publish(KIND, snapshot)
        await server.acked(KIND, snapshot.version)
        acked.append((time.monotonic() - began) * 1e3)
        cpu.append((time.process_time() - spent) * 1e3)
        heard.append((await readers.heard() - began) * 1e3)
    size = sum(len(r.body) for found in snapshot.resources.values() for r in found.values())
    return [
        row(f"everything to {CLIENTS}: last byte", heard, "ms", f"goal 60; {size / 1e3:,.0f} kB each"),
        row("  of that, building it", build, "ms"),
        row("  last ACK", acked, "ms"),
        row("  server CPU", cpu, "ms"),
    ]


async def _one(server: XdsServer, builder: Builder, readers: _Readers) -> list[Row]:
    heard, acked, cpu = [], [], []
    for generation in range(1, ONE_ROUNDS + 1):
        changed = _members(generation, 1000 + generation)
        readers.expect(1)
        await asyncio.sleep(0.03)
        spent, began = time.process_time(), time.monotonic()
        snapshot = builder.update_endpoints({changed.name: changed})
        server.publish(KIND, snapshot)
        await server.acked(KIND, snapshot.version)
        acked.append((time.monotonic() - began) * 1e3)
        cpu.append((time.process_time() - spent) * 1e3)
        heard.append((await readers.heard() - began) * 1e3)
    return [
        row(f"one Service's endpoints to {CLIENTS}: last byte", heard, "ms", "goal 2"),
        row("  last ACK", acked, "ms"),
        row("  server CPU", cpu, "ms"),
    ]


def _envoy() -> list[Row]:
    with tempfile.TemporaryDirectory() as folder:
        lab = XdsLab(Path(folder))
        mine, theirs = multiprocessing.get_context("spawn").Pipe()
        try:
            process = multiprocessing.get_context("spawn").Process(target=_serve_envoy, args=(theirs, lab.pki))
            with inside(lab.netns):
                process.start()
            assert mine.recv() == "ready"
            lab.start_envoy()
            whole, samples = mine.recv()
            process.join()
        finally:
            lab.close()
    return [
        row("a real Envoy that starts has everything", [whole], "ms", "process start included"),
        row("one endpoint to the real Envoy's ACK", samples, "ms", "goal 20"),
    ]


def _serve_envoy(pipe: Connection, pki: Path) -> None:
    pipe.send(uvloop.run(_one_envoy(pipe, pki)))


async def _one_envoy(pipe: Connection, pki: Path) -> tuple[float, list[float]]:
    server, builder = XdsServer(SystemClock()), Builder()
    snapshot = builder.build(_world(0))
    server.publish(KIND, snapshot)
    files = {"cert": pki / "xds.crt", "key": pki / "xds.key", "client_ca": pki / "ca.crt"}
    await server.start("127.0.0.1", PORT, **files)
    pipe.send("ready")
    began = time.monotonic()
    while not _has_all(server, snapshot):
        await asyncio.sleep(0.005)
    whole = (time.monotonic() - began) * 1e3
    samples = []
    for n in range(ENVOY_ROUNDS):
        await asyncio.sleep(0.02)
        before = _members(n, 0)
        moved = ir.Endpoints(before.name, (*before.members[:-1], ir.Endpoint("10.9.9.9", 8000 + n)))
        began = time.monotonic()
        changed = builder.update_endpoints({moved.name: moved})
        server.publish(KIND, changed)
        await server.acked(KIND, changed.version)
        samples.append((time.monotonic() - began) * 1e3)
    await server.stop()
    return whole, samples


def _has_all(server: XdsServer, snapshot: Snapshot) -> bool:
    """Routes are the last thing an Envoy asks for."""
    return any(status.types[-1].acked >= snapshot.version for status in server.status()) and server.settled(KIND)
