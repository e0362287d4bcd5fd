"""What clusters of this machine have for themselves, whatever their state directory: told in /run/sampan/NAME/claim.

Two that start at the same moment see each other's choice before there is a link or a listener to see.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from sampan.base import fs

FILE = "claim"
# A claim without a link of the cluster's is of one that starts now, or of one that failed to.
STARTING_SECONDS = 60.0
_LINKS = Path("/sys/class/net")

Pair = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Claim:
    """`index` of its networks; `api`: the port; `edge`: the host's HTTP and HTTPS ports for the gateway, 0 is none."""

    index: int
    api: int
    edge: Pair


def write(run: Path, claim: Claim) -> None:
    """Raises OSError."""
    run.mkdir(parents=True, exist_ok=True)
    fs.write_atomic(run / FILE, json.dumps(asdict(claim)).encode())


def read(run: Path) -> Claim | None:
    """What the cluster with this run directory was started with; None when it is down."""
    try:
        content = json.loads((run / FILE).read_bytes())
        http, https = content["edge"]
        return Claim(content["index"], content["api"], (http, https))
    except (OSError, ValueError, TypeError, KeyError):
        return None


def others(run: Path) -> Iterator[Claim]:
    """Those of all clusters but the one with this run directory."""
    for path in run.parent.glob(f"*/{FILE}"):
        if path.parent != run and (claim := read(path.parent)) and _counts(path, claim):
            yield claim


def _counts(path: Path, claim: Claim) -> bool:
    try:
        young = time.time() - path.stat().st_mtime < STARTING_SECONDS
    except FileNotFoundError:
        return False
    return young or (_LINKS / f"sp{claim.index}-lan").exists()
