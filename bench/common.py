"""What measurements share: rows, medians, CPU and memory of processes."""

from __future__ import annotations

import os
import statistics
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

TICK = os.sysconf("SC_CLK_TCK")


class Row(NamedTuple):
    what: str
    value: str
    unit: str = ""
    note: str = ""


def row(what: str, samples: Iterable[float], unit: str, note: str = "") -> Row:
    """The median of `samples`, with least and most in the note when there are several."""
    found = sorted(samples)
    spread = f"({_number(found[0])} to {_number(found[-1])}, {len(found)} runs)" if len(found) > 1 else ""
    return Row(what, _number(statistics.median(found)), unit, f"{spread} {note}".strip())


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


def cpu_seconds(pids: Iterable[int]) -> float:
    """User and system time of the processes so far."""
    total = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        total += int(fields[11]) + int(fields[12])
    return total / TICK


def memory_mb(pids: Iterable[int]) -> float:
    """Proportional set size of the processes together: pages they share are counted once."""
    total = 0
    for pid in pids:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                total += int(line.split()[1])
    return total / 1024
