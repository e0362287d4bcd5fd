"""What a network namespace's kernel still has to do for TCP connections. Blocking; a few milliseconds.

Source: Documentation/networking/proc_net_tcp.rst; of a listening socket rx_queue is the length of its accept queue.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain
from pathlib import Path

from sampan.base.netns import inside
from sampan.node.runtime.types import Connections

SYN_RECV, FIN_WAIT1, LAST_ACK, LISTEN, CLOSING = "03", "04", "09", "0A", "0B"


def connections(netns: Path) -> Connections:
    """None of either when the namespace is gone. Raises OSError."""
    try:
        with inside(netns):
            tables = [_rows("tcp"), _rows("tcp6")]
    except FileNotFoundError:
        return Connections()
    return count(chain(*tables))


def count(rows: Iterable[str]) -> Connections:
    """From rows of /proc/net/tcp without its heading."""
    arriving = leaving = 0
    for row in rows:
        _, _, _, state, queues, *_ = row.split()
        sending, _, waiting = queues.partition(":")
        if state == SYN_RECV or (state == LISTEN and int(waiting, 16)):
            arriving += 1
        # A FIN counts as a byte. Who has sent its own already (LAST_ACK, CLOSING) does not wait for ours.
        elif state == FIN_WAIT1 or (state in (LAST_ACK, CLOSING) and int(sending, 16) > 1):
            leaving += 1
    return Connections(arriving, leaving)


def _rows(table: str) -> list[str]:
    path = Path("/proc/thread-self/net", table)
    return path.read_text().splitlines()[1:] if path.exists() else []
