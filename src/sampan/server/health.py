"""/version, /healthz, /livez and /readyz."""

from __future__ import annotations

import platform
import sys
from collections.abc import Callable, Mapping

from sampan.base.http.types import Response
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
