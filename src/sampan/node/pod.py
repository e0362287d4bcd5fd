"""The life of a pod: syncing → terminating → terminated, decided without I/O.

`decide` compares what the pod wants with what is there and says what to do next. It is level-triggered: called again
after every change, it never needs to know what happened, only what is. A pod that began to end never starts anything
again. Source: https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/
"""

from __future__ import annotations

import copy
import signal
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sampan.api import meta
from sampan.api.meta import Obj
from sampan.api.pods import is_sidecar
from sampan.node.memory import Backoff, Ending, Health, Kill, Memory
from sampan.node.runtime.types import ContainerState

FIRST_BACKOFF, LAST_BACKOFF, FORGIVEN_AFTER = 10.0, 300.0, 600.0  # seconds
MIN_GRACE = 2.0  # what SIGTERM gets at least after a preStop hook used up the grace period


@dataclass(frozen=True)
class Command:
    """`verb` is what `worker.PodWorker` knows to do.

    The worker does it; `name` and `attempt` say to which container, `number` is a signal, the rest an event's text.
    """

    verb: str
    name: str = ""
    attempt: int = 0
    number: int = 0
    type: str = ""
    reason: str = ""
    message: str = ""


@dataclass
class Decision:
    """`memory` replaces the one given; look again at `wake` (epoch seconds, None: only when something changes)."""

    memory: Memory
    commands: list[Command] = field(default_factory=list)
    wake: float | None = None


def decide(pod: Obj, states: Sequence[ContainerState], sandbox: bool, memory: Memory, now: float) -> Decision:
    """What to do next. `states`: all attempts the runtime knows; `sandbox`: does the pod's sandbox exist?"""
    view = _View(pod, states, sandbox, Decision(copy.deepcopy(memory)), now)
    view.observe()
    if view.memory.ending is None:
        view.memory.ending = view.ending()
    if view.memory.ending is None:
        view.sync()
    if view.memory.ending is not None:
        view.end()
    view.kill()
    return view.decision


def containers(pod: Obj) -> list[Obj]:
    """The manifests of all containers: init containers, main ones, ephemeral ones."""
    spec = pod["spec"]
    return [*(spec.get("initContainers") or ()), *spec["containers"], *(spec.get("ephemeralContainers") or ())]


def latest(states: Sequence[ContainerState]) -> dict[str, ContainerState]:
    """The newest attempt of each container."""
    found: dict[str, ContainerState] = {}
    for state in states:
        if state.name not in found or state.attempt > found[state.name].attempt:
            found[state.name] = state
    return found


def grace_period(pod: Obj) -> float:
    """spec.terminationGracePeriodSeconds with its default."""
    value = pod["spec"].get("terminationGracePeriodSeconds")
    return 30.0 if value is None else float(value)


def duration(seconds: float) -> str:
    """As Go prints it: 10s, 1m20s, 5m0s."""
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"


class _View:
    """One look at a pod: the inputs, and the decision as it grows."""

    def __init__(
        self, pod: Obj, states: Sequence[ContainerState], sandbox: bool, decision: Decision, now: float
    ) -> None:
        self.pod, self.spec, self.now = pod, pod["spec"], now
        self.sandbox, self.decision, self.memory = sandbox, decision, decision.memory
        self.policy = self.spec.get("restartPolicy") or "Always"
        self.init: list[Obj] = self.spec.get("initContainers") or []
        self.main: list[Obj] = self.spec["containers"]
        self.specs = {c["name"]: c for c in containers(pod)}
        self.newest = latest(states)
        floor = self.memory.floor
        self.current = {n: s for n, s in self.newest.items() if sandbox and s.attempt >= floor.get(n, 0)}
        self.running = {n: s for n, s in self.newest.items() if s.running}

    def do(self, verb: str, state: ContainerState | None = None, **more: Any) -> None:
        where: dict[str, Any] = {"name": state.name, "attempt": state.attempt} if state else {}
        self.decision.commands.append(Command(verb, **where | more))

    def operate(self, verb: str, **more: Any) -> None:
        """Begin the one long operation a pod may have under way."""
        self.memory.busy = verb
        self.do(verb, **more)

    def wake(self, at: float) -> None:
        if self.decision.wake is None or at < self.decision.wake:
            self.decision.wake = at

    # -- what is there ----------------------------------------------------------------------------------------------

    def observe(self) -> None:
        """Forget what is over; begin to follow what has started."""
        memory = self.memory
        for name in list(memory.kills):
            if name not in self.running or self.running[name].attempt != memory.kills[name].attempt:
                del memory.kills[name]
        for name, state in self.running.items():
            health = memory.health.get(name)
            if (health is None or health.attempt != state.attempt) and name in self.specs:
                memory.health[name] = self._new_health(self.specs[name], state)
                memory.crash_loops.pop(name, None)
                memory.troubles.pop(name, None)

    def _new_health(self, spec: Obj, state: ContainerState) -> Health:
        health = Health(state.attempt, started="startupProbe" not in spec, ready="readinessProbe" not in spec)
        if (spec.get("lifecycle") or {}).get("postStart"):
            health.post_start = "running"
            self.do("post-start", state)
        return health

    def ending(self) -> Ending | None:
        """Why this pod should end, seen from outside (that it completed is seen in `sync`)."""
        if self.memory.gone:
            return Ending("Removed", self._grace_asked())
        if meta.deleting(self.pod):
            return Ending("Deleted", self._grace_asked())
        if (self.pod.get("status") or {}).get("phase") in ("Succeeded", "Failed"):
            return Ending("Terminal", grace_period(self.pod))
        deadline = self.spec.get("activeDeadlineSeconds")
        if deadline is not None:
            at = self.memory.start_time + deadline
            if self.now >= at:
                message = "Pod was active on the node longer than the specified deadline"
                self.do("event", type="Normal", reason="DeadlineExceeded", message=message)
                return Ending("DeadlineExceeded", grace_period(self.pod), message)
            self.wake(at)
        return None

    def _grace_asked(self) -> float:
        asked = self.pod["metadata"].get("deletionGracePeriodSeconds")
        if self.memory.gone:  # deleted by force: there is nobody to wait for
            return min(1.0, float(asked or 0) or 1.0)
        return grace_period(self.pod) if asked is None else float(asked)

    # -- syncing ----------------------------------------------------------------------------------------------------

    def sync(self) -> None:
        for name, state in self.running.items():
            health = self.memory.health.get(name)
            if health and health.unhealthy:
                grace = grace_period(self.pod) if health.grace is None else float(health.grace)
                self._begin_kill(state, grace, health.unhealthy)
            elif self.memory.images.get(name) not in (None, self.specs.get(name, {}).get("image")):
                text = f"Container {name} definition changed, will be restarted"
                self._begin_kill(state, grace_period(self.pod), text)
        if self.memory.busy:
            return
        if not self.sandbox and not self._worth_a_sandbox():
            self._complete()
        elif not self.memory.prepared:
            if self._may_try(""):
                self.operate("prepare")
        elif not self.sandbox:
            if self._may_try(""):
                self.operate("sandbox")
        else:
            self._sync_ephemeral()
            if self._sync_init():
                self._sync_main()

    def _worth_a_sandbox(self) -> bool:
        """After a reboot: is there anything that the restart policy lets run again?"""
        ended = [self.newest.get(c["name"]) for c in self.main]
        if self.policy == "Always" or not self.newest:
            return True
        return self.policy == "OnFailure" and any(s is None or s.exit_code != 0 for s in ended)

    def _sync_ephemeral(self) -> None:
        """Each is started once, whatever the others do, and never again."""
        for spec in self.spec.get("ephemeralContainers") or ():
            if spec["name"] not in self.newest:
                self._start(spec["name"], None)

    def _sync_init(self) -> bool:
        """Start the init container whose turn it is. True when the main containers may run."""
        initialized = any(c["name"] in self.current for c in self.main)
        for spec in self.init:
            name = spec["name"]
            state = self.current.get(name)
            if is_sidecar(spec):
                if state is None or not state.running:
                    self._start(name, state)
                    if not initialized:
                        return False
                elif not initialized and not self._up(name):
                    return False
            elif not initialized:
                if state is None:
                    self._start(name, None)
                    return False
                if state.running:
                    return False
                if state.exit_code != 0 and self.policy == "Never":
                    self._complete()
                    return False
                if state.exit_code != 0:
                    self._start(name, state)
                    return False
        return True

    def _up(self, name: str) -> bool:
        health = self.memory.health.get(name)
        return health is not None and health.started and not health.post_start

    def _sync_main(self) -> None:
        alive = False
        for spec in self.main:
            name = spec["name"]
            state = self.current.get(name) or self.newest.get(name)
            if state and state.running:
                alive = True
                if self.memory.health[name].post_start == "running":
                    return  # the next container starts after this one's hook
            elif self._wanted(state):
                alive = True
                self._start(name, self.current.get(name))
        if not alive:
            self._complete()

    def _wanted(self, state: ContainerState | None) -> bool:
        if state is None or self.policy == "Always":
            return True
        return self.policy == "OnFailure" and state.exit_code != 0

    def _start(self, name: str, ended: ContainerState | None) -> None:
        """Start the next attempt, unless it must wait: for another operation, after a failure, in back-off."""
        if self.memory.busy or not self._may_try(name) or (ended and self._backing_off(name, ended)):
            return
        before = self.newest.get(name)
        self.operate("start", name=name, attempt=before.attempt + 1 if before else 0)

    def _backing_off(self, name: str, ended: ContainerState) -> bool:
        memory = self.memory
        last = memory.backoffs.get(name)
        if last and ended.finished_at - last.at > FORGIVEN_AFTER:
            last = None
        if last and self.now < ended.finished_at + last.delay:
            self.wake(ended.finished_at + last.delay)
            if name not in memory.crash_loops:
                pod = self.pod["metadata"]
                where = f"{pod['name']}_{pod['namespace']}({pod['uid']})"
                memory.crash_loops[name] = (
                    f"back-off {duration(last.delay)} restarting failed container={name} pod={where}"
                )
                text = f"Back-off restarting failed container {name} in pod {where}"
                self.do("event", ended, type="Warning", reason="BackOff", message=text)
            return True
        memory.backoffs[name] = Backoff(min(last.delay * 2, LAST_BACKOFF) if last else FIRST_BACKOFF, self.now)
        return False

    def _may_try(self, name: str) -> bool:
        """Has the wait after a failed try passed? Image troubles end early when an image was registered."""
        trouble = self.memory.troubles.get(name)
        if trouble is None or self.now >= trouble.retry_at:
            return True
        if trouble.version is not None:
            if trouble.version != self.memory.images_version:
                return True
            if trouble.reason == "ErrImagePull" and self.now >= trouble.at + 1:
                image = self.specs[name].get("image", "")
                trouble.message = f'Back-off pulling image "{image}": ErrImagePull: {trouble.message}'
                trouble.reason = "ImagePullBackOff"
                text = f'Back-off pulling image "{image}"'
                self.do("event", name=name, type="Normal", reason="BackOff", message=text)
                self.do("event", name=name, type="Warning", reason="Failed", message="Error: ImagePullBackOff")
            self.wake(self.now + 1)
        self.wake(trouble.retry_at)
        return False

    def _complete(self) -> None:
        self.memory.ending = Ending("Completed", grace_period(self.pod))

    # -- ending -----------------------------------------------------------------------------------------------------

    def end(self) -> None:
        """Out of the endpoints first; then main containers; then sidecars, last started first; then the sandbox."""
        memory, ending = self.memory, self.memory.ending
        assert ending is not None
        if memory.gone or meta.deleting(self.pod):
            ending.grace = min(ending.grace, self._grace_asked())
        if memory.busy:
            self.do("cancel")
        elif self.running:
            if self._drained():
                ending.since = ending.since or self.now
                self._stop_containers(ending)
        elif not memory.torn_down:
            if self._may_try("/tear-down"):
                self.operate("tear-down")
        elif memory.gone:
            memory.finished = True
        elif meta.deleting(self.pod):
            self.do("delete")

    def _drained(self) -> bool:
        """Nobody sends new connections here any more."""
        memory = self.memory
        if memory.drain == "":
            known = meta.deleting(self.pod) and not memory.gone
            memory.drain = "running" if known and self._grace_asked() > 0 else "done"
            if memory.drain == "running":
                self.do("drain")
        return memory.drain == "done"

    def _stop_containers(self, ending: Ending) -> None:
        sidecars = [c["name"] for c in self.init if is_sidecar(c) and c["name"] in self.running]
        others = [n for n in self.running if n not in sidecars]
        left = max(0.0, ending.since + ending.grace - self.now)
        for name in others or sidecars[-1:]:
            self._begin_kill(self.running[name], left, f"Stopping container {name}")
        for kill in self.memory.kills.values():
            if kill.deadline > self.now + left + MIN_GRACE:  # the wait was shortened meanwhile
                kill.deadline = self.now + left

    def _begin_kill(self, state: ContainerState, grace: float, message: str) -> None:
        if state.name in self.memory.kills:
            return
        self.memory.kills[state.name] = Kill(state.attempt, self.now, self.now + grace)
        self.do("event", state, type="Normal", reason="Killing", message=message)

    def kill(self) -> None:
        """Move every container that is on its way out one step on."""
        for name, kill in self.memory.kills.items():
            state = self.running[name]
            hook = (self.specs.get(name, {}).get("lifecycle") or {}).get("preStop")
            if self.now >= kill.deadline and (
                kill.term or not hook or kill.hook == "done" or kill.deadline <= kill.since
            ):
                if not kill.killed:
                    kill.killed = True
                    self.do("signal", state, number=int(signal.SIGKILL))
                continue
            if hook and not kill.hook:
                kill.hook = "running"
                self.do("pre-stop", state)
            if not kill.term and (kill.hook != "running" or self.now >= kill.deadline):
                kill.term = True
                kill.deadline = max(kill.deadline, self.now + MIN_GRACE) if hook else kill.deadline
                self.do("signal", state, number=int(self._stop_signal(name)))
            self.wake(kill.deadline)

    def _stop_signal(self, name: str) -> signal.Signals:
        text = (self.specs.get(name, {}).get("lifecycle") or {}).get("stopSignal", "SIGTERM")
        return signal.Signals.__members__.get(text, signal.SIGTERM)
