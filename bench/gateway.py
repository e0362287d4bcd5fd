"""The gateway's data path: the proxy's CPU for each request, and what a change of configuration does to clients.

One network namespace with nothing but `lo`; three backends (nginx, HTTP/1.1 and HTTP/2 without TLS); proxies with one
worker each. Ours is the launcher's Envoy, fed by the real xDS server with what the translator makes of Ingresses (and
of HTTPRoutes); the others are in `proxies.py`. Each round loads each proxy once, in turn and back again, with wrk
(32 connections, one thread); CPU is user and system time of the proxy's processes over the requests answered. Ratios
are of one round, their median is shown: CPU of the row over that of nginx, and of the usual Envoy over the row's.

Then one path more, twenty times, under a steady load of requests: by `nginx -s reload`, and by our translator, builder
and xDS server.
"""

from __future__ import annotations

import http.client
import json
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import peers
import proxies
from common import Row, cpu_seconds, memory_mb, row
from ingresscases import made
from xdslab import XdsLab

from sampan.base.netns import inside
from sampan.gateway.translate import Translator
from sampan.ir import Endpoint, Endpoints, Proxy
from sampan.xds.launcher import envoy_path

ROUNDS, SECONDS, CONNECTIONS = 7, 2, 32
CHANGES, PAUSE = 20, 0.3
HTTP = [9001, 9002, 9003]
HTTP2 = [9101, 9102, 9103]
OURS, NGINX, HAPROXY, HAPROXY2, USUAL, USUAL2 = 10080, 8001, 8002, 8003, 8004, 8005


def measure() -> list[Row]:
    programs = {name: peers.find(name) for name in peers.PACKAGES}
    missing = [name for name, found in programs.items() if found is None]
    if programs["wrk"] is None or programs["nginx"] is None:
        return [Row("left out", "–", "", f"no {', '.join(missing)} here, and apt-get could not fetch them")]
    rows = [Row(f"left out: {name}", "–", "", "not here, and apt-get could not fetch it") for name in missing]
    with tempfile.TemporaryDirectory(prefix="spt-bench-") as folder, Bench(Path(folder)) as bench:
        return rows + cpu(bench) + changes(bench)


class Bench:
    """The namespace and what runs in it; `ways` are what can be loaded: name → (port, Host, the proxy's process)."""

    def __init__(self, folder: Path) -> None:
        folder.chmod(0o755)
        self.folder = folder
        self._stack = ExitStack()
        self.ways: dict[str, tuple[int, str, int]] = {}

    def __enter__(self) -> Bench:
        self.lab = XdsLab(self.folder)
        self._stack.callback(self.lab.close)
        try:
            self._start()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def run(self, *argv: str | Path) -> subprocess.Popen[bytes]:
        with inside(self.lab.netns), (self.folder / "peers.log").open("ab") as log:
            started = subprocess.Popen(argv, stdout=log, stderr=log, env=peers.environment())
        self._stack.callback(self._end, started)
        return started

    def write(self, name: str, text: str) -> str:
        path = self.folder / name
        path.write_text(text)
        return str(path)

    def _end(self, process: subprocess.Popen[bytes]) -> None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _start(self) -> None:
        nginx, haproxy = peers.find("nginx"), peers.find("haproxy")
        assert nginx
        for plain, http2 in zip(HTTP, HTTP2, strict=True):
            config = proxies.backend(str(self.folder), plain, http2)
            self.run(nginx, "-c", self.write(f"backend-{plain}.conf", config))
        ours = Ours(self.lab)
        self.ours = ours
        host = proxies.HOSTS[0]
        self.ways["sampan, Ingress"] = (OURS, host, ours.pid)
        self.ways["sampan, Ingress, HTTP/2 upstream"] = (OURS, Ours.HTTP2_HOST, ours.pid)
        for name, port, backends, http2 in (
            ("usual Envoy", USUAL, HTTP, False),
            ("usual Envoy, HTTP/2 upstream", USUAL2, HTTP2, True),
        ):
            config = json.dumps(proxies.usual_envoy(port, str(self.folder / f"access-{port}.log"), backends, http2))
            options = ("--concurrency", "1", "--disable-hot-restart", "--log-level", "error")
            self.ways[name] = (
                port,
                host,
                self.run(envoy_path(), "-c", self.write(f"{port}.json", config), *options).pid,
            )
        config = proxies.nginx(str(self.folder), NGINX, HTTP)
        self.nginx = self.run(nginx, "-c", self.write("nginx.conf", config))
        self.ways["nginx"] = (NGINX, host, self.nginx.pid)
        if haproxy:
            for name, port, backends in (("HAProxy", HAPROXY, HTTP), ("HAProxy, HTTP/2 upstream", HAPROXY2, HTTP2)):
                config = self.write(f"{port}.cfg", proxies.haproxy(port, backends, http2=backends is HTTP2))
                self.ways[name] = (port, host, self.run(haproxy, "-f", config).pid)
        for port, host, _ in self.ways.values():
            self.until_answered(port, host, "/api/x")

    def until_answered(self, port: int, host: str, path: str) -> None:
        deadline = time.monotonic() + 20
        while not self.answered(port, host, path):
            if time.monotonic() > deadline:
                raise AssertionError(f"nobody answers at {port}: {(self.folder / 'peers.log').read_text()[-2000:]}")
            time.sleep(0.002)

    def answered(self, port: int, host: str, path: str) -> bool:
        """On a connection of its own. What was configured anew answers with 404 until then."""
        try:
            connection = self.lab.http(port)
            connection.request("GET", path, headers={"host": host})
            status = connection.getresponse().status
            connection.close()
        except OSError:
            return False
        return status == 200


class Ours:
    """The launcher's Envoy and the xDS server that feeds it."""

    HTTP2_HOST = "h2.example"

    def __init__(self, lab: XdsLab) -> None:
        self._lab = lab
        self._translator = Translator()
        self._primary = lab.primary()
        self._objects: dict[str, dict[str, Any]] = {}
        self.paths: list[str] = []
        lab.save(self._build())
        self._publish(wait=False)
        lab.start_envoy()
        assert lab.envoy
        self.pid = lab.envoy.pid

    def add(self, path: str) -> None:
        """Until Envoy has said that it has it."""
        self.paths.append(path)
        self._publish()

    def _publish(self, wait: bool = True) -> None:
        self._primary.publish(self._build(), wait)

    def _build(self) -> Any:
        first, second = proxies.HOSTS
        http2 = {"backend-protocol": "GRPC"}
        hosts: tuple[tuple[str, Sequence[str], str, dict[str, str]], ...] = (
            (first, (*proxies.PATHS, *self.paths), "web", {}),
            (second, proxies.PATHS, "web", {}),
            (self.HTTP2_HOST, proxies.PATHS, "grpc", http2),
        )
        entries: list[dict[str, Any]] = [{"kind": "Service", "name": name, "ports": [80]} for name in ("web", "grpc")]
        for host, paths, service, notes in hosts:
            rules = [f"{host} {path} Prefix {service}:80" for path in paths]
            entries.append({"kind": "Ingress", "name": host, "rules": rules, "annotations": notes})
        result = self._translator.translate(made(entries))
        members = {"default/web/80": HTTP, "default/grpc/80": HTTP2}
        endpoints = {
            name: Endpoints(name, tuple(Endpoint("127.0.0.1", port) for port in ports))
            for name, ports in members.items()
        }
        assert endpoints.keys() == {cluster.endpoints for cluster in result.clusters.values()}
        return self._lab.build(Proxy(result.listeners, result.tables, result.clusters, endpoints, result.secrets))


# ── CPU a request ────────────────────────────────────────────────────────────────────────────────────────────────────


def cpu(bench: Bench) -> list[Row]:
    samples: dict[str, list[float]] = {name: [] for name in bench.ways}
    rates: dict[str, list[float]] = {name: [] for name in bench.ways}
    load(bench, *next(iter(bench.ways.values())), seconds=1)
    for number in range(ROUNDS):
        for name in list(bench.ways)[:: 1 if number % 2 == 0 else -1]:
            rate, used = load(bench, *bench.ways[name])
            rates[name].append(rate)
            samples[name].append(used)
    rows = []
    for name, found in samples.items():
        less = statistics.median(u / f for u, f in zip(samples["usual Envoy"], found, strict=True))
        more = statistics.median(f / n for f, n in zip(found, samples["nginx"], strict=True))
        rate = statistics.median(rates[name])
        note = f"usual Envoy takes {less:.2f} times that; {more:.2f} times nginx; {rate:,.0f} req/s"
        rows.append(row(f"CPU a request: {name}", found, "µs", note))
    return rows


def load(bench: Bench, port: int, host: str, pid: int, seconds: float = SECONDS) -> tuple[float, float]:
    """Requests a second, and µs of CPU of the proxy for each."""
    wrk = peers.find("wrk")
    assert wrk
    argv = [wrk, "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "-H", f"Host: {host}", f"http://127.0.0.1:{port}/api/x"]
    every = tree(pid)
    before = cpu_seconds(every)
    with inside(bench.lab.netns):
        done = subprocess.run(argv, capture_output=True, text=True, check=True, env=peers.environment())
    used = cpu_seconds(every) - before
    assert "Non-2xx" not in done.stdout, done.stdout
    assert "Socket errors" not in done.stdout, done.stdout
    found = re.search(r"(\d+) requests in ([\d.]+)s", done.stdout)
    assert found, done.stdout
    return int(found[1]) / float(found[2]), used / int(found[1]) * 1e6


def tree(pid: int) -> list[int]:
    """A process and its children."""
    return [pid, *map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())]


# ── changes under load ───────────────────────────────────────────────────────────────────────────────────────────────


def changes(bench: Bench) -> list[Row]:
    nginx = peers.find("nginx")
    assert nginx
    more: list[str] = []

    def reload(path: str) -> None:
        more.append(path)
        bench.write("nginx.conf", proxies.nginx(str(bench.folder), NGINX, HTTP, more))
        bench.nginx.send_signal(signal.SIGHUP)

    ways: tuple[tuple[str, int, int, Callable[[str], None]], ...] = (
        ("nginx, reload", NGINX, bench.nginx.pid, reload),
        ("sampan", OURS, bench.ours.pid, bench.ours.add),
    )
    return [row for way in ways for row in _changed(bench, *way)]


def _download(bench: Bench, port: int, host: str) -> http.client.HTTPConnection:
    """One that lasts longer than all changes."""
    connection = bench.lab.http(port)
    connection.request("GET", "/slow", headers={"host": host})
    time.sleep(0.05)
    return connection


def _changed(bench: Bench, name: str, port: int, pid: int, change: Callable[[str], None]) -> Iterator[Row]:
    """`change` gives the first host one path more. Before each, somebody begins a slow download."""
    host = proxies.HOSTS[0]
    seconds = str(CHANGES * (PAUSE + 0.1) + 1)
    script = Path(__file__).with_name("steady.py")
    with inside(bench.lab.netns):
        steady = subprocess.Popen(
            [sys.executable, script, str(port), host, "/api/x", seconds, str(CONNECTIONS)], stdout=subprocess.PIPE
        )
    downloads = []
    try:
        time.sleep(0.5)
        for number in range(CHANGES):
            downloads.append(_download(bench, port, host))
            change(f"/new{number}/")
            time.sleep(PAUSE)
        processes, memory = len(tree(pid)), memory_mb(tree(pid))
        found = json.loads(steady.communicate(timeout=60)[0])
    finally:
        steady.kill()
        for connection in downloads:
            connection.close()
    yield Row(
        f"{CHANGES} changes under load, {name}: failed", str(found["failed"]), "requests", f"of {found['answered']:,}"
    )
    yield Row(f"{CHANGES} changes under load, {name}: dropped", str(found["dropped"]), "connect.", f"of {CONNECTIONS}")
    yield Row(
        f"{CHANGES} changes under load, {name}: processes",
        str(processes),
        "",
        f"{memory:.0f} MB, with a slow download of before each change; p50 {found['p50']} ms, p99 {found['p99']} ms",
    )
