"""CronJob: a Job at each moment of the schedule, in virtual time (which starts on 1 January 2026, 00:00 UTC)."""

from __future__ import annotations

from typing import Any

from controller_world import World, run

from sampan.api import meta
from sampan.api.meta import Obj
from sampan.api.status import forbidden
from sampan.controllers import cronjob

CRON, JOBS = "cronjobs.batch", "jobs.batch"


def cron_job(schedule: str = "*/10 * * * *", **spec: Any) -> Obj:
    template = {"metadata": {"labels": {"by": "cron"}}, "spec": {"template": {"spec": {"containers": []}}}}
    return {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": {"name": "tick", "namespace": "default"},
        "spec": {
            "schedule": schedule,
            "concurrencyPolicy": "Allow",
            "successfulJobsHistoryLimit": 3,
            "failedJobsHistoryLimit": 1,
            "jobTemplate": template,
        }
        | spec,
    }


async def world_with(made: Obj) -> World:
    world = World(cronjob.controller())
    await world.add(CRON, made)
    await world.settle()
    return world


def jobs(world: World) -> list[str]:
    return [meta.name(j) for j in world.client.all(JOBS)]


def status(world: World) -> Obj:
    return world.client.find(CRON, "tick", "default").get("status", {})


async def end(world: World, kind: str = "Complete") -> None:
    now = meta.timestamp(world.clock.now())
    for each in world.client.all(JOBS):
        if not each.get("status"):
            condition = {"type": kind, "status": "True", "lastTransitionTime": now}
            await world.status(JOBS, each, {"startTime": now, "completionTime": now, "conditions": [condition]})
    await world.settle()


def test_a_job_at_each_moment():
    async def go() -> None:
        world = await world_with(cron_job())
        await world.advance(599)
        assert jobs(world) == []
        await world.advance(2)
        (made,) = world.client.all(JOBS)
        # Minutes since 1970: the same moment never makes two.
        assert meta.name(made) == "tick-29453770"
        assert meta.annotations(made)["batch.kubernetes.io/cronjob-scheduled-timestamp"] == "2026-01-01T00:10:00Z"
        assert meta.labels(made) == {"by": "cron"}
        assert meta.controller_of(made)["kind"] == "CronJob"
        assert status(world)["lastScheduleTime"] == "2026-01-01T00:10:00Z"
        assert [r["name"] for r in status(world)["active"]] == ["tick-29453770"]
        await end(world)
        assert "active" not in status(world)
        assert status(world)["lastSuccessfulTime"] == "2026-01-01T00:10:01Z"
        assert world.events.messages("SawCompletedJob") == ["Saw completed job: tick-29453770, condition: Complete"]
        await world.advance(600)
        assert len(jobs(world)) == 2

    run(go())


def test_time_zone():
    async def go() -> None:
        world = await world_with(cron_job("0 9 * * *", timeZone="Asia/Shanghai"))
        await world.advance(3600)
        assert jobs(world) == []
        await world.advance(1)
        (made,) = world.client.all(JOBS)
        stamp = meta.annotations(made)["batch.kubernetes.io/cronjob-scheduled-timestamp"]
        assert stamp == "2026-01-01T09:00:00+08:00"

    run(go())


def test_a_zone_that_is_not_known_is_told():
    async def go() -> None:
        world = await world_with(cron_job(timeZone="Nowhere/At_all"))
        await world.advance(3600)
        assert jobs(world) == []
        assert world.events.messages("UnknownTimeZone") == ['invalid timeZone: "Nowhere/At_all"']

    run(go())


def test_forbid_and_replace():
    async def go() -> None:
        world = await world_with(cron_job(concurrencyPolicy="Forbid"))
        await world.advance(1201)
        assert len(jobs(world)) == 1
        assert world.events.messages("JobAlreadyActive")
        await world.client.patch(CRON, "tick", "default", {"spec": {"concurrencyPolicy": "Replace"}})
        await world.advance(600)
        assert jobs(world) == ["tick-29453790"]

    run(go())


def test_allow_runs_several_at_once():
    async def go() -> None:
        world = await world_with(cron_job())
        await world.advance(1801)
        assert len(status(world)["active"]) == len(jobs(world)) == 3

    run(go())


def test_suspend():
    async def go() -> None:
        world = await world_with(cron_job(suspend=True))
        await world.advance(3601)
        assert jobs(world) == []
        # Moments missed while suspended count: the last of them comes now.
        await world.client.patch(CRON, "tick", "default", {"spec": {"suspend": False}})
        await world.settle()
        assert jobs(world) == ["tick-29453820"]

    run(go())


def test_too_late_is_too_late():
    async def go() -> None:
        world = await world_with(cron_job(suspend=True, startingDeadlineSeconds=60))
        await world.advance(3720)
        await world.client.patch(CRON, "tick", "default", {"spec": {"suspend": False}})
        await world.settle()
        assert jobs(world) == []
        await world.advance(600)
        assert len(jobs(world)) == 1

    run(go())


def test_history_limits():
    async def go() -> None:
        world = await world_with(cron_job(successfulJobsHistoryLimit=2))
        for kind in ("Complete", "Failed", "Complete", "Failed", "Complete"):
            await world.advance(601)
            await end(world, kind)
        kinds = [j["status"]["conditions"][0]["type"] for j in world.client.all(JOBS)]
        assert sorted(kinds) == ["Complete", "Complete", "Failed"]

    run(go())


def test_after_a_crash_between_job_and_status_the_job_is_known():
    async def go() -> None:
        world = await world_with(cron_job(concurrencyPolicy="Forbid"))
        await world.advance(595)
        world.client.fail("patch", CRON, forbidden(CRON, "tick", "killed"))
        await world.advance(10)
        assert len(jobs(world)) == 1
        assert len(status(world)["active"]) == 1

    run(go())


def test_a_job_made_by_hand_is_not_active():
    async def go() -> None:
        world = await world_with(cron_job(concurrencyPolicy="Forbid"))
        owner = meta.owner_reference(world.client.find(CRON, "tick", "default"))
        metadata = {"name": "manual", "namespace": "default", "ownerReferences": [owner]}
        metadata["annotations"] = {"cronjob.kubernetes.io/instantiate": "manual"}
        await world.add(JOBS, {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": {}})
        await world.advance(601)
        assert len(jobs(world)) == 2

    run(go())
