"""Cold start: `sampan up -d` of a new cluster until it returns, API ready and node Ready.

Method: a fresh state directory each run, wall time of the whole command, interpreter start included; then `down`,
and `up` of the same cluster again.
"""

from __future__ import annotations

import time

from common import Row, row
from e2e import Cluster

RUNS = 5


def measure() -> list[Row]:
    cold, again, down = [], [], []
    for _ in range(RUNS):
        cluster = Cluster("bench")
        try:
            cold.append(_timed(cluster.up))
            down.append(_timed(cluster.down))
            again.append(_timed(cluster.up))
        finally:
            cluster.remove()
    return [
        row("up -d, new cluster, API and node ready", cold, "s", "goal 1.5; apiserver+etcd alone 2.9"),
        row("up -d, cluster that was there before", again, "s"),
        row("down", down, "s"),
    ]


def _timed(action: object) -> float:
    began = time.monotonic()
    action()  # type: ignore[operator]
    return time.monotonic() - began
