"""/version, /healthz, /livez, /readyz and /metrics."""

from __future__ import annotations

import os
import platform
import resource
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping

from sampan.base.http.types import Request, Response
from sampan.server import answer

# Tools choose their behaviour by this; it is the Kubernetes release whose API and texts we follow.
_GIT_VERSION = "v1.32.4"
_MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}

# Why a check fails, "" when it does not.
Check = Callable[[], str]


def version() -> dict[str, str]:
    """As `kubectl version` reads it."""
    _, minor, _ = _GIT_VERSION.split(".")
    return {
        "major": "1",
        "minor": minor,
        "gitVersion": f"{_GIT_VERSION}+sampan",
        "gitCommit": "",
        "gitTreeState": "clean",
        "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": "",
        "compiler": f"python{sys.version_info.major}.{sys.version_info.minor}",
        "platform": f"linux/{_MACHINES.get(platform.machine(), platform.machine())}",
    }


def report(checks: Mapping[str, Check], name: str, verbose: bool) -> Response:
    """`ok`, or with `verbose` and on failure a line for each check."""
    faults = {check: why for check, ask in checks.items() if (why := ask())}
    if not faults and not verbose:
        return answer.text(200, "ok")
    lines = [f"[-]{c} failed: {faults[c]}" if c in faults else f"[+]{c} ok" for c in checks]
    lines.append(f"{name} check {'failed' if faults else 'passed'}")
    return answer.text(500 if faults else 200, "\n".join(lines) + "\n")


class Metrics:
    """Counts and times of requests, in Prometheus' text format. Names are kube-apiserver's own where it has them."""

    def __init__(self) -> None:
        self._requests: Counter[tuple[str, str, int]] = Counter()
        self._seconds: Counter[tuple[str, str]] = Counter()
        self._counts: Counter[tuple[str, str]] = Counter()

    def count(self, verb: str, resource: str, code: int, seconds: float) -> None:
        self._requests[verb, resource, code] += 1
        self._counts[verb, resource] += 1
        self._seconds[verb, resource] += seconds  # type: ignore[assignment]

    def answer(self, request: Request) -> Response:
        lines = ["# TYPE apiserver_request_total counter"]
        for (verb, plural, code), count in sorted(self._requests.items()):
            lines.append(f'apiserver_request_total{{verb="{verb}",resource="{plural}",code="{code}"}} {count}')
        lines.append("# TYPE apiserver_request_duration_seconds summary")
        for (verb, plural), count in sorted(self._counts.items()):
            labels = f'verb="{verb}",resource="{plural}"'
            seconds = self._seconds[verb, plural]
            lines.append(f"apiserver_request_duration_seconds_sum{{{labels}}} {seconds:.6f}")
            lines.append(f"apiserver_request_duration_seconds_count{{{labels}}} {count}")
        lines += _process()
        return Response(200, "\n".join([*lines, ""]).encode(), [("content-type", "text/plain; version=0.0.4")])


def _process() -> list[str]:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    with open("/proc/self/statm") as file:
        resident = int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return [
        "# TYPE process_cpu_seconds_total counter",
        f"process_cpu_seconds_total {usage.ru_utime + usage.ru_stime:.3f}",
        "# TYPE process_resident_memory_bytes gauge",
        f"process_resident_memory_bytes {resident}",
        "# TYPE process_start_time_seconds gauge",
        f"process_start_time_seconds {_STARTED:.0f}",
    ]


_STARTED = time.time()
