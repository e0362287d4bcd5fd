"""The edge from asleep to awake: the first Ingress to its first answer, a killed Envoy, the cost of being there.

Each run is a new cluster with one pod and its Service, at rest for two seconds. Then, in turn: `kubectl apply` of the
first Ingress, program start included, until a request at the gateway's address is answered with 200 (requests on new
connections, one after the other); kill -9 of Envoy until the same. At last, with nothing asked: CPU over 20 s and
memory (proportional set size) of sampan's processes and the gateway's Envoy; the pod's own process is not counted.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable

import edge
from common import Row, cpu_seconds, memory_mb, row
from e2e import Cluster
from ingresses import envoys

RUNS, SECONDS = 5, 20
HOST = "web.example"
GOALS = {"all": "goal under 250"}


def measure() -> list[Row]:
    first, killed, cpu = [], [], []
    memory: dict[str, list[float]] = {}
    for _ in range(RUNS):
        cluster = edge.start("bench")
        try:
            cluster.apply(edge.backend("web"))
            cluster.kubectl("rollout", "status", "deployment/web")
            time.sleep(2)
            before = memory_mb(cluster.pids("server"))
            first.append(_timed(cluster, lambda cluster=cluster: cluster.apply(edge.ingress("web", HOST, "web"))))
            time.sleep(1)
            (envoy,) = envoys(cluster)
            killed.append(_timed(cluster, lambda envoy=envoy: os.kill(envoy, signal.SIGKILL)))
            used, found = _at_rest(cluster)
            cpu.append(used)
            for what, size in {"server, edge asleep": before, **found}.items():
                memory.setdefault(what, []).append(size)
        finally:
            cluster.remove()
    return [
        row("kubectl apply of the first Ingress to the first answer", first, "s"),
        row("Envoy killed to the next answer", killed, "s", "goal 2"),
        row("cluster with gateway and one pod at rest: CPU of one core", cpu, "%", "goal under 2"),
        *(row(f"memory: {what}", sizes, "MB", GOALS.get(what, "")) for what, sizes in memory.items()),
    ]


def _timed(cluster: Cluster, action: Callable[[], object]) -> float:
    """From the start of the action until a request is answered with 200."""
    # The gateway is the only one here, so it has the first of the load balancers' half of the LAN.
    index = json.loads((cluster.directory / "cluster.json").read_text())["index"]
    url = f"http://172.30.{index}.129/"
    began = time.monotonic()
    action()
    while edge.curl(url, host=HOST, check=False, timeout=1).status != 200:
        assert time.monotonic() < began + 60
    return time.monotonic() - began


def _at_rest(cluster: Cluster) -> tuple[float, dict[str, float]]:
    time.sleep(5)
    pids = {what: cluster.pids(what) for what in ("supervise", "server", "agent", "spawner")}
    pids["gateway's Envoy"] = envoys(cluster)
    every = [pid for found in pids.values() for pid in found]
    before = cpu_seconds(every)
    time.sleep(SECONDS)
    used = (cpu_seconds(every) - before) / SECONDS * 100
    return used, {what: memory_mb(found) for what, found in [*pids.items(), ("all", every)]}
