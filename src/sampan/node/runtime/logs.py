"""Container output on disk in the CRI format: `2026-11-20T12:00:00.000000000Z stdout F text`.

P marks a piece of a line that goes on in the next entry. Rotation is N.log -> N.log.1 -> N.log.2 …, at write time.
Standard library only. Source: kubernetes/design-proposals-archive/node/kubelet-cri-logging.md
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

MAX_LINE = 16 << 10


class LogWriter:
    """One container's log file. `max_files` counts the current one. Never raises: a full disk loses lines, not pods."""

    def __init__(self, path: Path, max_bytes: int, max_files: int, *, now_ns: Callable[[], int] = time.time_ns) -> None:
        self._path, self._max_bytes, self._max_files, self._now_ns = path, max_bytes, max_files, now_ns
        self._rest: dict[bytes, bytes] = {}
        self._lost, self._why = 0, ""
        self._fd, self._size = -1, 0

    def feed(self, stream: bytes, data: bytes) -> None:
        """Take output of `stream` (b"stdout" or b"stderr") as it came; what is not yet a line is kept."""
        *lines, rest = (self._rest.get(stream, b"") + data).split(b"\n")
        entries = []
        for line in lines:
            if len(line) > MAX_LINE:
                pieces, line = _pieces(line)
                entries += [b"P " + piece for piece in pieces]
            entries.append(b"F " + line)
        if len(rest) >= MAX_LINE:
            pieces, rest = _pieces(rest)
            entries += [b"P " + piece for piece in pieces]
        self._rest[stream] = rest
        self._write(stream, entries)

    def end(self, stream: bytes) -> None:
        """The stream has ended; a last line without a newline is an unfinished one."""
        if rest := self._rest.pop(stream, b""):
            self._write(stream, [b"P " + rest])

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _write(self, stream: bytes, entries: list[bytes]) -> None:
        if not entries:
            return
        start = _stamp(self._now_ns()) + b" "
        prefix = start + stream + b" "
        text = b"".join([prefix + entry + b"\n" for entry in entries])
        if self._lost:
            text = start + b"stderr F sampan: %d bytes of log were lost: %s\n" % (self._lost, self._why.encode()) + text
        try:
            self._append(text)
        except OSError as error:
            self._lost, self._why = self._lost + len(text), error.strerror or str(error)
        else:
            self._lost = 0

    def _append(self, text: bytes) -> None:
        if self._fd < 0:
            self._open()
        if self._size and self._size + len(text) > self._max_bytes > 0:
            self._rotate()
        while text:  # a short write is the disk filling up: the next one says so
            written = os.write(self._fd, text)
            self._size += written
            text = text[written:]

    def _open(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._fd = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o640)
        self._size = os.fstat(self._fd).st_size

    def _rotate(self) -> None:
        self.close()
        names = [self._path, *(Path(f"{self._path}.{n}") for n in range(1, max(1, self._max_files)))]
        names[-1].unlink(missing_ok=True)
        for old, new in reversed(list(pairwise(names))):
            if old.exists():
                old.rename(new)
        self._open()


def _pieces(line: bytes) -> tuple[list[bytes], bytes]:
    """The full-sized pieces of a long line, and what is left (never empty unless the line was)."""
    cut = (len(line) - 1) // MAX_LINE * MAX_LINE
    return [line[at : at + MAX_LINE] for at in range(0, cut, MAX_LINE)], line[cut:]


def _stamp(ns: int) -> bytes:
    seconds, rest = divmod(ns, 1_000_000_000)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)).encode() + b".%09dZ" % rest
