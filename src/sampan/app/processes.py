"""Child processes of the supervisor: start, hear that they are ready, start again when they die.

Imports little on purpose: the supervisor lives as long as the cluster.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

PR_SET_PDEATHSIG = 1
NOTIFY = "SAMPAN_NOTIFY_FD"
SOCKETS = "SAMPAN_SOCKET_FDS"
STEADY = 10.0  # seconds a process has to live for its death to count as a first one
BACK_OFF = (0.0, 0.2, 0.5, 1.0, 2.0, 5.0)

_libc = ctypes.CDLL(None)


@dataclass
class Child:
    """One process to keep alive. `sockets` are inherited as they are: what arrives while it restarts waits in them."""

    name: str
    verb: Sequence[str]
    log: Path
    sockets: Sequence[int] = ()
    process: subprocess.Popen[bytes] | None = None
    ready_fd: int = -1
    ready: bool = False
    started: float = 0.0
    deaths: int = 0
    restart_at: float = field(default=0.0)

    def start(self) -> None:
        """Raises OSError when the machine has no room for one more process."""
        read, write = os.pipe()
        environment = os.environ | {NOTIFY: str(write), SOCKETS: ",".join(map(str, self.sockets))}
        try:
            with _log_file(self.log) as log:
                self.process = subprocess.Popen(
                    [sys.executable, "-m", "sampan", *self.verb],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    env=environment,
                    pass_fds=(write, *self.sockets),
                    preexec_fn=_die_with_parent,
                )
        except OSError:
            os.close(read)
            raise
        finally:
            os.close(write)
        os.set_blocking(read, False)
        if self.ready_fd >= 0:
            os.close(self.ready_fd)
        self.ready_fd = read
        self.ready = False
        self.started = time.monotonic()
        self.restart_at = 0.0

    def hear(self) -> None:
        """Read the ready pipe; called when it is readable."""
        try:
            word = os.read(self.ready_fd, 64)
        except BlockingIOError:
            return
        self.ready = self.ready or bool(word)
        os.close(self.ready_fd)
        self.ready_fd = -1

    def died(self) -> bool:
        """Has it ended? Then it is due to start again at `restart_at`."""
        if self.process is None or self.process.poll() is None:
            return False
        lived = time.monotonic() - self.started
        self.deaths = 0 if lived > STEADY else self.deaths + 1
        self.restart_at = time.monotonic() + BACK_OFF[min(self.deaths, len(BACK_OFF) - 1)]
        self.process = None
        self.ready = False
        return True

    def stop(self, patience: float = 10.0) -> None:
        """Ask it to end; kill it when it does not within `patience` seconds."""
        if self.process is None:
            return
        self.process.terminate()
        try:
            self.process.wait(patience)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process = None

    def last_words(self, lines: int = 5) -> str:
        """The end of its log: why it does not come up."""
        try:
            return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])
        except OSError:
            return ""


def _log_file(path: Path) -> IO[bytes]:
    """A disk that has become read-only must not keep a process from starting again."""
    try:
        return path.open("ab")
    except OSError:
        return open(os.devnull, "ab")


def notify_ready() -> None:
    """Called in a child: tell the supervisor that this process does its work now."""
    fd = os.environ.pop(NOTIFY, "")
    if fd:
        os.write(int(fd), b"ready\n")
        os.close(int(fd))


def inherited_sockets() -> list[int]:
    """Called in a child: the sockets the supervisor holds for it, in its order."""
    return [int(fd) for fd in os.environ.pop(SOCKETS, "").split(",") if fd]


def _die_with_parent() -> None:
    # No process of ours outlives the supervisor; pods do (the spawner detaches itself).
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
