"""The foreground of `sampan up`: each change of a pod as a line, until Ctrl-C takes the cluster down."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from datetime import datetime

from sampan.api import meta
from sampan.api.kinds import SCHEME
from sampan.api.meta import Obj
from sampan.app import kubeconfig
from sampan.app.api import admin_client
from sampan.app.config import Cluster
from sampan.app.destroy import take_down
from sampan.app.supervisor import running
from sampan.base.clock import SystemClock
from sampan.cli.told import SIGNALS, Told
from sampan.client.informer import Informer

COLORS = {"Running": "32", "Completed": "2", "Terminating": "2", "Pending": "33", "ContainerCreating": "33"}
CHECK_SECONDS = 5.0  # how soon a dead supervisor is noticed


def stay(cluster: Cluster, earlier: Told) -> int:
    """Follow the pods until Ctrl-C or SIGTERM, then take the cluster down. Exit status 1 when it ended by itself."""
    print("  live      pods as they change; Ctrl-C takes the cluster down\n", flush=True)
    told = asyncio.run(_follow(cluster, earlier))
    if not told:
        print("\nthe supervisor is gone", flush=True)
    leave(cluster)
    return 0 if told else 1


def leave(cluster: Cluster) -> None:
    """What Ctrl-C does."""
    print(f"\ntaking cluster {cluster.name} down …", flush=True)
    take_down(cluster)
    kubeconfig.unmerge(cluster, kubeconfig.user_config())


async def _follow(cluster: Cluster, earlier: Told) -> bool:
    """True when a signal ended it, False when the cluster is gone."""
    stop = asyncio.Event()
    for number in SIGNALS:
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    if earlier.told:
        return True
    clock, client = SystemClock(), admin_client(cluster)
    pods = Informer(client, "pods", clock=clock)
    view = _View()
    pods.add_handler(view.changed)
    following = asyncio.create_task(pods.run(), name="live/pods")
    try:
        while running(cluster):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(CHECK_SECONDS):
                    await stop.wait()
                    return True
        return False
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
        await client.close()


class _View:
    """Prints a pod when what `kubectl get pods -o wide` would show of it has changed."""

    def __init__(self) -> None:
        self._shown: dict[meta.Key, tuple[str, ...]] = {}
        strategy = SCHEME.by_id["pods"].strategy
        self._columns = [column.name for column in strategy.columns]
        self._row = strategy.row

    def changed(self, old: Obj | None, new: Obj | None) -> None:
        pod = new or old or {}
        key = meta.key(pod)
        if new is None:
            self._shown.pop(key, None)
            _line(key, "gone", "2")
            return
        cells = dict(zip(self._columns, self._row(new, datetime.now().astimezone()), strict=True))
        ready, status, restarts, ip, node = (str(cells[n]) for n in ("Ready", "Status", "Restarts", "IP", "Node"))
        if self._shown.get(key) == (ready, status, restarts):
            return
        self._shown[key] = (ready, status, restarts)
        where = f"{ip:<15} {node}" if ip != "<none>" else ""
        more = f"  restarts {restarts}" if restarts.split(" ")[0] != "0" else ""
        _line(key, f"{ready} {status:<18} {where}{more}".rstrip(), COLORS.get(status, "31"))


def _line(key: meta.Key, text: str, color: str) -> None:
    start, end = (f"\x1b[{color}m", "\x1b[0m") if sys.stdout.isatty() else ("", "")
    print(f"  {datetime.now():%H:%M:%S}  {f'{key.namespace}/{key.name}':<58} {start}{text}{end}", flush=True)
