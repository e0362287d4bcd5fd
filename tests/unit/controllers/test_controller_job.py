"""Job: pods until enough have succeeded, and counts that never lie."""

from __future__ import annotations

from typing import Any

from controller_world import World, run

from sampan.api import meta, pods
from sampan.api.meta import Key, Obj
from sampan.api.status import ApiError
from sampan.controllers import job
from sampan.controllers.job_pods import FINALIZER, INDEX

JOBS = "jobs.batch"
KEY = Key("default", "pi")


def a_job(**spec: Any) -> Obj:
    labels = {"job-name": "pi"}
    containers = [{"name": "main", "image": "x"}]
    template = {"metadata": {"labels": labels}, "spec": {"restartPolicy": "Never", "containers": containers}}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "pi", "namespace": "default"},
        "spec": {
            "parallelism": 1,
            "completions": 1,
            "backoffLimit": 6,
            "selector": {"matchLabels": labels},
            "template": template,
        }
        | spec,
    }


async def world_with(made: Obj) -> World:
    world = World(job.controller())
    await world.add(JOBS, made)
    await world.settle()
    return world


def status(world: World) -> Obj:
    return world.client.find(JOBS, "pi", "default")["status"]


def conditions(world: World) -> dict[str, tuple[str, str]]:
    return {c["type"]: (c["status"], c["reason"]) for c in status(world).get("conditions") or ()}


def running(world: World) -> list[Obj]:
    return [p for p in world.client.all("pods") if pods.is_active(p)]


async def end(world: World, pod: Obj, phase: str = "Succeeded", code: int = 0) -> None:
    ended = {"exitCode": code, "finishedAt": meta.timestamp(world.clock.now())}
    await world.status(
        "pods", pod, {"phase": phase, "containerStatuses": [{"name": "main", "state": {"terminated": ended}}]}
    )


async def end_all(world: World, phase: str = "Succeeded", code: int = 0) -> None:
    for pod in running(world):
        await end(world, pod, phase, code)
    await world.settle()


def test_runs_until_enough_have_succeeded():
    async def go() -> None:
        world = await world_with(a_job(completions=3, parallelism=2))
        assert len(running(world)) == 2
        assert all(p["metadata"]["finalizers"] == [FINALIZER] for p in running(world))
        await end_all(world)
        assert (status(world)["succeeded"], status(world)["active"], len(running(world))) == (2, 1, 1)
        await end_all(world)
        assert conditions(world) == {
            "SuccessCriteriaMet": ("True", "CompletionsReached"),
            "Complete": ("True", "CompletionsReached"),
        }
        shown = status(world)
        assert (shown["succeeded"], shown["uncountedTerminatedPods"], "active" in shown) == (3, {}, False)
        assert shown["completionTime"]
        assert not any(p["metadata"].get("finalizers") for p in world.client.all("pods"))
        assert world.events.messages("Completed") == ["Job completed"]

    run(go())


def test_no_end_is_counted_twice_or_lost_when_every_write_may_be_the_last():
    async def go() -> None:
        for at in range(12):
            world = World(job.controller())
            await world.add(JOBS, a_job(completions=4, parallelism=4))
            await world.settle()
            first, second, *_ = running(world)
            await end(world, first)
            await end(world, second, "Failed", 1)
            patch, left = world.client.patch, at

            async def dies(*args: Any, patch: Any = patch, **kwargs: Any) -> Obj:
                nonlocal left
                left -= 1
                if left < 0:
                    raise ApiError(503, "ServiceUnavailable", "killed")
                return await patch(*args, **kwargs)

            world.client.patch = dies
            world.sync()
            await world.step([(0, KEY)])
            world.client.patch = patch
            # What comes after the crash remembers nothing.
            world.rows = (job.controller(),)
            await world.settle()
            await world.step([(0, KEY)])
            await world.settle()
            assert (status(world)["succeeded"], status(world)["failed"]) == (1, 1), at

    run(go())


def test_an_old_version_of_the_job_is_not_counted_again():
    async def go() -> None:
        world = await world_with(a_job(completions=3, parallelism=1))
        await end(world, running(world)[0])
        world.sync()
        world.caches[JOBS].frozen = True
        for _ in range(4):
            await world.step([(0, KEY)])
            world.sync()
        assert status(world)["succeeded"] == 1
        assert len(world.client.all("pods")) == 2

    run(go())


def test_a_deleted_pod_counts_as_failed_and_is_replaced():
    async def go() -> None:
        world = await world_with(a_job())
        (pod,) = running(world)
        await world.client.delete("pods", meta.name(pod), "default")
        await world.advance(11)
        assert status(world)["failed"] == 1
        assert [meta.name(p) == meta.name(pod) for p in world.client.all("pods")] == [False]

    run(go())


def test_failures_wait_ever_longer_until_the_limit():
    async def go() -> None:
        world = await world_with(a_job(backoffLimit=2))
        for wait in (10, 20):
            await end_all(world, "Failed", 1)
            await world.advance(wait - 1)
            assert running(world) == []
            await world.advance(2)
            assert len(running(world)) == 1
        await end_all(world, "Failed", 1)
        assert conditions(world)["Failed"] == ("True", "BackoffLimitExceeded")
        assert status(world)["failed"] == 3
        assert world.events.messages("BackoffLimitExceeded") == ["Job has reached the specified backoff limit"]

    run(go())


def test_the_deadline_ends_it_and_waits_for_what_runs():
    async def go() -> None:
        world = await world_with(a_job(activeDeadlineSeconds=30))
        (pod,) = running(world)
        await world.client.patch("pods", meta.name(pod), "default", {"spec": {"nodeName": "n"}})
        await world.advance(29)
        assert conditions(world) == {}
        await world.advance(2)
        assert set(conditions(world)) == {"FailureTarget"} or "Failed" in conditions(world)
        assert running(world) == []
        await world.status("pods", pod, {"phase": "Failed"})
        await world.settle()
        assert conditions(world)["Failed"] == ("True", "DeadlineExceeded")
        assert status(world)["failed"] == 1

    run(go())


def test_suspend_takes_pods_away_without_counting_them():
    async def go() -> None:
        world = await world_with(a_job(completions=4, parallelism=2))
        await world.client.patch(JOBS, "pi", "default", {"spec": {"suspend": True}})
        await world.settle()
        assert world.client.all("pods") == []
        assert conditions(world) == {"Suspended": ("True", "JobSuspended")}
        assert not status(world).keys() & {"startTime", "failed", "active"}
        await world.client.patch(JOBS, "pi", "default", {"spec": {"suspend": False}})
        await world.settle()
        assert conditions(world) == {"Suspended": ("False", "JobResumed")}
        assert (status(world)["active"], "startTime" in status(world)) == (2, True)

    run(go())


def test_indexed_pods_know_their_index():
    async def go() -> None:
        world = await world_with(a_job(completions=3, parallelism=2, completionMode="Indexed"))
        zero, one = running(world)
        assert (meta.annotations(zero)[INDEX], meta.labels(one)[INDEX]) == ("0", "1")
        assert zero["spec"]["hostname"] == "pi-0"
        assert zero["spec"]["containers"][0]["env"][0]["name"] == "JOB_COMPLETION_INDEX"
        assert meta.name(zero).startswith("pi-0-")
        await end(world, one)
        await world.settle()
        assert (status(world)["completedIndexes"], len(running(world))) == ("1", 2)
        await end(world, zero, "Failed", 1)
        await world.advance(11)
        assert sorted(meta.labels(p)[INDEX] for p in running(world)) == ["0", "2"]
        await end_all(world)
        assert (status(world)["completedIndexes"], status(world)["succeeded"]) == ("0-2", 3)
        assert conditions(world)["Complete"][0] == "True"

    run(go())


def test_a_limit_for_each_index():
    async def go() -> None:
        spec = {"completions": 2, "parallelism": 2, "completionMode": "Indexed", "backoffLimitPerIndex": 1}
        world = await world_with(a_job(**spec))
        zero, one = running(world)
        await end(world, one)
        await end(world, zero, "Failed", 1)
        await world.advance(11)
        await end_all(world, "Failed", 1)
        assert (status(world)["failedIndexes"], status(world)["completedIndexes"]) == ("0", "1")
        assert conditions(world)["Failed"] == ("True", "FailedIndexes")

    run(go())


def test_failure_policy():
    async def go() -> None:
        rules = [
            {"action": "Ignore", "onExitCodes": {"operator": "In", "values": [3]}},
            {"action": "FailJob", "onExitCodes": {"operator": "In", "values": [42]}},
        ]
        world = await world_with(a_job(podFailurePolicy={"rules": rules}))
        await end_all(world, "Failed", 3)
        assert "failed" not in status(world)
        await world.advance(11)
        (pod,) = running(world)
        await end_all(world, "Failed", 42)
        assert conditions(world)["Failed"] == ("True", "PodFailurePolicy")
        (text,) = world.events.messages("PodFailurePolicy")
        assert text == (
            f"Container main for pod default/{meta.name(pod)} failed with exit code 42 matching FailJob rule at index 1"
        )

    run(go())


def test_success_policy_ends_the_others():
    async def go() -> None:
        rules = [{"succeededIndexes": "1"}]
        world = await world_with(
            a_job(completions=3, parallelism=3, completionMode="Indexed", successPolicy={"rules": rules})
        )
        await end(world, running(world)[1])
        await world.settle()
        assert conditions(world)["Complete"] == ("True", "SuccessPolicy")
        assert (status(world)["succeeded"], status(world).get("failed", 0), running(world)) == (1, 0, [])

    run(go())


def test_fewer_at_once():
    async def go() -> None:
        world = await world_with(a_job(completions=5, parallelism=3))
        await world.client.patch(JOBS, "pi", "default", {"spec": {"parallelism": 1}})
        await world.settle()
        assert (len(world.client.all("pods")), status(world).get("failed", 0)) == (1, 0)

    run(go())


def test_a_work_queue_ends_when_all_have_after_the_first_success():
    async def go() -> None:
        made = a_job(parallelism=2)
        del made["spec"]["completions"]
        world = await world_with(made)
        first, second = running(world)
        await end(world, first)
        await world.settle()
        assert (conditions(world), len(running(world))) == ({}, 1)
        await end(world, second)
        await world.settle()
        assert conditions(world)["Complete"][0] == "True"

    run(go())


def test_time_to_live():
    async def go() -> None:
        world = await world_with(a_job(ttlSecondsAfterFinished=60))
        await end_all(world)
        await world.advance(59)
        assert not meta.deleting(world.client.find(JOBS, "pi", "default"))
        await world.advance(2)
        assert meta.deleting(world.client.find(JOBS, "pi", "default"))

    run(go())


def test_pods_of_a_job_that_is_gone_are_let_go():
    async def go() -> None:
        world = await world_with(a_job())
        await world.client.delete(JOBS, "pi", "default")
        await world.settle()
        assert not any(p["metadata"].get("finalizers") for p in world.client.all("pods"))

    run(go())


def test_jobs_of_others_are_left_alone():
    async def go() -> None:
        world = await world_with(a_job(managedBy="example.com/other"))
        assert world.client.all("pods") == []

    run(go())
