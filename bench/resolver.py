"""DNS answers a second from one process, with 1,000 Services.

Method: the server of `sampan.dns` in a process of its own on loopback; a client process with 16 sockets keeps up to
100 questions in flight for three seconds (dnsperf is used instead when it is installed). dnsmasq answers the same
names in the same run when it is installed.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import re
import select
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path

from common import Row, cpu_seconds, row

NAMES = 1000
SECONDS = 3.0
ROUNDS = 3
ZONE = "default.svc.cluster.local"


def measure() -> list[Row]:
    servers = {"sampan": _sampan}
    if shutil.which("dnsmasq"):
        servers["dnsmasq"] = _dnsmasq
    rates: dict[str, list[float]] = {name: [] for name in servers}
    costs: dict[str, list[float]] = {name: [] for name in servers}
    for _ in range(ROUNDS):
        for name, start in servers.items():
            port = _free_port()
            process = start(port)
            try:
                before = cpu_seconds([process.pid])
                answered, seconds = _load(port)
                rates[name].append(answered / seconds)
                costs[name].append((cpu_seconds([process.pid]) - before) / answered * 1e6)
            finally:
                process.terminate()
                process.join() if isinstance(process, multiprocessing.Process) else process.wait()
    rows = []
    for name in servers:
        rows.append(row(f"{name}: answers", rates[name], "/s", "goal 40,000" if name == "sampan" else ""))
        rows.append(row(f"{name}: CPU an answer", costs[name], "µs"))
    return rows


def _free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def _sampan(port: int) -> multiprocessing.Process:
    ready = multiprocessing.Event()
    process = multiprocessing.Process(target=_serve, args=(port, ready))
    process.start()
    ready.wait(10)
    return process


def _serve(port: int, ready: object) -> None:
    import uvloop

    from sampan.dns.plugins.kubernetes import Kubernetes
    from sampan.dns.server import Resolver, Server
    from sampan.dns.zone import Zone

    zone = Zone("cluster.local", ["10.96.0.0/16"], "10.96.0.10")
    for i in range(NAMES):
        meta = {"name": f"s{i}", "namespace": "default"}
        zone.on_service(None, {"metadata": meta, "spec": {"clusterIP": f"10.96.{i // 250}.{i % 250 + 1}"}})

    async def main() -> None:
        udp, tcp = (socket.socket(socket.AF_INET, kind) for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM))
        for sock in (udp, tcp):
            sock.setblocking(False)
            sock.bind(("127.0.0.1", port))
        await Server(Resolver([Kubernetes(zone, lambda: True)], lambda: zone.version)).serve(udp, tcp)
        ready.set()  # type: ignore[attr-defined]
        await asyncio.Event().wait()

    uvloop.run(main())


def _dnsmasq(port: int) -> subprocess.Popen[bytes]:
    with tempfile.NamedTemporaryFile("w", suffix=".hosts", delete=False) as hosts:
        hosts.writelines(f"10.96.{i // 250}.{i % 250 + 1} s{i}.{ZONE}\n" for i in range(NAMES))
    Path(hosts.name).chmod(0o644)
    options = [
        "--no-hosts",
        "--no-resolv",
        f"--addn-hosts={hosts.name}",
        f"--port={port}",
        "--listen-address=127.0.0.1",
    ]
    process = subprocess.Popen(["dnsmasq", "-k", "-C", "/dev/null", *options, "--bind-interfaces"])
    time.sleep(0.5)
    return process


def _load(port: int) -> tuple[int, float]:
    if shutil.which("dnsperf"):
        with tempfile.NamedTemporaryFile("w", suffix=".queries") as queries:
            queries.writelines(f"s{i}.{ZONE} A\n" for i in range(NAMES))
            queries.flush()
            command = [
                "dnsperf",
                "-s",
                "127.0.0.1",
                "-p",
                str(port),
                "-d",
                queries.name,
                "-l",
                str(SECONDS),
                "-q",
                "100",
            ]
            said = subprocess.run([*command, "-c", "16"], capture_output=True, text=True, check=True).stdout
        return int(re.search(r"Queries completed: +(\d+)", said)[1]), SECONDS  # type: ignore[index]
    return _python_load(port)


def _python_load(port: int) -> tuple[int, float]:
    import dns.message

    questions = [dns.message.make_query(f"s{i}.{ZONE}", "A").to_wire() for i in range(NAMES)]
    sockets = []
    for _ in range(16):
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.setblocking(False)
        sock.connect(("127.0.0.1", port))
        sockets.append(sock)
    poll = select.epoll()
    by_fd = {sock.fileno(): sock for sock in sockets}
    for fd in by_fd:
        poll.register(fd, select.EPOLLIN)
    sent = answered = 0
    began = time.monotonic()
    for sock in sockets * 6:
        sock.send(questions[sent % NAMES])
        sent += 1
    while (now := time.monotonic()) - began < SECONDS:
        events = poll.poll(0.5)
        assert events, "the server stopped answering"
        for fd, _ in events:
            sock = by_fd[fd]
            while True:
                try:
                    sock.recv(2048)
                except BlockingIOError:
                    break
                answered += 1
                sock.send(questions[sent % NAMES])
                sent += 1
    for sock in sockets:
        sock.close()
    return answered, now - began
