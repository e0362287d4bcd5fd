"""NodeMetrics and PodMetrics (metrics.k8s.io/v1beta1): what nodes and pods use now. Computed when asked for.

Source: https://kubernetes.io/docs/tasks/debug/debug-cluster/resource-metrics-pipeline/
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sampan.api import meta
from sampan.api.meta import Obj
from sampan.api.quantity import Quantity
from sampan.api.scheme import Column, Resource, Strategy
from sampan.api.table import NAME

_COLUMNS = (
    NAME,
    Column("cpu", description="Cores in use, averaged over the window."),
    Column("memory", description="Bytes in use that cannot be given back."),
    Column("Window", description="The time that cpu was averaged over."),
)


def _node_row(obj: Obj, now: datetime) -> list[Any]:
    return [meta.name(obj), obj["usage"]["cpu"], obj["usage"]["memory"], obj["window"]]


def _pod_row(obj: Obj, now: datetime) -> list[Any]:
    sums = []
    for name in ("cpu", "memory"):
        total = Quantity.ZERO
        for container in obj["containers"]:
            total = total + Quantity.parse(container["usage"][name])
        sums.append(str(total))
    return [meta.name(obj), *sums, obj["window"]]


NODE = Resource(
    group="metrics.k8s.io",
    version="v1beta1",
    kind="NodeMetrics",
    plural="nodes",
    definition="",
    namespaced=False,
    verbs=("get", "list"),
    computed=True,
    strategy=Strategy(columns=_COLUMNS, row=_node_row),
)

POD = Resource(
    group="metrics.k8s.io",
    version="v1beta1",
    kind="PodMetrics",
    plural="pods",
    definition="",
    verbs=("get", "list"),
    computed=True,
    strategy=Strategy(columns=_COLUMNS, row=_pod_row),
)
