"""StatefulSet: names, order, rolling updates and claims."""

from __future__ import annotations

from typing import Any

import pytest
from controller_scheme import SCHEME
from controller_world import World, pod, run

from sampan.api import meta
from sampan.api.meta import Obj
from sampan.api.scheme import Resource, Scheme, Strategy
from sampan.controllers import statefulset

STS, REVISIONS = "statefulsets.apps", "controllerrevisions.apps"
CLAIMS = "persistentvolumeclaims"
WITH_CLAIMS = Scheme(
    (*SCHEME.resources, Resource("", "v1", "PersistentVolumeClaim", CLAIMS, "", Strategy((), lambda o, n: [])))
)


def stateful_set(replicas: int = 3, **spec: Any) -> Obj:
    labels = {"app": "web"}
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {"name": "web", "namespace": "default"},
        "spec": {
            "replicas": replicas,
            "serviceName": "nginx",
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "main", "image": "x:1"}]}},
            **spec,
        },
    }


async def world_with(made: Obj, scheme: Scheme = SCHEME) -> World:
    world = World(statefulset.controller(scheme))
    await world.add(STS, made)
    await world.settle()
    return world


def names(world: World) -> list[str]:
    return [meta.name(p) for p in world.client.all("pods") if not meta.deleting(p)]


def images(world: World) -> list[str]:
    return [p["spec"]["containers"][0]["image"] for p in world.client.all("pods")]


async def all_ready(world: World, rounds: int = 20) -> None:
    """A kubelet that makes each new pod ready."""
    for _ in range(rounds):
        waiting = [p for p in world.client.all("pods") if not meta.is_true(p, "Ready")]
        for each in waiting:
            await world.ready(each)
        await world.settle()
        if not waiting:
            return


async def patch(world: World, spec: Obj) -> None:
    await world.client.patch(STS, "web", "default", {"spec": spec})
    await world.settle()


def template(image: str) -> Obj:
    return {
        "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "main", "image": image}]}}
    }


def status(world: World) -> Obj:
    return world.client.find(STS, "web", "default")["status"]


def test_pods_start_one_after_the_other_with_names_of_their_own():
    async def go() -> None:
        world = await world_with(stateful_set())
        assert names(world) == ["web-0"]
        (first,) = world.client.all("pods")
        assert meta.labels(first)["statefulset.kubernetes.io/pod-name"] == "web-0"
        assert meta.labels(first)["apps.kubernetes.io/pod-index"] == "0"
        assert (first["spec"]["hostname"], first["spec"]["subdomain"]) == ("web-0", "nginx")
        await world.ready(first)
        await world.settle()
        assert names(world) == ["web-0", "web-1"]
        await all_ready(world)
        assert names(world) == ["web-0", "web-1", "web-2"]
        (revision,) = world.client.all(REVISIONS)
        assert {meta.labels(p)["controller-revision-hash"] for p in world.client.all("pods")} == {meta.name(revision)}
        shown = status(world)
        assert (shown["replicas"], shown["readyReplicas"], shown["availableReplicas"]) == (3, 3, 3)
        assert shown["currentRevision"] == shown["updateRevision"] == meta.name(revision)

    run(go())


def test_parallel_and_ordinals():
    async def go() -> None:
        world = await world_with(stateful_set(podManagementPolicy="Parallel", ordinals={"start": 5}))
        assert names(world) == ["web-5", "web-6", "web-7"]

    run(go())


def test_a_lagging_cache_makes_no_trouble():
    async def go() -> None:
        world = World(statefulset.controller(SCHEME))
        made = await world.add(STS, stateful_set())
        world.sync()
        world.caches["pods"].frozen = world.caches[REVISIONS].frozen = True
        for _ in range(3):
            assert await world.step([(0, meta.key(made))]) == []
        assert names(world) == ["web-0"]
        assert len(world.client.all(REVISIONS)) == 1

    run(go())


def test_shrinks_from_the_end_and_waits_for_each():
    async def go() -> None:
        world = await world_with(stateful_set())
        await all_ready(world)
        for each in world.client.all("pods"):
            await world.client.patch("pods", meta.name(each), "default", {"spec": {"nodeName": "n"}})
        await patch(world, {"replicas": 1})
        assert names(world) == ["web-0", "web-1"]
        await world.client.delete("pods", "web-2", "default", grace=0)
        await world.settle()
        assert names(world) == ["web-0"]

    run(go())


def test_a_rolling_update_goes_backwards_one_pod_at_a_time():
    async def go() -> None:
        world = await world_with(stateful_set())
        await all_ready(world)
        await patch(world, template("x:2"))
        assert images(world) == ["x:1", "x:1", "x:2"]
        shown = status(world)
        assert shown["updatedReplicas"] == 1
        assert shown["currentRevision"] != shown["updateRevision"]
        await world.ready(world.client.find("pods", "web-2", "default"))
        await world.settle()
        assert images(world) == ["x:1", "x:2", "x:2"]
        await all_ready(world)
        assert images(world) == ["x:2"] * 3
        shown = status(world)
        assert shown["currentRevision"] == shown["updateRevision"]
        assert sorted(r["revision"] for r in world.client.all(REVISIONS)) == [1, 2]

    run(go())


def test_the_partition_keeps_the_former_template():
    async def go() -> None:
        world = await world_with(
            stateful_set(updateStrategy={"type": "RollingUpdate", "rollingUpdate": {"partition": 2}})
        )
        await all_ready(world)
        await patch(world, template("x:2"))
        await all_ready(world)
        assert images(world) == ["x:1", "x:1", "x:2"]
        # A pod below the partition comes back as it was.
        await world.client.delete("pods", "web-0", "default", grace=0)
        await world.settle()
        await all_ready(world)
        assert images(world) == ["x:1", "x:1", "x:2"]

    run(go())


def test_on_delete_waits_for_the_user():
    async def go() -> None:
        world = await world_with(stateful_set(updateStrategy={"type": "OnDelete"}))
        await all_ready(world)
        await patch(world, template("x:2"))
        assert images(world) == ["x:1"] * 3
        await world.client.delete("pods", "web-1", "default", grace=0)
        await world.settle()
        assert images(world) == ["x:1", "x:2", "x:1"]

    run(go())


def test_undo_brings_the_old_revision_back_with_a_new_number():
    async def go() -> None:
        world = await world_with(stateful_set(1, revisionHistoryLimit=1))
        first = world.client.all(REVISIONS)[0]
        for image in ("x:2", "x:1", "x:3", "x:4"):
            await all_ready(world)
            await patch(world, template(image))
            if image == "x:1":
                assert world.client.find(REVISIONS, meta.name(first), "default")["revision"] == 3
        await all_ready(world)
        assert sorted(r["revision"] for r in world.client.all(REVISIONS)) == [4, 5]

    run(go())


def test_a_failed_pod_is_made_anew():
    async def go() -> None:
        world = await world_with(stateful_set(1))
        (old,) = world.client.all("pods")
        await world.status("pods", old, {"phase": "Failed"})
        await world.settle()
        (new,) = world.client.all("pods")
        assert (meta.name(new), meta.uid(new) == meta.uid(old)) == ("web-0", False)
        assert world.events.messages("RecreatingFailedPod")

    run(go())


def test_a_name_that_is_taken_is_told():
    async def go() -> None:
        world = World(statefulset.controller(SCHEME))
        await world.add("pods", pod("web-0"))
        made = await world.add(STS, stateful_set(1))
        world.sync()
        assert await world.step([(0, meta.key(made))]) == [(0, meta.key(made))]
        (text,) = world.events.messages("FailedCreate")
        assert text == 'create Pod web-0 in StatefulSet web failed error: pods "web-0" already exists'

    run(go())


def test_min_ready_seconds_holds_the_next_pod_back():
    async def go() -> None:
        world = await world_with(stateful_set(2, minReadySeconds=10))
        await world.ready(world.client.all("pods")[0])
        await world.advance(9)
        assert names(world) == ["web-0"]
        await world.advance(2)
        assert names(world) == ["web-0", "web-1"]

    run(go())


@pytest.mark.parametrize(
    ("policy", "kept", "scaled"),
    [
        ({}, [], []),
        ({"whenDeleted": "Delete"}, ["StatefulSet"], ["StatefulSet"]),
        ({"whenScaled": "Delete"}, [], ["Pod"]),
    ],
)
def test_claims_are_made_before_the_pod_and_go_as_the_policy_says(policy, kept, scaled):
    async def go() -> None:
        templates = [{"metadata": {"name": "data"}, "spec": {"accessModes": ["ReadWriteOnce"]}}]
        made = stateful_set(2, volumeClaimTemplates=templates, persistentVolumeClaimRetentionPolicy=policy)
        world = await world_with(made, WITH_CLAIMS)
        await all_ready(world)
        assert [meta.name(c) for c in world.client.all(CLAIMS)] == ["data-web-0", "data-web-1"]
        volumes = [p["spec"]["volumes"] for p in world.client.all("pods")]
        assert volumes[1] == [{"name": "data", "persistentVolumeClaim": {"claimName": "data-web-1"}}]
        for each in world.client.all("pods"):
            await world.client.patch("pods", meta.name(each), "default", {"spec": {"nodeName": "n"}})
        await patch(world, {"replicas": 1})
        found = [[r["kind"] for r in c["metadata"].get("ownerReferences") or ()] for c in world.client.all(CLAIMS)]
        assert found == [kept, scaled]

    run(go())
