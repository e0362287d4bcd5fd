"""The parts of control groups version 2 that every kernel has, also where the controllers are still version 1's."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from sampan.node.runtime.cgroups import V2
from sampan.node.runtime.types import Resources

MOUNTS = [line.split() for line in Path("/proc/self/mountinfo").read_text().splitlines() if " - cgroup2 " in line]

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
    pytest.mark.skipif(not MOUNTS, reason="no cgroup2 is mounted here"),
]


def test_join_kill_and_remove() -> None:
    groups = V2(Path(MOUNTS[-1][4]), f"sampan-spt-{os.getpid()}/c/n")
    groups.create("pod/web.0", Resources(cpu_limit=1, memory_limit=1 << 30))
    ready, tell = os.pipe()
    child = os.fork()
    if child == 0:
        groups.join("pod/web.0")
        os.write(tell, b"x")
        signal.pause()
        os._exit(0)
    try:
        assert os.read(ready, 1) == b"x"
        assert groups.processes("pod") == [child]
        assert not groups.remove("pod")  # somebody is in it
        groups.kill("pod")
        assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL
        assert groups.oom_kills("pod/web.0") == 0
    finally:
        assert groups.remove("")
        groups.prune()
    assert not (Path(MOUNTS[-1][4]) / f"sampan-spt-{os.getpid()}").exists()
