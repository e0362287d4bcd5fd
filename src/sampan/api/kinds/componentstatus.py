"""ComponentStatus (core/v1): are the parts of the control plane well? Old, but `kubectl get cs` asks. Computed."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sampan.api import meta
from sampan.api.meta import Obj
from sampan.api.scheme import Column, Resource, Strategy
from sampan.api.table import NAME

NAMES = ("controller-manager", "etcd-0", "scheduler")


def healthy(name: str) -> Obj:
    condition = {"type": "Healthy", "status": "True", "message": "ok"}
    return {"apiVersion": "v1", "kind": "ComponentStatus", "metadata": {"name": name}, "conditions": [condition]}


def _row(obj: Obj, now: datetime) -> list[Any]:
    told = obj["conditions"][0]
    state = "Healthy" if told["status"] == "True" else "Unhealthy"
    return [meta.name(obj), state, told.get("message", ""), told.get("error", "")]


RESOURCE = Resource(
    group="",
    version="v1",
    kind="ComponentStatus",
    plural="componentstatuses",
    definition="io.k8s.api.core.v1.ComponentStatus",
    singular="componentstatus",
    short=("cs",),
    namespaced=False,
    verbs=("get", "list"),
    computed=True,
    strategy=Strategy(
        columns=(
            NAME,
            Column("Status", description="Healthy or Unhealthy."),
            Column("Message", description="What it said."),
            Column("Error", description="What is wrong."),
        ),
        row=_row,
        deprecated="v1 ComponentStatus is deprecated in v1.19+",
    ),
)
