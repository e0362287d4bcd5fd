"""What this machine has to give: a node's capacity and nodeInfo."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


@dataclass(frozen=True)
class Machine:
    """`memory` and `disk` in bytes."""

    cpus: int
    memory: int
    disk: int
    architecture: str
    kernel: str
    os_image: str
    machine_id: str
    boot_id: str


def read_machine(state: Path) -> Machine:
    """Look at the machine; `disk` is the size of the file system that holds `state`."""
    names = os.uname()
    disk = os.statvfs(state)
    release = dict(line.split("=", 1) for line in _text("/etc/os-release").splitlines() if "=" in line)
    meminfo = dict(line.split(":", 1) for line in _text("/proc/meminfo").splitlines() if ":" in line)
    return Machine(
        cpus=len(os.sched_getaffinity(0)),
        memory=int(meminfo["MemTotal"].split()[0]) * 1024,
        disk=disk.f_blocks * disk.f_frsize,
        architecture=_ARCHITECTURES.get(names.machine, names.machine),
        kernel=names.release,
        os_image=release.get("PRETTY_NAME", "Linux").strip('"'),
        machine_id=_text("/etc/machine-id").strip(),
        boot_id=_text("/proc/sys/kernel/random/boot_id").strip(),
    )


def _text(path: str) -> str:
    try:
        return Path(path).read_text()
    except OSError:
        return ""
