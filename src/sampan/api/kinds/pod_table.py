"""The row of a Pod in `kubectl get pods`.

Source: k8s.io/kubernetes/pkg/printers/internalversion, printPod (1.32).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sampan.api import meta, pods
from sampan.api.meta import Obj
from sampan.api.scheme import Column
from sampan.api.table import AGE, NAME, age, since

COLUMNS = (
    NAME,
    Column("Ready", description="The aggregate readiness state of this pod for accepting traffic."),
    Column("Status", description="The aggregate status of the containers in this pod."),
    Column(
        "Restarts",
        description=(
            "The number of times the containers in this pod have been restarted "
            "and when the last container in this pod has restarted."
        ),
    ),
    AGE,
    Column("IP", priority=1, description="The address of the pod, empty until it has one."),
    Column("Node", priority=1, description="The node this pod is bound to."),
    Column("Nominated Node", priority=1, description="The node where room is being made for this pod."),
    Column("Readiness Gates", priority=1, description="How many of the pod's readiness gates are passed."),
)


@dataclass
class _Tally:
    """What the containers add up to. `reason` is the Status cell."""

    reason: str
    ready: int = 0
    restarts: int = 0
    last_restart: str = ""  # RFC 3339 in UTC: compares as text

    def restarted(self, status: Obj) -> None:
        self.restarts += status.get("restartCount", 0)
        ended = (status.get("lastState") or {}).get("terminated") or {}
        self.last_restart = max(self.last_restart, ended.get("finishedAt") or "")


def row(pod: Obj, now: datetime) -> list[Any]:
    spec, status = pod["spec"], pod.get("status") or {}
    tally = _Tally(status.get("reason") or status.get("phase", ""))
    scheduled = meta.condition(pod, "PodScheduled")
    if scheduled and scheduled.get("reason") == "SchedulingGated":
        tally.reason = "SchedulingGated"
    sidecars = {c["name"] for c in spec.get("initContainers") or () if pods.is_sidecar(c)}
    beside = _Tally(tally.reason)  # what counts once the init containers are done: the sidecars' restarts
    initializing = _count_init(tally, beside, pod, sidecars)
    if not initializing or meta.is_true(pod, "Initialized"):
        tally.restarts, tally.last_restart = beside.restarts, beside.last_restart
        _count_main(tally, pod)
    if meta.deleting(pod):
        if status.get("reason") == "NodeLost":
            tally.reason = "Unknown"
        elif not pods.is_terminal(pod):
            tally.reason = "Terminating"
    restarts = str(tally.restarts)
    if tally.restarts and tally.last_restart:
        restarts += f" ({since(tally.last_restart, now)} ago)"
    total = len(spec["containers"]) + len(sidecars)
    addresses = status.get("podIPs") or [{"ip": pods.ip(pod)}]
    wide = (addresses[0]["ip"], pods.node_name(pod), status.get("nominatedNodeName"), _gates(pod))
    return [
        meta.name(pod),
        f"{tally.ready}/{total}",
        tally.reason,
        restarts,
        age(pod, now),
        *(cell or "<none>" for cell in wide),
    ]


def _count_init(tally: _Tally, beside: _Tally, pod: Obj, sidecars: set[str]) -> bool:
    """Count init containers up to the one that still has work; True if there is such a one."""
    for i, status in enumerate((pod.get("status") or {}).get("initContainerStatuses") or ()):
        tally.restarted(status)
        is_sidecar = status["name"] in sidecars
        if is_sidecar:
            beside.restarted(status)
        state = status.get("state") or {}
        ended, waiting = state.get("terminated"), (state.get("waiting") or {}).get("reason", "")
        if ended is not None and not ended.get("exitCode"):
            continue
        if is_sidecar and status.get("started"):
            tally.ready += bool(status.get("ready"))
            continue
        if ended is not None:
            tally.reason = f"Init:{_ending(ended)}"
        elif waiting and waiting != "PodInitializing":
            tally.reason = f"Init:{waiting}"
        else:
            tally.reason = f"Init:{i}/{len(pod['spec'].get('initContainers') or ())}"
        return True
    return False


def _ending(ended: Obj) -> str:
    if reason := ended.get("reason"):
        return str(reason)
    return f"Signal:{ended['signal']}" if ended.get("signal") else f"ExitCode:{ended.get('exitCode', 0)}"


def _count_main(tally: _Tally, pod: Obj) -> None:
    running = False
    # The first container has the last word.
    for status in reversed((pod.get("status") or {}).get("containerStatuses") or ()):
        tally.restarted(status)
        state = status.get("state") or {}
        ended = state.get("terminated")
        if waiting := (state.get("waiting") or {}).get("reason"):
            tally.reason = waiting
        elif ended is not None:
            tally.reason = _ending(ended)
        elif status.get("ready") and state.get("running") is not None:
            running = True
            tally.ready += 1
    if tally.reason == "Completed" and running:
        tally.reason = "Running" if pods.is_ready(pod) else "NotReady"


def _gates(pod: Obj) -> str:
    gates = pod["spec"].get("readinessGates") or ()
    passed = sum(meta.is_true(pod, gate["conditionType"]) for gate in gates)
    return f"{passed}/{len(gates)}" if gates else ""
