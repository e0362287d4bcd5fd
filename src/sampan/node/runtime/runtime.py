"""LinuxRuntime: the CRI role on this machine's own kernel. What runs is in the spawner; this is the agent's side.

Sandboxes are made here (sandbox.py), containers there. Nothing is kept that cannot be learned again: sandboxes from
their files and pins, containers from the spawner's list.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncIterator
from dataclasses import asdict
from functools import partial
from pathlib import Path

from sampan.base import log
from sampan.base.errors import SampanError
from sampan.base.tasks import Tasks
from sampan.node.runtime import records, sandbox, tcp, wire
from sampan.node.runtime.cgroups import Cgroups, detect
from sampan.node.runtime.link import Link
from sampan.node.runtime.paths import Paths
from sampan.node.runtime.streams import Streams
from sampan.node.runtime.types import Connections, ContainerSpec, ContainerState, Process, SandboxSpec, Usage

KILL_SECONDS = 10.0
RETRY_SECONDS = 0.5

_log = log.get("runtime")


def cgroup_of(cluster: str, node: str) -> str:
    """A node's control group."""
    return f"sampan/{cluster}/{node}"


class LinuxRuntime:
    """Implements node.runtime.types.Runtime. Call from a thread that stands in the node's network namespace.

    `run_dir` and `state_dir` are the node's own; `gateway` is the address of `bridge` in that namespace; `hide` are the
    directories no container sees (default: those two).
    """

    def __init__(
        self,
        cluster: str,
        node: str,
        run_dir: Path,
        state_dir: Path,
        gateway: str,
        *,
        bridge: str = "pods",
        hide: tuple[Path, ...] = (),
    ) -> None:
        self._paths = Paths(run_dir, state_dir)
        self._uplink = sandbox.Uplink(bridge, gateway)
        self._cgroup = cgroup_of(cluster, node)
        self._cgroups: Cgroups = detect(self._cgroup)
        arguments = ["--run", str(run_dir), "--state", str(state_dir), "--cgroup", self._cgroup]
        for directory in hide or (run_dir, state_dir):
            arguments += ["--hide", str(directory)]
        self._link = Link(self._paths, arguments, self._pushed)
        self._states: dict[tuple[str, str, int], ContainerState] = {}
        self._sandboxes: dict[str, SandboxSpec] = {}
        self._changed: asyncio.Queue[str] = asyncio.Queue()
        self._execs: dict[int, asyncio.Future[int]] = {}
        self._ends: dict[tuple[str, str, int], list[asyncio.Future[int]]] = {}
        self._tasks = Tasks("runtime")

    async def start(self) -> None:
        if self._cgroups.missing:
            names = ", ".join(self._cgroups.missing)
            _log.warning("this machine has no cgroup controller for: %s; such limits of pods have no effect", names)
        self._sandboxes = records.load_sandboxes(self._paths)
        await self._connect()
        self._tasks.start("spawner", self._keep_connected())

    async def close(self) -> None:
        await self._tasks.stop()
        self._link.close()

    def sandboxes(self) -> dict[str, SandboxSpec]:
        return dict(self._sandboxes)

    def containers(self, pod_uid: str) -> list[ContainerState]:
        return [self._states[key] for key in sorted(self._states) if key[0] == pod_uid]

    async def changes(self) -> AsyncIterator[str]:
        """For one reader."""
        while True:
            yield await self._changed.get()

    def usage(self, pod_uid: str, name: str, attempt: int) -> Usage:
        """What a container has used of cpu, and uses of memory."""
        return self._cgroups.usage(f"{pod_uid}/{name}.{attempt}")

    async def connections(self, pod_uid: str) -> Connections:
        spec = self._sandboxes.get(pod_uid)
        if spec is None or spec.host_network:
            return Connections()
        try:
            return await asyncio.to_thread(tcp.connections, self.network(pod_uid))
        except OSError as error:
            raise SampanError(f"failed to look at the connections of pod {pod_uid}: {error}") from error

    def network(self, uid: str) -> Path:
        return self._paths.pin(uid, "net")

    def pod_dir(self, uid: str) -> Path:
        return self._paths.pod(uid)

    # -- sandboxes

    async def create_sandbox(self, spec: SandboxSpec) -> None:
        if spec.uid in self._sandboxes:
            return
        try:
            self._cgroups.create(spec.uid, spec.resources)
        except OSError as error:
            raise SampanError(f"failed to create pod sandbox: cannot make its control group: {error}") from error
        try:
            await sandbox.in_fresh_thread(partial(sandbox.create, self._paths, self._uplink, spec))
        except SampanError:
            await self.remove_sandbox(spec.uid)
            raise
        self._sandboxes[spec.uid] = spec

    async def update_sandbox_files(self, uid: str, hosts: str, resolv_conf: str) -> None:
        try:
            sandbox.write_files(self._paths, uid, hosts, resolv_conf)
        except OSError as error:
            raise SampanError(f"failed to write the files of pod {uid}: {error}") from error

    async def remove_sandbox(self, uid: str) -> None:
        try:
            await asyncio.wait_for(self._link.call("kill", pod=uid), KILL_SECONDS)
        except TimeoutError:
            raise SampanError(f"failed to kill pod {uid}: processes still run after {KILL_SECONDS:g} s") from None
        try:
            await sandbox.in_fresh_thread(partial(sandbox.remove, self._paths, uid))
        except OSError as error:
            raise SampanError(f"failed to remove the sandbox of pod {uid}: {error}") from error
        self._sandboxes.pop(uid, None)
        give_up = asyncio.get_running_loop().time() + KILL_SECONDS
        while not self._cgroups.remove(uid):
            if asyncio.get_running_loop().time() > give_up:
                raise SampanError(f"failed to remove the control group of pod {uid}: processes in it do not end")
            await asyncio.sleep(0.005)

    async def forget(self, uid: str) -> None:
        await self._link.call("remove", pod=uid)
        for key in [key for key in self._states if key[0] == uid]:
            del self._states[key]
        await asyncio.to_thread(shutil.rmtree, self._paths.pod(uid), ignore_errors=True)

    # -- containers

    async def start_container(self, pod_uid: str, spec: ContainerSpec) -> ContainerState:
        if spec.termination_log:
            _touch_for_all(Path(spec.termination_log))
        self._states.pop((pod_uid, spec.name, spec.attempt), None)
        return ContainerState(**await self._link.call("start", pod=pod_uid, spec=asdict(spec)))

    async def signal(self, pod_uid: str, name: str, number: int) -> None:
        await self._link.call("signal", pod=pod_uid, name=name, number=number)

    async def remove_container(self, pod_uid: str, name: str, attempt: int) -> None:
        file = self._paths.record(pod_uid, name, attempt)
        log_path = Path(records.load(file).spec.log_path) if file.exists() else None
        await self._link.call("remove", pod=pod_uid, name=name, attempt=attempt)
        self._states.pop((pod_uid, name, attempt), None)
        await asyncio.to_thread(_remove_attempt, self._paths.layer(pod_uid, name, attempt), log_path)

    async def exec(
        self, pod_uid: str, name: str, argv: tuple[str, ...], *, tty: bool = False, stdin: bool = False
    ) -> Process:
        result, fds = await self._link.call_fds("exec", pod=pod_uid, name=name, argv=argv, tty=tty)
        number = int(result["exec"])
        code = self._execs.setdefault(number, asyncio.get_running_loop().create_future())
        if tty:
            reads, writer = [(1, fds[0])], fds[0]
        else:
            writer, reads = fds[0], [(1, fds[1]), (2, fds[2])]
        if not stdin and not tty:
            os.close(writer)
            writer = -1

        async def let_go() -> None:
            self._execs.pop(number, None)
            if not code.done():
                await self._link.call("end_exec", exec=number)

        return Streams(reads, writer, tty=tty, code=code, on_close_stdin=_nothing, on_close=let_go)

    async def attach(self, pod_uid: str, name: str, *, stdin: bool = False) -> Process:
        result, fds = await self._link.call_fds("attach", pod=pod_uid, name=name, stdin=stdin)
        state = ContainerState(**result["state"])
        key = (pod_uid, name, state.attempt)
        code: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        known = self._states.get(key, state)
        if known.finished_at:
            code.set_result(known.exit_code)
        self._ends.setdefault(key, []).append(code)

        async def close_stdin() -> None:
            await self._link.call("close_stdin", pod=pod_uid, name=name)

        async def let_go() -> None:
            waiting = self._ends.get(key, [])
            if code in waiting:
                waiting.remove(code)

        writer = fds[2] if len(fds) > 2 else -1
        reads = [(1, fds[0]), (2, fds[1])]
        return Streams(reads, writer, tty=bool(result["tty"]), code=code, on_close_stdin=close_stdin, on_close=let_go)

    # -- the spawner

    async def _connect(self) -> None:
        await self._link.connect()
        for raw in await self._link.call("list"):
            self._note(ContainerState(**raw))

    async def _keep_connected(self) -> None:
        while True:
            await self._link.lost.wait()
            self._link.lost.clear()
            for code in self._execs.values():
                if not code.done():
                    code.set_exception(SampanError("the spawner was killed while the command ran"))
            self._execs.clear()
            try:
                await self._connect()
            except SampanError as error:
                _log.error("%s", error)
                self._link.lost.set()
                await asyncio.sleep(RETRY_SECONDS)

    def _pushed(self, message: wire.Message) -> None:
        if "state" in message:
            self._note(ContainerState(**message["state"]))
        elif "exec" in message:
            code = self._execs.pop(message["exec"], None)
            if code is None:  # it ended before `exec` saw its answer
                code = self._execs[message["exec"]] = asyncio.get_running_loop().create_future()
            if not code.done():
                code.set_result(message["code"])

    def _note(self, state: ContainerState) -> None:
        """Only forward: a list that was on its way may be older than a change told since."""
        key = (state.pod_uid, state.name, state.attempt)
        known = self._states.get(key)
        if known and _stage(known) >= _stage(state):
            return
        self._states[key] = state
        if state.finished_at:
            for code in self._ends.pop(key, []):
                if not code.done():
                    code.set_result(state.exit_code)
        self._changed.put_nowait(state.pod_uid)


def _stage(state: ContainerState) -> int:
    return (state.started_at > 0) + (state.finished_at > 0)


def _touch_for_all(path: Path) -> None:
    """The container's user writes its last words there, whoever that is."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    path.chmod(0o666)


def _remove_attempt(layer: Path, log_path: Path | None) -> None:
    shutil.rmtree(layer, ignore_errors=True)
    if log_path:
        for file in log_path.parent.glob(f"{log_path.name}*"):
            file.unlink(missing_ok=True)


async def _nothing() -> None:
    """The end of an exec's input is the closed pipe itself; the spawner need not know."""
