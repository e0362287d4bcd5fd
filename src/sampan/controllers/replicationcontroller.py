"""ReplicationController: the older form of a ReplicaSet.

Source: https://kubernetes.io/docs/concepts/workloads/controllers/replicationcontroller/
"""

from __future__ import annotations

from sampan.client.env import Controller
from sampan.controllers import replicaset

RESOURCE = "replicationcontrollers"


def controller() -> Controller:
    return replicaset.row("replication-controller", RESOURCE, "ReplicationController")
