"""metrics.k8s.io: what pods and nodes use, from what their agents have counted.

Nothing is measured while nobody asks. The first question waits a moment for a second measurement; the next ones compare
with the measurements of those before.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from sampan.api import meta, pods
from sampan.api.meta import Obj
from sampan.base.clock import Clock
from sampan.server.reader import Reader

# Seconds: cpu is averaged over at least the first; older measurements are forgotten after the second.
_SHORTEST, _KEEP = 1.0, 60.0
# A measurement this old is a good one to compare with.
_GOOD = 10.0

Summaries = Callable[[str], Awaitable[Obj]]
Container = tuple[str, str, float]  # pod uid, container, start


@dataclass(frozen=True)
class Sample:
    at: float
    cpu: float
    memory: int


class Usage:
    """`pods` and `nodes` compute the two resources. `summary(node)` asks an agent (ApiError: it is silent)."""

    def __init__(self, registry: Reader, summary: Summaries, clock: Clock) -> None:
        self._registry = registry
        self._summary = summary
        self._clock = clock
        self._samples: dict[Container, list[Sample]] = {}
        self._measuring = asyncio.Lock()

    async def pods(self, namespace: str) -> list[Obj]:
        """Pods all of whose running containers were measured; one that does not run yet is left out."""
        found, now = [], self._clock.now()
        measured = await self._measured()
        for pod in self._registry.scan("pods", namespace):
            used = measured.get(meta.uid(pod))
            if not used or pods.phase(pod) != "Running":
                continue
            window = max(window for _, _, window in used.values())
            containers = [
                {"name": name, "usage": _amounts(cpu, memory)} for name, (cpu, memory, _) in sorted(used.items())
            ]
            metadata = {"name": meta.name(pod), "namespace": meta.namespace(pod), "labels": meta.labels(pod)}
            found.append(_metrics("PodMetrics", metadata, meta.timestamp(now), window) | {"containers": containers})
        return found

    async def nodes(self, namespace: str) -> list[Obj]:
        """A node uses what its pods use: nodes of one machine share the rest."""
        found, now = [], self._clock.now()
        measured = await self._measured()
        placed: dict[str, list[tuple[float, int, float]]] = {}
        for pod in self._registry.scan("pods"):
            placed.setdefault(pods.node_name(pod), []).extend(measured.get(meta.uid(pod), {}).values())
        for node in self._registry.scan("nodes"):
            used = placed.get(meta.name(node), [])
            window = max((window for _, _, window in used), default=_SHORTEST)
            total = _amounts(sum(cpu for cpu, _, _ in used), sum(memory for _, memory, _ in used))
            metadata = {"name": meta.name(node), "labels": meta.labels(node)}
            found.append(_metrics("NodeMetrics", metadata, meta.timestamp(now), window) | {"usage": total})
        return found

    async def _measured(self) -> dict[str, dict[str, tuple[float, int, float]]]:
        """Pod uid → container → (cores, bytes, seconds that cores were averaged over)."""
        async with self._measuring:
            current = await self._measure()
            if any(self._earlier(key, sample) is None for key, sample in current.items()):
                await self._clock.sleep(_SHORTEST)
                current = await self._measure()
        found: dict[str, dict[str, tuple[float, int, float]]] = {}
        for key, sample in current.items():
            if before := self._earlier(key, sample):
                seconds = sample.at - before.at
                cores = max(0.0, sample.cpu - before.cpu) / seconds
                found.setdefault(key[0], {})[key[1]] = cores, sample.memory, seconds
        return found

    async def _measure(self) -> dict[Container, Sample]:
        names = [meta.name(node) for node in self._registry.scan("nodes")]
        answers = await asyncio.gather(*map(self._summary, names), return_exceptions=True)
        current: dict[Container, Sample] = {}
        for answer in answers:
            if not isinstance(answer, BaseException):  # a node that is silent has no metrics
                current |= _samples(answer)
        for key in list(self._samples):
            if key not in current:
                del self._samples[key]
        for key, sample in current.items():
            kept = [s for s in self._samples.get(key, ()) if sample.at - s.at < _KEEP]
            self._samples[key] = [*kept, sample]
        return current

    def _earlier(self, key: Container, sample: Sample) -> Sample | None:
        """The measurement to compare with: the newest good one, else the oldest; a young container began at nothing."""
        older = [s for s in self._samples.get(key, ()) if sample.at - s.at >= _SHORTEST]
        good = [s for s in older if sample.at - s.at >= _GOOD]
        if good:
            return good[-1]
        if older:
            return older[0]
        started = key[2]
        return Sample(started, 0.0, 0) if _SHORTEST <= sample.at - started < _KEEP else None


def _samples(summary: Obj) -> dict[Container, Sample]:
    found = {}
    for pod in summary.get("pods") or ():
        for container in pod["containers"]:
            started, at = (meta.parse_time(t).timestamp() for t in (container["startTime"], container["cpu"]["time"]))
            cpu = container["cpu"]["usageCoreNanoSeconds"] / 1e9
            memory = container["memory"]["workingSetBytes"]
            found[pod["podRef"]["uid"], container["name"], started] = Sample(at, cpu, memory)
    return found


def _amounts(cores: float, memory: int) -> dict[str, str]:
    nano = round(cores * 1e9)
    return {"cpu": f"{nano}n" if nano else "0", "memory": f"{memory // 1024}Ki"}


def _metrics(kind: str, metadata: Obj, now: str, window: float) -> Obj:
    metadata = {**metadata, "creationTimestamp": now}
    head = {"apiVersion": "metrics.k8s.io/v1beta1", "kind": kind, "metadata": metadata}
    return {**head, "timestamp": now, "window": f"{window:.3f}s"}
