"""Taking a cluster down: after it nothing of it is left on the machine but its state directory."""

from __future__ import annotations

import os
import shutil
import signal
import time
from pathlib import Path

from sampan.app.config import Cluster
from sampan.app.supervisor import running
from sampan.base.errors import UserError
from sampan.node import network
from sampan.node.runtime.destroy import destroy

PATIENCE = 30.0


def take_down(cluster: Cluster) -> None:
    """Stop the processes, end all pods, remove networks. Also after a run that was killed half-way."""
    if os.geteuid() != 0:
        raise UserError("sampan needs root to take a cluster down", f"sudo sampan down --cluster {cluster.name}")
    _stop_supervisor(cluster)
    for node in _nodes(cluster):
        destroy(cluster.node_run(node), cluster.node_dir(node), cluster.name, node)
    network.remove_cluster_network(cluster.plan)
    shutil.rmtree(cluster.run, ignore_errors=True)


def delete(cluster: Cluster) -> None:
    """Delete the state directory of a cluster that is down."""
    shutil.rmtree(cluster.directory)


def _stop_supervisor(cluster: Cluster) -> None:
    pid = running(cluster)
    if not pid:
        return
    os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + PATIENCE
    while running(cluster):
        if time.monotonic() > deadline:
            os.kill(pid, signal.SIGKILL)
        time.sleep(0.02)


def _nodes(cluster: Cluster) -> list[str]:
    """The nodes planned, and those an earlier plan left behind."""
    left = [path.name for path in Path(cluster.run, "nodes").glob("*")]
    return sorted({*cluster.plan.nodes, *left})
