"""Reading container logs: CRI format, rotated files, following.

    2026-11-20T12:00:00.123456789Z stdout F a whole line          P instead of F: the line goes on in the next entry

Rotation is N.log -> N.log.1 -> N.log.2 …: the highest number is the oldest.
"""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

from sampan.base.clock import Clock

POLL = 0.1  # seconds between two looks at the file, only while somebody follows
BLOCK = 64 << 10


@dataclass(frozen=True)
class LogOptions:
    """The query of GET …/pods/NAME/log. `since` is epoch seconds; `tail` and `limit` (bytes) None for all."""

    follow: bool = False
    timestamps: bool = False
    since: float = 0.0
    tail: int | None = None
    limit: int | None = None


def files(path: Path) -> list[Path]:
    """The log's files, oldest first; the last is the one being written (it may not exist)."""
    rotated = [p for p in path.parent.glob(f"{path.name}.*") if p.suffix[1:].isdigit()]
    return [*sorted(rotated, key=lambda p: -int(p.suffix[1:])), path]


def tail(path: Path, lines: int) -> bytes:
    """The last lines of a log as its program wrote them."""
    content = b"".join(_stored(path, lines))
    return b"".join(filter(None, (_render(line, LogOptions()) for line in content.splitlines(keepends=True))))


async def read_log(path: Path, options: LogOptions, clock: Clock, running: Callable[[], bool]) -> AsyncIterator[bytes]:
    """The log in blocks as kubectl shows it. With `follow` it goes on until `running()` is False and all is read."""
    left = options.limit
    async with aclosing(_blocks(path, options, clock, running)) as blocks:
        async for block in blocks:
            out = b"".join(filter(None, (_render(line, options) for line in block)))
            if left is not None:
                out = out[:left]
                left -= len(out)
            if out:
                yield out
            if left == 0:
                return


async def _blocks(
    path: Path, options: LogOptions, clock: Clock, running: Callable[[], bool]
) -> AsyncGenerator[list[bytes], None]:
    """Stored lines in lists; an unfinished last line is kept back until it is whole."""
    rest = b""
    file = _open(path)
    for chunk in _stored(path, options.tail, file):
        lines, rest = _split(rest + chunk)
        yield lines
    try:
        while options.follow:
            alive = running()  # asked before reading: what it wrote last is then in the file
            chunk = file.read(BLOCK) if file else b""
            if chunk:
                lines, rest = _split(rest + chunk)
                yield lines
            elif file is None or _rotated(path, file):
                if file:
                    file.close()
                file = _open(path)
                if file is None and not alive:
                    return
                if file is None:
                    await clock.sleep(POLL)
            elif not alive:
                return
            else:
                await clock.sleep(POLL)
    finally:
        if file:
            file.close()


def _split(data: bytes) -> tuple[list[bytes], bytes]:
    lines = data.splitlines(keepends=True)
    if lines and not lines[-1].endswith(b"\n"):
        return lines[:-1], lines[-1]
    return lines, b""


def _open(path: Path) -> BinaryIO | None:
    try:
        return open(path, "rb")
    except FileNotFoundError:
        return None


def _rotated(path: Path, file: BinaryIO) -> bool:
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return True
    return found.st_ino != os.fstat(file.fileno()).st_ino


def _stored(path: Path, lines: int | None, current: BinaryIO | None = None) -> Iterator[bytes]:
    """What is there now, from the last `lines` lines on; `current`, an open `path`, is left at its end."""
    names = files(path)
    opened = [(name, _open(name) if name != path or current is None else current) for name in names]
    start, offset = _tail_start([f for _, f in opened], lines)
    for index, (_, file) in enumerate(opened):
        if file is None:
            continue
        if index >= start:
            file.seek(offset if index == start else 0)
            while chunk := file.read(BLOCK):
                yield chunk
        if file is not current:
            file.close()


def _tail_start(opened: list[BinaryIO | None], lines: int | None) -> tuple[int, int]:
    """(file, offset) where the last `lines` lines begin."""
    if lines is None:
        return 0, 0
    missing = lines
    for index in range(len(opened) - 1, -1, -1):
        file = opened[index]
        if file is None:
            continue
        position = size = file.seek(0, os.SEEK_END)
        while position > 0:
            begin = max(0, position - BLOCK)
            file.seek(begin)
            block = file.read(position - begin)
            at = len(block)
            while (at := block.rfind(b"\n", 0, at)) >= 0:
                if begin + at + 1 == size and size:
                    continue  # the end of the last line, not the start of one
                missing -= 1
                if missing == 0:
                    return index, begin + at + 1
            position = begin
        if size:
            missing -= 1
            if missing <= 0:
                return index, 0 if missing == 0 else size
    return 0, 0


def _render(line: bytes, options: LogOptions) -> bytes:
    """One stored line as it is shown; b"" when it is older than asked for. A line in no known format stays as is."""
    parts = line.split(b" ", 3)
    if len(parts) < 4:
        return line
    stamp, _, tag, text = parts
    if options.since and _epoch(stamp) < options.since:
        return b""
    if tag.startswith(b"P"):
        text = text.removesuffix(b"\n")
    return stamp + b" " + text if options.timestamps else text


def _epoch(stamp: bytes) -> float:
    try:
        return datetime.fromisoformat(stamp.decode()).timestamp()
    except ValueError:
        return 0.0
