"""The meaning of `Client`: one suite over the fake, the in-process client and HTTP with TLS against the real server."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from datetime import UTC, datetime
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

import pytest
import uvloop
from fake_client import FakeClient

from sampan.api.kinds import SCHEME
from sampan.api.meta import Obj, name
from sampan.api.status import ApiError
from sampan.base.clock import SystemClock
from sampan.base.tasks import Tasks
from sampan.ca.authority import Authority, Leaf
from sampan.client.http import HttpClient
from sampan.client.informer import Informer
from sampan.client.local import LocalClient
from sampan.client.types import JSON, Client, Preconditions, WatchEvent
from sampan.server.server import Server, ServerConfig
from sampan.server.types import Deletion
from sampan.server.watch import Asked
from sampan.store.memory import MemoryStore
from sampan.store.types import Store

Make = Callable[[], Any]


async def _server(folder: Path, store: Store | None = None, port: int = 0) -> Server:
    authority = Authority.open(folder, "test", datetime.now(UTC))
    authority.ensure(Leaf("server", "kube-apiserver", hosts=("127.0.0.1",), server=True), datetime.now(UTC))
    authority.ensure(Leaf("admin", "admin", groups=("system:masters",), client=True), datetime.now(UTC))
    config = ServerConfig(
        listen=("127.0.0.1",),
        port=port,
        advertise="192.0.2.1",
        cert=folder / "server.crt",
        key=folder / "server.key",
        client_ca=folder / "ca.crt",
        service_cidr=IPv4Network("10.96.0.0/16"),
        agent_socket=lambda node: folder / f"{node}.sock",
        account_key=folder / "sa.key",
    )
    server = Server(config, SCHEME.live(), store or MemoryStore(), SystemClock(), random.Random(1))
    await server.start()
    return server


def _http(folder: Path, port: int) -> HttpClient:
    files = {"ca_file": folder / "ca.crt", "cert_file": folder / "admin.crt", "key_file": folder / "admin.key"}
    return HttpClient(f"https://127.0.0.1:{port}", SCHEME, **files)  # type: ignore[arg-type]


@pytest.fixture(params=["fake", "local", "http"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Make:
    """A client of one kind, and the server it needs."""

    @asynccontextmanager
    async def opened() -> AsyncIterator[Client]:
        if request.param == "fake":
            yield FakeClient(SystemClock())
            return
        server = await _server(tmp_path)
        client: Client
        if request.param == "local":
            client = LocalClient(server.registry, Asked, Deletion)
        else:
            client = _http(tmp_path, server.port)
        try:
            yield client
        finally:
            await client.close()
            await server.close()

    return opened


def run(make: Make, test: Callable[[Client], Awaitable[None]]) -> None:
    async def main() -> None:
        async with make() as client:
            await asyncio.wait_for(test(client), 10)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())


def config(config_name: str, data: str = "1", **metadata: Any) -> Obj:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": config_name, "namespace": "default", **metadata},
        "data": {"k": data},
    }


NODE: Obj = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n0"}}


async def code(call: Awaitable[Any]) -> tuple[int, str]:
    with pytest.raises(ApiError) as caught:
        await call
    return caught.value.code, caught.value.reason


def test_create_get_list(make: Make) -> None:
    async def test(client: Client) -> None:
        made = await client.create("configmaps", config("a", labels={"app": "x"}))
        assert made["metadata"]["uid"]
        assert made["metadata"]["creationTimestamp"]
        assert await client.get("configmaps", "a", "default") == made
        assert await code(client.create("configmaps", config("a"))) == (409, "AlreadyExists")
        assert await code(client.get("configmaps", "none", "default")) == (404, "NotFound")
        generated = await client.create("configmaps", config("") | {"metadata": {"generateName": "g-",
                                                                                 "namespace": "default"}})  # fmt: skip
        assert len(name(generated)) == 7
        page = await client.list("configmaps", "default", labels="app=x")
        assert page.items == [made]
        assert int(page.revision) >= int(generated["metadata"]["resourceVersion"])
        assert [name(o) for o in (await client.list("configmaps", fields="metadata.name=a")).items] == ["a"]
        assert (await client.list("configmaps", "empty")).items == []

    run(make, test)


def test_update_and_conflict(make: Make) -> None:
    async def test(client: Client) -> None:
        made = await client.create("configmaps", config("a"))
        newer = await client.update("configmaps", made | {"data": {"k": "2"}})
        assert int(newer["metadata"]["resourceVersion"]) > int(made["metadata"]["resourceVersion"])
        assert await code(client.update("configmaps", made | {"data": {"k": "3"}})) == (409, "Conflict")
        assert await client.update("configmaps", newer) == newer
        assert (await client.get("configmaps", "a", "default"))["data"] == {"k": "2"}

    run(make, test)


def test_patches(make: Make) -> None:
    async def test(client: Client) -> None:
        await client.create("configmaps", config("a"))
        merged = await client.patch("configmaps", "a", "default", {"data": {"k": None, "l": "2"}})
        assert merged["data"] == {"l": "2"}
        patch = [{"op": "replace", "path": "/data/l", "value": "3"}]
        assert (await client.patch("configmaps", "a", "default", patch, kind=JSON))["data"] == {"l": "3"}
        stale = {"metadata": {"resourceVersion": "1"}, "data": {"l": "4"}}
        assert await code(client.patch("configmaps", "a", "default", stale)) == (409, "Conflict")
        assert await code(client.patch("configmaps", "none", "default", {})) == (404, "NotFound")

    run(make, test)


def test_status_is_apart_and_nodes_have_no_namespace(make: Make) -> None:
    async def test(client: Client) -> None:
        made = await client.create("nodes", NODE)
        condition = {"type": "Ready", "status": "True"}
        changed = await client.update_status("nodes", made | {"status": {"conditions": [condition]}})
        assert changed["status"]["conditions"][0]["status"] == "True"
        labelled = await client.update("nodes", {**changed, "metadata": changed["metadata"] | {"labels": {"a": "b"}},
                                                 "status": {}})  # fmt: skip
        assert labelled["status"] == changed["status"]
        patch = {"status": {"conditions": [condition | {"status": "False"}]}, "spec": {"unschedulable": True}}
        patched = await client.patch("nodes", "n0", "", patch, subresource="status")
        assert patched["status"]["conditions"][0]["status"] == "False"
        assert "unschedulable" not in (patched.get("spec") or {})
        assert (await client.get("nodes", "n0"))["metadata"]["labels"]["a"] == "b"

    run(make, test)


def test_delete(make: Make) -> None:
    async def test(client: Client) -> None:
        made = await client.create("configmaps", config("a", finalizers=["example.com/wait"]))
        wrong = Preconditions(uid="00000000-0000-0000-0000-000000000000")
        assert await code(client.delete("configmaps", "a", "default", preconditions=wrong)) == (409, "Conflict")
        right = Preconditions(uid=made["metadata"]["uid"], revision=made["metadata"]["resourceVersion"])
        marked = await client.delete("configmaps", "a", "default", preconditions=right)
        assert marked["metadata"]["deletionTimestamp"]
        await client.patch("configmaps", "a", "default", {"metadata": {"finalizers": None}})
        assert await code(client.get("configmaps", "a", "default")) == (404, "NotFound")
        assert await code(client.delete("configmaps", "a", "default")) == (404, "NotFound")
        await client.create("configmaps", config("b"))
        await client.delete("configmaps", "b", "default", propagation="Background", grace=0)
        assert await code(client.get("configmaps", "b", "default")) == (404, "NotFound")

    run(make, test)


async def events(client: Client, count: int, **options: Any) -> list[tuple[str, str]]:
    seen: list[WatchEvent] = []
    async with aclosing(client.watch("configmaps", "default", **options)) as watch:  # type: ignore[type-var]
        async for event in watch:
            seen.append(event)
            if len(seen) == count:
                break
    revisions = [int(e.object["metadata"]["resourceVersion"]) for e in seen]
    assert revisions == sorted(set(revisions))
    return [(e.type, name(e.object)) for e in seen]


def test_watch_past_and_present(make: Make) -> None:
    async def test(client: Client) -> None:
        start = (await client.create("configmaps", config("start")))["metadata"]["resourceVersion"]
        await client.create("configmaps", config("a", labels={"app": "x"}))
        following = asyncio.create_task(events(client, 4, after=start))
        selecting = asyncio.create_task(events(client, 2, after=start, labels="app=x"))
        await asyncio.sleep(0.05)
        await client.patch("configmaps", "a", "default", {"metadata": {"labels": {"app": "y"}}})
        await client.create("configmaps", config("b"))
        await client.delete("configmaps", "b", "default")
        assert await following == [("ADDED", "a"), ("MODIFIED", "a"), ("ADDED", "b"), ("DELETED", "b")]
        assert await selecting == [("ADDED", "a"), ("DELETED", "a")]

    run(make, test)


def test_an_informer_keeps_up(make: Make) -> None:
    async def test(client: Client) -> None:
        tasks = Tasks("test")
        informer = Informer(client, "configmaps", "default", clock=SystemClock())
        tasks.start("informer", informer.run())
        await informer.synced.wait()
        before = len(informer)
        await asyncio.gather(*(client.create("configmaps", config(f"c{n}")) for n in range(50)))
        await asyncio.gather(*(client.delete("configmaps", f"c{n}", "default") for n in range(0, 50, 2)))
        while len(informer) != before + 25:
            await asyncio.sleep(0.01)
        await tasks.stop()

    run(make, test)


@pytest.mark.parametrize("same_store", [True, False])
def test_an_informer_outlives_the_server(tmp_path: Path, same_store: bool) -> None:
    """The same store comes back: it resumes. Another store comes back: it lists again and tells the difference."""

    async def main() -> None:
        store, tasks, told = MemoryStore(), Tasks("test"), list[str]()
        server = await _server(tmp_path, store)
        client = _http(tmp_path, server.port)
        informer = Informer(client, "configmaps", clock=SystemClock(), chance=lambda: 0.0)

        def tell(old: Obj | None, new: Obj | None) -> None:
            told.append(("+" if old is None else "-" if new is None else "~") + name(new or old or {}))

        informer.add_handler(tell)
        tasks.start("informer", informer.run())
        for n in range(30):
            await client.create("configmaps", config(f"c{n}"))
        async with asyncio.timeout(10):
            while "+c29" not in told:
                await asyncio.sleep(0.01)
            told.clear()
            await server.close()
            server = await _server(tmp_path, store if same_store else None, server.port)
            await client.create("configmaps", config("new"))
            while "+new" not in told:
                await asyncio.sleep(0.01)
        assert told.count("-c7") == (0 if same_store else 1)
        assert len(told) == (1 if same_store else 31)
        await tasks.stop()
        await client.close()
        await server.close()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())


def test_an_unreachable_server_is_a_503() -> None:
    async def main() -> None:
        client = HttpClient("http://127.0.0.1:9", SCHEME)
        assert await code(client.get("nodes", "n0")) == (503, "ServiceUnavailable")
        assert await code(client.list("nodes")) == (503, "ServiceUnavailable")
        with pytest.raises(ApiError, match="cannot connect to http:"):
            async for _ in client.watch("nodes", after="1"):
                pass
        await client.close()

    asyncio.run(main())
