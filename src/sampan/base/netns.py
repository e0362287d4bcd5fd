"""Linux namespaces from Python 3.11, which lacks os.setns and os.unshare.

Source: setns(2), unshare(2), mount(2). Standard library only: the spawner uses it.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

CLONE_NEWNS = 0x00020000
CLONE_NEWCGROUP = 0x02000000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000

MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REMOUNT = 1, 2, 4, 8, 32
MS_BIND, MS_MOVE, MS_REC, MS_PRIVATE, MS_SLAVE, MS_SHARED = 4096, 8192, 16384, 1 << 18, 1 << 19, 1 << 20
MNT_DETACH = 2

libc = ctypes.CDLL(None, use_errno=True)


def _check(result: int, what: str) -> None:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{what}: {os.strerror(code)}")


def setns(fd: int, kind: int = 0) -> None:
    """Move the calling thread into the namespace behind `fd`. Raises OSError."""
    _check(libc.setns(fd, kind), "setns")


def unshare(flags: int) -> None:
    """Give the calling thread new namespaces. Raises OSError."""
    _check(libc.unshare(flags), "unshare")


def mount(source: str, target: str, fstype: str = "", flags: int = 0, data: str = "") -> None:
    """mount(2). Raises OSError."""
    result = libc.mount(
        source.encode(), target.encode(), fstype.encode() or None, ctypes.c_ulong(flags), data.encode() or None
    )
    _check(result, f"mount {source} on {target}")


def umount(target: str, flags: int = MNT_DETACH) -> None:
    """umount2(2). Raises OSError."""
    _check(libc.umount2(target.encode(), flags), f"umount {target}")


def pivot_root(new_root: str, put_old: str) -> None:
    """pivot_root(2), by its number where libc has no wrapper. Raises OSError."""
    number = {"x86_64": 155, "aarch64": 41}[os.uname().machine]
    _check(libc.syscall(number, new_root.encode(), put_old.encode()), "pivot_root")


def pin(kind: str, path: Path, pid: int | str = "self") -> None:
    """Keep a namespace (`net`, `uts`, `ipc`) of a process alive by a bind mount at `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    mount(f"/proc/{pid}/ns/{kind}", str(path), flags=MS_BIND)


def unpin(path: Path) -> None:
    """Let go of a pinned namespace; silent when it is not there."""
    try:
        umount(str(path))
    except OSError:
        pass
    path.unlink(missing_ok=True)


@contextmanager
def inside(path: Path | str) -> Iterator[None]:
    """Run the block with the calling thread in the network namespace at `path`, then come back.

    Do not await inside the block. A socket made here belongs to that namespace for good.
    """
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    try:
        there = os.open(path, os.O_RDONLY)
        try:
            setns(there, CLONE_NEWNET)
        finally:
            os.close(there)
        try:
            yield
        finally:
            setns(home, CLONE_NEWNET)
    finally:
        os.close(home)
