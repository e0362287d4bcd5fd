"""Deployment: rollouts end where the manifest says, and on the way never leave the bounds of maxSurge/maxUnavailable."""

from __future__ import annotations

import itertools

import pytest
from controller_world import World, run, workload

from sampan.api import meta
from sampan.api.status import forbidden
from sampan.controllers import deployment, replicaset
from sampan.controllers.deployment_rollout import DESIRED, MAXIMUM, REVISION, REVISION_HISTORY
from sampan.controllers.deployment_template import HASH

D, RS = "deployments.apps", "replicasets.apps"


def _world() -> World:
    return World(deployment.controller(), replicaset.controller())


def _deployment(replicas: int = 3, **spec):
    return workload("Deployment", "web", replicas, **{"progressDeadlineSeconds": 600, **spec})


def _rolling(surge: int | str, unavailable: int | str):
    return {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": surge, "maxUnavailable": unavailable}}


def _sets(world: World):
    """Image → ReplicaSet."""
    return {rs["spec"]["template"]["spec"]["containers"][0]["image"]: rs for rs in world.client.all(RS)}


def _sizes(world: World) -> dict[str, int]:
    return {image: rs["spec"]["replicas"] for image, rs in _sets(world).items()}


def _get(world: World):
    return world.client.find(D, "web", "default")


def _condition(world: World, kind: str):
    found = meta.condition(_get(world), kind)
    return found and (found["status"], found["reason"], found["message"])


async def _image(world: World, image: str, **spec) -> None:
    template = {"spec": {"containers": [{"name": "main", "image": image}]}}
    await world.client.patch(D, "web", "default", {"spec": {"template": template, **spec}})


async def _kubelet(world: World, limit: int | None = None, image: str = "") -> int:
    """Make waiting pods ready (at most `limit`, of this image); returns how many."""
    waiting = [
        p
        for p in world.client.all("pods")
        if not meta.is_true(p, "Ready") and image in ("", p["spec"]["containers"][0]["image"])
    ]
    for pod in waiting[:limit]:
        await world.ready(pod)
    return len(waiting[:limit])


async def _roll_out(world: World) -> None:
    """To the end, one ready pod at a time."""
    await world.settle()
    while await _kubelet(world, 1):
        await world.advance(1)
    await world.settle()


def test_first_rollout():
    async def go() -> None:
        world = _world()
        await world.add(D, _deployment())
        await world.settle()
        (rs,) = world.client.all(RS)
        suffix = rs["spec"]["selector"]["matchLabels"][HASH]
        assert meta.name(rs) == f"web-{suffix}"
        assert set(suffix) <= set("bcdfghjklmnpqrstvwxz2456789")
        assert meta.annotations(rs) == {REVISION: "1", DESIRED: "3", MAXIMUM: "4"}
        assert all(meta.labels(p) == {"app": "web", HASH: suffix} for p in world.client.all("pods"))
        assert world.events.messages("ScalingReplicaSet") == [f"Scaled up replica set web-{suffix} from 0 to 3"]
        created = f'Created new replica set "web-{suffix}"'
        updated = f'ReplicaSet "web-{suffix}" is progressing.'
        assert _condition(world, "Progressing") in (
            ("True", "NewReplicaSetCreated", created),
            ("True", "ReplicaSetUpdated", updated),
        )
        assert _condition(world, "Available") == (
            "False",
            "MinimumReplicasUnavailable",
            "Deployment does not have minimum availability.",
        )
        await _roll_out(world)
        done = f'ReplicaSet "web-{suffix}" has successfully progressed.'
        assert _condition(world, "Progressing") == ("True", "NewReplicaSetAvailable", done)
        assert _condition(world, "Available") == (
            "True",
            "MinimumReplicasAvailable",
            "Deployment has minimum availability.",
        )
        status = {k: v for k, v in _get(world)["status"].items() if k != "conditions"}
        counts = dict.fromkeys(["replicas", "updatedReplicas", "readyReplicas", "availableReplicas"], 3)
        assert status == {"observedGeneration": 1, **counts}
        assert meta.annotations(_get(world))[REVISION] == "1"

    run(go())


def test_a_settled_deployment_writes_nothing():
    async def go() -> None:
        world = _world()
        made = await world.add(D, _deployment())
        await _roll_out(world)
        before = world.client.writes
        for _ in range(3):
            await world.step([(0, meta.key(made)), (1, meta.key(world.client.all(RS)[0]))])
        assert world.client.writes == before

    run(go())


@pytest.mark.parametrize("replicas", [1, 3, 10])
@pytest.mark.parametrize(("surge", "unavailable"), [(1, 0), (0, 1), ("25%", "25%"), (3, 2), ("100%", "100%")])
def test_a_rolling_update_stays_within_its_bounds(replicas, surge, unavailable):
    async def go() -> None:
        world = _world()
        await world.add(D, _deployment(replicas, strategy=_rolling(surge, unavailable)))
        await _roll_out(world)
        await _image(world, "x:2")
        limits = {"25%": (-(-replicas // 4), replicas // 4), "100%": (replicas, replicas)}
        most = replicas + (limits[surge][0] if isinstance(surge, str) else surge)
        least = replicas - (limits[unavailable][1] if isinstance(unavailable, str) else unavailable)
        for _ in range(200):
            # One reconcile at a time, so that no step in between goes unseen.
            work = world.sync()
            if not work and not await _kubelet(world, 1):
                break
            for item in work:
                await world.step([item])
                pods = [p for p in world.client.all("pods") if not meta.deleting(p)]
                assert len(pods) <= most
                assert sum(meta.is_true(p, "Ready") for p in pods) >= max(0, least)
        assert _sizes(world) == {"x:1": 0, "x:2": replicas}
        assert _condition(world, "Progressing")[1] == "NewReplicaSetAvailable"

    run(go())


def test_broken_old_pods_make_room_first():
    async def go() -> None:
        world = _world()
        await world.add(D, _deployment(4, strategy=_rolling(1, 1)))
        await world.settle()
        await _kubelet(world, 3)
        await world.settle()
        broken = [meta.name(p) for p in world.client.all("pods") if not meta.is_true(p, "Ready")]
        await _image(world, "x:2")
        await world.settle()
        assert broken[0] not in [meta.name(p) for p in world.client.all("pods")]
        assert sum(meta.is_true(p, "Ready") for p in world.client.all("pods")) == 3

    run(go())


def test_undo_reuses_the_old_replicaset_and_raises_its_revision():
    async def go() -> None:
        world = _world()
        await world.add(D, _deployment())
        await _roll_out(world)
        await _image(world, "x:2")
        await _roll_out(world)
        first = meta.name(_sets(world)["x:1"])
        assert meta.annotations(_get(world))[REVISION] == "2"
        await _image(world, "x:1")
        await _roll_out(world)
        assert _sizes(world) == {"x:1": 3, "x:2": 0}
        assert meta.name(_sets(world)["x:1"]) == first
        assert meta.annotations(_sets(world)["x:1"])[REVISION] == "3"
        assert meta.annotations(_sets(world)["x:1"])[REVISION_HISTORY] == "1"
        assert meta.annotations(_get(world))[REVISION] == "3"

    run(go())


def test_change_cause_reaches_the_history():
    async def go() -> None:
        world = _world()
        wanted = _deployment()
        wanted["metadata"]["annotations"] = {
            "kubernetes.io/change-cause": "first",
            "kubectl.kubernetes.io/last-applied-configuration": "{}",
        }
        await world.add(D, wanted)
        await world.settle()
        annotations = meta.annotations(_sets(world)["x:1"])
        assert annotations["kubernetes.io/change-cause"] == "first"
        assert "kubectl.kubernetes.io/last-applied-configuration" not in annotations

    run(go())


def test_history_is_cut_to_its_limit():
    async def go() -> None:
        world = _world()
        await world.add(D, _deployment(1, revisionHistoryLimit=2))
        await _roll_out(world)
        for i in range(2, 7):
            await world.advance(5)
            await _image(world, f"x:{i}")
            await _roll_out(world)
        assert _sizes(world) == {"x:4": 0, "x:5": 0, "x:6": 1}

    run(go())


def test_recreate_waits_until_the_old_pods_are_gone():
    async def go() -> None:
        world = _world()
        await world.add(D, _deployment(2, strategy={"type": "Recreate"}))
        await _roll_out(world)
        for pod in world.client.all("pods"):
            await world.client.patch("pods", meta.name(pod), "default", {"spec": {"nodeName": "n"}})
        await _image(world, "x:2")
        await world.settle()
        pods = world.client.all("pods")
        assert len(pods) == 2
        assert all(meta.deleting(p) for p in pods)
        for pod in pods:
            await world.client.delete("pods", meta.name(pod), "default", grace=0)
        await _roll_out(world)
        assert _sizes(world) == {"x:1": 0, "x:2": 2}
        assert len(world.client.all("pods")) == 2

    run(go())


def test_scaling_in_the_middle_of_a_rollout_is_shared():
    async def go() -> None:
        world = _world()
        await world.add(D, _deployment(10, strategy=_rolling(3, 2)))
        await _roll_out(world)
        await _image(world, "x:broken")
        await world.settle()
        assert _sizes(world) == {"x:1": 8, "x:broken": 5}
        await world.client.patch(D, "web", "default", {"spec": {"replicas": 15}})
        await world.settle()
        assert _sizes(world) == {"x:1": 11, "x:broken": 7}

    run(go())


@pytest.mark.parametrize("strategy", [_rolling(1, 1), {"type": "Recreate"}])
def test_scaling_down_to_zero_and_up(strategy):
    async def go() -> None:
        world = _world()
        await world.add(D, _deployment(3, strategy=strategy))
        await _roll_out(world)
        for size in (0, 4):
            await world.client.patch(D, "web", "default", {"spec": {"replicas": size}})
            await _roll_out(world)
            assert len(world.client.all("pods")) == size
            assert _get(world)["status"].get("availableReplicas", 0) == size

    run(go())


def test_paused_does_not_roll_but_scales():
    async def go() -> None:
        world = _world()
        await world.add(D, _deployment())
        await _roll_out(world)
        await _image(world, "x:2", paused=True)
        await world.settle()
        assert _sizes(world) == {"x:1": 3}
        assert _condition(world, "Progressing") == ("Unknown", "DeploymentPaused", "Deployment is paused")
        await world.client.patch(D, "web", "default", {"spec": {"replicas": 5}})
        await world.settle()
        assert _sizes(world) == {"x:1": 5}
        await world.client.patch(D, "web", "default", {"spec": {"paused": None}})
        await world.settle()
        assert _sizes(world)["x:2"] > 0

    run(go())


def test_a_rollout_that_makes_no_progress_is_told():
    async def go() -> None:
        world = _world()
        await world.add(D, _deployment(1, progressDeadlineSeconds=10))
        await world.advance(9)
        assert _condition(world, "Progressing")[0] == "True"
        await world.advance(3)
        name = meta.name(_sets(world)["x:1"])
        late = f'ReplicaSet "{name}" has timed out progressing.'
        assert _condition(world, "Progressing") == ("False", "ProgressDeadlineExceeded", late)
        await _roll_out(world)
        assert _condition(world, "Progressing")[1] == "NewReplicaSetAvailable"

    run(go())


def test_each_step_forward_restarts_the_deadline():
    async def go() -> None:
        world = _world()
        await world.add(D, _deployment(3, progressDeadlineSeconds=10))
        for _ in range(3):
            await world.advance(8)
            assert _condition(world, "Progressing")[0] == "True"
            await _kubelet(world, 1)
        await world.settle()
        assert _condition(world, "Progressing")[1] == "NewReplicaSetAvailable"

    run(go())


def test_a_name_taken_by_a_stranger_leads_to_another_hash():
    async def go() -> None:
        world = _world()
        made = await world.add(D, _deployment())
        wanted = deployment.templates.new_replicaset(made, 3, [])
        stranger = workload("ReplicaSet", meta.name(wanted), 0, selector={"matchLabels": {"app": "stranger"}})
        await world.add(RS, stranger)
        await world.settle()
        assert _get(world)["status"]["collisionCount"] == 1
        mine = [rs for rs in world.client.all(RS) if meta.controller_of(rs)]
        assert len(mine) == 1
        assert meta.name(mine[0]) != meta.name(wanted)

    run(go())


def test_a_refused_replicaset_is_told():
    async def go() -> None:
        world = _world()
        world.client.fail("create", RS, forbidden(RS, "", "quota"))
        made = await world.add(D, _deployment())
        world.sync()
        await world.step([(0, meta.key(made))])
        assert _condition(world, "Progressing")[:2] == ("False", "ReplicaSetCreateError")
        await _roll_out(world)
        assert _condition(world, "Progressing")[1] == "NewReplicaSetAvailable"

    run(go())


def test_failing_pods_show_in_the_deployment():
    async def go() -> None:
        world = _world()
        made = await world.add(D, _deployment())
        await world.settle()
        world.client.fail("create", "pods", forbidden("pods", "", "quota"), times=100)
        await world.client.patch(D, "web", "default", {"spec": {"replicas": 6}})
        for _ in range(6):
            await world.step(world.sync())
        assert _condition(world, "ReplicaFailure")[:2] == ("True", "FailedCreate")
        assert meta.uid(made)

    run(go())


def test_a_lagging_cache_makes_no_second_replicaset():
    async def go() -> None:
        world = _world()
        made = await world.add(D, _deployment())
        world.sync()
        world.caches[RS].frozen = True
        for _ in range(3):
            await world.step([(0, meta.key(made))])
        assert len(world.client.all(RS)) == 1
        world.caches[RS].frozen = False
        await _roll_out(world)
        assert len(world.client.all("pods")) == 3

    run(go())


def test_min_ready_seconds_reaches_the_replicaset():
    async def go() -> None:
        world = _world()
        await world.add(D, _deployment(minReadySeconds=5))
        await world.settle()
        await world.client.patch(D, "web", "default", {"spec": {"minReadySeconds": 7}})
        await world.settle()
        assert _sets(world)["x:1"]["spec"]["minReadySeconds"] == 7

    run(go())


def test_hashes_differ_and_repeat():
    templates = [{"spec": {"containers": [{"image": f"x:{i}"}]}} for i in range(50)]
    hashes = [deployment.templates.template_hash(t, c) for t, c in itertools.product(templates, (0, 1))]
    assert len(set(hashes)) == 100
    assert hashes[0] == deployment.templates.template_hash({"spec": {"containers": [{"image": "x:0"}]}}, 0)
