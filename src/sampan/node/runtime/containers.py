"""The spawner's containers: start, adopt, end, and what is noted of each on disk. Standard library only."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from sampan.base.netns import pin
from sampan.node.runtime import records
from sampan.node.runtime.cgroups import Cgroups
from sampan.node.runtime.launch import Failure
from sampan.node.runtime.paths import Paths
from sampan.node.runtime.plans import Plans, group
from sampan.node.runtime.processes import Loop, Processes, borrow
from sampan.node.runtime.records import Record
from sampan.node.runtime.stdio import Stdio
from sampan.node.runtime.types import ContainerSpec, ContainerState, Resources

Key = tuple[str, str, int]


def exit_code(status: int | None) -> tuple[int, int]:
    """(exit code as Kubernetes shows it, signal) of a status as of waitpid(2); None is an end nobody saw."""
    if status is None:
        return records.UNSEEN, 0
    code = os.waitstatus_to_exitcode(status)
    return (128 - code, -code) if code < 0 else (code, 0)


@dataclass
class Container:
    record: Record
    stdio: Stdio

    @property
    def state(self) -> ContainerState:
        return self.record.state


class Containers:
    """All the spawner knows of; `changed` is called with each new state, after it is on disk."""

    def __init__(
        self,
        paths: Paths,
        cgroups: Cgroups,
        plans: Plans,
        loop: Loop,
        processes: Processes,
        changed: Callable[[ContainerState], None],
    ) -> None:
        self._paths, self._cgroups, self._plans = paths, cgroups, plans
        self._loop, self._processes, self._changed = loop, processes, changed
        self._all: dict[Key, Container] = {}
        self._waiting: list[tuple[str, Callable[[], None]]] = []  # for the end of all of a pod
        self._rubbish: set[str] = set()  # groups whose last processes are still ending

    def states(self) -> list[ContainerState]:
        return [each.state for each in self._all.values()]

    def find(self, uid: str, name: str) -> Container:
        """The running attempt of a container. Raises Failure."""
        for each in self._all.values():
            if each.state.running and (each.state.pod_uid, each.state.name) == (uid, name):
                return each
        raise Failure(f"container {name} is not running")

    def start(self, uid: str, spec: ContainerSpec, done: Callable[[ContainerState], None]) -> None:
        """`done` gets its state once it runs, or cannot. Raises Failure or OSError when it was not even tried."""
        sandbox = records.load_sandbox(self._paths, uid)
        if sandbox is None:
            raise Failure(f"pod {uid} has no sandbox")
        beside = self.find(uid, spec.share_with).state.pid if spec.share_with else 0
        state = ContainerState(uid, spec.name, spec.attempt)
        key = (uid, spec.name, spec.attempt)
        if (known := self._all.get(key)) and not known.state.finished_at:
            raise Failure(f"container {spec.name} (attempt {spec.attempt}) runs already")
        self._cgroups.create(group(state), spec.resources)
        if sandbox.share_processes:
            self._hold_pid_namespace(uid)
        fresh = Container(Record(state, spec), Stdio(self._paths, state.id, spec))
        fresh.stdio.open()
        self._all[key] = fresh
        ends = fresh.stdio.child_ends()

        def launched(failure: Failure | None, master: int) -> None:
            self._launched(fresh, failure, master)
            done(fresh.state)

        plan = self._plans.container(sandbox, state, spec, ends, beside)
        try:
            self._processes.spawn(
                plan, started=partial(self._note_pid, fresh), done=launched, ended=partial(self._ended, fresh)
            )
        except OSError as error:  # no more processes on this machine
            launched(Failure(str(error)), -1)
        for fd in ends or ():
            os.close(fd)

    def kill(self, uid: str, then: Callable[[], None]) -> None:
        """End all that runs in a pod; `then` is called when nothing does."""
        self._cgroups.kill(uid)
        for each in self._all.values():
            if each.state.pod_uid == uid and not each.state.finished_at:
                self._processes.kill(each.state.pid)
        self._waiting.append((uid, then))
        self._answer()

    def remove(self, uid: str, name: str = "", attempt: int = 0) -> None:
        """Forget ended attempts and their records: all of a pod, or (with a name) one. Raises Failure if one runs."""
        keys = [key for key in self._all if key[0] == uid and (not name or key[1:] == (name, attempt))]
        for key in keys:
            if not self._all[key].state.finished_at:
                raise Failure(f"container {key[1]} (attempt {key[2]}) is running")
        for key in keys:
            del self._all[key]
            self._paths.record(*key).unlink(missing_ok=True)

    def tidy(self) -> bool:
        """Remove what control groups can be removed; False when some must be tried again."""
        self._rubbish = {path for path in self._rubbish if not self._cgroups.remove(path)}
        return not self._rubbish

    def adopt(self) -> None:
        """Take over what an earlier spawner left: ended containers as they are, living ones with their pipes."""
        for record in records.load_records(self._paths):
            state = record.state
            adopted = Container(record, Stdio(self._paths, state.id, record.spec))
            self._all[state.pod_uid, state.name, state.attempt] = adopted
            if state.finished_at:
                continue
            if not state.started_at:  # its spawner died between "go" and noting that it runs
                self._update(adopted, replace(state, started_at=time.time()))
            adopted.stdio.open()
            if record.holder:
                try:
                    adopted.stdio.set_terminal(borrow(record.holder, 0))
                except OSError:  # somebody killed the holder: the program has got SIGHUP and will end
                    pass
            self._watch(adopted)
            self._processes.adopt(state.pid, partial(self._ended, adopted))

    def _note_pid(self, target: Container, pid: int) -> None:
        state = replace(target.state, pid=pid)
        target.record = Record(state, target.record.spec, records.boot_id(), records.birth(pid))
        records.save_record(self._paths, target.record)

    def _launched(self, target: Container, failure: Failure | None, master: int) -> None:
        now = time.time()
        if failure:
            why = f"unable to start container process: {failure}"
            end = records.ended(target.state, 128, message=why)
            self._finish(target, replace(end, reason="StartError", started_at=now))
            return
        if master >= 0:
            self._hold_terminal(target, master)
            target.stdio.set_terminal(master)
        self._watch(target)
        self._update(target, replace(target.state, started_at=now))

    def _hold_pid_namespace(self, uid: str) -> None:
        held = self._paths.pin(uid, "pid")
        if records.is_pinned(held):
            return
        self._cgroups.create(f"{uid}/pause", Resources())
        null = os.open(os.devnull, os.O_RDWR)
        self._processes.spawn_now(self._plans.pause(uid, (null, null, null)), started=lambda pid: pin("pid", held, pid))
        os.close(null)

    def _hold_terminal(self, target: Container, master: int) -> None:
        def started(pid: int) -> None:
            target.record = replace(target.record, holder=pid)

        self._processes.spawn_now(self._plans.holder(target.state, master), started=started)

    def _watch(self, target: Container) -> None:
        for fd in target.stdio.readers:
            self._loop.watch(fd, partial(self._pump, target, fd))

    def _pump(self, target: Container, fd: int) -> None:
        if target.stdio.pump(fd) < 0:  # closed at the end of the process, not before
            self._loop.unwatch(fd)

    def _ended(self, target: Container, status: int | None) -> None:
        cgroup = group(target.state)
        self._cgroups.kill(cgroup)  # what no PID namespace of its own took along
        self._processes.kill(target.record.holder)
        oom = self._cgroups.oom_kills(cgroup) > 0
        code, number = exit_code(status)
        why = "" if status is not None else "its exit code was not seen: the spawner had been killed"
        self._finish(target, records.ended(target.state, code, signal=number, oom=oom, message=why))

    def _finish(self, target: Container, state: ContainerState) -> None:
        for fd in target.stdio.readers:
            self._loop.unwatch(fd)
        target.stdio.finish()
        self._rubbish.add(group(state))
        self._update(target, state)
        self._answer()

    def _update(self, target: Container, state: ContainerState) -> None:
        target.record = replace(target.record, state=state)
        records.save_record(self._paths, target.record)
        self._changed(state)

    def _answer(self) -> None:
        """Tell those who wait for the end of a pod that has ended."""
        alive = {key[0] for key, each in self._all.items() if not each.state.finished_at}
        ready = [then for uid, then in self._waiting if uid not in alive]
        self._waiting = [each for each in self._waiting if each[0] in alive]
        for then in ready:
            then()
