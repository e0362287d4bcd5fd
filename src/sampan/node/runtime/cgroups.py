"""Control groups, version 1 and 2, behind one small class each.

A path is relative to the node's own group: "" (the node), "UID" (a pod), "UID/NAME.ATTEMPT" (a container).
Standard library only. Source: cgroups(7), the kernel's admin-guide/cgroup-v1 and admin-guide/cgroup-v2.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

from sampan.node.runtime.types import Resources, Usage

PERIOD_US = 100_000
WANTED = ("cpu", "cpuacct", "memory", "pids")


class Cgroups(Protocol):
    """`missing` names the controllers that this machine does not give us; what they limit is not limited."""

    missing: tuple[str, ...]

    def create(self, path: str, resources: Resources) -> None: ...
    def join(self, path: str) -> None:
        """Move the calling process into the group."""
        ...

    def processes(self, path: str) -> list[int]:
        """All processes in the group and below it."""
        ...

    def oom_kills(self, path: str) -> int: ...
    def usage(self, path: str) -> Usage: ...
    def kill(self, path: str) -> None:
        """SIGKILL everything in the group and below it, and again what it forked meanwhile."""
        ...

    def remove(self, path: str) -> bool:
        """Remove the group and those below; False when processes in it are still ending."""
        ...

    def prune(self) -> None:
        """Remove the node's group and its parents (the cluster's, sampan's) as far as they are empty."""
        ...

    def binds(self, path: str) -> list[tuple[str, str]]:
        """(directory of the machine, directory in the container) that show a container its own limits."""
        ...


def detect(base: str, mountinfo: Path = Path("/proc/self/mountinfo")) -> Cgroups:
    """The version this machine runs; `base` is the node's group, as "sampan/CLUSTER/NODE"."""
    roots: dict[str, Path] = {}
    unified: Path | None = None
    for line in mountinfo.read_text().splitlines():
        left, _, right = line.partition(" - ")
        where, (kind, _, options) = Path(left.split()[4]), right.split(" ", 2)
        if not os.access(where, os.W_OK):  # sampan runs in a container that may not make groups
            continue
        if kind == "cgroup2":
            unified = where
        elif kind == "cgroup":
            roots.update({name: where for name in options.split(",") if name in WANTED})
    if unified and "memory" in _read(unified / "cgroup.controllers").split():
        return V2(unified, base)
    return V1(roots, base)


class V1:
    """One directory a controller, under each controller's own mount."""

    def __init__(self, roots: dict[str, Path], base: str) -> None:
        self._base = base
        self._roots = {name: root / base for name, root in roots.items()}
        self._trees = sorted(set(self._roots.values()))
        self.missing = tuple(name for name in WANTED if name not in roots)

    def create(self, path: str, resources: Resources) -> None:
        for tree in self._trees:
            (tree / path).mkdir(parents=True, exist_ok=True)
        self._set("cpu", path, "cpu.shares", str(max(2, round(resources.cpu_request * 1024))))
        if resources.cpu_limit:
            self._set("cpu", path, "cpu.cfs_period_us", str(PERIOD_US))
            self._set("cpu", path, "cpu.cfs_quota_us", str(_quota(resources)))
        if resources.memory_limit:
            self._set("memory", path, "memory.limit_in_bytes", str(resources.memory_limit))
            self._set("memory", path, "memory.memsw.limit_in_bytes", str(resources.memory_limit))

    def join(self, path: str) -> None:
        for tree in self._trees:
            (tree / path / "cgroup.procs").write_text("0")

    def processes(self, path: str) -> list[int]:
        return sorted({pid for tree in self._trees for pid in _processes(tree / path)})

    def oom_kills(self, path: str) -> int:
        return _field(_read(self._file("memory", path, "memory.oom_control")), "oom_kill")

    def usage(self, path: str) -> Usage:
        used = int(_read(self._file("memory", path, "memory.usage_in_bytes")) or 0)
        idle = _field(_read(self._file("memory", path, "memory.stat")), "total_inactive_file")
        return Usage(int(_read(self._file("cpuacct", path, "cpuacct.usage")) or 0) / 1e9, max(0, used - idle))

    def kill(self, path: str) -> None:
        _kill_until_empty(lambda: self.processes(path))

    def remove(self, path: str) -> bool:
        done = [_remove(tree / path) for tree in self._trees]  # each, also after one that is busy
        return all(done)

    def prune(self) -> None:
        for tree in self._trees:
            _prune(tree, len(Path(self._base).parts))

    def binds(self, path: str) -> list[tuple[str, str]]:
        return [(str(root / path), f"/sys/fs/cgroup/{name}") for name, root in sorted(self._roots.items())]

    def _file(self, controller: str, path: str, name: str) -> Path:
        root = self._roots.get(controller)
        return root / path / name if root else Path("/nonexistent")

    def _set(self, controller: str, path: str, name: str, value: str) -> None:
        if controller in self._roots:
            _write(self._file(controller, path, name), value)


class V2:
    """One tree; a controller works in a group when every parent hands it down in cgroup.subtree_control."""

    def __init__(self, root: Path, base: str) -> None:
        self._mount, self._base = root, base
        self._root = root / base
        there = _read(root / "cgroup.controllers").split()
        self._controllers = [name for name in ("cpu", "memory", "pids") if name in there]
        self.missing = tuple(name for name in ("cpu", "memory", "pids") if name not in there)

    def create(self, path: str, resources: Resources) -> None:
        group = self._mount
        for part in [*Path(self._base).parts, *Path(path).parts]:
            for name in self._controllers:
                _write(group / "cgroup.subtree_control", f"+{name}")
            group = group / part
            group.mkdir(exist_ok=True)
        shares = min(262_144, max(2, round(resources.cpu_request * 1024)))
        _write(group / "cpu.weight", str(1 + (shares - 2) * 9999 // 262_142))
        if resources.cpu_limit:
            _write(group / "cpu.max", f"{_quota(resources)} {PERIOD_US}")
        if resources.memory_limit:
            _write(group / "memory.max", str(resources.memory_limit))
            _write(group / "memory.swap.max", "0")
            _write(group / "memory.oom.group", "1")

    def join(self, path: str) -> None:
        (self._root / path / "cgroup.procs").write_text("0")

    def processes(self, path: str) -> list[int]:
        return sorted(set(_processes(self._root / path)))

    def oom_kills(self, path: str) -> int:
        return _field(_read(self._root / path / "memory.events"), "oom_kill")

    def usage(self, path: str) -> Usage:
        group = self._root / path
        used = int(_read(group / "memory.current") or 0)
        idle = _field(_read(group / "memory.stat"), "inactive_file")
        return Usage(_field(_read(group / "cpu.stat"), "usage_usec") / 1e6, max(0, used - idle))

    def kill(self, path: str) -> None:
        if not _write(self._root / path / "cgroup.kill", "1"):  # Linux before 5.14
            _kill_until_empty(lambda: self.processes(path))

    def remove(self, path: str) -> bool:
        return _remove(self._root / path)

    def prune(self) -> None:
        _prune(self._root, len(Path(self._base).parts))

    def binds(self, path: str) -> list[tuple[str, str]]:
        return [(str(self._root / path), "/sys/fs/cgroup")]


def _quota(resources: Resources) -> int:
    return max(1000, round(resources.cpu_limit * PERIOD_US))


def _processes(group: Path) -> Iterator[int]:
    for directory, _, _ in os.walk(group):
        yield from (int(pid) for pid in _read(Path(directory) / "cgroup.procs").split())


def _kill_until_empty(processes: Callable[[], list[int]]) -> None:
    """Ends when no process is left that a signal can still reach; gives up after a second (a fork bomb)."""
    give_up = time.monotonic() + 1
    while (pids := processes()) and time.monotonic() < give_up:
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        time.sleep(0.002)


def _remove(group: Path) -> bool:
    for directory, _, _ in os.walk(group, topdown=False):
        try:
            os.rmdir(directory)
        except FileNotFoundError:
            pass
        except OSError:
            return False
    return True


def _prune(group: Path, levels: int) -> None:
    for each in [group, *group.parents][:levels]:
        try:
            each.rmdir()
        except OSError:  # gone already, or others are in it
            pass


def _read(path: Path) -> str:
    """Empty when the file is not there: then the controller is missing, or the group has just gone."""
    try:
        return path.read_text()
    except OSError:
        return ""


def _write(path: Path, value: str) -> bool:
    """False when the kernel does not take it (no such controller here, or a swap-less kernel's memsw file)."""
    try:
        fd = os.open(path, os.O_WRONLY)
    except OSError:
        return False
    try:
        os.write(fd, value.encode())
    except OSError:
        return False
    finally:
        os.close(fd)
    return True


def _field(text: str, name: str) -> int:
    for line in text.splitlines():
        key, _, value = line.partition(" ")
        if key == name:
            return int(value)
    return 0
