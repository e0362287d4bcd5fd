"""From apply to Ready: a Deployment of three replicas, the program's own start excluded.

Method: the image is `sleep` (it is ready when it runs); `kubectl apply`, then `kubectl rollout status`; the time of
one bare kubectl call on an empty answer is shown beside it, because kubectl itself is most of it.
"""

from __future__ import annotations

import time

from common import Row, row
from e2e import Cluster

RUNS = 5
MANIFEST = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: NAME}
spec:
  replicas: 3
  selector: {matchLabels: {app: NAME}}
  template:
    metadata: {labels: {app: NAME}}
    spec:
      terminationGracePeriodSeconds: 0
      containers: [{name: main, image: busybox, command: [sleep, "1000"]}]
"""


def measure() -> list[Row]:
    ready, whole, bare = [], [], []
    cluster = Cluster("bench")
    try:
        cluster.up()
        for run in range(RUNS):
            began = time.monotonic()
            cluster.kubectl("get", "configmaps", "-n", "kube-public")
            bare.append(time.monotonic() - began)
            name = f"d{run}"
            began = time.monotonic()
            cluster.apply(MANIFEST.replace("NAME", name))
            applied = time.monotonic()
            cluster.kubectl("rollout", "status", f"deployment/{name}")
            whole.append(time.monotonic() - began)
            ready.append(time.monotonic() - applied)
            cluster.kubectl("delete", "deployment", name)
    finally:
        cluster.remove()
    return [
        row("apply of 3 replicas until rollout status returns", whole, "s", "goal 1"),
        row("of that, after apply had returned", ready, "s"),
        row("for comparison: one `kubectl get`", bare, "s"),
    ]
