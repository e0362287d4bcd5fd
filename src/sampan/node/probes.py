"""Startup, readiness and liveness probes of one pod's running containers, each a small task on its own timer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from sampan.api.meta import Obj
from sampan.base.clock import Clock
from sampan.base.tasks import Tasks
from sampan.node.probe_actions import Outcome, Target, act

KINDS = {"startup": "startupProbe", "readiness": "readinessProbe", "liveness": "livenessProbe"}
FIRST_TRY = 0.05  # seconds; doubles until the period is reached


@dataclass(frozen=True)
class Probe:
    """One probe of one attempt. `known`: the last verdict before this agent started, None for none."""

    kind: str
    name: str
    attempt: int
    started_at: float
    spec: Obj
    target: Target
    known: bool | None = None

    @property
    def key(self) -> tuple[str, str, int]:
        return (self.kind, self.name, self.attempt)


@dataclass(frozen=True)
class Report:
    """One failed try (`verdict` None: only worth an event), or a changed verdict."""

    probe: Probe
    verdict: bool | None
    failure: str = ""


@dataclass
class Tally:
    """Thresholds: so many equal outcomes in a row make the verdict."""

    successes: int
    failures: int
    verdict: bool | None = None
    _last: bool | None = None
    _row: int = 0

    def add(self, ok: bool) -> bool:
        """Count one outcome; did the verdict change?"""
        self._row = self._row + 1 if ok == self._last else 1
        self._last = ok
        if self._row < (self.successes if ok else self.failures) or self.verdict == ok:
            return False
        self.verdict = ok
        return True


class Prober:
    """Runs the probes it is told to; `report` is called with each thing worth knowing."""

    def __init__(self, tasks: Tasks, clock: Clock, report: Callable[[Report], None]) -> None:
        self._tasks = tasks
        self._clock = clock
        self._report = report
        self._running: dict[tuple[str, str, int], asyncio.Task[None]] = {}

    def sync(self, wanted: Iterable[Probe]) -> None:
        """Run exactly these probes; one that has come to its verdict and ended is not started again."""
        probes = {probe.key: probe for probe in wanted}
        for key in self._running.keys() - probes.keys():
            self._running.pop(key).cancel()
        for key, probe in probes.items():
            if key not in self._running:
                self._running[key] = self._tasks.start(f"probe {key}", self._run(probe))

    async def _run(self, probe: Probe) -> None:
        spec, clock = probe.spec, self._clock
        period = float(spec.get("periodSeconds") or 10)
        delay = probe.started_at + float(spec.get("initialDelaySeconds") or 0) - clock.now().timestamp()
        if delay > 0:
            await clock.sleep(delay)
        tally = Tally(int(spec.get("successThreshold") or 1), int(spec.get("failureThreshold") or 3), probe.known)
        outcome = await self._eager(probe, period) if probe.kind != "liveness" and not probe.known else None
        tick = clock.monotonic()
        while True:
            outcome = outcome or await self._try(probe)
            changed = tally.add(outcome.ok)
            if changed or not outcome.ok:
                failure = "" if outcome.ok else outcome.message
                self._report(Report(probe, outcome.ok if changed else None, failure))
            # A started container needs no startup probe; one that is to be restarted needs none at all.
            if (probe.kind == "startup" and tally.verdict) or (probe.kind != "readiness" and tally.verdict is False):
                return
            outcome = None
            tick += period
            await clock.sleep(max(0.0, tick - clock.monotonic()))

    async def _eager(self, probe: Probe, period: float) -> Outcome | None:
        """Programs are up long before a period has passed: try often at first, and hold no failure against them."""
        wait = FIRST_TRY
        while wait < period:
            outcome = await self._try(probe)
            if outcome.ok:
                return outcome
            await self._clock.sleep(wait)
            wait *= 2
        return None

    async def _try(self, probe: Probe) -> Outcome:
        return await act(probe.spec, probe.target, float(probe.spec.get("timeoutSeconds") or 1))
