"""The status a pod's worker reports: a pure function of the pod, the runtime's states and the worker's memory.

Source: https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-v1/#PodStatus
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sampan.api import meta
from sampan.api.meta import Obj
from sampan.api.pods import is_sidecar
from sampan.node.memory import Memory
from sampan.node.pod import latest
from sampan.node.runtime.types import ContainerState

SCHEME = "sampan://"


@dataclass(frozen=True)
class _Inputs:
    pod: Obj
    memory: Memory
    newest: dict[str, ContainerState]
    all: Sequence[ContainerState]
    initialized: bool


def pod_status(
    pod: Obj, states: Sequence[ContainerState], sandbox: bool, memory: Memory, host_ip: str, now: float, old: Obj
) -> Obj:
    """The whole status. `old` is the last one reported, whose transition times are kept; other parts' conditions are
    the API object's."""
    newest = latest(states)
    spec = pod["spec"]
    inputs = _Inputs(pod, memory, newest, states, _initialized(spec, newest, sandbox, memory))
    init = [_container(inputs, c, init=True) for c in spec.get("initContainers") or ()]
    main = [_container(inputs, c, init=False) for c in spec["containers"]]
    status: Obj = {
        "phase": _phase(inputs, old),
        "hostIP": host_ip,
        "hostIPs": [{"ip": host_ip}],
        "startTime": _time(memory.start_time),
        "qosClass": old.get("qosClass") or "BestEffort",
        "containerStatuses": main,
    }
    if init:
        status["initContainerStatuses"] = init
    if ephemeral := spec.get("ephemeralContainers"):
        status["ephemeralContainerStatuses"] = [_container(inputs, c, init=False) | {"ready": False} for c in ephemeral]
    ip = host_ip if spec.get("hostNetwork") else memory.ip
    if ip and (sandbox or old.get("podIP")):
        status |= {"podIP": ip, "podIPs": [{"ip": ip}]}
    ending = memory.ending
    if ending and ending.reason == "DeadlineExceeded":
        status |= {"reason": ending.reason, "message": ending.message}
    elif ending and ending.reason == "Terminal":
        status |= {k: old[k] for k in ("reason", "message") if k in old}
    status["conditions"] = _conditions(inputs, status, init, sandbox, old, now)
    return status


def _initialized(spec: Obj, newest: dict[str, ContainerState], sandbox: bool, memory: Memory) -> bool:
    if any(_current(newest, c["name"], sandbox, memory) for c in spec["containers"]):
        return True
    for container in spec.get("initContainers") or ():
        state = _current(newest, container["name"], sandbox, memory)
        if state is None:
            return False
        if is_sidecar(container):
            health = memory.health.get(container["name"])
            if not (state.running and health and health.started):
                return False
        elif state.running or state.exit_code != 0:
            return False
    return True


def _current(newest: dict[str, ContainerState], name: str, sandbox: bool, memory: Memory) -> ContainerState | None:
    state = newest.get(name)
    if state is None or state.attempt < memory.floor.get(name, 0):
        return None
    return state if sandbox or memory.ending else None


# -- containers -----------------------------------------------------------------------------------------------------


def _container(inputs: _Inputs, spec: Obj, *, init: bool) -> Obj:
    name, memory = spec["name"], inputs.memory
    state = inputs.newest.get(name)
    waiting = _waiting(inputs, name, state, init)
    started = ready = False
    if init and not is_sidecar(spec):
        ready = bool(state and not state.running and not waiting and state.exit_code == 0)
    elif state and state.running:
        health = memory.health.get(name)
        started = bool(health and health.started and not health.post_start)
        ready = bool(started and health and health.ready)
    result: Obj = {
        "name": name,
        "image": spec.get("image", ""),
        "imageID": memory.image_ids.get(name, ""),
        "containerID": SCHEME + state.id if state else "",
        "restartCount": state.attempt if state else 0,
        "ready": ready,
        "started": started,
        "state": {"waiting": waiting} if waiting else _state(inputs, state),
        "lastState": {},
    }
    before = state if waiting else _attempt(inputs.all, name, state.attempt - 1 if state else -1)
    if before and before.finished_at:
        result["lastState"] = {"terminated": _terminated(inputs, before)}
    return result


def _waiting(inputs: _Inputs, name: str, state: ContainerState | None, init: bool) -> Obj | None:
    """Why the container does not run (yet, or again); None when it runs or is over."""
    memory = inputs.memory
    if state and state.running:
        return None
    ending = memory.ending
    if state and ending:
        return None
    if trouble := memory.troubles.get(name):
        return {"reason": trouble.reason, "message": trouble.message}
    if state and (message := memory.crash_loops.get(name)):
        return {"reason": "CrashLoopBackOff", "message": message}
    if state and state.attempt >= memory.floor.get(name, 0):
        return None
    several = bool(inputs.pod["spec"].get("initContainers"))
    not_yet = several and (init or not inputs.initialized)
    return {"reason": "PodInitializing" if not_yet else "ContainerCreating"}


def _attempt(states: Sequence[ContainerState], name: str, attempt: int) -> ContainerState | None:
    return next((s for s in states if s.name == name and s.attempt == attempt), None)


def _state(inputs: _Inputs, state: ContainerState | None) -> Obj:
    assert state is not None
    if state.running:
        return {"running": {"startedAt": _time(state.started_at)}}
    return {"terminated": _terminated(inputs, state)}


def _terminated(inputs: _Inputs, state: ContainerState) -> Obj:
    found: Obj = {
        "exitCode": state.exit_code,
        "reason": state.reason or ("Completed" if state.exit_code == 0 else "Error"),
        "startedAt": _time(state.started_at) if state.started_at else None,
        "finishedAt": _time(state.finished_at) if state.finished_at else None,
        "containerID": SCHEME + state.id,
    }
    if state.signal:
        found["signal"] = state.signal
    if message := state.message or inputs.memory.messages.get(state.id, ""):
        found["message"] = message
    return found


def _time(seconds: float) -> str:
    return meta.timestamp(datetime.fromtimestamp(seconds, UTC))


# -- phase and conditions ---------------------------------------------------------------------------------------------


def _phase(inputs: _Inputs, old: Obj) -> str:
    ending, spec = inputs.memory.ending, inputs.pod["spec"]
    if old.get("phase") in ("Succeeded", "Failed"):
        return str(old["phase"])  # a phase that is over never comes back
    names = [c["name"] for c in spec["containers"]]
    states = [inputs.newest.get(n) for n in names]
    if ending and not any(s.running for s in inputs.newest.values()) and inputs.memory.torn_down:
        over = all(s is not None and s.exit_code == 0 for s in states)
        return "Succeeded" if over and ending.reason != "DeadlineExceeded" else "Failed"
    if not ending and not inputs.initialized:
        return "Pending"
    return "Pending" if any(s is None for s in states) else "Running"


def _conditions(inputs: _Inputs, status: Obj, init: list[Obj], sandbox: bool, old: Obj, now: float) -> list[Obj]:
    phase, main = status["phase"], status["containerStatuses"]
    sidecars = {c["name"] for c in inputs.pod["spec"].get("initContainers") or () if is_sidecar(c)}
    unready = [s["name"] for s in (*init, *main) if not s["ready"] and (s["name"] in sidecars or s in main)]
    incomplete = [s["name"] for s in init if not (s["started"] if s["name"] in sidecars else s["ready"])]
    over = {"Succeeded": "PodCompleted", "Failed": "PodFailed"}.get(phase, "")

    initialized: Obj = {"status": "True"}
    if phase == "Succeeded":
        initialized["reason"] = "PodCompleted"
    elif incomplete and not inputs.initialized:
        text = f"containers with incomplete status: [{' '.join(incomplete)}]"
        initialized = {"status": "False", "reason": "ContainersNotInitialized", "message": text}

    ready: Obj = {"status": "True"}
    if over:
        ready = {"status": "False", "reason": over}
    elif unready:
        text = f"containers with unready status: [{' '.join(unready)}]"
        ready = {"status": "False", "reason": "ContainersNotReady", "message": text}

    entries = {
        "PodReadyToStartContainers": {"status": "True" if sandbox else "False"},
        "Initialized": initialized,
        "Ready": _gated(inputs.pod, ready),
        "ContainersReady": ready,
        "PodScheduled": {"status": "True"},
    }
    before = {c["type"]: c for c in old.get("conditions") or ()}
    mine = [_condition(kind, entry, before.get(kind), now) for kind, entry in entries.items()]
    return mine + [c for c in (inputs.pod.get("status") or {}).get("conditions") or () if c["type"] not in entries]


def _gated(pod: Obj, ready: Obj) -> Obj:
    """Ready needs the readiness gates' conditions too, which others report."""
    missing = []
    for gate in pod["spec"].get("readinessGates") or ():
        kind = gate["conditionType"]
        if not meta.is_true(pod, kind):
            missing.append(f'the status of pod readiness gate "{kind}" is not "True"')
    if missing and ready["status"] == "True":
        return {"status": "False", "reason": "ReadinessGatesNotReady", "message": ", ".join(missing)}
    return ready


def _condition(kind: str, entry: dict[str, Any], before: Obj | None, now: float) -> Obj:
    same = before is not None and before.get("status") == entry["status"]
    moment = before["lastTransitionTime"] if same and before and before.get("lastTransitionTime") else _time(now)
    return {"type": kind, "lastProbeTime": None, "lastTransitionTime": moment} | entry
