"""How the processes of a pod come to stand in their namespaces: a container's, one run by exec, the pause process.

The functions `join` and `prepare` of a Plan run in forked children; see launch.py. Standard library only.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path

from sampan.base.netns import (
    CLONE_NEWCGROUP,
    CLONE_NEWIPC,
    CLONE_NEWNET,
    CLONE_NEWNS,
    CLONE_NEWPID,
    CLONE_NEWUTS,
    setns,
    unshare,
)
from sampan.node.runtime.cgroups import Cgroups
from sampan.node.runtime.launch import Plan
from sampan.node.runtime.paths import Paths
from sampan.node.runtime.records import is_pinned
from sampan.node.runtime.rootfs import Root, enter
from sampan.node.runtime.types import ContainerSpec, ContainerState, Resources, SandboxSpec

SHARED = {"net": CLONE_NEWNET, "uts": CLONE_NEWUTS, "ipc": CLONE_NEWIPC}
Ends = tuple[int, int, int]


def group(state: ContainerState) -> str:
    """A container's cgroup, relative to the node's."""
    return f"{state.pod_uid}/{state.name}.{state.attempt}"


class Plans:
    """Where the plans get their places from; `hide` are directories no container may see."""

    def __init__(self, paths: Paths, cgroups: Cgroups, hide: tuple[str, ...]) -> None:
        self._paths, self._cgroups, self._hide = paths, cgroups, hide

    def container(
        self, sandbox: SandboxSpec, state: ContainerState, spec: ContainerSpec, ends: Ends | None, beside: int = 0
    ) -> Plan:
        """`beside` is a process whose PID namespace is to be shared, 0 for none."""
        uid = state.pod_uid
        taken = {mount.target.rstrip("/") for mount in spec.mounts}
        root = Root(
            staging=self._paths.staging,
            layer=self._paths.layer(uid, spec.name, spec.attempt),
            mounts=spec.mounts,
            etc={target: source for target, source in self._paths.etc(uid).items() if target not in taken},
            hide=self._hide,
            cgroups=self._cgroups.binds(group(state)),
            cwd=spec.cwd or "/",
            privileged=spec.privileged,
            read_only=spec.read_only_root,
        )

        def join() -> None:
            self._cgroups.join(group(state))
            _expose_to_oom_killer(spec.resources)
            for kind, flag in SHARED.items():
                _enter(self._paths.pin(uid, kind), flag)
            if beside:
                setns(os.pidfd_open(beside), CLONE_NEWPID)
            elif is_pinned(self._paths.pin(uid, "pid")):
                _enter(self._paths.pin(uid, "pid"), CLONE_NEWPID)
            elif not sandbox.host_pid:
                unshare(CLONE_NEWPID)

        def prepare() -> None:
            unshare(CLONE_NEWNS | CLONE_NEWCGROUP)
            enter(root)

        return Plan(spec, spec.argv, ends, join, prepare)

    def exec(self, state: ContainerState, spec: ContainerSpec, argv: tuple[str, ...], ends: Ends | None) -> Plan:
        def join() -> None:
            process = os.pidfd_open(state.pid)
            self._cgroups.join(group(state))
            _expose_to_oom_killer(spec.resources)
            setns(process, CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWCGROUP | sum(SHARED.values()))

        return Plan(spec, argv, ends, join, _nothing)

    def pause(self, uid: str, ends: Ends) -> Plan:
        """PID 1 of a pod with shareProcessNamespace: only sleeps.

        An ignored SIGCHLD stays ignored over execve, and makes the kernel reap the orphans it inherits.
        """
        argv = ("sleep", "infinity")
        spec = ContainerSpec("pause", 0, argv, (), "/", 0, 0, privileged=True)

        def join() -> None:
            self._cgroups.join(f"{uid}/pause")
            unshare(CLONE_NEWPID)

        return Plan(spec, argv, ends, join, lambda: _ignore(signal.SIGCHLD))

    def holder(self, state: ContainerState, master: int) -> Plan:
        """A process that only keeps a pty's master open, as its stdin: without one the terminal hangs up."""
        argv = ("sleep", "infinity")
        spec = ContainerSpec("terminal", 0, argv, (), "/", 0, 0, privileged=True)
        return Plan(spec, argv, (master, 1, 2), lambda: self._cgroups.join(group(state)), _nothing)


def _nothing() -> None:
    """For a process that takes the root it is in."""


def _ignore(number: signal.Signals) -> None:
    signal.signal(number, signal.SIG_IGN)


def _enter(pin: Path, flag: int) -> None:
    fd = os.open(pin, os.O_RDONLY)
    setns(fd, flag)
    os.close(fd)


def _expose_to_oom_killer(resources: Resources) -> None:
    """Pods go before the machine's own programs, those without requests and limits first (as in Kubernetes)."""
    score = 500 if resources != Resources() else 1000
    Path("/proc/self/oom_score_adj").write_text(str(score))
