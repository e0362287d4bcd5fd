"""What a node wrote down about a pod's containers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from sampan.api.meta import Obj
from sampan.app.config import Cluster


def running(cluster: Cluster, pod: Obj) -> Iterator[tuple[int, list[bytes]]]:
    """(pid, command line) of its containers that run on this machine, the newest first."""
    directory = cluster.node_dir(pod["spec"].get("nodeName", "")) / "pods" / pod["metadata"]["uid"] / "containers"
    for path in sorted(directory.glob("*.json"), reverse=True):
        try:
            pid = json.loads(path.read_text())["state"]["pid"]
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except (OSError, ValueError, KeyError):
            continue
        if any(words):
            yield pid, words
