"""Files that are whole or not there."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def write_atomic(path: Path, data: bytes, mode: int = 0o644, owner: int = -1) -> None:
    """Replace `path` by `data` in one step and sync it to disk; mode and owner are set before anything is written."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    try:
        os.fchmod(fd, mode)
        if owner >= 0:
            os.fchown(fd, owner, -1)
        _write_all(fd, data)
        os.fsync(fd)
    except BaseException:  # a full disk is no place to leave half a file
        temporary.unlink(missing_ok=True)
        raise
    finally:
        os.close(fd)
    os.replace(temporary, path)


@contextmanager
def exclusive(folder: Path) -> Iterator[None]:
    """One process at a time; the others wait. The kernel lets go of it however we end. Raises OSError."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
