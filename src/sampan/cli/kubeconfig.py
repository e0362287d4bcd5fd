"""`sampan kubeconfig`: where the cluster's kubeconfig is."""

from __future__ import annotations

from sampan.app.config import load_or_fail, state_root
from sampan.cli.options import DEFAULT_CLUSTER, ClusterName, StateDir


def kubeconfig(cluster: ClusterName = DEFAULT_CLUSTER, state: StateDir = None) -> None:
    """Print the path of the cluster's kubeconfig."""
    print(load_or_fail(cluster, state_root(state)).kubeconfig)
