"""Options that several verbs share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sampan.app.config import DEFAULT_CLUSTER

ClusterName = Annotated[str, typer.Option("--cluster", "-c", help="Name of the cluster.", envvar="SAMPAN_CLUSTER")]
StateDir = Annotated[
    Path | None,
    typer.Option("--state", help="Directory that holds clusters and images \\[default: /var/lib/sampan]"),
]

__all__ = ["DEFAULT_CLUSTER", "ClusterName", "StateDir"]
