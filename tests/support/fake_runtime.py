"""A Runtime without processes: containers run until a test or a signal ends them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

from sampan.base.clock import Clock
from sampan.base.errors import SampanError
from sampan.node.runtime.types import Connections, ContainerSpec, ContainerState, SandboxSpec, Usage


class FakeProcess:
    """An exec'd process: it echoes its input on stdout and ends when that is closed, or has a fixed answer."""

    def __init__(self, code: int = 0, output: bytes = b"", echo: bool = False) -> None:
        self.code, self.sizes = code, list[tuple[int, int]]()
        self._chunks: asyncio.Queue[tuple[int, bytes] | None] = asyncio.Queue()
        if output:
            self._chunks.put_nowait((1, output))
        if not echo:
            self._chunks.put_nowait(None)
        self.closed = False

    async def write(self, data: bytes) -> None:
        self._chunks.put_nowait((1, data))

    async def close_stdin(self) -> None:
        self._chunks.put_nowait(None)

    async def output(self) -> AsyncIterator[tuple[int, bytes]]:
        while (chunk := await self._chunks.get()) is not None:
            yield chunk

    def resize(self, columns: int, rows: int) -> None:
        self.sizes.append((columns, rows))

    async def wait(self) -> int:
        return self.code

    async def close(self) -> None:
        self.closed = True
        self._chunks.put_nowait(None)


class FakeRuntime:
    """`calls` is what was asked, in order. `stubborn` containers ignore SIGTERM; `answers` are exec's results.

    `busy`: the connections that every pod has.
    """

    def __init__(self, directory: Path, clock: Clock) -> None:
        self.directory, self.clock = directory, clock
        self.calls: list[tuple[str, ...]] = []
        self.stubborn: set[str] = set()
        self.failures: dict[str, str] = {}  # call → text of the SampanError it raises
        self.answers: dict[tuple[str, ...], FakeProcess] = {}
        self.specs: dict[tuple[str, str], ContainerSpec] = {}
        self.boxes: dict[str, SandboxSpec] = {}
        self.busy = Connections()
        self._states: dict[str, dict[tuple[str, int], ContainerState]] = {}
        self._changes: asyncio.Queue[str] = asyncio.Queue()

    # -- for tests

    def finish(self, uid: str, name: str, code: int, signal: int = 0, reason: str = "") -> None:
        """The newest attempt ends."""
        key = max(k for k in self._states[uid] if k[0] == name)
        reason = reason or ("Completed" if code == 0 else "Error")
        state = self._states[uid][key]
        self._states[uid][key] = replace(
            state, finished_at=self.clock.now().timestamp(), exit_code=code, signal=signal, reason=reason
        )
        self._changes.put_nowait(uid)

    def reboot(self) -> None:
        """Sandboxes vanish; containers ended, nobody saw how."""
        self.boxes.clear()
        for uid, states in self._states.items():
            for (name, _), state in list(states.items()):
                if state.running:
                    self.finish(uid, name, 255)

    def started(self) -> list[str]:
        return [f"{c[2]}.{c[3]}" for c in self.calls if c[0] == "start"]

    # -- Runtime

    async def start(self) -> None: ...

    async def close(self) -> None: ...

    def sandboxes(self) -> dict[str, SandboxSpec]:
        return dict(self.boxes)

    def containers(self, pod_uid: str) -> list[ContainerState]:
        return sorted(self._states.get(pod_uid, {}).values(), key=lambda s: (s.name, s.attempt))

    def usage(self, pod_uid: str, name: str, attempt: int) -> Usage:
        return Usage(1.5, 4096)

    async def connections(self, pod_uid: str) -> Connections:
        return self.busy

    async def changes(self) -> AsyncIterator[str]:
        while True:
            yield await self._changes.get()

    async def create_sandbox(self, spec: SandboxSpec) -> None:
        self._call("sandbox", spec.uid)
        self.boxes[spec.uid] = spec

    async def update_sandbox_files(self, uid: str, hosts: str, resolv_conf: str) -> None:
        self._call("files", uid)

    async def remove_sandbox(self, uid: str) -> None:
        self._call("remove-sandbox", uid)
        for state in self.containers(uid):
            if state.running:
                self.finish(uid, state.name, 137, 9)
        self.boxes.pop(uid, None)

    async def forget(self, uid: str) -> None:
        self._call("forget", uid)
        self._states.pop(uid, None)

    async def start_container(self, pod_uid: str, spec: ContainerSpec) -> ContainerState:
        self._call("start", pod_uid, spec.name, str(spec.attempt))
        state = ContainerState(pod_uid, spec.name, spec.attempt, pid=4242, started_at=self.clock.now().timestamp())
        self._states.setdefault(pod_uid, {})[(spec.name, spec.attempt)] = state
        self.specs[(pod_uid, spec.name)] = spec
        if spec.termination_log:
            Path(spec.termination_log).parent.mkdir(parents=True, exist_ok=True)
            Path(spec.termination_log).touch()
        self._changes.put_nowait(pod_uid)
        return state

    async def signal(self, pod_uid: str, name: str, number: int) -> None:
        self._call("signal", pod_uid, name, str(number))
        if number == 9 or name not in self.stubborn:
            self.finish(pod_uid, name, 128 + number, number)

    async def remove_container(self, pod_uid: str, name: str, attempt: int) -> None:
        self._call("remove", pod_uid, name, str(attempt))
        self._states[pod_uid].pop((name, attempt))

    async def exec(
        self, pod_uid: str, name: str, argv: tuple[str, ...], *, tty: bool = False, stdin: bool = False
    ) -> FakeProcess:
        self._call("exec", pod_uid, name, *argv)
        return self.answers.get(argv) or FakeProcess()

    async def attach(self, pod_uid: str, name: str, *, stdin: bool = False) -> FakeProcess:
        self._call("attach", pod_uid, name)
        return self.answers.get(("attach",)) or FakeProcess()

    def network(self, uid: str) -> Path:
        return Path("/proc/self/ns/net")

    def pod_dir(self, uid: str) -> Path:
        return self.directory / "pods" / uid

    def _call(self, *call: str) -> None:
        self.calls.append(call)
        if call[0] in self.failures:
            raise SampanError(self.failures[call[0]])
