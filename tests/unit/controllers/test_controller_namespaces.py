"""Namespaces: what each has from the start, and an end that completes."""

from __future__ import annotations

from controller_scheme import SCHEME
from controller_world import World, pod, run

from sampan.api import meta
from sampan.api.meta import Obj
from sampan.controllers import namespace, root_ca, serviceaccount


def _namespace(name: str = "default") -> Obj:
    # The test's own finalizer keeps the object to be looked at; FakeClient does not know of spec.finalizers.
    return {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": name, "finalizers": ["test/keep"]},
        "spec": {"finalizers": ["kubernetes"]},
    }


def _is_finalized(world: World) -> bool:
    return world.client.find("namespaces", "default")["spec"]["finalizers"] == []


def test_a_namespace_that_lives_is_left_alone():
    async def go() -> None:
        world = World(namespace.controller(SCHEME))
        await world.add("namespaces", _namespace())
        await world.add("pods", pod("a"))
        await world.settle()
        assert len(world.client.all("pods")) == 1
        assert not _is_finalized(world)

    run(go())


def test_all_content_goes_and_then_the_namespace():
    async def go() -> None:
        world = World(namespace.controller(SCHEME))
        await world.add("namespaces", _namespace())
        await world.add("pods", pod("a"))
        await world.add("configmaps", {"metadata": {"name": "c", "namespace": "default"}})
        await world.add("configmaps", {"metadata": {"name": "c", "namespace": "other"}})
        await world.client.delete("namespaces", "default")
        await world.settle()
        assert world.client.all("pods") == []
        assert [meta.namespace(c) for c in world.client.all("configmaps")] == ["other"]
        assert _is_finalized(world)

    run(go())


def test_it_waits_for_pods_that_end_in_peace_and_notices_at_once():
    async def go() -> None:
        world = World(namespace.controller(SCHEME))
        await world.add("namespaces", _namespace())
        await world.add("pods", pod("a", node="n1"))
        await world.client.delete("namespaces", "default")
        await world.settle()
        assert meta.deleting(world.client.find("pods", "a", "default"))
        assert not _is_finalized(world)
        remaining = meta.condition(world.client.find("namespaces", "default"), "NamespaceContentRemaining")
        assert remaining["message"] == "Some resources are remaining: pods has 1 resource instances"
        await world.client.delete("pods", "a", "default", grace=0)
        await world.settle()
        assert _is_finalized(world)

    run(go())


def test_it_waits_for_finalizers():
    async def go() -> None:
        world = World(namespace.controller(SCHEME))
        await world.add("namespaces", _namespace())
        held = {"metadata": {"name": "c", "namespace": "default", "finalizers": ["example.com/mine"]}}
        await world.add("configmaps", held)
        await world.client.delete("namespaces", "default")
        await world.advance(5)
        assert not _is_finalized(world)
        told = meta.condition(world.client.find("namespaces", "default"), "NamespaceFinalizersRemaining")
        assert told["message"].endswith("example.com/mine in 1 resource instances")
        await world.client.patch("configmaps", "c", "default", {"metadata": {"finalizers": None}})
        await world.advance(1)
        assert _is_finalized(world)

    run(go())


def test_every_namespace_has_its_account_and_certificate():
    async def go() -> None:
        world = World(serviceaccount.controller(), root_ca.controller("PEM"))
        await world.add("namespaces", _namespace())
        await world.add("namespaces", _namespace("other"))
        await world.settle()
        accounts = world.client.all("serviceaccounts")
        assert [(meta.namespace(a), meta.name(a)) for a in accounts] == [("default", "default"), ("other", "default")]
        assert [c["data"] for c in world.client.all("configmaps")] == [{"ca.crt": "PEM"}] * 2
        await world.client.delete("serviceaccounts", "default", "other")
        await world.client.patch("configmaps", root_ca.NAME, "other", {"data": {"ca.crt": "forged", "x": "y"}})
        await world.settle()
        assert len(world.client.all("serviceaccounts")) == 2
        assert world.client.find("configmaps", root_ca.NAME, "other")["data"]["ca.crt"] == "PEM"

    run(go())


def test_a_dying_namespace_gets_nothing_new():
    async def go() -> None:
        world = World(serviceaccount.controller(), root_ca.controller("PEM"))
        await world.add("namespaces", _namespace())
        await world.client.delete("namespaces", "default")
        await world.settle()
        assert world.client.all("serviceaccounts") == []
        assert world.client.all("configmaps") == []

    run(go())
