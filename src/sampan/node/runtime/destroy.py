"""Take a node's pods off the machine, whatever state a kill -9 left it in."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sampan.base.errors import SampanError
from sampan.base.netns import unpin
from sampan.node.runtime import records
from sampan.node.runtime.cgroups import Cgroups, detect
from sampan.node.runtime.paths import Paths

WAIT_SECONDS = 10.0
POLL_SECONDS = 0.005


def destroy(run_dir: Path, state_dir: Path, cluster: str, node: str) -> None:
    """End the spawner and all containers; remove namespaces, control groups, layers and `run_dir`.

    Idempotent. What pods have on disk (volumes, logs, records) stays, and a later start counts as a restart. The agent
    must have ended before: it would start a new spawner. Raises SampanError when processes do not end.
    """
    paths = Paths(run_dir, state_dir)
    cgroups = detect(f"sampan/{cluster}/{node}")
    with _no_spawner(paths):
        cgroups.kill("")
        for record in records.load_records(paths):
            if record.alive():
                os.kill(record.state.pid, signal.SIGKILL)
        _until_gone(cgroups)
        for record in records.load_records(paths):  # reading them notes the end of each
            shutil.rmtree(paths.pod(record.state.pod_uid) / "layers", ignore_errors=True)
        for pin in (paths.run / "ns").glob("*"):
            while records.is_pinned(pin):
                unpin(pin)
        shutil.rmtree(paths.run, ignore_errors=True)


@contextmanager
def _no_spawner(paths: Paths) -> Iterator[None]:
    """End it and keep others from starting: a living one holds the lock on its pid file, so the pid is its own."""
    try:
        lock = os.open(paths.lock, os.O_RDWR)
    except FileNotFoundError:
        yield
        return
    give_up = time.monotonic() + WAIT_SECONDS
    try:
        while not _take(lock):
            pid = os.pread(lock, 32, 0).strip()
            if pid:
                try:
                    os.kill(int(pid), signal.SIGKILL)
                except ProcessLookupError:  # a forked child of it still holds the lock, for a moment
                    pass
            if time.monotonic() > give_up:
                raise SampanError(f"the spawner (pid {pid.decode()}) does not end")
            time.sleep(POLL_SECONDS)
        yield
    finally:
        os.close(lock)


def _take(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _until_gone(cgroups: Cgroups) -> None:
    give_up = time.monotonic() + WAIT_SECONDS
    while not cgroups.remove(""):
        if time.monotonic() > give_up:
            pids = ", ".join(map(str, cgroups.processes("")))
            raise SampanError(f"processes of pods do not end: {pids or 'their control group is busy'}")
        cgroups.kill("")
        time.sleep(POLL_SECONDS)
    cgroups.prune()
