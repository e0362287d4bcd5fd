"""Ephemeral containers: started once beside whatever else goes on, never again, and shown in the status."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from sampan.images.types import ImageConfig
from sampan.node.container import run_as
from sampan.node.memory import Memory
from sampan.node.pod import decide
from sampan.node.runtime.launch import ambient
from sampan.node.runtime.types import ContainerSpec, ContainerState
from sampan.node.status import pod_status

NOW = 1000.0


def pod(**spec: Any) -> dict[str, Any]:
    containers = [{"name": "app", "image": "i"}]
    debugger = [{"name": "debugger", "image": "busybox", "targetContainerName": "app"}]
    return {
        "metadata": {"name": "web", "namespace": "ns", "uid": "u"},
        "spec": {"containers": containers, "ephemeralContainers": debugger, **spec},
    }


def state(name: str, **more: Any) -> ContainerState:
    return ContainerState("u", name, 0, pid=7, started_at=NOW - 5, **more)


def starts(given: dict[str, Any], *states: ContainerState) -> list[str]:
    decision = decide(given, states, True, Memory(start_time=1, prepared=True), NOW)
    return [c.name for c in decision.commands if c.verb == "start"]


def test_it_starts_in_a_pod_that_runs_and_in_one_that_is_still_initializing() -> None:
    assert starts(pod(), state("app")) == ["debugger"]
    waiting = pod(initContainers=[{"name": "init", "image": "i"}])
    assert starts(waiting, state("init")) == ["debugger"]


def test_it_starts_once() -> None:
    assert starts(pod(), state("app"), state("debugger")) == []
    ended = state("debugger", finished_at=NOW - 1, exit_code=1)
    assert starts(pod(), state("app"), ended) == []
    assert starts(pod(restartPolicy="Never"), state("app"), ended) == []


def test_its_end_is_not_the_pods_and_the_pods_end_is_its() -> None:
    ended = state("debugger", finished_at=NOW - 1)
    assert decide(pod(), (state("app"), ended), True, Memory(start_time=1, prepared=True), NOW).memory.ending is None
    over = state("app", finished_at=NOW - 1)
    memory = Memory(start_time=1, prepared=True)
    decision = decide(pod(restartPolicy="Never"), (over, state("debugger")), True, memory, NOW)
    assert ("signal", "debugger", 15) in [(c.verb, c.name, c.number) for c in decision.commands]


def test_its_status_stands_apart_and_does_not_count_for_ready() -> None:
    memory = decide(pod(), (state("app"),), True, Memory(start_time=1, prepared=True), NOW).memory
    status = pod_status(pod(), (state("app"),), True, memory, "10.0.0.1", NOW, {})
    assert status["ephemeralContainerStatuses"][0]["state"] == {"waiting": {"reason": "ContainerCreating"}}
    assert [c["status"] for c in status["conditions"] if c["type"] == "Ready"] == ["True"]
    status = pod_status(pod(), (state("app"), state("debugger")), True, memory, "10.0.0.1", NOW, {})
    assert "running" in status["ephemeralContainerStatuses"][0]["state"]
    assert "ephemeralContainerStatuses" not in pod_status(
        pod(ephemeralContainers=[]), (state("app"),), True, memory, "10.0.0.1", NOW, {}
    )


def test_who_asks_for_power_over_the_machine_is_root() -> None:
    nobody, somebody = ImageConfig("x", "", ""), ImageConfig("x", "", "", user="1000:1000")
    plain, privileged = {"name": "a"}, {"name": "a", "securityContext": {"privileged": True}}
    assert run_as(pod(), plain, nobody).uid == 65534
    assert run_as(pod(), privileged, nobody).uid == 0
    assert run_as(pod(hostPID=True), plain, nobody).uid == 0
    assert run_as(pod(), privileged, somebody).uid == 1000
    careful = {"name": "a", "securityContext": {"privileged": True, "runAsNonRoot": True}}
    assert run_as(pod(), careful, nobody).uid == 65534


def test_added_capabilities_stay_with_who_is_not_root() -> None:
    spec = ContainerSpec("a", 0, ("x",), (), "/", 65534, 65534)
    assert ambient(spec) == {"NET_RAW"}
    assert ambient(replace(spec, add_capabilities=("SYS_PTRACE",))) == {"NET_RAW", "SYS_PTRACE"}
    assert ambient(replace(spec, drop_capabilities=("ALL",))) == frozenset()
    strict = replace(spec, no_new_privileges=True, drop_capabilities=("ALL",), add_capabilities=("NET_BIND_SERVICE",))
    assert ambient(strict) == {"NET_BIND_SERVICE"}
