"""What is on disk of sandboxes and containers, as JSON. Standard library only.

A record without an end whose process is gone (or was of another boot) is ended when it is read: nobody saw how.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from sampan.node.runtime.paths import Paths
from sampan.node.runtime.types import ContainerSpec, ContainerState, Mount, Resources, SandboxSpec

UNSEEN = 255


@dataclass(frozen=True)
class Record:
    """One attempt of a container. `boot` and `birth` tell its process from a later one with the same pid.

    `holder` is the pid of a process that keeps the terminal open while there is no spawner (0 without a TTY).
    """

    state: ContainerState
    spec: ContainerSpec
    boot: str = ""
    birth: str = ""
    holder: int = 0

    def alive(self) -> bool:
        """Whether the process it speaks of runs now."""
        pid = self.state.pid
        return pid > 0 and self.boot == boot_id() and self.birth != "" and self.birth == birth(pid)


def boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def birth(pid: int) -> str:
    """The start time of a living process in clock ticks since boot; "" when it has gone or is a zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] in "ZX" else fields[19]


def save(path: Path, data: Any, mode: int = 0o600) -> None:
    """Replace the file in one step.

    Not synced: a kill at any moment leaves it whole, and after a power cut no process is left that it could tell of.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(fd, "w") as file:
        json.dump(data, file, separators=(",", ":"))
    os.replace(temporary, path)


def save_record(paths: Paths, record: Record) -> None:
    state = record.state
    save(paths.record(state.pod_uid, state.name, state.attempt), asdict(record))


def load(file: Path) -> Record:
    raw = json.loads(file.read_text())
    return Record(ContainerState(**raw["state"]), container(raw["spec"]), raw["boot"], raw["birth"], raw["holder"])


def load_records(paths: Paths) -> Iterator[Record]:
    """All records of the node, those whose process has vanished ended. A damaged file is left out."""
    for file in sorted(paths.state.glob("pods/*/containers/[!.]*.json")):
        try:
            record = load(file)
        except (ValueError, KeyError, TypeError, OSError):
            continue
        if not record.state.finished_at and not record.alive():
            why = (
                "the machine restarted" if record.boot != boot_id() else "its end was not seen: the spawner was killed"
            )
            record = replace(record, state=ended(record.state, UNSEEN, message=why))
            save_record(paths, record)
        yield record


def ended(state: ContainerState, code: int, *, signal: int = 0, oom: bool = False, message: str = "") -> ContainerState:
    """The state of a container whose first process ended with this code."""
    reason = "OOMKilled" if oom and code else "Error" if code else "Completed"
    return replace(state, finished_at=time.time(), exit_code=code, signal=signal, reason=reason, message=message)


def load_sandboxes(paths: Paths) -> dict[str, SandboxSpec]:
    """The sandboxes whose namespaces are there; leaves out what an earlier boot wrote."""
    files = (paths.run / "sandboxes").glob("[!.]*.json")
    found = (load_sandbox(paths, file.stem) for file in files)
    return {spec.uid: spec for spec in found if spec}


def load_sandbox(paths: Paths, uid: str) -> SandboxSpec | None:
    file = paths.sandbox(uid)
    if not file.exists() or not is_pinned(paths.pin(uid, "net")):
        return None
    return sandbox(json.loads(file.read_text()))


def is_pinned(pin: Path) -> bool:
    """Whether a namespace is mounted there, not just the file it was mounted on."""
    try:
        return pin.stat().st_dev == os.stat("/proc/self/ns/net").st_dev
    except OSError:
        return False


def sandbox(raw: dict[str, Any]) -> SandboxSpec:
    sysctls = tuple((name, value) for name, value in raw["sysctls"])
    return SandboxSpec(**{**raw, "sysctls": sysctls, "resources": Resources(**raw["resources"])})


def container(raw: dict[str, Any]) -> ContainerSpec:
    """JSON knows no tuples; the dataclasses are hashable and do."""
    fields: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in raw.items()}
    fields["env"] = tuple((name, value) for name, value in raw["env"])
    fields["mounts"] = tuple(Mount(**mount) for mount in raw["mounts"])
    fields["resources"] = Resources(**raw["resources"])
    return ContainerSpec(**fields)
