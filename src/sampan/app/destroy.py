"""Taking a cluster down: after it nothing of it is left on the machine but its state directory."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import time
from pathlib import Path

from sampan.app.config import Cluster
from sampan.app.supervisor import LOCK, claim, running
from sampan.base.errors import UserError
from sampan.node import network
from sampan.node.runtime.destroy import destroy

PATIENCE = 30.0


def take_down(cluster: Cluster) -> None:
    """Stop the processes, end all pods, remove networks. Also after a run that was killed half-way."""
    if os.geteuid() != 0:
        raise UserError("sampan needs root to take a cluster down", f"sudo sampan down --cluster {cluster.name}")
    _stop_supervisor(cluster)
    lock = claim(cluster)  # nobody brings it up while it is torn down
    if lock is None:
        raise UserError(
            f'cluster "{cluster.name}" is being brought up or taken down by somebody else',
            f"sampan status --cluster {cluster.name}",
        )
    with lock:
        _remove(cluster)


def _remove(cluster: Cluster) -> None:
    for node in _nodes(cluster):
        destroy(cluster.node_run(node), cluster.node_dir(node), cluster.name, node)
    network.remove_cluster_network(cluster.plan)
    _clear(cluster.run)


def delete(cluster: Cluster) -> None:
    """Delete the state directory of a cluster that is down."""
    shutil.rmtree(cluster.directory)


def _stop_supervisor(cluster: Cluster) -> None:
    pid = running(cluster)
    if not pid:
        return
    deadline = time.monotonic() + PATIENCE
    with contextlib.suppress(ProcessLookupError):  # it ended by itself
        os.kill(pid, signal.SIGTERM)
        while running(cluster) == pid:
            if time.monotonic() > deadline:
                os.kill(pid, signal.SIGKILL)
            time.sleep(0.02)


def _clear(run: Path) -> None:
    """The lock goes last: whoever brings the cluster up again waits for it."""
    for path in run.iterdir() if run.exists() else ():
        if path.name != LOCK:
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
    (run / LOCK).unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # somebody is there again already
        run.rmdir()


def _nodes(cluster: Cluster) -> list[str]:
    """The nodes planned, and those an earlier plan left behind."""
    left = [path.name for path in Path(cluster.run, "nodes").glob("*")]
    return sorted({*cluster.plan.nodes, *left})
