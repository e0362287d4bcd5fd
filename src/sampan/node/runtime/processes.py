"""The spawner's loop and its processes: from fork to the end, each told by callbacks. Standard library only."""

from __future__ import annotations

import ctypes
import fcntl
import json
import os
import selectors
import signal
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sampan.base.netns import libc
from sampan.node.runtime.launch import Failure, Plan, launch

PIDFD_GET_INFO, PIDFD_INFO_EXIT = 0xC040FF0B, 8  # linux/pidfd.h: exit code at byte 60 of 64, since Linux 6.15
PIDFD_GETFD = 438
Ended = Callable[[int | None], None]  # the status as of waitpid(2), None when nobody can say


class Loop:
    """Callbacks for readable descriptors; each does a bounded piece of work."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()

    def watch(self, fd: int, callback: Callable[[], None]) -> None:
        self._selector.register(fd, selectors.EVENT_READ, callback)

    def unwatch(self, fd: int) -> None:
        if fd in self._selector.get_map():
            self._selector.unregister(fd)

    def turn(self, timeout: float | None) -> None:
        """Wait for work and do what there is, one callback a descriptor."""
        for key, _ in self._selector.select(timeout):
            if self._selector.get_map().get(key.fd) is key:  # not closed by an earlier callback of this turn
                key.data()


@dataclass
class Launch:
    """A process between fork and execve."""

    started: Callable[[int], None]
    done: Callable[[Failure | None, int], None]
    ended: Ended
    pid: int = 0
    master: int = -1
    failure: Failure | None = None


class Processes:
    """Starts, adopts and reaps. Constructing changes nothing; `install` makes this process the reaper."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._launches: dict[socket.socket, Launch] = {}
        self._ended: dict[int, Ended] = {}

    def install(self) -> None:
        wakeup, end = socket.socketpair()
        wakeup.setblocking(False)
        end.setblocking(False)
        signal.set_wakeup_fd(end.detach(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        self._loop.watch(wakeup.fileno(), lambda: self._reap(wakeup))

    def spawn(
        self, plan: Plan, *, started: Callable[[int], None], done: Callable[[Failure | None, int], None], ended: Ended
    ) -> None:
        """Run a plan. `started(pid)` before it may act; `done(failure, pty master or -1)` once it runs or cannot;
        `ended(status)` at its end, if it ran."""
        channel = launch(plan)
        self._launches[channel] = Launch(started, done, ended)
        self._loop.watch(channel.fileno(), lambda: self._progress(channel))

    def spawn_now(self, plan: Plan, *, started: Callable[[int], None]) -> None:
        """Run a plan whose end nobody waits for; returns when it runs. Raises Failure."""
        failures: list[Failure | None] = []
        channel = launch(plan)
        channel.setblocking(True)
        self._launches[channel] = Launch(started, lambda failure, _: failures.append(failure), lambda _: None)
        self._progress(channel)
        if failures[0]:
            raise failures[0]

    def adopt(self, pid: int, ended: Ended) -> None:
        """Watch a process that is not our child."""
        try:
            fd = os.pidfd_open(pid)
        except ProcessLookupError:  # ended since its record was read
            ended(None)
            return
        self._ended[pid] = ended

        def gone() -> None:
            self._loop.unwatch(fd)
            status = _status(pid, fd)
            os.close(fd)
            self._gone(pid, status)

        self._loop.watch(fd, gone)

    def kill(self, pid: int, number: int = signal.SIGKILL) -> None:
        """Signal a process we know; nothing when it has ended."""
        if pid in self._ended:
            try:
                os.kill(pid, number)
            except ProcessLookupError:  # an adopted one, just gone
                pass

    def _progress(self, channel: socket.socket) -> None:
        """Read what the two processes of a launch say; its end means execve has taken place, or never will."""
        state = self._launches[channel]
        while True:
            try:
                data, fds, _, _ = socket.recv_fds(channel, 8192, 1)
            except BlockingIOError:
                return
            except ConnectionResetError:  # it ended with our "go" unread; what it had said before comes next
                continue
            if not data:
                break
            message = json.loads(data)
            if fds:
                state.master = fds[0]
            if "pid" in message:
                state.pid = message["pid"]
                self._ended[state.pid] = state.ended
                state.started(state.pid)
                _say_go(channel)
            elif "error" in message:
                state.failure = Failure(message["error"], message["code"])
        if not state.pid and not state.failure:
            state.failure = Failure("it was killed while it started", 137)
        self._loop.unwatch(channel.fileno())
        channel.close()
        del self._launches[channel]
        if state.failure:
            self._ended.pop(state.pid, None)
        state.done(state.failure, state.master)

    def _reap(self, wakeup: socket.socket) -> None:
        wakeup.recv(4096)
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            # A launched process becomes our child when the first one ends, and that one spoke earlier: so listen first.
            for channel in list(self._launches):
                self._progress(channel)
            self._gone(pid, status)

    def _gone(self, pid: int, status: int | None) -> None:
        ended = self._ended.pop(pid, None)
        if ended:
            ended(status)


def borrow(pid: int, fd: int) -> int:
    """A duplicate of another process's descriptor (pidfd_getfd(2)). Raises OSError."""
    process = os.pidfd_open(pid)
    try:
        got: int = libc.syscall(PIDFD_GETFD, process, fd, 0)
    finally:
        os.close(process)
    if got < 0:
        raise OSError(ctypes.get_errno(), "pidfd_getfd")
    return got


def _say_go(channel: socket.socket) -> None:
    try:
        channel.send(b"go")
    except OSError:  # it was killed meanwhile: its end is on the way
        pass


def _status(pid: int, pidfd: int) -> int | None:
    """How a process that was not our child ended: /proc says it until its parent reaps it, newer kernels also then."""
    for _ in range(3):  # between the two questions it may be reaped
        try:
            state, *fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            if state == "Z":
                return int(fields[-1])
        except OSError:
            pass
        info = bytearray(struct.pack("Q", PIDFD_INFO_EXIT) + bytes(56))
        try:
            fcntl.ioctl(pidfd, PIDFD_GET_INFO, info)
        except OSError:
            return None
        if struct.unpack_from("Q", info)[0] & PIDFD_INFO_EXIT:
            return int(struct.unpack_from("i", info, 60)[0])
    return None
