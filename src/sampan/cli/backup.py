"""`sampan backup FILE` and `sampan restore FILE`: all objects of a cluster, with their history."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from sampan.app.config import Cluster, load_or_fail, state_root
from sampan.app.supervisor import running
from sampan.base.clock import SystemClock
from sampan.base.errors import UserError
from sampan.cli.options import DEFAULT_CLUSTER, ClusterName, StateDir
from sampan.store.backup import copy
from sampan.store.recovery import put_in_place


def backup(
    file: Annotated[Path, typer.Argument(help="File to write; it must not exist.")],
    cluster: ClusterName = DEFAULT_CLUSTER,
    state: StateDir = None,
) -> None:
    """Write a copy of the cluster's store to FILE; the cluster may be up."""
    found = _cluster(cluster, state, "backup")
    if not found.store.exists():
        raise UserError(f'cluster "{cluster}" has no store yet', f"sampan up --cluster {cluster}")
    revision = copy(found.store, file.absolute())
    print(f"{file}: revision {revision}, {file.stat().st_size / 1e6:.1f} MB")


def restore(
    file: Annotated[Path, typer.Argument(help="A file that `sampan backup` wrote.")],
    cluster: ClusterName = DEFAULT_CLUSTER,
    state: StateDir = None,
) -> None:
    """Replace the store of a cluster that is down by FILE; what was there is kept aside."""
    found = _cluster(cluster, state, "restore")
    if running(found):
        raise UserError(f'cluster "{cluster}" is up', f"sampan down --cluster {cluster}")
    if not file.is_file():
        raise UserError(f"there is no file {file}", "sampan backup FILE makes one")
    revision = put_in_place(found.store, file.absolute(), SystemClock().now())
    print(f"cluster {cluster} is back at revision {revision}; what it had is {found.store}.replaced-…")
    print(f"  next      sampan up --cluster {cluster}")


def _cluster(name: str, state: Path | None, verb: str) -> Cluster:
    if os.geteuid() != 0:
        raise UserError("the store belongs to root", f"sudo sampan {verb} …")
    return load_or_fail(name, state_root(state))
