"""Rows of `kubectl get pods -o wide`."""

from datetime import UTC, datetime

import pytest

from sampan.api.kinds.pod import RESOURCE

NOW = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)
RUNNING = {"running": {"startedAt": "2026-01-01T11:00:00Z"}}
DONE = {"terminated": {"exitCode": 0, "reason": "Completed"}}
NOT_YET = {"waiting": {"reason": "PodInitializing"}}


def ctr(name="c", state=None, *, ready=False, restarts=0, last=None, started=None):
    made = {"name": name, "state": state or {}, "ready": ready, "restartCount": restarts}
    if last:
        made["lastState"] = {"terminated": {"exitCode": 1, "finishedAt": last}}
    return made | ({} if started is None else {"started": started})


def pod(*statuses, phase="Running", init=(), init_statuses=(), containers=None, metadata=None, conditions=(), **more):
    names = containers or [s["name"] for s in statuses] or ["c"]
    status = {
        "phase": phase,
        "conditions": [{"type": t, "status": "True"} for t in conditions],
        "containerStatuses": list(statuses),
        "initContainerStatuses": list(init_statuses),
    }
    return {
        "metadata": {"name": "p", "creationTimestamp": "2026-01-01T11:00:00Z"} | (metadata or {}),
        "spec": {
            "containers": [{"name": n} for n in names],
            "initContainers": [{"name": n, **extra} for n, extra in init],
            **more.pop("spec", {}),
        },
        "status": status | more,
    }


def cells(made):
    return RESOURCE.strategy.row(made, NOW)


def ready_and_status(made):
    return tuple(cells(made)[1:3])


SIDECAR = {"restartPolicy": "Always"}
TWO_INITS = (("a", {}), ("b", {}))

CASES = {
    "new": (pod(phase="Pending"), ("0/1", "Pending")),
    "creating": (pod(ctr(state={"waiting": {"reason": "ContainerCreating"}})), ("0/1", "ContainerCreating")),
    "running": (pod(ctr(state=RUNNING, ready=True)), ("1/1", "Running")),
    "one of two ready": (pod(ctr(state=RUNNING, ready=True), ctr("d", RUNNING)), ("1/2", "Running")),
    "crash loop": (pod(ctr(state={"waiting": {"reason": "CrashLoopBackOff"}})), ("0/1", "CrashLoopBackOff")),
    "unknown image": (pod(ctr(state={"waiting": {"reason": "ImagePullBackOff"}})), ("0/1", "ImagePullBackOff")),
    "completed": (pod(ctr(state=DONE), phase="Succeeded"), ("0/1", "Completed")),
    "error": (pod(ctr(state={"terminated": {"exitCode": 1, "reason": "Error"}})), ("0/1", "Error")),
    "exit code without reason": (pod(ctr(state={"terminated": {"exitCode": 3}})), ("0/1", "ExitCode:3")),
    "signal": (pod(ctr(state={"terminated": {"exitCode": 137, "signal": 9}})), ("0/1", "Signal:9")),
    "first of two is done, other runs": (
        pod(ctr(state=DONE), ctr("d", RUNNING, ready=True), conditions=["Ready"]),
        ("1/2", "Running"),
    ),
    "first is done, pod not ready": (pod(ctr(state=DONE), ctr("d", RUNNING, ready=True)), ("1/2", "NotReady")),
    "terminating": (
        pod(ctr(state=RUNNING, ready=True), metadata={"deletionTimestamp": "2026-01-01T12:00:00Z"}),
        ("1/1", "Terminating"),
    ),
    "ended while terminating": (
        pod(ctr(state=DONE), phase="Succeeded", metadata={"deletionTimestamp": "2026-01-01T12:00:00Z"}),
        ("0/1", "Completed"),
    ),
    "lost node": (
        pod(ctr(state=RUNNING), metadata={"deletionTimestamp": "2026-01-01T12:00:00Z"}, reason="NodeLost"),
        ("0/1", "Unknown"),
    ),
    "evicted": (pod(phase="Failed", reason="Evicted"), ("0/1", "Evicted")),
    "first init running": (
        pod(ctr(state=NOT_YET), init=TWO_INITS, init_statuses=[ctr("a", RUNNING), ctr("b", NOT_YET)], phase="Pending"),
        ("0/1", "Init:0/2"),
    ),
    "second init waits": (
        pod(ctr(state=NOT_YET), init=TWO_INITS, init_statuses=[ctr("a", DONE), ctr("b", NOT_YET)], phase="Pending"),
        ("0/1", "Init:1/2"),
    ),
    "inits done": (
        pod(ctr(state=NOT_YET), init=TWO_INITS, init_statuses=[ctr("a", DONE), ctr("b", DONE)], phase="Pending"),
        ("0/1", "PodInitializing"),
    ),
    "init failed": (
        pod(init=TWO_INITS, init_statuses=[ctr("a", {"terminated": {"exitCode": 1, "reason": "Error"}})]),
        ("0/1", "Init:Error"),
    ),
    "init failed without reason": (
        pod(init=TWO_INITS, init_statuses=[ctr("a", {"terminated": {"exitCode": 2}})]),
        ("0/1", "Init:ExitCode:2"),
    ),
    "init in crash loop": (
        pod(init=TWO_INITS, init_statuses=[ctr("a", {"waiting": {"reason": "CrashLoopBackOff"}})]),
        ("0/1", "Init:CrashLoopBackOff"),
    ),
    "sidecar ready": (
        pod(
            ctr(state=RUNNING, ready=True),
            init=[("s", SIDECAR)],
            init_statuses=[ctr("s", RUNNING, ready=True, started=True)],
        ),
        ("2/2", "Running"),
    ),
    "sidecar not started": (
        pod(
            ctr(state=NOT_YET),
            init=[("s", SIDECAR)],
            init_statuses=[ctr("s", RUNNING, started=False)],
            phase="Pending",
        ),
        ("0/2", "Init:0/1"),
    ),
    "gated": (
        pod(
            phase="Pending",
            conditions=(),
            spec={},
        )
        | {
            "status": {
                "phase": "Pending",
                "conditions": [{"type": "PodScheduled", "status": "False", "reason": "SchedulingGated"}],
            }
        },
        ("0/1", "SchedulingGated"),
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_ready_and_status(case):
    made, expected = CASES[case]
    assert ready_and_status(made) == expected


def test_restarts_say_when():
    assert cells(pod(ctr(state=RUNNING)))[3] == "0"
    assert cells(pod(ctr(restarts=2)))[3] == "2"
    assert cells(pod(ctr(restarts=2, last="2026-01-01T11:54:56Z")))[3] == "2 (5m4s ago)"
    both = pod(ctr(restarts=2, last="2026-01-01T11:54:56Z"), ctr("d", restarts=1, last="2026-01-01T11:59:50Z"))
    assert cells(both)[3] == "3 (10s ago)"


def test_restarts_of_init_containers_count_until_they_are_done_but_those_of_sidecars_always():
    waiting = [ctr("a", RUNNING, restarts=4)]
    assert cells(pod(init=TWO_INITS, init_statuses=waiting))[3] == "4"
    done = [ctr("a", DONE, restarts=4), ctr("s", RUNNING, restarts=2, started=True)]
    assert cells(pod(ctr(restarts=1), init=[("a", {}), ("s", SIDECAR)], init_statuses=done))[3] == "3"


def test_age_and_wide_cells():
    assert cells(pod(phase="Pending"))[4:] == ["60m", "<none>", "<none>", "<none>", "<none>"]
    made = pod(
        podIP="10.244.0.5",
        podIPs=[{"ip": "10.244.0.5"}],
        nominatedNodeName="n2",
        conditions=["example.com/ok"],
        spec={
            "nodeName": "n1",
            "readinessGates": [{"conditionType": "example.com/ok"}, {"conditionType": "example.com/late"}],
        },
    )
    assert cells(made)[5:] == ["10.244.0.5", "n1", "n2", "1/2"]


def test_the_columns_are_those_of_kubectl():
    columns = RESOURCE.strategy.columns
    assert [c.name for c in columns if not c.priority] == ["Name", "Ready", "Status", "Restarts", "Age"]
    assert [c.name for c in columns if c.priority] == ["IP", "Node", "Nominated Node", "Readiness Gates"]
    assert len(cells(pod())) == len(columns)
