"""The process that runs containers: forks them, reaps them, pumps their logs. It survives agent and server.

    python -m sampan.node.runtime.spawner --run DIR --state DIR --cgroup sampan/CLUSTER/NODE [--hide DIR …]

One thread, one selector. What it knows is on disk (records.py), so a new spawner takes over where a killed one was:
living processes are watched by pidfd, log pipes opened again. Standard library only.
"""

from __future__ import annotations

import argparse
import fcntl
import gc
import os
import resource
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from sampan.base.netns import CLONE_NEWNET, libc, unshare
from sampan.node.runtime import records, wire
from sampan.node.runtime.cgroups import detect
from sampan.node.runtime.containers import Containers, exit_code
from sampan.node.runtime.launch import Failure
from sampan.node.runtime.paths import Paths
from sampan.node.runtime.plans import Plans
from sampan.node.runtime.processes import Loop, Processes
from sampan.node.runtime.types import ContainerState

PR_SET_CHILD_SUBREAPER = 36
SO_SNDBUFFORCE = 32
BUFFER = 4 << 20  # a client that leaves this much unread is cut off; it connects again and asks for the list
RETRY_SECONDS = 0.1

Reply = Callable[..., None]


@dataclass(eq=False)
class Client:
    sock: socket.socket
    reader: wire.Reader = field(default_factory=wire.Reader)
    processes: set[int] = field(default_factory=set)  # of its exec calls


class Spawner:
    """Constructing starts nothing; `run` returns after a shutdown request, and containers go on running."""

    def __init__(self, paths: Paths, cgroup: str, hide: tuple[str, ...]) -> None:
        self._paths = paths
        self._cgroups = detect(cgroup)
        self._plans = Plans(paths, self._cgroups, hide)
        self._loop = Loop()
        self._processes = Processes(self._loop)
        self._containers = Containers(paths, self._cgroups, self._plans, self._loop, self._processes, self._changed)
        self._clients: set[Client] = set()
        self._running = True

    def run(self) -> None:
        self._processes.install()
        self._containers.adopt()
        server = socket.socket(socket.AF_UNIX)
        self._paths.socket.unlink(missing_ok=True)
        server.bind(str(self._paths.socket))  # the directory is 0700
        server.listen(8)
        server.setblocking(False)
        self._loop.watch(server.fileno(), lambda: self._accept(server))
        gc.freeze()  # what is here now stays; do not touch its pages in every fork
        while self._running:
            self._loop.turn(None if self._containers.tidy() else RETRY_SECONDS)
        self._paths.socket.unlink(missing_ok=True)

    # -- clients

    def _accept(self, server: socket.socket) -> None:
        sock, _ = server.accept()
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, SO_SNDBUFFORCE, BUFFER)
        client = Client(sock)
        self._clients.add(client)
        self._loop.watch(sock.fileno(), lambda: self._receive(client))

    def _receive(self, client: Client) -> None:
        try:
            for message, _ in client.reader.receive(client.sock):
                self._handle(client, message)
        except BlockingIOError:
            pass
        except (OSError, ValueError):
            self._drop(client)

    def _handle(self, client: Client, message: wire.Message) -> None:
        def reply(result: Any, fds: Sequence[int] = ()) -> None:
            self._send(client, {"id": message["id"], "result": result}, fds)

        try:
            COMMANDS[message["do"]](self, client, message, reply)
        except Failure as failure:
            self._send(client, {"id": message["id"], "error": str(failure)})
        except Exception as error:  # the spawner outlives any one request
            self._send(client, {"id": message["id"], "error": f"{message.get('do')}: {str(error) or repr(error)}"})

    def _send(self, client: Client, message: wire.Message, fds: Sequence[int] = ()) -> None:
        data = wire.frame({**message, "fds": len(fds)} if fds else message)
        try:
            sent = socket.send_fds(client.sock, [data], list(fds)) if fds else client.sock.send(data)
        except OSError:
            sent = 0
        if sent < len(data):
            self._drop(client)

    def _changed(self, state: ContainerState) -> None:
        for client in list(self._clients):
            self._send(client, {"state": asdict(state)})

    def _drop(self, client: Client) -> None:
        """A client has gone: what it ran by exec has nobody to talk to any more."""
        if client in self._clients:
            self._clients.discard(client)
            self._loop.unwatch(client.sock.fileno())
            client.sock.close()
            for pid in client.processes:
                self._processes.kill(pid)

    # -- commands (client, message, reply); Failure is an answer too

    def _ping(self, _client: Client, _message: wire.Message, reply: Reply) -> None:
        reply({"pid": os.getpid(), "missing": self._cgroups.missing})

    def _list(self, _client: Client, _message: wire.Message, reply: Reply) -> None:
        reply([asdict(state) for state in self._containers.states()])

    def _start(self, _client: Client, message: wire.Message, reply: Reply) -> None:
        spec = records.container(message["spec"])
        self._containers.start(message["pod"], spec, lambda state: reply(asdict(state)))

    def _exec(self, client: Client, message: wire.Message, reply: Reply) -> None:
        target = self._containers.find(message["pod"], message["name"])
        pipes = [] if message["tty"] else [os.pipe(), os.pipe(), os.pipe()]
        ends = (pipes[0][0], pipes[1][1], pipes[2][1]) if pipes else None
        ours = [pipes[0][1], pipes[1][0], pipes[2][0]] if pipes else []
        running: list[int] = []

        def started(pid: int) -> None:
            running.append(pid)
            client.processes.add(pid)

        def done(failure: Failure | None, master: int) -> None:
            fds = [*ours, *([master] if master >= 0 else [])]
            if failure:
                client.processes.difference_update(running)
                text = f"exec failed: unable to start container process: {failure}"
                self._send(client, {"id": message["id"], "error": text, "code": failure.code})
            else:
                reply({"exec": running[0]}, fds)
            _close(fds)

        def ended(status: int | None) -> None:
            client.processes.discard(running[0])
            self._send(client, {"exec": running[0], "code": exit_code(status)[0]})

        plan = self._plans.exec(target.state, target.record.spec, tuple(message["argv"]), ends)
        try:
            self._processes.spawn(plan, started=started, done=done, ended=ended)
        except OSError:  # no more processes on this machine
            _close(ours)
            raise
        finally:
            _close(ends or ())

    def _end_exec(self, client: Client, message: wire.Message, reply: Reply) -> None:
        if message["exec"] in client.processes:
            self._processes.kill(message["exec"])
        reply({})

    def _signal(self, _client: Client, message: wire.Message, reply: Reply) -> None:
        self._processes.kill(self._containers.find(message["pod"], message["name"]).state.pid, message["number"])
        reply({})

    def _attach(self, _client: Client, message: wire.Message, reply: Reply) -> None:
        target = self._containers.find(message["pod"], message["name"])
        fds = [*target.stdio.tap(), *(target.stdio.stdin_writer() if message["stdin"] else ())]
        reply({"state": asdict(target.state), "tty": target.record.spec.tty}, fds)
        _close(fds)

    def _close_stdin(self, _client: Client, message: wire.Message, reply: Reply) -> None:
        self._containers.find(message["pod"], message["name"]).stdio.close_stdin()
        reply({})

    def _kill(self, _client: Client, message: wire.Message, reply: Reply) -> None:
        self._containers.kill(message["pod"], lambda: reply({}))

    def _remove(self, _client: Client, message: wire.Message, reply: Reply) -> None:
        self._containers.remove(message["pod"], message.get("name", ""), message.get("attempt", 0))
        reply({})

    def _shutdown(self, _client: Client, _message: wire.Message, reply: Reply) -> None:
        self._running = False
        reply({})


COMMANDS: dict[str, Callable[[Spawner, Client, wire.Message, Reply], None]] = {
    "ping": Spawner._ping,
    "list": Spawner._list,
    "start": Spawner._start,
    "exec": Spawner._exec,
    "end_exec": Spawner._end_exec,
    "signal": Spawner._signal,
    "attach": Spawner._attach,
    "close_stdin": Spawner._close_stdin,
    "kill": Spawner._kill,
    "remove": Spawner._remove,
    "shutdown": Spawner._shutdown,
}


def _close(fds: Sequence[int]) -> None:
    for fd in fds:
        os.close(fd)


def main(argv: Sequence[str]) -> int:
    """Run until told to stop; 1 when the directory is not there or another spawner serves it already."""
    parser = argparse.ArgumentParser(prog="sampan spawner")
    parser.add_argument("--run", type=Path, required=True, help="sockets, pipes and namespace pins of the node")
    parser.add_argument("--state", type=Path, required=True, help="the node's state directory")
    parser.add_argument("--cgroup", required=True, help="the node's control group, as sampan/CLUSTER/NODE")
    parser.add_argument("--hide", action="append", default=[], help="a directory that no container sees")
    options = parser.parse_args(argv)
    paths = Paths(options.run, options.state)
    try:
        lock = os.open(paths.lock, os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if not os.path.samestat(os.fstat(lock), paths.lock.stat()):
            return 1
    except (BlockingIOError, FileNotFoundError):  # served already, or `sampan down` has just removed the directory
        return 1
    for directory in (paths.staging, paths.run / "io", paths.run / "ns", paths.run / "sandboxes"):
        directory.mkdir(mode=0o700, exist_ok=True)
    os.ftruncate(lock, 0)
    os.write(lock, f"{os.getpid()}\n".encode())
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):  # only a shutdown request ends it, or SIGKILL
        signal.signal(number, signal.SIG_IGN)
    os.umask(0o022)
    os.chdir("/")
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # three descriptors a container
    unshare(CLONE_NEWNET)  # it needs no network, and must not keep the node's alive after `sampan down`
    libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    Spawner(paths, options.cgroup, tuple(options.hide)).run()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
