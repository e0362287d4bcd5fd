"""The agent with a fake API and a fake runtime: registration, heartbeat, adoption, its endpoints."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from fake_client import FakeClient
from fake_runtime import FakeProcess, FakeRuntime

from sampan.api import meta
from sampan.base.clock import FakeClock
from sampan.base.http.types import Request, Response, Stream
from sampan.base.tasks import Tasks
from sampan.client.informer import Informer
from sampan.images.aliases import machine_images
from sampan.node.agent import Agent, NodeConfig
from sampan.node.http import Endpoints
from sampan.node.machine import Machine, read_machine
from sampan.node.podfiles import DnsConfig
from sampan.node.registration import LEASE_NAMESPACE, LEASES, Identity
from sampan.node.runtime.types import SandboxSpec

MACHINE = Machine(2, 4 << 30, 10 << 30, "amd64", "6.1", "Debian 12", "m", "b")
Obj = dict[str, Any]


class Stage:
    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.clock = FakeClock()
        self.client = FakeClient(self.clock)
        self.runtime = FakeRuntime(directory, self.clock)
        self.tasks = Tasks("test")
        self.services = Informer(self.client, "services", clock=self.clock)

    async def start(self) -> Agent:
        config = NodeConfig(
            identity=Identity("node-0", "172.30.0.2", "10.244.0.0/24", "v1.32.0", {"zone": "a"}),
            machine=MACHINE,
            dns=DnsConfig("10.96.0.10"),
            socket=self.directory / "kubelet.sock",
            memory_dir=self.directory / "memory",
        )

        async def drained(pod: Obj) -> bool:
            return False

        self.agent = Agent(
            config,
            client=self.client,
            runtime=self.runtime,
            images=machine_images(self.directory / "images"),
            clock=self.clock,
            services=self.services,
            drained=drained,
        )
        self.tasks.start("services", self.services.run())
        await self.agent.start()
        await self.pass_time(1)
        return self.agent

    async def pass_time(self, seconds: float) -> None:
        await self.clock.advance(seconds)
        for _ in range(10):
            await self.clock.advance(0)

    async def pod(self, name: str = "web", **spec: Any) -> Obj:
        spec = {"containers": [{"name": "app", "image": "busybox"}], "nodeName": "node-0"} | spec
        body = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "namespace": "ns"},
            "spec": spec,
            "status": {},
        }
        return await self.client.create("pods", body)

    async def close(self) -> None:
        await self.agent.close()
        await self.tasks.stop()


def stage(tmp_path: Path, story: Callable[[Stage], Awaitable[None]]) -> None:
    async def main() -> None:
        s = Stage(tmp_path)
        try:
            await story(s)
        finally:
            await s.close()

    asyncio.run(main())


def test_the_node_registers_and_keeps_its_lease(tmp_path: Path) -> None:
    async def story(s: Stage) -> None:
        agent = await s.start()
        assert agent.registered.is_set()
        node = s.client.find("nodes", "node-0")
        assert node is not None
        assert node["spec"]["podCIDR"] == "10.244.0.0/24"
        assert node["metadata"]["labels"]["kubernetes.io/hostname"] == "node-0"
        assert node["metadata"]["labels"]["zone"] == "a"
        assert node["status"]["capacity"]["pods"] == "110"
        assert meta.is_true(node, "Ready")
        lease = s.client.find(LEASES, "node-0", LEASE_NAMESPACE)
        assert lease is not None
        assert lease["spec"]["holderIdentity"] == "node-0"
        writes = s.client.writes
        await s.pass_time(60)
        assert s.client.writes == writes + 6  # the lease and nothing else
        await s.pass_time(300)
        assert s.client.find("nodes", "node-0")["status"]["conditions"] != node["status"]["conditions"]  # type: ignore[index]

    stage(tmp_path, story)


def test_a_node_that_is_called_dead_answers(tmp_path: Path) -> None:
    async def story(s: Stage) -> None:
        await s.start()
        dead = {
            "status": {
                "conditions": [{"type": "Ready", "status": "Unknown", "lastTransitionTime": "2026-01-01T00:00:00Z"}]
            }
        }
        await s.client.patch("nodes", "node-0", "", dead, subresource="status")
        await s.pass_time(0.1)
        assert meta.is_true(s.client.find("nodes", "node-0"), "Ready")  # type: ignore[arg-type]
        await s.client.delete("nodes", "node-0")
        await s.pass_time(0.1)
        assert meta.is_true(s.client.find("nodes", "node-0"), "Ready")  # type: ignore[arg-type]

    stage(tmp_path, story)


def test_a_server_that_comes_late(tmp_path: Path) -> None:
    async def story(s: Stage) -> None:
        s.client.fail("create", "nodes", OSError("away"), times=3)
        await s.start()
        await s.pass_time(3)
        assert s.agent.registered.is_set()

    stage(tmp_path, story)


def test_only_pods_of_this_node_run_and_leftovers_go(tmp_path: Path) -> None:
    async def story(s: Stage) -> None:
        s.runtime.boxes["old"] = SandboxSpec("old", "ns", "old", "old", "10.244.0.2", "", "")
        s.runtime.pod_dir("older").mkdir(parents=True)
        await s.pod("mine")
        await s.pod("other", nodeName="node-1")
        await s.start()
        assert s.runtime.started() == ["app.0"]
        assert {c[1] for c in s.runtime.calls if c[0] == "forget"} == {"old", "older"}
        mine = s.client.find("pods", "mine", "ns")
        assert mine is not None
        assert mine["status"]["podIP"].startswith("10.244.0.")
        assert "old" not in s.runtime.boxes
        late = await s.pod("late")
        await s.pass_time(1)
        assert (late["metadata"]["uid"]) in s.runtime.boxes
        await s.client.delete("pods", "late", "ns")
        await s.pass_time(5)
        assert s.client.find("pods", "late", "ns") is None

    stage(tmp_path, story)


def test_a_pod_of_the_same_name_is_another_pod(tmp_path: Path) -> None:
    async def story(s: Stage) -> None:
        await s.start()
        first = await s.pod()
        await s.pass_time(1)
        await s.client.delete("pods", "web", "ns", grace=0)
        second = await s.pod()
        await s.pass_time(5)
        assert ("forget", first["metadata"]["uid"]) in s.runtime.calls
        assert list(s.runtime.boxes) == [second["metadata"]["uid"]]
        assert meta.is_true(s.client.find("pods", "web", "ns"), "Ready")  # type: ignore[arg-type]

    stage(tmp_path, story)


# -- endpoints --------------------------------------------------------------------------------------------------------


class OnePod:
    def __init__(self, pod: Obj) -> None:
        self.pod = pod

    def find(self, key: Any) -> Obj | None:
        return self.pod if meta.key(self.pod) == key else None

    def all(self) -> list[Obj]:
        return [self.pod]


def request(path: str, query: str = "", **headers: str) -> Request:
    return Request("GET", path, path, query, {k.replace("_", "-"): v for k, v in headers.items()})


def endpoints(tmp_path: Path) -> tuple[Endpoints, FakeRuntime]:
    runtime = FakeRuntime(tmp_path, FakeClock())
    container = {"name": "app", "image": "busybox", "stdin": True}
    pod = {"metadata": {"name": "web", "namespace": "ns", "uid": "u"}, "spec": {"containers": [container]}}
    return Endpoints(OnePod(pod), runtime, runtime.clock), runtime


async def run_container(runtime: FakeRuntime) -> None:
    from sampan.node.runtime.types import ContainerSpec

    await runtime.start_container("u", ContainerSpec("app", 0, ("x",), (), "/", 0, 0))


def test_logs_over_http(tmp_path: Path) -> None:
    async def main() -> None:
        handler, runtime = endpoints(tmp_path)
        early = await handler.handle(request("/containerLogs/ns/web/app"))
        assert isinstance(early, Response)
        assert early.status == 400
        assert early.body == b'container "app" in pod "web" is waiting to start: ContainerCreating'
        await run_container(runtime)
        path = tmp_path / "pods/u/logs/app/0.log"
        path.parent.mkdir(parents=True)
        path.write_text("2026-01-01T00:00:00Z stdout F hello\n2026-01-01T00:00:01Z stdout F there\n")
        found = await handler.handle(request("/containerLogs/ns/web/app", "tailLines=1"))
        assert isinstance(found, Stream)
        assert b"".join([c async for c in found.chunks]) == b"there\n"
        for path_, query, code in (
            ("/containerLogs/ns/web/app", "previous=true", 400),
            ("/containerLogs/ns/web/app", "tailLines=x", 400),
            ("/containerLogs/ns/web/nope", "", 400),
            ("/containerLogs/ns/nope/app", "", 404),
            ("/nowhere", "", 404),
        ):
            answer = await handler.handle(request(path_, query))
            assert isinstance(answer, Response)
            assert answer.status == code
        pods = await handler.handle(request("/pods"))
        assert isinstance(pods, Response)
        assert json.loads(pods.body)["items"][0]["metadata"]["name"] == "web"

    asyncio.run(main())


class Client:
    """The other end of an upgraded connection, speaking masked WebSocket frames."""

    def __init__(self) -> None:
        self.sent: asyncio.Queue[bytes] = asyncio.Queue()
        self.got = b""
        self.closed = False

    def send(self, data: bytes) -> None:
        self.sent.put_nowait(bytes([0x82, 0x80 | len(data)]) + b"\0\0\0\0" + data)

    def messages(self) -> list[bytes]:
        found, rest = [], self.got
        while len(rest) >= 2:
            size, at = rest[1], 2
            if size == 126:
                size, at = int.from_bytes(rest[2:4], "big"), 4
            if rest[0] == 0x82:
                found.append(rest[at : at + size])
            rest = rest[at + size :]
        return found

    async def read(self) -> bytes:
        return await self.sent.get()

    async def write(self, data: bytes) -> None:
        self.got += data
        if data[:1] == b"\x88":
            self.sent.put_nowait(b"\x88\x80\0\0\0\0")

    def close(self) -> None:
        self.closed = True
        self.sent.put_nowait(b"")


UPGRADE = {
    "connection": "Upgrade",
    "upgrade": "websocket",
    "sec_websocket_version": "13",
    "sec_websocket_key": base64.b64encode(b"0" * 16).decode(),
    "sec_websocket_protocol": "v5.channel.k8s.io, v4.channel.k8s.io",
}


def session(tmp_path: Path, path: str, query: str, process: FakeProcess, inputs: list[bytes]) -> list[bytes]:
    async def main() -> list[bytes]:
        handler, runtime = endpoints(tmp_path)
        await run_container(runtime)
        runtime.answers = {("sh",): process, ("attach",): process}
        upgrade = await handler.handle(request(path, query, **UPGRADE))
        assert not isinstance(upgrade, Response | Stream)
        assert ("sec-websocket-protocol", "v5.channel.k8s.io") in upgrade.headers
        client = Client()
        for data in inputs:
            client.send(data)
        await asyncio.wait_for(upgrade.run(client), 5)
        return client.messages()

    return asyncio.run(main())


def test_exec_with_input_size_and_exit_code(tmp_path: Path) -> None:
    process = FakeProcess(code=3, echo=True)
    inputs = [b'\x04{"Width":80,"Height":24}', b"\x00hi\n", b"\xff\x00"]
    messages = session(tmp_path, "/exec/ns/web/app", "command=sh&stdin=1&stdout=1&stderr=1", process, inputs)
    assert messages[:2] == [b"\x01", b"\x01hi\n"]
    status = json.loads(messages[2][1:])
    assert messages[2][0] == 3
    assert (status["reason"], status["details"]["causes"]) == (
        "NonZeroExitCode",
        [{"reason": "ExitCode", "message": "3"}],
    )
    assert process.sizes == [(80, 24)]
    assert process.closed


def test_exec_that_ends_well(tmp_path: Path) -> None:
    messages = session(tmp_path, "/exec/ns/web/app", "command=sh&output=1", FakeProcess(output=b"out"), [])
    assert messages == [b"\x01", b"\x01out", b'\x03{"metadata":{},"status":"Success"}']


def test_attach(tmp_path: Path) -> None:
    process = FakeProcess(code=7, echo=True)
    messages = session(tmp_path, "/attach/ns/web/app", "stdin=1&stdout=1", process, [b"\x00x", b"\xff\x00"])
    assert messages[1:] == [b"\x01x", b'\x03{"metadata":{},"status":"Success"}']


def test_input_that_nobody_reads_does_not_end_the_output(tmp_path: Path) -> None:
    class Deaf(FakeProcess):
        async def write(self, data: bytes) -> None:
            self._chunks.put_nowait((1, b"still here"))
            self._chunks.put_nowait(None)
            raise BrokenPipeError

    messages = session(tmp_path, "/exec/ns/web/app", "command=sh&stdin=1&stdout=1", Deaf(echo=True), [b"\x00x"])
    assert messages[1] == b"\x01still here"


def test_exec_needs_a_running_container_and_a_command(tmp_path: Path) -> None:
    async def main() -> list[tuple[int, str]]:
        handler, runtime = endpoints(tmp_path)
        found = []
        for query in ("command=sh", ""):
            answer = await handler.handle(request("/exec/ns/web/app", query, **UPGRADE))
            assert isinstance(answer, Response)
            found.append((answer.status, answer.body.decode()))
        await run_container(runtime)
        plain = await handler.handle(request("/exec/ns/web/app", "command=sh"))
        assert isinstance(plain, Response)
        return [*found, (plain.status, "")]

    assert asyncio.run(main()) == [
        (500, 'container not found ("app")'),
        (400, "you must specify at least 1 command for the container"),
        (400, ""),
    ]


def test_this_machine_can_be_read(tmp_path: Path) -> None:
    found = read_machine(tmp_path)
    assert found.cpus >= 1
    assert found.memory > 1 << 20
    assert found.disk > 1 << 20
    assert found.architecture in ("amd64", "arm64")
