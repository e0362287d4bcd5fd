"""`sampan down`: take a cluster down and leave no trace; its objects stay on disk for the next `up`."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from sampan.app import kubeconfig
from sampan.app.config import load_or_fail, state_root
from sampan.app.destroy import delete, take_down
from sampan.base.errors import UserError
from sampan.cli.options import DEFAULT_CLUSTER, ClusterName, StateDir


def down(
    cluster: ClusterName = DEFAULT_CLUSTER,
    delete_state: Annotated[bool, typer.Option("--delete", help="Delete its objects and files too.")] = False,
    state: StateDir = None,
) -> None:
    """Take a cluster down: processes, networks, rules, mounts. `sampan up` brings its objects back."""
    found = load_or_fail(cluster, state_root(state))
    take_down(found)
    try:
        kubeconfig.unmerge(found, kubeconfig.user_config())
    except (UserError, OSError) as error:
        print(f"the context {kubeconfig.context_name(cluster)} stays in your kubeconfig: {error}", file=sys.stderr)
    if delete_state:
        delete(found)
        print(f"cluster {cluster} is down and deleted")
    else:
        print(f"cluster {cluster} is down; its objects are kept in {found.directory}")
