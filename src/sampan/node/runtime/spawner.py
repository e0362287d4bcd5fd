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
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from sampan.base.netns import CLONE_NEWNET, libc, pin, unshare
from sampan.node.runtime import records, wire
from sampan.node.runtime.cgroups import detect
from sampan.node.runtime.launch import Failure
from sampan.node.runtime.paths import Paths
from sampan.node.runtime.plans import Plans, group
from sampan.node.runtime.processes import Loop, Processes, borrow
from sampan.node.runtime.records import Record
from sampan.node.runtime.stdio import Stdio
from sampan.node.runtime.types import ContainerState, Resources

PR_SET_CHILD_SUBREAPER = 36
SO_SNDBUFFORCE = 32
BUFFER = 4 << 20  # a client that leaves this much unread is cut off; it connects again and asks for the list
RETRY_SECONDS = 0.1

Key = tuple[str, str, int]
Reply = Callable[..., None]


@dataclass
class Container:
    record: Record
    stdio: Stdio

    @property
    def state(self) -> ContainerState:
        return self.record.state


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
        self._containers: dict[Key, Container] = {}
        self._clients: set[Client] = set()
        self._waiting: list[tuple[str, Reply]] = []  # for the end of all of a pod
        self._rubbish: set[str] = set()  # groups whose last processes are still ending
        self._running = True

    def run(self) -> None:
        self._processes.install()
        self._adopt()
        server = socket.socket(socket.AF_UNIX)
        self._paths.socket.unlink(missing_ok=True)
        server.bind(str(self._paths.socket))  # the directory is 0700
        server.listen(8)
        server.setblocking(False)
        self._loop.watch(server.fileno(), lambda: self._accept(server))
        gc.freeze()  # what is here now stays; do not touch its pages in every fork
        while self._running:
            self._loop.turn(RETRY_SECONDS if self._rubbish else None)
            self._rubbish = {path for path in self._rubbish if not self._cgroups.remove(path)}
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
        reply([asdict(each.state) for each in self._containers.values()])

    def _start(self, _client: Client, message: wire.Message, reply: Reply) -> None:
        uid, spec = message["pod"], records.container(message["spec"])
        sandbox = records.load_sandbox(self._paths, uid)
        if sandbox is None:
            raise Failure(f"pod {uid} has no sandbox")
        state = ContainerState(uid, spec.name, spec.attempt)
        key = (uid, spec.name, spec.attempt)
        if (known := self._containers.get(key)) and not known.state.finished_at:
            raise Failure(f"container {spec.name} (attempt {spec.attempt}) runs already")
        self._cgroups.create(group(state), spec.resources)
        if sandbox.share_processes:
            self._hold_pid_namespace(uid)
        fresh = Container(Record(state, spec), Stdio(self._paths, state.id, spec))
        fresh.stdio.open()
        self._containers[key] = fresh
        ends = fresh.stdio.child_ends()

        def started(pid: int) -> None:
            mark = records.birth(pid)
            fresh.record = Record(replace(state, pid=pid), spec, records.boot_id(), mark)
            records.save_record(self._paths, fresh.record)

        def done(failure: Failure | None, master: int) -> None:
            now = time.time()
            if failure:
                why = f"unable to start container process: {failure}"
                end = records.ended(fresh.state, failure.code, message=why)
                self._finish(fresh, replace(end, reason="ContainerCannotRun", started_at=now))
            else:
                if master >= 0:
                    self._hold_terminal(fresh, master)
                    fresh.stdio.set_terminal(master)
                self._watch(fresh)
                self._update(fresh, replace(fresh.state, started_at=now))
            reply(asdict(fresh.state))

        plan = self._plans.container(sandbox, state, spec, ends)
        try:
            self._processes.spawn(plan, started=started, done=done, ended=partial(self._ended, fresh))
        except OSError as error:  # no more processes on this machine
            done(Failure(str(error)), -1)
        _close(ends or ())

    def _exec(self, client: Client, message: wire.Message, reply: Reply) -> None:
        target = self._find(message)
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
            self._send(client, {"exec": running[0], "code": _code(status)[0]})

        plan = self._plans.exec(target.state, target.record.spec, tuple(message["argv"]), ends)
        self._processes.spawn(plan, started=started, done=done, ended=ended)
        _close(ends or ())

    def _end_exec(self, client: Client, message: wire.Message, reply: Reply) -> None:
        if message["exec"] in client.processes:
            self._processes.kill(message["exec"])
        reply({})

    def _signal(self, _client: Client, message: wire.Message, reply: Reply) -> None:
        self._processes.kill(self._find(message).state.pid, message["number"])
        reply({})

    def _attach(self, _client: Client, message: wire.Message, reply: Reply) -> None:
        target = self._find(message)
        fds = [*target.stdio.tap(), *(target.stdio.stdin_writer() if message["stdin"] else ())]
        reply({"state": asdict(target.state), "tty": target.record.spec.tty}, fds)
        _close(fds)

    def _close_stdin(self, _client: Client, message: wire.Message, reply: Reply) -> None:
        self._find(message).stdio.close_stdin()
        reply({})

    def _kill(self, _client: Client, message: wire.Message, reply: Reply) -> None:
        """End all that runs in a pod; the reply comes when nothing does."""
        uid = message["pod"]
        self._cgroups.kill(uid)
        for each in self._containers.values():
            if each.state.pod_uid == uid and not each.state.finished_at:
                self._processes.kill(each.state.pid)
        self._waiting.append((uid, reply))
        self._answer()

    def _remove(self, _client: Client, message: wire.Message, reply: Reply) -> None:
        """Forget ended attempts and their records: of a pod, or (with name and attempt) one."""
        keys = [key for key in self._containers if key[0] == message["pod"]]
        if "name" in message:
            keys = [key for key in keys if key[1:] == (message["name"], message["attempt"])]
        for key in keys:
            if not self._containers[key].state.finished_at:
                raise Failure(f"container {key[1]} (attempt {key[2]}) is running")
        for key in keys:
            del self._containers[key]
            self._paths.record(*key).unlink(missing_ok=True)
        reply({})

    def _shutdown(self, _client: Client, _message: wire.Message, reply: Reply) -> None:
        self._running = False
        reply({})

    # -- containers

    def _find(self, message: wire.Message) -> Container:
        """The running attempt of the container that a request names."""
        for each in self._containers.values():
            if each.state.running and (each.state.pod_uid, each.state.name) == (message["pod"], message["name"]):
                return each
        raise Failure(f"container {message['name']} is not running")

    def _adopt(self) -> None:
        """Take over what an earlier spawner left: ended containers as they are, living ones with their pipes."""
        for record in records.load_records(self._paths):
            state = record.state
            adopted = Container(record, Stdio(self._paths, state.id, record.spec))
            self._containers[state.pod_uid, state.name, state.attempt] = adopted
            if state.finished_at:
                continue
            if not state.started_at:  # its spawner died between "go" and noting that it runs
                self._update(adopted, replace(state, started_at=time.time()))
            adopted.stdio.open()
            if record.holder:
                try:
                    adopted.stdio.set_terminal(borrow(record.holder, 0))
                except OSError:  # somebody killed the holder: the program has got SIGHUP and will end
                    pass
            self._watch(adopted)
            self._processes.adopt(state.pid, partial(self._ended, adopted))

    def _hold_pid_namespace(self, uid: str) -> None:
        held = self._paths.pin(uid, "pid")
        if records.is_pinned(held):
            return
        self._cgroups.create(f"{uid}/pause", Resources())
        null = os.open(os.devnull, os.O_RDWR)
        self._processes.spawn_now(self._plans.pause(uid, (null, null, null)), started=lambda pid: pin("pid", held, pid))
        os.close(null)

    def _hold_terminal(self, target: Container, master: int) -> None:
        def started(pid: int) -> None:
            target.record = replace(target.record, holder=pid)

        self._processes.spawn_now(self._plans.holder(target.state, master), started=started)

    def _watch(self, target: Container) -> None:
        for fd in target.stdio.readers:
            self._loop.watch(fd, partial(self._pump, target, fd))

    def _pump(self, target: Container, fd: int) -> None:
        if target.stdio.pump(fd) < 0:  # closed at the end of the process, not before
            self._loop.unwatch(fd)

    def _ended(self, target: Container, status: int | None) -> None:
        cgroup = group(target.state)
        self._cgroups.kill(cgroup)  # what no PID namespace of its own took along
        self._processes.kill(target.record.holder)
        oom = self._cgroups.oom_kills(cgroup) > 0
        code, number = _code(status)
        why = "" if status is not None else "its exit code was not seen: the spawner had been killed"
        self._finish(target, records.ended(target.state, code, signal=number, oom=oom, message=why))

    def _finish(self, target: Container, state: ContainerState) -> None:
        for fd in target.stdio.readers:
            self._loop.unwatch(fd)
        target.stdio.finish()
        self._rubbish.add(group(state))
        self._update(target, state)
        self._answer()

    def _update(self, target: Container, state: ContainerState) -> None:
        target.record = replace(target.record, state=state)
        records.save_record(self._paths, target.record)
        for client in list(self._clients):
            self._send(client, {"state": asdict(state)})

    def _answer(self) -> None:
        """Reply to those who wait for the end of a pod that has ended."""
        alive = {key[0] for key, each in self._containers.items() if not each.state.finished_at}
        ready = [reply for uid, reply in self._waiting if uid not in alive]
        self._waiting = [each for each in self._waiting if each[0] in alive]
        for reply in ready:
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


def _code(status: int | None) -> tuple[int, int]:
    """(exit code as Kubernetes shows it, signal)."""
    if status is None:
        return records.UNSEEN, 0
    code = os.waitstatus_to_exitcode(status)
    return (128 - code, -code) if code < 0 else (code, 0)


def main(argv: Sequence[str]) -> int:
    """Run until told to stop; 1 when another spawner serves this directory already."""
    parser = argparse.ArgumentParser(prog="sampan spawner")
    parser.add_argument("--run", type=Path, required=True, help="sockets, pipes and namespace pins of the node")
    parser.add_argument("--state", type=Path, required=True, help="the node's state directory")
    parser.add_argument("--cgroup", required=True, help="the node's control group, as sampan/CLUSTER/NODE")
    parser.add_argument("--hide", action="append", default=[], help="a directory that no container sees")
    options = parser.parse_args(argv)
    paths = Paths(options.run, options.state)
    for directory in (paths.run, paths.staging, paths.run / "io", paths.run / "ns", paths.run / "sandboxes"):
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = os.open(paths.lock, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return 1
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
