"""The contract between the kubelet part of a node and what runs processes (the CRI role).

A sandbox is a pod's pinned net, UTS and IPC namespaces, its veth, address and cgroup. A container is one process tree
with its own PID and mount namespaces (it is PID 1 of the former), its root a writable layer over the machine's files.
Source for the split: https://github.com/kubernetes/cri-api
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True)
class Resources:
    """Limits and weights. cpu in cores, memory in bytes; 0 is no limit."""

    cpu_request: float = 0.0
    cpu_limit: float = 0.0
    memory_limit: int = 0


@dataclass(frozen=True)
class SandboxSpec:
    """`ip` empty with host_network. `hosts`, `resolv_conf` are the contents of the pod's own files in /etc."""

    uid: str
    namespace: str
    name: str
    hostname: str
    ip: str
    hosts: str
    resolv_conf: str
    host_network: bool = False
    host_pid: bool = False
    host_ipc: bool = False
    share_processes: bool = False
    sysctls: tuple[tuple[str, str], ...] = ()
    resources: Resources = field(default_factory=Resources)


@dataclass(frozen=True)
class Mount:
    """A bind mount into a container. `source` is a path of the host."""

    source: str
    target: str
    read_only: bool = False
    propagation: str = ""


@dataclass(frozen=True)
class ContainerSpec:
    """What to run. `attempt` counts restarts from 0; argv[0] is looked up in env PATH inside the container.

    `share_with` names a running container of the pod whose PID namespace this one joins ("": one of its own).
    """

    name: str
    attempt: int
    argv: tuple[str, ...]
    env: tuple[tuple[str, str], ...]
    cwd: str
    uid: int
    gid: int
    groups: tuple[int, ...] = ()
    mounts: tuple[Mount, ...] = ()
    resources: Resources = field(default_factory=Resources)
    tty: bool = False
    stdin: bool = False
    stdin_once: bool = False
    privileged: bool = False
    add_capabilities: tuple[str, ...] = ()
    drop_capabilities: tuple[str, ...] = ()
    no_new_privileges: bool = False
    read_only_root: bool = False
    log_path: str = ""
    log_max_bytes: int = 10 << 20
    log_max_files: int = 5
    share_with: str = ""
    termination_log: str = ""  # host path mounted at terminationMessagePath


@dataclass(frozen=True)
class ContainerState:
    """What is known of one container. Times are seconds since the epoch, 0 = not yet.

    `pid` is the host's. `reason` after the end: "Completed", "Error", "OOMKilled", "StartError" (then
    `message` says why); `signal` is set when a signal ended it (`exit_code` is 128+signal as in Kubernetes).
    """

    pod_uid: str
    name: str
    attempt: int
    pid: int = 0
    started_at: float = 0.0
    finished_at: float = 0.0
    exit_code: int = 0
    signal: int = 0
    reason: str = ""
    message: str = ""

    @property
    def id(self) -> str:
        """The containerID's last part: stable over agent restarts, new for each attempt."""
        return f"{self.pod_uid}-{self.name}-{self.attempt}"

    @property
    def running(self) -> bool:
        return self.started_at > 0 and self.finished_at == 0


class Process(Protocol):
    """A process run by exec, or an attachment to a container. With a TTY all output is on stdout."""

    async def write(self, data: bytes) -> None: ...
    async def close_stdin(self) -> None: ...
    def output(self) -> AsyncIterator[tuple[int, bytes]]:
        """(1 stdout | 2 stderr, data) until both have ended."""
        ...

    def resize(self, columns: int, rows: int) -> None: ...
    async def wait(self) -> int:
        """The exit code (128+n for signal n)."""
        ...

    async def close(self) -> None:
        """Let go of it; an exec'd process that still runs is killed, an attached one is not."""
        ...


@dataclass(frozen=True)
class Usage:
    """cpu in seconds since the group was made; memory is the working set in bytes."""

    cpu: float = 0.0
    memory: int = 0


@dataclass(frozen=True)
class Connections:
    """TCP connections of a sandbox that its kernel is not done with: `arriving` waits to be accepted by a program,
    `leaving` was closed by one, but the other side does not have all that was sent."""

    arriving: int = 0
    leaving: int = 0


class Runtime(Protocol):
    """All calls raise SampanError with a text fit for a pod's event."""

    async def start(self) -> None:
        """Connect to (or start) the spawner and learn what runs already."""
        ...

    async def close(self) -> None:
        """Let go; containers go on running."""
        ...

    def sandboxes(self) -> dict[str, SandboxSpec]:
        """By pod uid: the sandboxes that exist (after a reboot none do)."""
        ...

    def containers(self, pod_uid: str) -> list[ContainerState]:
        """All known containers of a pod, ended ones included (also those that a reboot ended), by name and attempt."""
        ...

    def usage(self, pod_uid: str, name: str, attempt: int) -> Usage:
        """What a container has used of cpu, and uses of memory."""
        ...

    async def connections(self, pod_uid: str) -> Connections:
        """None for a pod in its node's network namespace."""
        ...

    def changes(self) -> AsyncIterator[str]:
        """Pod uids whose containers changed state."""
        ...

    async def create_sandbox(self, spec: SandboxSpec) -> None: ...
    async def update_sandbox_files(self, uid: str, hosts: str, resolv_conf: str) -> None: ...
    async def remove_sandbox(self, uid: str) -> None:
        """Kill what still runs in it; remove namespaces, veth, cgroup, layers. Logs stay until `forget`."""
        ...

    async def forget(self, uid: str) -> None:
        """Remove all that is on disk of a pod."""
        ...

    async def start_container(self, pod_uid: str, spec: ContainerSpec) -> ContainerState: ...
    async def signal(self, pod_uid: str, name: str, number: int) -> None: ...
    async def remove_container(self, pod_uid: str, name: str, attempt: int) -> None:
        """Remove an ended attempt's layer and record (its log too)."""
        ...

    async def exec(
        self,
        pod_uid: str,
        name: str,
        argv: tuple[str, ...],
        *,
        tty: bool = False,
        stdin: bool = False,
    ) -> Process: ...
    async def attach(self, pod_uid: str, name: str, *, stdin: bool = False) -> Process: ...
    def network(self, uid: str) -> Path:
        """A sandbox's network namespace, for base.netns.inside."""
        ...

    def pod_dir(self, uid: str) -> Path:
        """Where a pod's volumes and logs live on the host."""
        ...
