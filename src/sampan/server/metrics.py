"""/metrics: what the API server did and holds, in Prometheus' text format. Names and buckets are kube-apiserver's.

Source: https://kubernetes.io/docs/reference/instrumentation/metrics/, https://prometheus.io/docs/instrumenting/exposition_formats/
"""

from __future__ import annotations

import os
import resource
import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

from sampan.base.http.types import Request, Response
from sampan.server.reader import Reader

_BUCKETS = (
    0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2, 3, 4, 5, 6, 8, 10, 15, 20, 30, 45, 60,
)  # fmt: skip
# Verbs whose requests take as long as the client likes: their times say nothing.
_LONG = frozenset({"watch"})
_STARTED = time.time()
_KIND = ("content-type", "text/plain; version=0.0.4; charset=utf-8")


class Times:
    """A histogram: requests by the bucket of their time, the sum of their seconds."""

    __slots__ = ("counts", "total")

    def __init__(self) -> None:
        self.counts = [0] * (len(_BUCKETS) + 1)
        self.total = 0.0


class Metrics:
    """`count` each request; `answer` is the page. `reader`: the objects and watches to tell about."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._requests: Counter[tuple[str, str, int]] = Counter()
        self._times: dict[tuple[str, str], Times] = {}

    def count(self, verb: str, plural: str, code: int, seconds: float) -> None:
        """`plural` is "" for paths that are no resource; then `verb` is the HTTP method."""
        self._requests[verb, plural, code] += 1
        if verb in _LONG:
            return
        times = self._times.get((verb, plural))
        if times is None:
            times = self._times[verb, plural] = Times()
        times.counts[bisect_left(_BUCKETS, seconds)] += 1
        times.total += seconds

    def answer(self, request: Request) -> Response:
        return Response(200, ("\n".join(self._lines()) + "\n").encode(), [_KIND])

    def _lines(self) -> Iterator[str]:
        yield from _head("apiserver_request_total", "counter", "Requests by verb, resource and code of the answer.")
        for (verb, plural, code), count in sorted(self._requests.items()):
            yield f"apiserver_request_total{_labels(verb=verb.upper(), resource=plural, code=str(code))} {count}"
        name = "apiserver_request_duration_seconds"
        yield from _head(name, "histogram", "Time from a request to the head of its answer.")
        for (verb, plural), times in sorted(self._times.items()):
            yield from _histogram(name, {"verb": verb.upper(), "resource": plural}, times)
        yield from self._watches()
        yield from self._store()
        yield from _process()

    def _watches(self) -> Iterator[str]:
        yield from _head("apiserver_longrunning_requests", "gauge", "Watches that are open now.")
        for plural, count in sorted(self._reader.watching.items()):
            yield f"apiserver_longrunning_requests{_labels(verb='WATCH', resource=plural)} {count}"

    def _store(self) -> Iterator[str]:
        store = self._reader.store
        yield from _head("apiserver_storage_objects", "gauge", "Objects kept, by resource.")
        for plural, prefix in self._reader.prefixes():
            yield f"apiserver_storage_objects{_labels(resource=plural)} {len(store.list(prefix))}"
        yield from _head("apiserver_storage_revision", "gauge", "The newest revision of the store.")
        yield f"apiserver_storage_revision {store.revision}"


def _histogram(name: str, labels: Mapping[str, str], times: Times) -> Iterator[str]:
    below = 0
    for bound, count in zip((*map(str, _BUCKETS), "+Inf"), times.counts, strict=True):
        below += count
        yield f"{name}_bucket{_labels(**labels, le=bound)} {below}"
    yield f"{name}_sum{_labels(**labels)} {times.total:.6f}"
    yield f"{name}_count{_labels(**labels)} {below}"


def _head(name: str, kind: str, help_text: str) -> tuple[str, str]:
    return f"# HELP {name} {help_text}", f"# TYPE {name} {kind}"


def _labels(**values: str) -> str:
    return "{" + ",".join(f'{key}="{_escaped(value)}"' for key, value in values.items()) + "}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _process() -> Iterator[str]:
    """What every Prometheus client library tells of its process."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    virtual, resident = (
        int(text) * os.sysconf("SC_PAGE_SIZE") for text in Path("/proc/self/statm").read_text().split()[:2]
    )
    most_files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    for name, kind, value in (
        ("cpu_seconds_total", "counter", f"{usage.ru_utime + usage.ru_stime:.3f}"),
        ("resident_memory_bytes", "gauge", str(resident)),
        ("virtual_memory_bytes", "gauge", str(virtual)),
        ("open_fds", "gauge", str(len(os.listdir("/proc/self/fd")))),
        ("max_fds", "gauge", str(most_files)),
        ("start_time_seconds", "gauge", f"{_STARTED:.0f}"),
    ):
        yield f"# TYPE process_{name} {kind}"
        yield f"process_{name} {value}"
