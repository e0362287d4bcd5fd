"""What the kubelet knows of a pod beyond the API object and the runtime: plain data, changed by `pod.decide` and by
the worker that carries decisions out.

A new agent rebuilds it (`adopt`) from what outlives it: the API status, `sandbox.json`, the runtime's records.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sampan.api.meta import Obj
from sampan.node.runtime.types import ContainerState


@dataclass
class Health:
    """What probes and hooks say of one attempt. `post_start`: "" (none or done), "running", "failed"."""

    attempt: int
    started: bool
    ready: bool
    post_start: str = ""
    unhealthy: str = ""  # why it is to be killed
    grace: int | None = None  # a probe's own terminationGracePeriodSeconds


@dataclass
class Kill:
    """One attempt on its way out: preStop hook, SIGTERM, SIGKILL at `deadline`. Times are epoch seconds."""

    attempt: int
    since: float
    deadline: float
    hook: str = ""  # "", "running", "done"
    term: bool = False
    killed: bool = False


@dataclass
class Backoff:
    """The wait before the next start, set at the last one."""

    delay: float
    at: float


@dataclass
class Trouble:
    """Why something could not be started, and when to try again. `version` is of the images, where they matter."""

    reason: str
    message: str
    at: float
    retry_at: float
    delay: float = 0.0
    version: object = None


@dataclass
class Ending:
    """Why the pod goes: "Deleted", "Removed", "Completed", "DeadlineExceeded", "Terminal" (the API says so)."""

    reason: str
    grace: float
    message: str = ""
    since: float = 0.0  # when the first container began to be stopped


@dataclass
class Memory:
    """`floor`: the first attempt of each container in the present sandbox; smaller ones died with an earlier one."""

    start_time: float = 0.0
    ip: str = ""
    floor: dict[str, int] = field(default_factory=dict)
    prepared: bool = False
    busy: str = ""  # the one operation that is under way
    health: dict[str, Health] = field(default_factory=dict)
    kills: dict[str, Kill] = field(default_factory=dict)
    backoffs: dict[str, Backoff] = field(default_factory=dict)
    crash_loops: dict[str, str] = field(default_factory=dict)  # the waiting message of containers in back-off
    troubles: dict[str, Trouble] = field(default_factory=dict)  # by container; "" before it has a sandbox, "/tear-down"
    images: dict[str, str] = field(default_factory=dict)  # what the newest attempts were started from
    image_ids: dict[str, str] = field(default_factory=dict)
    images_version: object = None
    messages: dict[str, str] = field(default_factory=dict)  # termination messages by ContainerState.id
    drain: str = ""  # "", "running", "done"
    ending: Ending | None = None
    gone: bool = False  # the API object no longer exists
    torn_down: bool = False
    finished: bool = False  # nothing is left to do


def adopt(pod: Obj, states: Sequence[ContainerState], record: dict[str, Any], sandbox: bool, now: float) -> Memory:
    """The memory of a pod that an earlier agent (or this machine before a reboot) may have run.

    `record` is the content of sandbox.json ({} if none). Containers that still run keep what the API says of them, so
    that Ready does not flap; their back-off is reckoned from the attempt's number.
    """
    memory = Memory(start_time=record.get("start_time", 0.0), ip=record.get("ip", ""), floor=record.get("floor", {}))
    status = pod.get("status") or {}
    memory.start_time = memory.start_time or now
    known = {
        entry["containerID"]: entry
        for kind in ("initContainerStatuses", "containerStatuses", "ephemeralContainerStatuses")
        for entry in status.get(kind) or ()
        if entry.get("containerID")
    }
    for state in states:
        entry = known.get(f"sampan://{state.id}")
        if entry and entry.get("imageID"):
            memory.image_ids[state.name], memory.images[state.name] = entry["imageID"], entry["image"]
        if not sandbox:
            continue
        if state.attempt > memory.floor.get(state.name, 0):
            exponent = state.attempt - memory.floor.get(state.name, 0) - 1
            memory.backoffs[state.name] = Backoff(min(10.0 * 2 ** min(exponent, 5), 300.0), state.started_at)
        if state.running and entry and "running" in (entry.get("state") or {}):
            memory.health[state.name] = Health(
                state.attempt, started=bool(entry.get("started")), ready=bool(entry.get("ready"))
            )
    return memory
