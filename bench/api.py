"""The API over HTTPS: create, get, patch, list and watch; rate, time and CPU a request.

Method: one cluster, kept-alive TLS connections of this process on the other core. CPU is user and system time of the
server process by /proc, divided by requests: what its controllers do meanwhile is in it. Pods are made twice: for a
scheduler that does not exist, and for sampan's, which writes twice more for each (most are told that no node has room).
A watch event counts for each watcher.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Awaitable, Callable

import orjson
from common import Row, cpu_seconds, memory_mb, row
from e2e import Cluster

from sampan.base.http.client import HttpClient, StreamResponse

OBJECTS, CONNECTIONS, LISTS = 1000, 8, 15
WATCHERS, CHANGES = 100, 50
NAMESPACE = "/api/v1/namespaces/bench"
JSON, MERGE = ("content-type", "application/json"), ("content-type", "application/merge-patch+json")
CONFIG_MAP = {"data": {f"key-{i}": "x" * 60 for i in range(10)}}
CONTAINER = {
    "name": "main",
    "image": "registry.example/app:1.0",
    "ports": [{"containerPort": 8080}],
    "env": [{"name": "MODE", "value": "bench"}],
    "resources": {"requests": {"cpu": "1m", "memory": "1Mi"}},
}
POD = {"spec": {"containers": [CONTAINER], "terminationGracePeriodSeconds": 0}}

Call = Callable[[HttpClient, int], Awaitable[None]]


def measure() -> list[Row]:
    cluster = Cluster("bench")
    try:
        cluster.up()
        return asyncio.run(_measure(cluster))
    finally:
        cluster.remove()


async def _measure(cluster: Cluster) -> list[Row]:
    config = orjson.loads(str(cluster.kubectl("config", "view", "--raw", "--minify", "-o", "json")))
    context = ssl.create_default_context(cafile=str(cluster.directory / "pki/ca.crt"))
    token = (cluster.directory / "pki/token").read_text().strip()
    client = HttpClient(
        config["clusters"][0]["cluster"]["server"], context, headers=[("authorization", f"Bearer {token}")]
    )
    bench = _Bench(client, cluster.pids("server"))
    try:
        await _send(client, "POST", "/api/v1/namespaces", {"metadata": {"name": "bench"}})
        rows = await bench.run("create ConfigMap", _create("configmaps", CONFIG_MAP))
        left = {"spec": {**POD["spec"], "schedulerName": "nobody"}}
        rows += await bench.run("create Pod", _create("pods", left, "left"), "goal 2,350/s and 310 µs")
        rows += await bench.run("create Pod and schedule it", _create("pods", POD))
        await asyncio.sleep(2)  # the reaction to the last ones
        rows += await bench.run("get Pod", _get, "goal 11,000/s and 48 µs")
        rows += await bench.run("patch Pod", _patch, "goal 1,770/s and 390 µs")
        rows += await bench.list_pods()
        rows += await bench.watch_pods()
        return [*rows, Row("memory of the server with all that", f"{memory_mb(bench.pids):.0f}", "MB")]
    finally:
        await client.close()


class _Bench:
    def __init__(self, client: HttpClient, pids: list[int]) -> None:
        self.client, self.pids = client, pids

    async def run(self, what: str, call: Call, note: str = "") -> list[Row]:
        """`OBJECTS` calls over `CONNECTIONS` connections."""
        numbers = iter(range(OBJECTS))
        times: list[float] = []

        async def work() -> None:
            for number in numbers:
                began = time.perf_counter()
                await call(self.client, number)
                times.append(time.perf_counter() - began)

        cpu, began = cpu_seconds(self.pids), time.perf_counter()
        await asyncio.gather(*(work() for _ in range(CONNECTIONS)))
        seconds, cpu = time.perf_counter() - began, cpu_seconds(self.pids) - cpu
        return [
            row(what, [OBJECTS / seconds], "/s", note),
            row(f"{what}, server CPU each", [cpu / OBJECTS * 1e6], "µs"),
            row(f"{what}, time with {CONNECTIONS} at once", [t * 1e3 for t in times], "ms"),
        ]

    async def list_pods(self) -> list[Row]:
        times = []
        cpu = cpu_seconds(self.pids)
        for _ in range(LISTS):
            began = time.perf_counter()
            await _send(self.client, "GET", f"{NAMESPACE}/pods")
            times.append((time.perf_counter() - began) * 1e3)
        each = (cpu_seconds(self.pids) - cpu) / LISTS * 1e3
        return [row(f"list {2 * OBJECTS} Pods", times, "ms"), row("list, server CPU each", [each], "ms")]

    async def watch_pods(self) -> list[Row]:
        """From a patch to the last of `WATCHERS` that hears of it."""
        target = f"{NAMESPACE}/pods?watch=true&resourceVersion="
        found = orjson.loads(await _send(self.client, "GET", f"{NAMESPACE}/pods?limit=1"))
        target += found["metadata"]["resourceVersion"]
        streams = [await self.client.stream("GET", target) for _ in range(WATCHERS)]
        ears = [_Ear(stream) for stream in streams]
        times = []
        cpu = cpu_seconds(self.pids)
        for number in range(CHANGES):
            began = time.perf_counter()
            mark = f"mark-{number}"
            heard = asyncio.gather(*(ear.hear(mark.encode()) for ear in ears))
            body = {"metadata": {"labels": {"bench": mark}}}
            await _send(self.client, "PATCH", f"{NAMESPACE}/pods/o-{number}", body, MERGE)
            await asyncio.wait_for(heard, 30)
            times.append((time.perf_counter() - began) * 1e3)
        each = (cpu_seconds(self.pids) - cpu) / CHANGES / WATCHERS * 1e6
        for stream in streams:
            stream.close()
        return [
            row(f"patch to the last of {WATCHERS} watchers", times, "ms", "goal 4.2"),
            row("watch event, server CPU each (patch included)", [each], "µs", "goal 24"),
        ]


class _Ear:
    """One watcher: `hear` returns when the mark has come."""

    def __init__(self, stream: StreamResponse) -> None:
        self._chunks = aiter(stream)
        self._tail = b""

    async def hear(self, mark: bytes) -> None:
        while mark not in self._tail:
            self._tail = self._tail[-len(mark) :] + await anext(self._chunks)
        self._tail = self._tail.partition(mark)[2]


def _create(plural: str, body: dict[str, object], name: str = "o") -> Call:
    async def call(client: HttpClient, number: int) -> None:
        named = {"metadata": {"name": f"{name}-{number}", "labels": {"app": "bench"}}, **body}
        await _send(client, "POST", f"{NAMESPACE}/{plural}", named)

    return call


async def _get(client: HttpClient, number: int) -> None:
    await _send(client, "GET", f"{NAMESPACE}/pods/o-{number}")


async def _patch(client: HttpClient, number: int) -> None:
    body = {"metadata": {"labels": {"step": str(number)}}}
    await _send(client, "PATCH", f"{NAMESPACE}/pods/o-{number}", body, MERGE)


async def _send(
    client: HttpClient, method: str, target: str, body: object = None, kind: tuple[str, str] = JSON
) -> bytes:
    content = b"" if body is None else orjson.dumps(body)
    answer = await client.request(method, target, [kind], content)
    assert answer.status < 300, f"{method} {target}: {answer.status} {answer.body[:300]!r}"
    return answer.body
