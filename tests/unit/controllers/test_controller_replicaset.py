"""ReplicaSet: the number of pods is what spec.replicas says, whatever the cache shows and whoever interferes."""

from __future__ import annotations

from controller_world import World, pod, run, workload

from sampan.api import meta
from sampan.api.meta import Key
from sampan.api.status import forbidden, not_found
from sampan.client.types import Preconditions
from sampan.controllers import deletion_order as order
from sampan.controllers import replicaset

RS = "replicasets.apps"


def _world() -> World:
    return World(replicaset.controller())


def _names(world: World) -> list[str]:
    return [meta.name(p) for p in world.client.all("pods") if not meta.deleting(p)]


async def _scale(world: World, replicas: int) -> None:
    await world.client.patch(RS, "web", "default", {"spec": {"replicas": replicas}})


def test_makes_as_many_pods_as_asked_and_counts_them():
    async def go() -> None:
        world = _world()
        await world.add(RS, workload("ReplicaSet", "web", 5))
        await world.settle()
        pods = world.client.all("pods")
        assert len(pods) == 5
        assert all(meta.controller_of(p)["name"] == "web" for p in pods)
        assert all(meta.name(p).startswith("web-") and meta.labels(p) == {"app": "web"} for p in pods)
        await world.ready(pods[0])
        await world.settle()
        status = world.client.find(RS, "web", "default")["status"]
        assert status == {
            "replicas": 5,
            "fullyLabeledReplicas": 5,
            "readyReplicas": 1,
            "availableReplicas": 1,
            "observedGeneration": 1,
        }
        assert len(world.events.messages("SuccessfulCreate")) == 5

    run(go())


def test_a_lagging_cache_never_makes_too_many():
    async def go() -> None:
        world = _world()
        made = await world.add(RS, workload("ReplicaSet", "web", 3))
        world.sync()
        world.caches["pods"].frozen = True
        for _ in range(4):
            await world.step([(0, meta.key(made))])
        assert len(_names(world)) == 3
        await _scale(world, 4)
        await world.settle()
        assert len(_names(world)) == 4

    run(go())


def test_a_lagging_cache_never_deletes_twice():
    async def go() -> None:
        world = _world()
        made = await world.add(RS, workload("ReplicaSet", "web", 4))
        await world.settle()
        world.caches["pods"].frozen = True
        await _scale(world, 2)
        world.sync()
        await world.step([(0, meta.key(made))])
        left = _names(world)
        for name in left:
            # What the cache says of the survivors now makes them the first to go.
            shown = world.caches["pods"].objects[Key("default", name)]
            shown["metadata"]["annotations"] = {order.COST: "-100"}
        await world.step([(0, meta.key(made))])
        assert _names(world) == left
        assert len(left) == 2

    run(go())


def test_a_pod_that_came_and_went_unseen_is_replaced():
    async def go() -> None:
        world = _world()
        await world.add(RS, workload("ReplicaSet", "web", 1))
        world.sync()
        await world.step([(0, meta.key(world.client.find(RS, "web", "default")))])
        (only,) = world.client.all("pods")
        await world.client.delete("pods", meta.name(only), "default", grace=0)
        await world.advance(3)
        assert len(_names(world)) == 1
        assert _names(world) != [meta.name(only)]

    run(go())


def test_a_deleted_pod_is_replaced_at_once_while_it_still_terminates():
    async def go() -> None:
        world = _world()
        await world.add(RS, workload("ReplicaSet", "web", 2))
        await world.settle()
        first = world.client.all("pods")[0]
        await world.client.patch("pods", meta.name(first), "default", {"spec": {"nodeName": "n"}})
        await world.client.delete("pods", meta.name(first), "default")
        await world.settle()
        assert len(world.client.all("pods")) == 3
        assert len(_names(world)) == 2

    run(go())


def test_adopts_matching_orphans_and_releases_what_no_longer_matches():
    async def go() -> None:
        world = _world()
        await world.add("pods", pod("stray", {"app": "web"}))
        await world.add("pods", pod("other", {"app": "else"}))
        await world.add(RS, workload("ReplicaSet", "web", 2))
        await world.settle()
        assert meta.controller_of(world.client.find("pods", "stray", "default"))["name"] == "web"
        assert meta.controller_of(world.client.find("pods", "other", "default")) is None
        assert len(_names(world)) == 3
        await world.client.patch("pods", "stray", "default", {"metadata": {"labels": {"app": "debug"}}})
        await world.settle()
        assert meta.controller_of(world.client.find("pods", "stray", "default")) is None
        assert len(_names(world)) == 4

    run(go())


def test_a_refused_pod_is_told_and_tried_again():
    async def go() -> None:
        world = _world()
        world.client.fail("create", "pods", forbidden("pods", "", "quota"))
        made = await world.add(RS, workload("ReplicaSet", "web", 8))
        world.sync()
        await world.step([(0, meta.key(made))])
        assert _names(world) == []
        status = world.client.find(RS, "web", "default")["status"]
        assert [(c["type"], c["reason"], c["status"]) for c in status["conditions"]] == [
            ("ReplicaFailure", "FailedCreate", "True")
        ]
        assert world.events.messages("FailedCreate") == ["Error creating: pods is forbidden: quota"]
        await world.settle()
        assert len(_names(world)) == 8
        assert "conditions" not in world.client.find(RS, "web", "default")["status"]

    run(go())


def test_a_namespace_that_goes_is_no_fault():
    async def go() -> None:
        world = _world()
        ending = forbidden("pods", "", "namespace default is being terminated")
        ending.details["causes"] = [{"reason": "NamespaceTerminating"}]
        for error in (ending, not_found("namespaces", "default")):
            world.client.fail("create", "pods", error)
        await world.add(RS, workload("ReplicaSet", "web", 1))
        await world.settle()
        assert world.events.seen == []
        assert world.errors == []

    run(go())


def test_min_ready_seconds_delays_available():
    async def go() -> None:
        world = _world()
        await world.add(RS, workload("ReplicaSet", "web", 1, minReadySeconds=10))
        await world.settle()
        await world.ready(world.client.all("pods")[0])
        await world.advance(9)
        assert "availableReplicas" not in world.client.find(RS, "web", "default")["status"]
        await world.advance(2)
        assert world.client.find(RS, "web", "default")["status"]["availableReplicas"] == 1

    run(go())


def test_a_deleting_replicaset_makes_nothing():
    async def go() -> None:
        world = _world()
        made = await world.add(RS, workload("ReplicaSet", "web", 3))
        await world.client.delete(
            RS, "web", "default", propagation="Foreground", preconditions=Preconditions(uid=meta.uid(made))
        )
        await world.settle()
        assert world.client.all("pods") == []

    run(go())


def _running(name: str, node: str = "n1", ready: bool = True, since: str = "2026-01-01T00:00:00Z", **more):
    made = pod(name, node=node)
    made["metadata"] |= {"creationTimestamp": "2026-01-01T00:00:00Z", **more}
    condition = {"type": "Ready", "status": str(ready), "lastTransitionTime": since}
    made["status"] = {"phase": "Running", "conditions": [condition]}
    return made


def test_deletion_order():
    unbound = pod("unbound")
    pending = pod("pending", node="n1")
    pending["status"] = {"phase": "Pending"}
    unready = _running("unready", ready=False)
    cheap = _running("cheap", annotations={order.COST: "-5"})
    crowded = _running("crowded", node="n2")
    young = _running("young", since="2026-01-01T01:00:00Z")
    restarted = _running("restarted")
    restarted["status"]["containerStatuses"] = [{"name": "main", "restartCount": 3}]
    born_late = _running("born-late", creationTimestamp="2026-01-01T02:00:00Z")
    old = _running("old")
    expected = [unbound, pending, unready, cheap, crowded, young, restarted, born_late, old]
    neighbours = [_running(f"neighbour-{i}", node="n2") for i in range(9)]
    found = order.deletion_order(reversed(expected), [*expected, *neighbours])
    assert [meta.name(p) for p in found] == [meta.name(p) for p in expected]


def test_a_cost_that_is_no_number_counts_as_zero():
    assert order.cost(_running("a", annotations={order.COST: "much"})) == 0
