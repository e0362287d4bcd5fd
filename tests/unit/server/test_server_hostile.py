"""Clients that mean no good, or are broken: a clear 4xx (or an honest end), no 500, and the server goes on as before."""

from __future__ import annotations

import asyncio
import gc
import os
import resource
import tracemalloc
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from apiserver import ApiServer, running
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from sampan.app.run import relax_collector
from sampan.base.http import connection
from sampan.store.memory import MemoryStore

CM = "/api/v1/namespaces/default/configmaps"
MERGE, JSON_PATCH = "application/merge-patch+json", "application/json-patch+json"
STRATEGIC, APPLY = "application/strategic-merge-patch+json", "application/apply-patch+yaml"
AUTH = b"Authorization: Bearer root\r\n"


@pytest.fixture(autouse=True)
def quick_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refused clients get less time to read why."""
    monkeypatch.setattr(connection, "_LINGER", 0.2)


@pytest.fixture(autouse=True)
def collector() -> Iterator[None]:
    """As in the real process: else it walks all that this test run has in memory for each large body."""
    before = gc.get_threshold()
    relax_collector()
    yield
    gc.set_threshold(*before)
    gc.unfreeze()


def play(folder: Path, test: Callable[[ApiServer], Awaitable[None]], **options: Any) -> None:
    async def main() -> None:
        async with running(folder, **options) as api:
            await asyncio.wait_for(test(api), 20)
            code, answer = await api.call("GET", "/readyz")
            assert (code, answer) == (200, "ok")

    asyncio.run(main())


def config(name: str = "a", **more: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, **more}


def nested(depth: int, inside: bytes = b"1", opening: bytes = b'{"a":', closing: bytes = b"}") -> bytes:
    return opening * depth + inside + closing * depth


def in_map(value: bytes) -> bytes:
    return b'{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"n"},"data":%b}' % value


BODIES = {
    "100 deep": (in_map(nested(100)), 400),
    "10,000 deep": (in_map(nested(10_000)), 400),
    "10,000 lists deep": (in_map(nested(10_000, b"", b"[", b"]")), 400),
    "never closed": (b'{"a":' * 100_000, 400),
    "a million lists": (in_map(b"[" + b"[]," * 900_000 + b"[]]"), 400),
    "a million lists in a map": (in_map(b'{"k":[' + b"[]," * 900_000 + b"[]]}"), 400),
    "invalid UTF-8": (in_map(b'{"k":"\xff\xfe"}'), 400),
    "half a surrogate": (in_map(b'{"k":"\\ud800"}'), 400),
    "a zero byte": (b"\0", 400),
    "no object": (b"[1]", 400),
    "a number": (b"1" * 100_000, 400),
    "NaN": (in_map(b'{"k":NaN}'), 400),
    "the same key twice": (b'{"kind":"ConfigMap","kind":"Pod","apiVersion":"v1","metadata":{"name":"n"}}', 400),
    "a huge name": (orjson.dumps(config("n" * 100_000)), 422),
    "a huge label": (orjson.dumps(config() | {"metadata": {"name": "n", "labels": {"x" * 100_000: "y"}}}), 422),
    "many labels": (
        orjson.dumps(config() | {"metadata": {"name": "n", "annotations": {f"a{i}": "x" * 90 for i in range(5000)}}}),
        422,
    ),
    "too large": (in_map(b'{"k":"' + b"x" * 4_000_000 + b'"}'), 413),
}


@pytest.mark.parametrize("what", BODIES)
def test_bodies(tmp_path: Path, what: str) -> None:
    body, expected = BODIES[what]

    async def test(api: ApiServer) -> None:
        for query in ("", "?fieldValidation=Strict", "?fieldValidation=Ignore", "?dryRun=All"):
            code, answer = await api.call("POST", CM + query, body)
            assert code == expected, answer
            assert answer["kind"] == "Status"
            assert answer["message"]
            assert len(orjson.dumps(answer)) < 600_000
        await api.call("POST", CM, config())
        for kind in (MERGE, JSON_PATCH, STRATEGIC, APPLY):
            code, answer = await api.call("PATCH", f"{CM}/a?fieldManager=x", body, content_type=kind)
            assert 400 <= code < 500, (kind, answer)

    play(tmp_path, test)


def test_unknown_fields_by_the_thousand_make_no_huge_head(tmp_path: Path) -> None:
    async def test(api: ApiServer) -> None:
        body = config(**{f"field{i}": 1 for i in range(50_000)})
        code, headers, _ = await api.full("POST", CM, body)
        assert code == 201
        assert 100 < len(headers["warning"]) < 20_000

    play(tmp_path, test)


def test_yaml_that_grows_is_refused(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 9)]
    bomb = "\n".join(lines).encode()

    async def test(api: ApiServer) -> None:
        for body in (bomb, b"a: &a [*a]\n", b"- " * 5000, b"? " * 5000, b"{" * 5000, b"!!python/object:os.system {}"):
            code, answer = await api.call("POST", CM, body, content_type="application/yaml")
            assert code == 400, answer
            await api.call("POST", CM, config())
            code, answer = await api.call("PATCH", f"{CM}/a?fieldManager=x", body, content_type=APPLY)
            assert 400 <= code < 500, answer

    play(tmp_path, test)


def test_packed_bodies_are_refused_unopened(tmp_path: Path) -> None:
    async def test(api: ApiServer) -> None:
        for encoding in ("gzip", "deflate", "br", "gzip, gzip"):
            code, answer = await api.call("POST", CM, b"\x1f\x8b" + b"\0" * 1000, content_encoding=encoding)
            assert (code, answer["reason"]) == (415, "UnsupportedMediaType")
        assert (await api.call("POST", CM, config(), content_encoding="identity"))[0] == 201

    play(tmp_path, test)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("labelSelector=" + "a%3Db%2C" * 6_000 + "a%3Db", {200, 400}),
        ("labelSelector=" + "a+in+(" + ",".join(f"v{i}" for i in range(8000)) + ")", {200}),
        ("labelSelector=" + "(" * 50_000, {400}),
        ("labelSelector=" + "x" * 60_000, {400}),
        ("labelSelector=" + "x" * 100_000, {431}),
        ("labelSelector=%FF%FE%00", {400}),
        ("fieldSelector=" + "metadata.name%3Da," * 3000 + "metadata.name%3Da", {200}),
        ("fieldSelector=" + "%5C" * 20_000, {400}),
        ("limit=-1", {400}),
        ("limit=" + "9" * 5000, {400}),
        ("limit=1&continue=" + "A" * 50_000, {400}),
        ("resourceVersion=" + "9" * 30, {400, 504}),
        ("resourceVersion=" + "9" * 10_000, {400, 504}),
        ("timeoutSeconds=" + "9" * 400 + "&watch=1", {400}),
        ("&".join(f"a{i}=1" for i in range(9000)), {200, 400, 431}),
    ],
)
def test_queries(tmp_path: Path, query: str, expected: set[int]) -> None:
    async def test(api: ApiServer) -> None:
        code, answer = await api.call("GET", f"{CM}?{query}")
        assert code in expected, answer

    play(tmp_path, test)


@pytest.mark.parametrize(
    "path", ["/%FF%FE", "/%00", "/api/v1/pods/%2e%2e", "//", "/api/v1/namespaces/%0a/pods", "/" * 5000]
)
def test_paths(tmp_path: Path, path: str) -> None:
    async def test(api: ApiServer) -> None:
        code, _ = await api.call("GET", path)
        assert code in (200, 400, 403, 404, 405)

    play(tmp_path, test)


HEADS = {
    "not HTTP": (b"\x16\x03\x01\x02\x00" * 100, 400),
    "space in a header's name": (b"GET / HTTP/1.1\r\nA B: c\r\n\r\n", 400),
    "a huge header": (b"GET / HTTP/1.1\r\nX: " + b"x" * 1_000_000 + b"\r\n\r\n", 431),
    "a huge header that never ends": (b"GET / HTTP/1.1\r\nX: " + b"x" * 1_000_000, 431),
    "a huge target": (b"GET /" + b"x" * 1_000_000 + b" HTTP/1.1\r\n\r\n", 431),
    "a hundred thousand headers": (b"GET / HTTP/1.1\r\n" + b"a:\r\n" * 100_000 + b"\r\n", 431),
    "two lengths": (b"POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", 400),
    "a length and chunks": (
        b"POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        400,
    ),
    "a length that is none": (b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400),
    "a length beyond all": (b"POST / HTTP/1.1\r\nContent-Length: " + b"9" * 40 + b"\r\n\r\n", 400),
    "a length that is too much": (b"POST / HTTP/1.1\r\nContent-Length: 99999999\r\n\r\n", 413),
    "a chunk that is none": (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n", 400),
    "a chunk that is too much": (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFFFF\r\n", 400),
}


@pytest.mark.parametrize("what", HEADS)
def test_heads(tmp_path: Path, what: str) -> None:
    data, expected = HEADS[what]

    async def test(api: ApiServer) -> None:
        found = await api.say(data, end=True)
        assert found.startswith(b"HTTP/1.1 %d " % expected), found[:300]

    play(tmp_path, test)


def test_requests_that_stop_half_way_are_ended(tmp_path: Path) -> None:
    halves = (
        b"GET /api HTTP/1.1\r\nHost:",
        b"POST %b HTTP/1.1\r\n%bContent-Length: 1000\r\n\r\n{" % (CM.encode(), AUTH),
        b"POST %b HTTP/1.1\r\n%bTransfer-Encoding: chunked\r\n\r\n5\r\nab" % (CM.encode(), AUTH),
    )

    async def test(api: ApiServer) -> None:
        assert api.server._http is not None
        api.server._http.patience = 0.3
        api.server._http._sweep()
        for answer in await asyncio.gather(*(api.say(half, end=True) for half in halves)):
            assert answer.startswith(b"HTTP/1.1 408 "), answer
            assert b"did not arrive within 0.3 s" in answer

        async def drip() -> bytes:
            """A byte now and then keeps nobody waiting for ever."""
            reader, writer = await api.raw()
            answer = asyncio.create_task(reader.read())
            for byte in b"GET /readyz HTTP/1.1\r\n" + b"X: y\r\n" * 100:
                if answer.done():
                    break
                writer.write(bytes([byte]))
                await asyncio.sleep(0.02)
            return await answer

        began = asyncio.get_running_loop().time()
        assert (await drip()).startswith(b"HTTP/1.1 408 ")
        assert asyncio.get_running_loop().time() - began < 3

    play(tmp_path, test)


def test_there_is_a_bound_on_connections(tmp_path: Path) -> None:
    async def test(api: ApiServer) -> None:
        http = api.server._http
        assert http is not None
        http.crowd = 20
        for _ in range(60):  # quiet ones make room for new ones
            _, writer = await api.raw()
            writer.write(b"GET /readyz HTTP/1.1\r\n\r\n")
        await asyncio.sleep(0.2)
        assert len(http.connections) <= 20
        watches = []
        for _ in range(20):
            reader, writer = await api.raw()
            writer.write(b"GET /api/v1/configmaps?watch=1 HTTP/1.1\r\n%b\r\n" % AUTH)
            await reader.readline()
            watches.append((reader, writer))
        assert len(http.connections) == 20
        refused = await api.say(b"GET /readyz HTTP/1.1\r\n\r\n", end=True)
        assert refused.startswith(b"HTTP/1.1 429 ")
        assert b"retry-after" in refused.lower()
        for _, writer in watches:
            writer.transport.abort()
        await asyncio.sleep(0.1)

    play(tmp_path, test)


UPGRADE = (
    b"GET /api/v1/namespaces/default/pods/p/exec?command=sh&stdout=1 HTTP/1.1\r\n" + AUTH + b"Connection: Upgrade\r\n"
    b"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
    b"Sec-WebSocket-Protocol: v5.channel.k8s.io\r\n\r\n"
)


@given(
    junk=st.binary(max_size=400), head=st.sampled_from([b"", b"GET / HTTP/1.1\r\n", UPGRADE, b"POST " + CM.encode()])
)
@example(junk=b"\x00\xff" * 100, head=UPGRADE)
@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
def test_junk_never_harms(tmp_path: Path, junk: bytes, head: bytes, caplog: pytest.LogCaptureFixture) -> None:
    async def test(api: ApiServer) -> None:
        found = await api.say(head + junk + b"\r\n\r\n", patience=0.5)
        assert b"HTTP/1.1 5" not in found

    play(tmp_path, test)
    assert not [r for r in caplog.records if r.exc_info]


def test_memory_stays_flat(tmp_path: Path) -> None:
    """What was sent and refused is not kept."""
    hostile = [in_map(b"[" + b"[]," * 300_000 + b"[]]"), in_map(nested(10_000)), b"x" * 3_000_000, b'{"a":' * 100_000]

    async def test(api: ApiServer) -> None:
        async def round() -> None:
            for body in hostile:
                assert (await api.call("POST", CM, body))[0] == 400

        await round()
        gc.collect()
        tracemalloc.start()
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(3):
            await round()
        gc.collect()
        grown = tracemalloc.get_traced_memory()[0] - before
        tracemalloc.stop()
        assert grown < 2_000_000

    play(tmp_path, test)


def test_watchers_that_never_read(tmp_path: Path) -> None:
    """They hold no more than their buffers, whatever waits for them."""

    async def test(api: ApiServer) -> None:
        for n in range(200):
            assert (await api.call("POST", CM, config(f"m{n}", data={"k": "x" * 50_000})))[0] == 201
        stuck = []
        for _ in range(20):
            _, writer = await api.raw(small=True)
            writer.write(b"GET /api/v1/configmaps?watch=1 HTTP/1.1\r\n%b\r\n" % AUTH)
            stuck.append(writer)
        await asyncio.sleep(1)
        http = api.server._http
        assert http is not None
        waiting = [c._transport.get_write_buffer_size() for c in http.connections if c._streaming]
        assert len(waiting) == 20
        assert 0 < max(waiting) < 5_000_000  # of the 10 MB that each was to get
        assert (await api.call("GET", CM + "?limit=1"))[0] == 200
        for writer in stuck:
            writer.transport.abort()

    play(tmp_path, test)


def test_a_watcher_that_fell_behind_hears_it_and_resumes(tmp_path: Path) -> None:
    async def test(api: ApiServer) -> None:
        _, found = await api.call("GET", CM)
        reader, writer = await api.raw(small=True)
        since = found["metadata"]["resourceVersion"].encode()
        writer.write(b"GET %b?watch=1&resourceVersion=%b HTTP/1.1\r\n%b\r\n" % (CM.encode(), since, AUTH))
        assert b"200" in await reader.readline()
        for n in range(200):
            await api.call("POST", CM, config(f"m{n}", data={"k": "x" * 100_000}))
        # 20 MB are on their way to somebody who does not read, and at most 20 events wait for him in the store.
        text = b""
        while b'"ERROR"' not in text or b'"code":410' not in text:
            part = await asyncio.wait_for(reader.read(1 << 20), 10)
            assert part, "it ended without a word"
            text = text[-300:] + part
        writer.transport.abort()
        _, found = await api.call("GET", CM)
        assert sum(i["metadata"]["name"].startswith("m") for i in found["items"]) == 200
        last = found["metadata"]["resourceVersion"]
        _, made = await api.call("POST", CM, config("after"))
        answer = await api.client.request(
            "GET", f"{CM}?watch=1&resourceVersion={last}&timeoutSeconds=1", [("authorization", "Bearer root")]
        )
        (event,) = map(orjson.loads, answer.body.splitlines())
        assert (event["type"], event["object"]) == ("ADDED", made)

    play(tmp_path, test, store=MemoryStore(bound=20))


def test_the_process_is_no_larger_than_it_should_be() -> None:
    """All of the above in one process: a leak would show here."""
    with open("/proc/self/statm") as file:
        resident = int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    assert resident < 700e6
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < 1_500_000
