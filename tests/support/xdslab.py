"""A pod's Envoy as the launcher starts it, in a network namespace of its own, and a server to be killed."""

from __future__ import annotations

import http.client
import json
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import ExitStack
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from proxylab import new_netns, sh

from sampan import ir
from sampan.base.netns import inside, pin, unpin
from sampan.ca.authority import Authority, Leaf
from sampan.xds import bootstrap, persist
from sampan.xds.build import Builder
from sampan.xds.types import Snapshot

PORT = 15012
KIND = "sampan-system/gateway"
POLL_SECONDS = 0.02  # until an upstream notices that it shall end


def world(*backends: int, clusters: int = 1, listener: str = "web", port: int = 8000, led_to: int = 0) -> ir.Proxy:
    """`/` leads to the cluster `led_to`, whose endpoints are the `backends`' ports; /N to the cluster N."""
    members = tuple(ir.Endpoint("127.0.0.1", port) for port in backends)
    targets = {n: ir.Forward((ir.Target(f"c{n}"),)) for n in range(clusters)}
    routes = [ir.Route(f"r{n}", ir.Match(ir.PathMatch(f"/{n}/")), targets[n]) for n in range(clusters)]
    routes.append(ir.Route("rest", ir.Match(), targets[led_to]))
    origin = ir.Origin("ingresses.networking.k8s.io", "default", "web")
    return ir.Proxy(
        listeners={listener: ir.Listener(listener, port, (ir.SniChain("all", ir.Http("t")),), origin=origin)},
        tables={"t": ir.RouteTable("t", (ir.VirtualHost("all", ("*",), tuple(routes)),))},
        clusters={f"c{n}": ir.Cluster(f"c{n}", f"e{n}", service=f"default/s{n}") for n in range(clusters)},
        endpoints={f"e{n}": ir.Endpoints(f"e{n}", members) for n in range(clusters)},
    )


class Primary:
    def __init__(self, lab: XdsLab) -> None:
        self._lab = lab
        argv = [sys.executable, str(Path(__file__).with_name("xdsprimary.py")), str(PORT), str(lab.pki)]
        with inside(lab.netns):
            self.process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self._read() == "ready"

    def ask(self, *words: object) -> Any:
        assert self.process.stdin
        self.process.stdin.write(" ".join(map(str, words)).encode() + b"\n")
        self.process.stdin.flush()
        return self._read()

    def publish(self, snapshot: Snapshot, wait: bool = True) -> None:
        self.ask("publish", KIND, self._lab.save(snapshot, f"published-{snapshot.version}"))
        if wait:
            self.ask("acked", KIND, snapshot.version)

    def states(self) -> dict[str, str]:
        """Of the one proxy, by type's last word."""
        (proxy,) = self.ask("status")
        return {t["type_url"].rpartition(".")[2]: t["state"] for t in proxy["types"]}

    def connected(self) -> int:
        return len(self.ask("status"))

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def _read(self) -> Any:
        assert self.process.stdout
        return json.loads(self.process.stdout.readline())


class Load:
    """Requests on several connections, new ones now and then, until stopped; `failed` says what was not 200."""

    def __init__(self, lab: XdsLab, path: str = "/", port: int = 8000, threads: int = 4) -> None:
        self.count, self.failed, self._over = 0, [], False
        self._lab, self._path, self._port = lab, path, port
        self._threads = [threading.Thread(target=self._run) for _ in range(threads)]
        for thread in self._threads:
            thread.start()

    def _run(self) -> None:
        while not self._over:
            try:
                connection = self._lab.http(self._port)
                for _ in range(100):
                    if self._over:
                        break
                    connection.request("GET", self._path)
                    answer = connection.getresponse()
                    body = answer.read()
                    self.count += 1
                    if answer.status != 200:
                        self.failed.append(f"{answer.status} {body[:100]!r}")
                    if answer.getheader("connection") == "close":
                        break
                    time.sleep(0.002)
                connection.close()
            except OSError as error:
                self.failed.append(repr(error))
                time.sleep(0.05)
            except http.client.HTTPException as error:
                self.failed.append(repr(error))

    def stop(self) -> int:
        self._over = True
        for thread in self._threads:
            thread.join()
        return self.count


class XdsLab:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.netns = folder / "net"
        self.saved = folder / "snapshot.pb"
        self._stack = ExitStack()
        with new_netns():
            pin("net", self.netns, "thread-self")
            sh("ip link set lo up")
        self._stack.callback(unpin, self.netns)
        self.pki = folder / "pki"
        authority = Authority.open(self.pki, "test-ca", now := datetime.now(UTC))
        authority.ensure(Leaf("xds", "xds", hosts=("127.0.0.1",), server=True), now)
        authority.ensure(Leaf("gateway", "gateway", client=True), now)
        authority.ensure(Leaf("stranger", "stranger", client=True), now)
        self.upstreams = [self._upstream() for _ in range(3)]
        self.envoy: subprocess.Popen[bytes] | None = None
        self.log = folder / "envoy.log"
        self._primaries: list[Primary] = []
        self.builder = Builder()

    def close(self) -> None:
        if self.envoy and self.envoy.poll() is None:
            self.envoy.kill()
            self.envoy.wait()
        for primary in self._primaries:
            primary.kill()
        self._stack.close()

    def build(self, proxy: ir.Proxy) -> Snapshot:
        """Endpoints that were known before are changed by themselves, as the app does it."""
        self.builder.build(proxy)
        return self.builder.update_endpoints(proxy.endpoints)

    def save(self, snapshot: Snapshot, name: str = "snapshot.pb") -> Path:
        path = self.folder / name
        path.write_bytes(persist.encode(snapshot))
        return path

    def primary(self) -> Primary:
        made = Primary(self)
        self._primaries.append(made)
        return made

    def start_envoy(self, user: str = "gateway") -> None:
        argv = [sys.executable, "-m", "sampan.xds.launcher", "--node-id", "pod-1", "--kind", KIND]
        argv += ["--server", f"127.0.0.1:{PORT}", "--snapshot", str(self.saved), "--run", str(self.folder / "run")]
        argv += ["--cert", str(self.pki / f"{user}.crt"), "--key", str(self.pki / f"{user}.key")]
        argv += ["--ca", str(self.pki / "ca.crt"), "--concurrency", "1"]
        with inside(self.netns), self.log.open("ab") as log:
            self.envoy = subprocess.Popen(argv, stdout=log, stderr=log)

    def kill_envoy(self) -> None:
        assert self.envoy
        self.envoy.kill()
        self.envoy.wait()

    def terminate_envoy(self) -> None:
        assert self.envoy
        self.envoy.send_signal(signal.SIGTERM)
        self.envoy.wait()

    def http(self, port: int) -> http.client.HTTPConnection:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        with inside(self.netns):
            connection.sock = socket.create_connection(("127.0.0.1", port), timeout=10)
        connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection

    def get(self, path: str = "/", port: int = 8000) -> tuple[int, str]:
        connection = self.http(port)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def stat(self, name: str) -> int:
        found = json.loads(self.get(f"/stats?format=json&filter=^{name}$", bootstrap.ADMIN[1])[1])
        return int(found["stats"][0]["value"])

    def until(self, path: str, wanted: tuple[int, str], seconds: float = 15, port: int = 8000) -> float:
        """Seconds it took."""
        began, seen = time.monotonic(), None
        while time.monotonic() < began + seconds:
            try:
                seen = self.get(path, port)
                if seen == wanted:
                    return time.monotonic() - began
            except OSError as error:
                seen = error
            time.sleep(0.01)
        raise AssertionError(f"{path}: {seen}, not {wanted}\n{self.log.read_text()[-3000:]}")

    def replays(self) -> list[int]:
        """Replay processes of this lab."""
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    line = (entry / "cmdline").read_bytes().decode().split("\0")
                    state = (entry / "stat").read_text().rpartition(")")[2].split()[0]
                except OSError:
                    continue
                if "sampan.xds.replay" in line and str(self.saved) in line and state != "Z":
                    found.append(int(entry.name))
        return found

    def _upstream(self) -> int:
        with inside(self.netns):
            server = _Server(("127.0.0.1", 0), _Upstream)
        threading.Thread(target=server.serve_forever, args=(POLL_SECONDS,), daemon=True).start()
        self._stack.callback(server.server_close)
        self._stack.callback(server.shutdown)
        return int(server.server_address[1])


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


class _Upstream(BaseHTTPRequestHandler):
    """Answers with its own port."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        body = str(self.connection.getsockname()[1]).encode()
        self.send_response_only(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def handle_one_request(self) -> None:
        try:
            super().handle_one_request()
        except (ConnectionError, TimeoutError):
            self.close_connection = True

    def log_message(self, *args: Any) -> None:
        pass
