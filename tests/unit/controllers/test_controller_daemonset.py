"""DaemonSet: one pod on each node that fits, and rolling updates."""

from __future__ import annotations

from typing import Any

from controller_world import World, node, run

from sampan.api import meta
from sampan.api.meta import Obj
from sampan.controllers import daemonset, replicationcontroller
from sampan.controllers.daemonset_pods import node_of

DS, REVISIONS, RC = "daemonsets.apps", "controllerrevisions.apps", "replicationcontrollers"


def daemon_set(spec: Obj | None = None, **more: Any) -> Obj:
    labels = {"app": "agent"}
    containers = [{"name": "main", "image": "x:1"}]
    return {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {"name": "agent", "namespace": "default"},
        "spec": {
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": containers, **(spec or {})}},
            **more,
        },
    }


async def world_with(made: Obj, nodes: int = 3, **labels: str) -> World:
    world = World(daemonset.controller())
    for i in range(nodes):
        await world.add("nodes", *node(f"n{i}", labels={"number": str(i), **labels}))
    await world.add(DS, made)
    await world.settle()
    return world


def places(world: World) -> list[str]:
    return sorted(node_of(p) for p in world.client.all("pods") if not meta.deleting(p))


def images(world: World) -> list[str]:
    alive = [p for p in world.client.all("pods") if not meta.deleting(p)]
    return sorted(p["spec"]["containers"][0]["image"] for p in alive)


def status(world: World) -> Obj:
    return world.client.find(DS, "agent", "default")["status"]


async def all_ready(world: World) -> None:
    for pod in world.client.all("pods"):
        if not meta.is_true(pod, "Ready"):
            await world.ready(pod)
    await world.settle()


async def change(world: World, image: str) -> None:
    template = {"spec": {"containers": [{"name": "main", "image": image}]}}
    await world.client.patch(DS, "agent", "default", {"spec": {"template": template}})
    await world.settle()


def test_a_pod_for_each_node_that_comes_and_goes():
    async def go() -> None:
        world = await world_with(daemon_set())
        assert places(world) == ["n0", "n1", "n2"]
        pod = world.client.all("pods")[0]
        assert {t["key"] for t in pod["spec"]["tolerations"]} >= {"node.kubernetes.io/unschedulable"}
        (revision,) = world.client.all(REVISIONS)
        assert meta.name(revision) == f"agent-{meta.labels(pod)['controller-revision-hash']}"
        await all_ready(world)
        shown = status(world)
        wanted = (
            "desiredNumberScheduled",
            "currentNumberScheduled",
            "numberReady",
            "updatedNumberScheduled",
            "numberAvailable",
        )
        assert [shown[key] for key in wanted] == [3] * 5
        await world.add("nodes", *node("n3"))
        await world.settle()
        assert places(world) == ["n0", "n1", "n2", "n3"]

    run(go())


def test_a_lagging_cache_makes_no_second_pod():
    async def go() -> None:
        world = World(daemonset.controller())
        await world.add("nodes", *node("n0"))
        made = await world.add(DS, daemon_set())
        world.sync()
        world.caches["pods"].frozen = True
        for _ in range(3):
            await world.step([(0, meta.key(made))])
        assert places(world) == ["n0"]

    run(go())


def test_selectors_affinity_and_taints():
    async def go() -> None:
        world = await world_with(daemon_set({"nodeSelector": {"number": "1"}}))
        assert places(world) == ["n1"]
        await world.client.patch("nodes", "n2", "", {"metadata": {"labels": {"number": "1"}}})
        await world.settle()
        assert places(world) == ["n1", "n2"]
        await world.client.patch("nodes", "n1", "", {"spec": {"taints": [{"key": "k", "effect": "NoSchedule"}]}})
        await world.settle()
        # What is there stays.
        assert (places(world), status(world)["desiredNumberScheduled"]) == (["n1", "n2"], 1)
        assert status(world)["numberMisscheduled"] == 1
        await world.client.patch("nodes", "n1", "", {"spec": {"taints": [{"key": "k", "effect": "NoExecute"}]}})
        await world.settle()
        assert places(world) == ["n2"]

    run(go())


def test_rolling_update_as_many_as_may_be_missing():
    async def go() -> None:
        world = await world_with(daemon_set())
        await all_ready(world)
        await change(world, "x:2")
        assert images(world) == ["x:1", "x:1", "x:2"]
        assert status(world)["updatedNumberScheduled"] == 1
        for _ in range(3):
            await all_ready(world)
        assert images(world) == ["x:2"] * 3
        assert sorted(r["revision"] for r in world.client.all(REVISIONS)) == [1, 2]

    run(go())


def test_pods_that_do_not_work_are_replaced_at_once():
    async def go() -> None:
        world = await world_with(daemon_set())
        await change(world, "x:2")
        assert images(world) == ["x:2"] * 3

    run(go())


def test_surge_starts_the_new_one_first():
    async def go() -> None:
        strategy = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}
        world = await world_with(daemon_set(updateStrategy=strategy), nodes=2)
        await all_ready(world)
        await change(world, "x:2")
        assert images(world) == ["x:1", "x:1", "x:2"]
        await all_ready(world)
        assert images(world) == ["x:1", "x:2", "x:2"]
        await all_ready(world)
        assert images(world) == ["x:2", "x:2"]
        assert places(world) == ["n0", "n1"]

    run(go())


def test_on_delete_waits_for_the_user():
    async def go() -> None:
        world = await world_with(daemon_set(updateStrategy={"type": "OnDelete"}), nodes=2)
        await all_ready(world)
        await change(world, "x:2")
        assert images(world) == ["x:1", "x:1"]
        await world.client.delete("pods", meta.name(world.client.all("pods")[0]), "default", grace=0)
        await world.settle()
        assert images(world) == ["x:1", "x:2"]

    run(go())


def test_a_failed_pod_is_replaced():
    async def go() -> None:
        world = await world_with(daemon_set(), nodes=1)
        (old,) = world.client.all("pods")
        await world.status("pods", old, {"phase": "Failed"})
        await world.settle()
        assert [meta.uid(p) == meta.uid(old) for p in world.client.all("pods")] == [False]
        assert "on node n0, will try to kill it" in world.events.messages("FailedDaemonPod")[0]

    run(go())


def test_a_node_that_fails_every_pod_gets_them_ever_more_slowly():
    async def go() -> None:
        world = await world_with(daemon_set(), nodes=1)
        made = []
        for _ in range(30):
            for pod in world.client.all("pods"):
                await world.status("pods", pod, {"phase": "Failed"})
            await world.advance(1)
            made.append(meta.uid(world.client.all("pods")[0]))
        # At once, then after 1, 2, 4, 8 seconds.
        assert len(set(made)) in (5, 6)

    run(go())


def test_a_replication_controller_keeps_its_pods():
    async def go() -> None:
        world = World(replicationcontroller.controller())
        template = {"metadata": {"labels": {"app": "old"}}, "spec": {"containers": [{"name": "main", "image": "x"}]}}
        spec = {"replicas": 2, "selector": {"app": "old"}, "template": template}
        made = {
            "apiVersion": "v1",
            "kind": "ReplicationController",
            "metadata": {"name": "old", "namespace": "default"},
        }
        await world.add(RC, {**made, "spec": spec})
        await world.settle()
        first, _ = world.client.all("pods")
        assert meta.controller_of(first)["kind"] == "ReplicationController"
        await world.client.delete("pods", meta.name(first), "default", grace=0)
        await world.settle()
        assert len(world.client.all("pods")) == 2
        assert world.client.find(RC, "old", "default")["status"]["replicas"] == 2

    run(go())
