"""Carries out what `pod.decide` decides, for one pod. Woken by changes of the API object, of containers, of probes and
ConfigMaps, and by its own timer; it never polls."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from sampan.api import meta
from sampan.api.meta import Obj
from sampan.base import log
from sampan.base.clock import Clock, either
from sampan.base.errors import SampanError
from sampan.base.fs import write_atomic
from sampan.base.tasks import Tasks
from sampan.client.env import Cache, Recorder
from sampan.images.types import Images
from sampan.node import leaving, podfiles
from sampan.node.addresses import Addresses
from sampan.node.claims import Claims
from sampan.node.memory import Memory, adopt
from sampan.node.objects import Objects
from sampan.node.operations import Operations
from sampan.node.pod import Command, containers, decide, latest
from sampan.node.probe_actions import Target, act
from sampan.node.probes import KINDS, Probe, Prober, Report
from sampan.node.reporter import Reporter
from sampan.node.runtime.types import ContainerState, Runtime
from sampan.node.status import pod_status
from sampan.node.termination import termination_message
from sampan.node.tokens import TokenManager
from sampan.node.volumes import Volumes

_log = log.get("node")


@dataclass(frozen=True)
class Tools:
    """What all workers of a node share. `drained`: see `leaving`."""

    runtime: Runtime
    images: Images
    clock: Clock
    events: Recorder
    objects: Objects
    claims: Claims
    tokens: TokenManager
    services: Cache
    reporter: Reporter
    addresses: Addresses
    tasks: Tasks
    dns: podfiles.DnsConfig
    node_ip: str
    allocatable: Mapping[str, str]
    memory_dir: Path
    drained: leaving.Drained

    def now(self) -> float:
        return self.clock.now().timestamp()


class PodWorker:
    """One pod from its first sight to its last trace. `done` is called when nothing of it is left."""

    def __init__(self, pod: Obj, tools: Tools, done: Callable[[str], None]) -> None:
        self.pod = pod
        self.uid = meta.uid(pod)
        self.tools = tools
        self.memory = Memory()
        self.volumes = Volumes(self.directory, tools.memory_dir / self.uid)
        self._done = done
        self._operations = Operations(self)
        self._prober = Prober(tools.tasks, tools.clock, self._probed)
        self._reported: Obj = pod.get("status") or {}
        self._wake = asyncio.Event()

    @property
    def directory(self) -> Path:
        return self.tools.runtime.pod_dir(self.uid)

    @property
    def states(self) -> list[ContainerState]:
        return self.tools.runtime.containers(self.uid)

    @property
    def sandbox(self) -> bool:
        return self.uid in self.tools.runtime.sandboxes()

    @property
    def ip(self) -> str:
        return self.tools.node_ip if self.pod["spec"].get("hostNetwork") else self.memory.ip

    def load(self) -> None:
        """Recall what an earlier agent knew, and claim the pod's address before anybody else is given it."""
        record: dict[str, Any] = {}
        path = self.directory / "sandbox.json"
        if path.exists():
            record = orjson.loads(path.read_bytes())
        self.memory = adopt(self.pod, self.states, record, self.sandbox, self.tools.now())
        self.tools.addresses.claim(self.uid, self.memory.ip)

    def save(self) -> None:
        """Keep what must outlive the agent."""
        self.directory.mkdir(parents=True, exist_ok=True)
        memory = self.memory
        record = {"start_time": memory.start_time, "ip": memory.ip, "floor": memory.floor}
        write_atomic(self.directory / "sandbox.json", orjson.dumps(record))

    def update(self, pod: Obj | None) -> None:
        """The API object as it is now, None when it is gone."""
        if pod is None:
            self.memory.gone = True
        else:
            changed = pod["metadata"].get("labels") != self.pod["metadata"].get("labels") or (
                pod["metadata"].get("annotations") != self.pod["metadata"].get("annotations")
            )
            self.pod = pod
            if changed and self.memory.prepared:
                self._operations.refresh()
        self.poke()

    def poke(self) -> None:
        """Look again."""
        self._wake.set()

    def retry(self) -> None:
        """Something a failed start may have waited for changed: try at once."""
        for trouble in self.memory.troubles.values():
            if trouble.version is None:
                trouble.retry_at = 0.0
        self._operations.outdated = True
        if self.memory.prepared:
            self._operations.refresh()
        self.poke()

    async def run(self) -> None:
        """Until nothing is left of the pod."""
        while True:
            self._wake.clear()
            wake = self.step()
            if self.memory.finished:
                break
            await self._sleep(wake)
        self._prober.sync(())
        await self._operations.forget()
        self._done(self.uid)

    async def _sleep(self, until: float | None) -> None:
        if until is None:
            await self._wake.wait()
        else:
            await either(self.tools.clock, self._wake, until - self.tools.now())

    def step(self) -> float | None:
        """One look and what follows from it; the moment of the next look."""
        tools = self.tools
        states, sandbox = self.states, self.sandbox
        if self.memory.troubles:
            self.memory.images_version = tools.images.version()
        decision = decide(self.pod, states, sandbox, self.memory, tools.now())
        self.memory = decision.memory
        for command in decision.commands:
            self._do(command)
        self._read_messages(states)
        self._prober.sync(self._probes(states) if sandbox else ())
        if not self.memory.gone:
            self._report(states, sandbox)
        return decision.wake

    def _report(self, states: list[ContainerState], sandbox: bool) -> None:
        if not states and self.memory.ending and self.memory.ending.reason == "Terminal":
            return  # the API knows more of this pod's end than we do
        status = pod_status(
            self.pod, states, sandbox, self.memory, self.tools.node_ip, self.tools.now(), self._reported
        )
        self._reported = status
        self.tools.reporter.report(self.pod, status)

    def _read_messages(self, states: list[ContainerState]) -> None:
        """Termination messages, each read once; those of attempts long gone are forgotten."""
        specs, known = {c["name"]: c for c in containers(self.pod)}, self.memory.messages
        self.memory.messages = {
            s.id: known[s.id] if s.id in known else termination_message(self.directory, specs[s.name], s)
            for s in states
            if s.finished_at and s.name in specs
        }

    # -- commands ---------------------------------------------------------------------------------------------------

    def _do(self, command: Command) -> None:
        match command.verb:
            case "event":
                self.event(command.type, command.reason, command.message)
            case "cancel":
                self._operations.cancel()
            case "delete":
                # The last status must have been reported first: the object goes with it.
                self._report(self.states, self.sandbox)
                self.tools.reporter.delete(self.pod)
            case "signal":
                self._start(f"signal {command.number}", self._signal(command))
            case "post-start" | "pre-stop":
                self._start(command.verb, self._hook(command))
            case "drain":
                self._start("drain", self._drain())
            case _:
                self._operations.start(command)

    def _start(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        self.tools.tasks.start(f"pod {meta.key(self.pod)} {name}", work)

    def event(self, type: str, reason: str, message: str) -> None:
        """Write an event about the pod."""
        self.tools.events.event({"apiVersion": "v1", "kind": "Pod"} | self.pod, type, reason, message)

    async def _signal(self, command: Command) -> None:
        try:
            await self.tools.runtime.signal(self.uid, command.name, command.number)
        except SampanError as error:
            _log.info("signal %d to %s of %s: %s", command.number, command.name, meta.key(self.pod), error)

    async def _hook(self, command: Command) -> None:
        """Run a lifecycle hook, then note its end where the container still is the same attempt."""
        container = self._container(command.name)
        kind = "postStart" if command.verb == "post-start" else "preStop"
        outcome = await act(container["lifecycle"][kind], self._target(container), 1e6)
        if not outcome.ok:
            reason = "FailedPostStartHook" if kind == "postStart" else "FailedPreStopHook"
            self.event("Warning", reason, f"{kind[0].upper()}{kind[1:]}Hook failed: {outcome.message}")
        health, kill = self.memory.health.get(command.name), self.memory.kills.get(command.name)
        if kind == "postStart" and health and health.attempt == command.attempt:
            health.post_start = "" if outcome.ok else "failed"
            health.unhealthy = "" if outcome.ok else "FailedPostStartHook"
        elif kind == "preStop" and kill and kill.attempt == command.attempt:
            kill.hook = "done"
        self.poke()

    async def _drain(self) -> None:
        try:
            await leaving.drained(self.pod, self.tools.drained, self.tools.runtime, self.tools.clock)
        finally:
            self.memory.drain = "done"
            self.poke()

    # -- probes -----------------------------------------------------------------------------------------------------

    def _probes(self, states: list[ContainerState]) -> list[Probe]:
        found = []
        for name, state in latest(states).items():
            health = self.memory.health.get(name)
            if not state.running or health is None or health.attempt != state.attempt or name in self.memory.kills:
                continue
            container = self._container(name)
            for kind, field in KINDS.items():
                if field not in container or (kind == "startup") == health.started:
                    continue  # the startup probe comes first, alone
                known = {"startup": None, "liveness": True, "readiness": health.ready or None}[kind]
                target = self._target(container)
                found.append(Probe(kind, name, state.attempt, state.started_at, container[field], target, known))
        return found

    def _probed(self, report: Report) -> None:
        probe = report.probe
        health = self.memory.health.get(probe.name)
        if health is None or health.attempt != probe.attempt:
            return
        if report.failure or report.verdict is False:
            text = f"{probe.kind.capitalize()} probe failed: {report.failure}"
            self.event("Warning", "Unhealthy", text)
        if report.verdict is None:
            return
        if probe.kind == "readiness":
            health.ready = report.verdict
        elif report.verdict:
            health.started = True
        else:
            health.unhealthy = f"Container {probe.name} failed {probe.kind} probe, will be restarted"
            health.grace = probe.spec.get("terminationGracePeriodSeconds")
        self.poke()

    def _container(self, name: str) -> Obj:
        return next(c for c in containers(self.pod) if c["name"] == name)

    def _target(self, container: Obj) -> Target:
        name = container["name"]

        async def run(argv: tuple[str, ...]) -> tuple[int, str]:
            process = await self.tools.runtime.exec(self.uid, name, argv)
            try:
                output = b""
                async for _, chunk in process.output():
                    output = (output + chunk)[: 10 << 10]
                return await process.wait(), output.decode(errors="replace")
            finally:
                await process.close()

        return Target(container, self.ip, run)
