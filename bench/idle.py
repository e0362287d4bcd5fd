"""What a cluster costs at rest: CPU and memory of all of sampan's own processes.

Method: one node, then with ten pods (`sleep`); after a few seconds of settling, CPU time over 20 s; memory as
proportional set size. Pods' own processes are not counted.
"""

from __future__ import annotations

import time

from common import Row, cpu_seconds, memory_mb, row
from e2e import Cluster

SECONDS = 20


def measure() -> list[Row]:
    cluster = Cluster("bench")
    rows = []
    try:
        cluster.up()
        rows += _at_rest(cluster, "empty cluster")
        cluster.kubectl("create", "deployment", "rest", "--image=busybox", "--replicas=10", "--", "sleep", "1000")
        cluster.kubectl("rollout", "status", "deployment/rest")
        rows += _at_rest(cluster, "with 10 pods")
    finally:
        cluster.remove()
    return rows


def _at_rest(cluster: Cluster, label: str) -> list[Row]:
    time.sleep(5)
    pids = {what: cluster.pids(what) for what in ("supervise", "server", "agent", "spawner")}
    every = [pid for found in pids.values() for pid in found]
    before = cpu_seconds(every)
    time.sleep(SECONDS)
    used = (cpu_seconds(every) - before) / SECONDS * 100
    parts = ", ".join(f"{what} {memory_mb(found):.0f}" for what, found in pids.items())
    return [
        row(f"{label}: CPU of one core", [used], "%", "goal under 2"),
        row(f"{label}: memory", [memory_mb(every)], "MB", f"goal under 250; {parts}"),
    ]
