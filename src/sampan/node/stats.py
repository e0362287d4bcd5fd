"""/stats/summary: what each container has used of cpu and uses of memory, in the kubelet's form (the part of it that
metrics are made of).

Source: https://kubernetes.io/docs/reference/instrumentation/node-metrics/ (kubelet/pkg/apis/stats/v1alpha1)
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from sampan.api import meta
from sampan.api.meta import Obj
from sampan.node.runtime.types import Runtime


def summary(pods: Iterable[Obj], runtime: Runtime, now: datetime) -> Obj:
    """Containers that run; cpu is cumulative, memory the working set."""
    return {"node": {}, "pods": [_pod(pod, runtime, now) for pod in pods]}


def _pod(pod: Obj, runtime: Runtime, now: datetime) -> Obj:
    at = meta.microtime(now)
    containers = []
    for state in runtime.containers(meta.uid(pod)):
        if not state.running:
            continue
        try:
            used = runtime.usage(state.pod_uid, state.name, state.attempt)
        except OSError:
            continue  # it ended meanwhile
        containers.append(
            {
                "name": state.name,
                "startTime": meta.microtime(datetime.fromtimestamp(state.started_at, UTC)),
                "cpu": {"time": at, "usageCoreNanoSeconds": round(used.cpu * 1e9)},
                "memory": {"time": at, "workingSetBytes": used.memory},
            }
        )
    reference = {"name": meta.name(pod), "namespace": meta.namespace(pod), "uid": meta.uid(pod)}
    return {"podRef": reference, "containers": containers}
