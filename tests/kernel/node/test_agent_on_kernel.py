"""The agent over the real runtime: needs root; uses a namespace and control groups named spt-* and removes them."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from fake_client import FakeClient

from sampan.api import meta
from sampan.base.clock import SystemClock
from sampan.base.netns import inside
from sampan.base.tasks import Tasks
from sampan.client.informer import Informer
from sampan.images.aliases import machine_images, make_tools
from sampan.images.registry import Registry
from sampan.node.agent import Agent, NodeConfig
from sampan.node.logs import tail
from sampan.node.machine import read_machine
from sampan.node.podfiles import DnsConfig
from sampan.node.registration import Identity
from sampan.node.runtime.destroy import destroy
from sampan.node.runtime.runtime import LinuxRuntime

NETNS = f"spt-agent-{os.getpid()}"
Obj = dict[str, Any]
pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: namespaces, mounts, control groups")

SERVER = """
import http.server, os, sys
class H(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers(); self.wfile.write(os.uname().nodename.encode())
    def log_message(self, *words): pass
print("up as", os.getuid(), os.environ["GREETING"], open("/etc/cfg/k").read(), flush=True)
http.server.HTTPServer(("", 8080), H).serve_forever()
"""


class World:
    def __init__(self, base: Path) -> None:
        self.base = base
        self.client = FakeClient(SystemClock())

    async def agent_starts(self) -> None:
        clock = SystemClock()
        self.tasks = Tasks("test")
        services = Informer(self.client, "services", clock=clock)
        self.tasks.start("services", services.run())
        config = NodeConfig(
            identity=Identity("n", "10.244.0.1", "10.244.0.0/24", "v1.32.0"),
            machine=read_machine(self.base),
            dns=DnsConfig("10.96.0.10"),
            socket=self.base / "kubelet.sock",
            memory_dir=self.base / "memory",
        )
        self.runtime = LinuxRuntime("spt", NETNS, self.base / "run", self.base / "state", "10.244.0.1")
        self.agent = Agent(
            config,
            client=self.client,
            runtime=self.runtime,
            images=machine_images(self.base / "images"),
            clock=clock,
            services=services,
            drained=self.drained,
        )
        await self.agent.start()

    async def drained(self, pod: Obj) -> bool:
        return False

    async def agent_stops(self) -> None:
        await self.agent.close()
        await self.tasks.stop()

    async def pod(self, **spec: Any) -> Obj:
        spec = {"nodeName": "n", "terminationGracePeriodSeconds": 2} | spec
        metadata = {"name": "web", "namespace": "ns"}
        return await self.client.create(
            "pods", {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec, "status": {}}
        )

    @property
    def now(self) -> Obj:
        return self.client.find("pods", "web", "ns") or {"metadata": {}, "status": {}}

    def log(self, attempt: int = 0) -> str:
        path = self.runtime.pod_dir(self.now["metadata"]["uid"]) / f"logs/app/{attempt}.log"
        return tail(path, 100).decode()


async def until(condition: Callable[[], object], seconds: float = 15) -> None:
    give_up = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < give_up, "waited in vain"
        await asyncio.sleep(0.02)


def play(scene: Callable[[World], Awaitable[None]]) -> None:
    failure: list[BaseException] = []

    async def main(base: Path) -> None:
        world = World(base)
        await world.agent_starts()
        try:
            await asyncio.wait_for(scene(world), 50)
        except BaseException as error:
            error.add_note(f"pod: {world.now}")
            error.add_note(f"events: {[e['message'] for e in world.client.all('events')]}")
            raise
        finally:
            await world.agent_stops()

    def body(base: Path) -> None:  # a thread of its own: it stands in the node's namespace
        try:
            with inside(f"/run/netns/{NETNS}"):
                asyncio.run(main(base))
        except BaseException as error:
            failure.append(error)

    def ip(*words: str) -> None:
        subprocess.run(["ip", *words], check=True, capture_output=True)

    with tempfile.TemporaryDirectory(prefix="spt-", dir="/var/tmp") as directory:
        os.chmod(directory, 0o755)
        base = Path(directory)
        make_tools(base / "images/tools")
        ip("netns", "add", NETNS)
        try:
            ip("-n", NETNS, "link", "set", "lo", "up")
            ip("-n", NETNS, "link", "add", "pods", "type", "bridge")
            ip("-n", NETNS, "addr", "add", "10.244.0.1/24", "dev", "pods")
            ip("-n", NETNS, "link", "set", "pods", "up")
            thread = threading.Thread(target=body, args=(base,))
            thread.start()
            thread.join()
        finally:
            destroy(base / "run", base / "state", "spt", NETNS)
            ip("netns", "del", NETNS)
    if failure:
        raise failure[0]


def test_a_pod_with_everything_lives_and_dies() -> None:
    async def scene(w: World) -> None:
        program = w.base / "program"
        program.mkdir(mode=0o755)
        (program / "server.py").write_text(SERVER)
        Registry(w.base / "images").register(
            "demo", ["/usr/bin/python3", "server.py"], workdir=program, env={"GREETING": "hi"}, environ={}
        )
        await w.client.create("configmaps", {"metadata": {"name": "cfg", "namespace": "ns"}, "data": {"k": "value"}})
        app = {
            "name": "app",
            "image": "demo:v1",
            "readinessProbe": {"httpGet": {"port": 8080}},
            "volumeMounts": [{"name": "c", "mountPath": "/etc/cfg"}],
        }
        begun = time.monotonic()
        await w.pod(containers=[app], volumes=[{"name": "c", "configMap": {"name": "cfg"}}])
        await until(lambda: meta.is_true(w.now, "Ready"))
        took = time.monotonic() - begun
        print(f"Ready after {took:.2f} s")
        assert took < 5
        assert w.log() == "up as 65534 hi value\n"
        before = w.now

        await w.agent_stops()
        await w.agent_starts()
        await until(w.agent.synced.is_set)
        await asyncio.sleep(0.5)
        assert w.now == before  # adopted: not one write

        uid = w.now["metadata"]["uid"]
        os.kill(w.runtime.containers(uid)[0].pid, 9)
        await until(
            lambda: meta.is_true(w.now, "Ready") and w.now["status"]["containerStatuses"][0]["restartCount"] == 1
        )
        assert w.now["status"]["containerStatuses"][0]["lastState"]["terminated"]["exitCode"] == 137

        directory = w.runtime.pod_dir(uid)
        await w.client.delete("pods", "web", "ns")
        await until(lambda: not w.now["metadata"])
        await until(lambda: not directory.exists())

    play(scene)


def test_a_shell_of_the_machine_ends_with_a_message() -> None:
    async def scene(w: World) -> None:
        script = "echo out; nslookup --help >/dev/null 2>&1; echo last words > /dev/termination-log; exit 7"
        await w.pod(
            containers=[{"name": "app", "image": "odise/busybox-curl", "args": ["sh", "-c", script]}],
            restartPolicy="Never",
        )
        await until(lambda: w.now["status"].get("phase") == "Failed")
        ended = w.now["status"]["containerStatuses"][0]["state"]["terminated"]
        assert (ended["exitCode"], ended["message"], ended["reason"]) == (7, "last words\n", "Error")
        assert w.log() == "out\n"

    play(scene)


LAST_WORDS = """
import socket
listener = socket.create_server(("", 8080))
print("up", flush=True)
connection, _ = listener.accept()
connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 200_000)
connection.sendall(b"x" * 150_000)
"""


def test_what_a_program_wrote_last_is_delivered_to_a_slow_reader() -> None:
    """It has ended long before its kernel has sent all; the network namespace stays until then."""

    async def scene(w: World) -> None:
        await w.pod(
            containers=[{"name": "app", "image": "python:3", "command": ["python3", "-c", LAST_WORDS]}],
            restartPolicy="Never",
        )
        await until(lambda: w.log() == "up\n")
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 10_000)
        client.settimeout(5)
        client.connect((w.now["status"]["podIP"], 8080))
        with client:
            await until(lambda: w.now["status"]["containerStatuses"][0]["state"].get("terminated"))
            await asyncio.sleep(0.5)
            got = 0
            while data := client.recv(1 << 16):
                got += len(data)
                await asyncio.sleep(0.01)
        assert got == 150_000
        await until(lambda: not w.runtime.sandboxes())

    play(scene)
