"""What flows in and out of one container: named pipes in the run directory, or a pty's master.

The container itself holds its pipes open for reading and writing, so they outlive the spawner: a program never gets
SIGPIPE, at most waits, and a new spawner opens the same names and goes on. Standard library only.
"""

from __future__ import annotations

import os
from pathlib import Path

from sampan.node.runtime.logs import LogWriter
from sampan.node.runtime.paths import Paths
from sampan.node.runtime.types import ContainerSpec

CHUNK = 1 << 16
STDOUT, STDERR = b"stdout", b"stderr"


class Stdio:
    """`readers` are the descriptors to watch, by stream. A tap is the writing end of an attached client's pipe."""

    def __init__(self, paths: Paths, container_id: str, spec: ContainerSpec) -> None:
        self._spec = spec
        self._fifos = {name: paths.fifo(container_id, name) for name in ("stdin", "stdout", "stderr")}
        self._log = LogWriter(
            Path(spec.log_path or os.devnull), spec.log_max_bytes if spec.log_path else 0, spec.log_max_files
        )
        self._taps: dict[bytes, list[int]] = {STDOUT: [], STDERR: []}
        self._stdin = -1
        self.readers: dict[int, bytes] = {}

    def open(self) -> None:
        """Make the pipes if they are not there, and open our ends."""
        if self._spec.tty:
            return
        for name, fifo in self._fifos.items():
            if (name != "stdin" or self._spec.stdin) and not fifo.exists():
                os.mkfifo(fifo, 0o600)
                os.chown(fifo, self._spec.uid, self._spec.gid)  # so that it may open /dev/stdout
        for stream in (STDOUT, STDERR):
            self.readers[os.open(self._fifos[stream.decode()], os.O_RDONLY | os.O_NONBLOCK)] = stream
        if self._spec.stdin:
            self._stdin = os.open(self._fifos["stdin"], os.O_RDWR | os.O_NONBLOCK)

    def child_ends(self) -> tuple[int, int, int] | None:
        """The container's descriptors 0, 1 and 2, to be closed after the fork; None with a TTY."""
        if self._spec.tty:
            return None
        if (
            self._spec.stdin
        ):  # with stdin_once the end of input must be seen, at the price of the spawner's death being one
            stdin = os.open(self._fifos["stdin"], os.O_RDONLY if self._spec.stdin_once else os.O_RDWR)
        else:
            stdin = os.open(os.devnull, os.O_RDONLY)
        return stdin, os.open(self._fifos["stdout"], os.O_RDWR), os.open(self._fifos["stderr"], os.O_RDWR)

    def set_terminal(self, master: int) -> None:
        os.set_blocking(master, False)
        self.readers[master] = STDOUT
        self._stdin = master

    def pump(self, fd: int) -> int:
        """Move one chunk to log and taps; returns its size, 0 when there is none now, -1 at the stream's end."""
        stream = self.readers[fd]
        try:
            data = os.read(fd, CHUNK)
        except BlockingIOError:
            return 0
        except OSError:  # EIO: the last program on the terminal has gone
            return -1
        self._log.feed(stream, data)
        for tap in list(self._taps[stream]):
            try:
                os.write(tap, data)
            except BlockingIOError:  # a client that does not read loses output; the log has it all
                pass
            except OSError:
                self._taps[stream].remove(tap)
                os.close(tap)
        return len(data) or -1

    def tap(self) -> tuple[int, int]:
        """Pipes that get all further stdout and stderr; returns their reading ends."""
        ends = []
        for stream in (STDOUT, STDERR):
            read, write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
            self._taps[stream].append(write)
            ends.append(read)
        return ends[0], ends[1]

    def stdin_writer(self) -> tuple[int, ...]:
        """A new descriptor that writes to the container's stdin; none when that is closed or was never open."""
        if self._stdin < 0:
            return ()
        if self._spec.tty:
            return (os.dup(self._stdin),)
        return (os.open(self._fifos["stdin"], os.O_WRONLY | os.O_NONBLOCK),)

    def close_stdin(self) -> None:
        """Let a program with stdin_once see the end of its input (others get more from the next attach)."""
        if self._spec.stdin_once and not self._spec.tty and self._stdin >= 0:
            os.close(self._stdin)
            self._stdin = -1

    def finish(self) -> None:
        """The container has ended: take what is left in the pipes, then close and remove them."""
        for fd, stream in list(self.readers.items()):
            while self.pump(fd) > 0:
                pass
            self._log.end(stream)
            os.close(fd)
        if self._stdin >= 0 and self._stdin not in self.readers:
            os.close(self._stdin)
        for tap in [tap for taps in self._taps.values() for tap in taps]:
            os.close(tap)
        self._log.close()
        self.readers.clear()
        self._stdin = -1
        for fifo in self._fifos.values():
            fifo.unlink(missing_ok=True)
