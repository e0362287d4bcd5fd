"""Garbage collection: background, foreground, orphan; and pods nobody would ever end."""

from __future__ import annotations

from controller_scheme import SCHEME
from controller_world import World, node, pod, run, workload

from sampan.api import meta
from sampan.api.meta import Obj
from sampan.controllers import garbagecollector, podgc

D, RS = "deployments.apps", "replicasets.apps"


def _world() -> World:
    return World(garbagecollector.controller(SCHEME))


def _owned(obj: Obj, *owners: Obj, block: bool = True) -> Obj:
    obj["metadata"]["ownerReferences"] = [meta.owner_reference(o, i == 0, block) for i, o in enumerate(owners)]
    return obj


def _names(world: World, *resources: str) -> list[str]:
    return [meta.name(o) for r in resources for o in world.client.all(r)]


async def _family(world: World, block: bool = True) -> None:
    """web (Deployment) → web-1 (ReplicaSet) → web-1-a, web-1-b (pods on a node)."""
    deployment = await world.add(D, workload("Deployment", "web"))
    rs = await world.add(RS, _owned(workload("ReplicaSet", "web-1"), deployment, block=block))
    for name in ("web-1-a", "web-1-b"):
        await world.add("pods", _owned(pod(name, node="n1"), rs, block=block))
    await world.settle()


async def _kubelet(world: World) -> None:
    for each in world.client.all("pods"):
        if meta.deleting(each):
            await world.client.delete("pods", meta.name(each), "default", grace=0)
    await world.settle()


def test_whoever_has_an_owner_stays():
    async def go() -> None:
        world = _world()
        await _family(world)
        await world.add("pods", pod("free"))
        await world.settle()
        assert _names(world, D, RS, "pods") == ["web", "web-1", "free", "web-1-a", "web-1-b"]

    run(go())


def test_background():
    async def go() -> None:
        world = _world()
        await _family(world)
        await world.client.delete(D, "web", "default", propagation="Background")
        await world.settle()
        assert _names(world, D, RS) == []
        assert all(meta.deleting(p) for p in world.client.all("pods"))
        await _kubelet(world)
        assert _names(world, "pods") == []

    run(go())


def test_foreground_keeps_owners_until_the_last_dependent_is_gone():
    async def go() -> None:
        world = _world()
        await _family(world)
        await world.client.delete(D, "web", "default", propagation="Foreground")
        await world.settle()
        assert _names(world, D, RS, "pods") == ["web", "web-1", "web-1-a", "web-1-b"]
        assert all(meta.deleting(p) for p in world.client.all("pods"))
        await world.client.delete("pods", "web-1-a", "default", grace=0)
        await world.settle()
        assert _names(world, D, RS) == ["web", "web-1"]
        await _kubelet(world)
        assert _names(world, D, RS, "pods") == []

    run(go())


def test_foreground_does_not_wait_for_those_who_do_not_block():
    async def go() -> None:
        world = _world()
        await _family(world, block=False)
        await world.client.delete(D, "web", "default", propagation="Foreground")
        await world.settle()
        assert _names(world, D, RS) == []
        assert all(meta.deleting(p) for p in world.client.all("pods"))

    run(go())


def test_orphan():
    async def go() -> None:
        world = _world()
        await _family(world)
        await world.client.delete(D, "web", "default", propagation="Orphan")
        await world.settle()
        assert _names(world, D, RS, "pods") == ["web-1", "web-1-a", "web-1-b"]
        assert "ownerReferences" not in world.client.find(RS, "web-1", "default")["metadata"]

    run(go())


def test_one_of_two_owners_left():
    async def go() -> None:
        world = _world()
        first, second = [await world.add(D, workload("Deployment", n)) for n in ("first", "second")]
        await world.add("configmaps", _owned({"metadata": {"name": "both", "namespace": "default"}}, first, second))
        await world.settle()
        await world.client.delete(D, "first", "default")
        await world.settle()
        (both,) = world.client.all("configmaps")
        assert [r["name"] for r in both["metadata"]["ownerReferences"]] == ["second"]
        await world.client.delete(D, "second", "default")
        await world.settle()
        assert world.client.all("configmaps") == []

    run(go())


def test_an_owner_of_the_same_name_but_another_uid_is_no_owner():
    async def go() -> None:
        world = _world()
        deployment = await world.add(D, workload("Deployment", "web"))
        await world.client.delete(D, "web", "default")
        await world.add(D, workload("Deployment", "web"))
        await world.add(RS, _owned(workload("ReplicaSet", "web-1"), deployment))
        await world.settle()
        assert _names(world, D, RS) == ["web"]

    run(go())


def test_a_cache_without_the_owner_is_not_believed():
    async def go() -> None:
        world = _world()
        world.caches[D].frozen = True
        await _family(world)
        assert _names(world, D, RS) == ["web", "web-1"]

    run(go())


def test_cluster_scoped_owners_and_unknown_kinds():
    async def go() -> None:
        world = _world()
        owner = await world.add("nodes", node("n1")[0])
        await world.add("pods", _owned(pod("mirror"), owner))
        stranger = {"apiVersion": "example.com/v1", "kind": "Thing", "metadata": {"name": "x", "uid": "u"}}
        await world.add("pods", _owned(pod("foreign"), stranger))
        await world.settle()
        assert _names(world, "pods") == ["foreign", "mirror"]
        await world.client.delete("nodes", "n1")
        await world.settle()
        assert _names(world, "pods") == ["foreign"]

    run(go())


def test_podgc_ends_pods_of_vanished_nodes():
    async def go() -> None:
        world = World(podgc.controller())
        await world.add("nodes", *node("n1"))
        await world.add("nodes", *node("n2"))
        for name in ("n1", "n2"):
            await world.ready(await world.add("pods", pod(f"on-{name}", node=name)))
        await world.settle()
        assert _names(world, "pods") == ["on-n1", "on-n2"]
        await world.client.delete("nodes", "n1")
        await world.settle()
        assert _names(world, "pods") == ["on-n2"]

    run(go())


def test_podgc_believes_the_server_about_nodes():
    async def go() -> None:
        world = World(podgc.controller())
        world.caches["nodes"].frozen = True
        await world.add("nodes", *node("n1"))
        await world.add("pods", pod("a", node="n1"))
        await world.settle()
        assert _names(world, "pods") == ["a"]

    run(go())


def test_podgc_keeps_the_newest_ended_pods():
    async def go() -> None:
        world = World(podgc.controller(threshold=2))
        for i in range(4):
            await world.add("pods", pod(f"done-{i}"), {"phase": "Succeeded"})
            await world.advance(2)
        await world.add("pods", pod("running"), {"phase": "Running"})
        await world.settle()
        assert _names(world, "pods") == ["done-2", "done-3", "running"]

    run(go())
