"""Row 5: one file a verb.

The verbs by which sampan starts its own processes are looked up before typer is imported: it would cost each of them
start-up time and memory for nothing.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """The `sampan` command. Returns the exit status."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given and given[0] in ("supervise", "server", "agent"):
        from sampan.app import run

        return run.main(given)
    from sampan.cli import app

    return app.main(given)
