"""The supervisor of one cluster: makes its network, starts its processes, restarts the dead, takes all down.

It reports progress as JSON lines on a pipe: {"stage": …, "ms": …} … {"ready": true}, or {"error": …, "hint": …}.
"""

from __future__ import annotations

import fcntl
import json
import os
import selectors
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import IO

from sampan.app import claims
from sampan.app.config import Cluster, load_or_fail
from sampan.app.processes import Child
from sampan.base import log
from sampan.base.errors import SampanError, UserError
from sampan.base.netns import inside
from sampan.node import network

IP_FREEBIND = 15
LOCK = "supervisor.lock"
# How often, and how many seconds apart, a lock is tried that somebody may only be looking at.
_TRIES, _TRY_SECONDS = 10, 0.02
_PAUSE = 5.0  # seconds until the next try when the machine has no room for a process

Report = Callable[[str], object]

_log = log.get("supervisor")


def main(name: str, root: Path, report_fd: int) -> int:
    """Run until SIGTERM; the exit status of the process."""
    log.setup("supervisor")
    report = os.fdopen(report_fd, "w", buffering=1)
    try:
        Supervisor(load_or_fail(name, root), report.write).run()
    except (SampanError, OSError) as error:
        hint = error.hint if isinstance(error, UserError) else "sampan doctor"
        _log.error("%s", error)
        _tell(report.write, error=str(error), hint=hint)
        return 1
    return 0


def running(cluster: Cluster) -> int:
    """The pid of the cluster's supervisor, 0 when none runs."""
    try:
        with (cluster.run / LOCK).open() as lock:
            # Shared: several may ask at a time, and none may be taken for the supervisor.
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _holder(cluster.run / LOCK)
    except FileNotFoundError:
        pass
    return 0


def _holder(path: Path) -> int:
    """The pid in the lock, which is written a moment after it was taken; 0 when `down` has it."""
    for _ in range(_TRIES):
        try:
            if text := path.read_text().strip():
                return int(text)
        except (OSError, ValueError):
            pass
        time.sleep(_TRY_SECONDS)
    return 0


class Supervisor:
    def __init__(self, cluster: Cluster, report: Report) -> None:
        self._cluster = cluster
        self._report = report
        self._began = time.monotonic()
        self._children: list[Child] = []
        self._selector = selectors.DefaultSelector()
        self._stopping = False
        self._told_ready = False

    def run(self) -> None:
        cluster = self._cluster
        lock = _take_lock(cluster)
        claims.write(cluster.run, cluster.claim)  # a `down` that ended in this moment may have removed it
        wake = _wake_on_signals(self._on_signal)
        self._selector.register(wake, selectors.EVENT_READ)
        try:
            self._start(
                "server", ["server"], [_listener("127.0.0.1", cluster), _listener(cluster.plan.host_ip, cluster)]
            )
            network.ensure_cluster_network(cluster.plan)
            self._stage("network")
            for node in cluster.plan.nodes:
                cluster.node_run(node).mkdir(parents=True, exist_ok=True)
                self._start(f"agent-{node}", ["agent", "--node", node], _dns_sockets(cluster, node))
            self._loop(wake)
        finally:
            for child in reversed(self._children):
                child.stop()
            lock.close()

    def _start(self, name: str, verb: list[str], sockets: list[socket.socket]) -> None:
        where = ["--cluster", self._cluster.name, "--state", str(self._cluster.root)]
        for sock in sockets:
            sock.set_inheritable(True)
        child = Child(name, [*verb, *where], self._cluster.logs / f"{name}.log", [s.detach() for s in sockets])
        child.start()
        self._children.append(child)
        self._selector.register(child.ready_fd, selectors.EVENT_READ, child)

    def _loop(self, wake: int) -> None:
        while not self._stopping:
            for key, _ in self._selector.select(self._patience()):
                if key.fd == wake:
                    os.read(wake, 4096)
                    continue
                child: Child = key.data
                self._selector.unregister(key.fd)
                child.hear()
                if child.ready:
                    self._stage(child.name)
            for child in self._children:
                self._revive(child)
            if not self._told_ready and all(child.ready for child in self._children):
                self._told_ready = True
                _tell(self._report, ready=True)

    def _revive(self, child: Child) -> None:
        if child.died():
            if child.ready_fd >= 0:  # it died before it was ready
                self._selector.unregister(child.ready_fd)
            _log.warning("%s ended; it starts again", child.name)
            if not self._told_ready and child.deaths > 2:
                _tell(
                    self._report, error=f"{child.name} does not start:\n{child.last_words()}", hint=f"less {child.log}"
                )
        if child.process is None and child.restart_at <= time.monotonic():
            try:
                child.start()
            except OSError as error:
                _log.error("%s does not start: %s", child.name, error)
                child.restart_at = time.monotonic() + _PAUSE
                return
            self._selector.register(child.ready_fd, selectors.EVENT_READ, child)

    def _patience(self) -> float | None:
        due = [c.restart_at for c in self._children if c.process is None]
        return max(0.0, min(due) - time.monotonic()) if due else None

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if number != signal.SIGCHLD:
            self._stopping = True

    def _stage(self, name: str) -> None:
        _tell(self._report, stage=name, ms=round((time.monotonic() - self._began) * 1000))


def _tell(report: Report, **fields: object) -> None:
    """Report to whoever started us; that it has gone away is no matter."""
    try:
        report(json.dumps(fields) + "\n")
    except (OSError, ValueError):
        pass


def _take_lock(cluster: Cluster) -> IO[str]:
    lock = claim(cluster)
    if lock is None:
        text = f'cluster "{cluster.name}" is up already, or is being taken down'
        raise UserError(text, f"sampan status --cluster {cluster.name}")
    lock.write(str(os.getpid()))
    lock.flush()
    return lock


def claim(cluster: Cluster) -> IO[str] | None:
    """Take the cluster's lock, which is empty then; None when another process has it."""
    for _ in range(_TRIES):
        cluster.run.mkdir(parents=True, exist_ok=True)
        lock = (cluster.run / LOCK).open("a+")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_still(cluster.run / LOCK, lock):  # not one that a `down` has just removed
                lock.truncate(0)
                return lock
        except BlockingIOError:
            pass
        lock.close()
        time.sleep(_TRY_SECONDS)
    return None


def _is_still(path: Path, file: IO[str]) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(file.fileno()))
    except FileNotFoundError:
        return False


def _wake_on_signals(handler: Callable[[int, FrameType | None], None]) -> int:
    read, write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(write)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD):
        signal.signal(number, handler)
    return read


def _listener(address: str, cluster: Cluster) -> socket.socket:
    """A listening socket of the API. The LAN's address may not be there yet, hence FREEBIND."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.setsockopt(socket.SOL_IP, IP_FREEBIND, 1)
    try:
        sock.bind((address, cluster.api_port))
    except OSError as error:
        raise UserError(
            f"the API's address {address}:{cluster.api_port} is taken: {error.strerror}",
            f"ss -ltnp 'sport = :{cluster.api_port}'",
        ) from None
    sock.listen(1024)
    return sock


def _dns_sockets(cluster: Cluster, node: str) -> list[socket.socket]:
    """UDP and TCP port 53 of the node, opened in its network namespace."""
    sockets = []
    with inside(cluster.plan.node_netns(node)):
        for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
            sock = socket.socket(socket.AF_INET, kind)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind((cluster.plan.node_ip(node), 53))
            if kind == socket.SOCK_STREAM:
                sock.listen(128)
            sockets.append(sock)
    return sockets
