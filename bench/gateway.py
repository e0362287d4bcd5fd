"""The gateway's data path: the proxy's CPU for each request, and what a change of configuration does to clients.

One network namespace with nothing but `lo`; three backends (nginx, HTTP/1.1 and HTTP/2 without TLS); proxies with one
worker each, on the last core; load and backends are on the others. Ours is the launcher's Envoy, fed by the real xDS
server with what the translators make of Ingresses and of HTTPRoutes; the others are in `proxies.py`. Each round loads
each proxy once, in turn and back again, with wrk (32 connections, one thread); CPU is user and system time of the
proxy's processes over the requests answered. Ratios are of one round, their median is shown: CPU of the usual Envoy
over that of the row, and of the row over nginx's.

nginx, HAProxy and our Ingresses tell backends of the client in six headers, as ingress-nginx does; the usual Envoy and
our HTTPRoutes do not. Compare like with like.

Then one path more, twenty times, under a steady load of requests: by `nginx -s reload`, and by our translator, builder
and xDS server.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import gatewaycases
import ingresscases
import peers
import proxies
from common import Row, cpu_seconds, memory_mb, row
from xdslab import XdsLab

from sampan.api.meta import Key
from sampan.base.netns import inside
from sampan.gateway.translate import Translator
from sampan.gateway.types import Objects
from sampan.ir import Endpoint, Endpoints, Proxy
from sampan.xds.launcher import envoy_path

ROUNDS, SECONDS, CONNECTIONS = 7, 2, 32
CHANGES, PAUSE = 20, 0.3
CORES = os.sched_getaffinity(0)
LAST = {max(CORES)}
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


@contextmanager
def on(cores: set[int]) -> Iterator[None]:
    """What is started here runs on these."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


class Bench:
    """The namespace and what runs in it; `ways` are what can be loaded: name → (port, Host, the proxy's process)."""

    def __init__(self, folder: Path) -> None:
        folder.chmod(0o755)
        self.folder = folder
        self._stack = ExitStack()
        self.ways: dict[str, tuple[int, str, int]] = {}

    def __enter__(self) -> Bench:
        self._stack.enter_context(on(CORES - LAST or LAST))
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

    def proxy(self, *argv: str | Path) -> subprocess.Popen[bytes]:
        with on(LAST):
            return self.run(*argv)

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
        self.ways["sampan, HTTPRoute"] = (ours.gateway_port, host, ours.pid)
        self.ways["sampan, HTTPRoute, HTTP/2 upstream"] = (ours.gateway_port, Ours.HTTP2_HOST, ours.pid)
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
                self.proxy(envoy_path(), "-c", self.write(f"{port}.json", config), *options).pid,
            )
        config = proxies.nginx(str(self.folder), NGINX, HTTP)
        self.nginx = self.proxy(nginx, "-c", self.write("nginx.conf", config))
        self.ways["nginx"] = (NGINX, host, self.nginx.pid)
        if haproxy:
            for name, port, backends in (("HAProxy", HAPROXY, HTTP), ("HAProxy, HTTP/2 upstream", HAPROXY2, HTTP2)):
                config = self.write(f"{port}.cfg", proxies.haproxy(port, backends, http2=backends is HTTP2))
                self.ways[name] = (port, host, self.proxy(haproxy, "-f", config).pid)
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
        with on(LAST):
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
        hosts = ((first, "web"), (second, "web"), (self.HTTP2_HOST, "h2c"))
        h2c = {"port": 80, "name": "http", "appProtocol": "kubernetes.io/h2c"}
        services = [{"kind": "Service", "name": "web"}, {"kind": "Service", "name": "h2c", "ports": [h2c]}]
        ingresses: list[dict[str, Any]] = [
            {"kind": "Ingress", "name": host, "rules": [f"{host} {path} Prefix {service}:80" for path in proxies.PATHS]}
            for host, service in hosts
        ]
        ingresses[0]["rules"] += [f"{first} {path} Prefix web:80" for path in self.paths]
        listener = {"name": "http", "port": 80, "protocol": "HTTP"}
        routes = [
            {"kind": "HTTPRoute", "name": host, "to": ["edge"], "hostnames": [host], "rules": _rules(service)}
            for host, service in hosts
        ]
        dialects = (
            ingresscases.made([*services, *ingresses]),
            gatewaycases.made([*services, {"kind": "Gateway", "name": "edge", "listeners": [listener]}, *routes]),
        )
        objects: dict[str, Objects] = {}
        for resources in dialects:
            for resource, found in resources.objects.items():
                objects[resource] = {**objects.get(resource, {}), **found}
        ports = {**dialects[0].ports, **dialects[1].ports}
        self.gateway_port = ports[Key("default", "edge"), 80]
        result = self._translator.translate(replace(dialects[0], objects=objects, ports=ports))
        members = {"default/web/80": HTTP, "default/h2c/80": HTTP2}
        endpoints = {
            name: Endpoints(name, tuple(Endpoint("127.0.0.1", port) for port in ports))
            for name, ports in members.items()
        }
        assert endpoints.keys() == {cluster.endpoints for cluster in result.clusters.values()}
        return self._lab.build(Proxy(result.listeners, result.tables, result.clusters, endpoints, result.secrets))


def _rules(service: str) -> list[dict[str, Any]]:
    backends = [{"name": service, "port": 80}]
    return [
        {"matches": [{"path": {"type": "PathPrefix", "value": path}}], "backendRefs": backends}
        for path in proxies.PATHS
    ]


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
