"""Definitions come and go while the registry serves: names, versions, conversion, the end of a definition."""

import asyncio
import random
from contextlib import asynccontextmanager
from ipaddress import IPv4Network

import pytest

from sampan.api.kinds import SCHEME
from sampan.api.kinds.customresourcedefinition import FINALIZER, ID
from sampan.api.meta import is_true
from sampan.api.status import ApiError
from sampan.base.clock import SystemClock
from sampan.base.tasks import Tasks
from sampan.client.controller import ControllerManager
from sampan.client.local import LocalClient
from sampan.controllers import TRIMS, customresourcedefinition, garbagecollector, namespace
from sampan.server.allocators import Services
from sampan.server.customresources import CustomResources
from sampan.server.discovery import Discovery
from sampan.server.documents import Documents
from sampan.server.registry import Registry
from sampan.server.types import Deletion, Options
from sampan.server.watch import Asked
from sampan.store.memory import MemoryStore

THINGS = "things.example.com"


def version(name, storage=False, served=True, **properties):
    spec = {"type": "object", "properties": properties}
    schema = {
        "openAPIV3Schema": {
            "type": "object",
            "properties": {"spec": spec, "status": {"type": "object", "properties": {"n": {"type": "integer"}}}},
        }
    }
    return {"name": name, "served": served, "storage": storage, "schema": schema, "subresources": {"status": {}}}


def crd(*versions, plural="things", kind="Thing", **spec):
    names = {"plural": plural, "kind": kind}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.example.com"},
        "spec": {"group": "example.com", "scope": "Namespaced", "names": names, "versions": list(versions), **spec},
    }


def thing(name="a", of="v1", **spec):
    return {
        "apiVersion": f"example.com/{of}",
        "kind": "Thing",
        "metadata": {"name": name, "namespace": "default"},
        "spec": spec,
    }


class World:
    """A registry with what serves custom resources around it."""

    def __init__(self, store=None):
        clock = SystemClock()
        self.scheme = SCHEME.live()
        services = Services(IPv4Network("10.96.0.0/16"), (30000, 32767), random.Random(1))
        self.registry = Registry(self.scheme, store or MemoryStore(), clock, services, random.Random(1))
        self.custom = CustomResources(self.registry)
        client = LocalClient(self.registry, Asked, Deletion)
        rows = (
            customresourcedefinition.controller(),
            namespace.controller(self.scheme),
            garbagecollector.controller(self.scheme),
        )
        self.controllers = ControllerManager(rows, client, clock, trims=TRIMS)
        self.tasks = Tasks("test")

    async def define(self, definition):
        await self.registry.create(ID, definition)
        return await self.until(lambda: definition["metadata"]["name"] in self.scheme.by_id)

    async def until(self, test):
        for _ in range(400):
            if found := test():
                return found
            await asyncio.sleep(0.005)
        raise AssertionError("it never came true")

    def follow(self):
        self.controllers.follow(r.id for r in self.scheme.custom if r.storage)


@asynccontextmanager
async def world(store=None):
    it = World(store)
    it.custom.load()
    if it.registry.lookup("namespaces", "default") is None:
        await it.registry.create("namespaces", {"metadata": {"name": "default"}})
    it.controllers.start()
    it.follow()
    it.scheme.changed.append(it.follow)
    it.tasks.start("custom", it.custom.run())
    try:
        yield it
    finally:
        await it.tasks.stop()
        await it.controllers.stop()


def run(main):
    asyncio.run(main())


def test_a_definition_is_served_everywhere_at_once():
    async def main():
        async with world() as it:
            discovery, documents = Discovery(it.scheme, "a:1"), Documents(it.scheme)
            await it.define(crd(version("v1", storage=True, n={"type": "integer", "description": "How many."})))
            status = it.registry.get(ID, THINGS).obj["status"]
            assert [(c["type"], c["status"], c["reason"]) for c in status["conditions"]] == [
                ("NamesAccepted", "True", "NoConflicts"),
                ("Established", "True", "InitialNamesAccepted"),
            ]
            assert status["storedVersions"] == ["v1"]
            assert "/apis/example.com/v1" in discovery.paths()
            assert "/openapi/v3/apis/example.com/v1" in documents.paths()
            held = await it.registry.create(THINGS, thing(n=1))
            assert held.obj["metadata"]["generation"] == 1

    run(main)


def test_status_and_generation_go_their_own_ways():
    async def main():
        async with world() as it:
            await it.define(crd(version("v1", storage=True, n={"type": "integer"})))
            first = await it.registry.create(THINGS, {**thing(n=1), "status": {"n": 5}})
            assert "status" not in first.obj
            held = await it.registry.patch(THINGS, "a", "default", {"status": {"n": 1}, "spec": {"n": 9}})
            assert (held.obj["spec"], held.obj.get("status"), held.obj["metadata"]["generation"]) == ({"n": 9}, None, 2)
            held = await it.registry.patch(
                THINGS, "a", "default", {"status": {"n": 1}, "spec": {"n": 8}}, subresource="status"
            )
            assert (held.obj["spec"], held.obj["status"], held.obj["metadata"]["generation"]) == ({"n": 9}, {"n": 1}, 2)

    run(main)


def test_versions_without_conversion_differ_by_their_schema():
    async def main():
        async with world() as it:
            old = version("v1beta1", color={"type": "string", "default": "red"}, n={"type": "integer"})
            await it.define(crd(version("v1", storage=True, n={"type": "integer"}), old))
            beta = "things.v1beta1.example.com"
            made = await it.registry.create(beta, thing(of="v1beta1", n=1))
            assert made.obj["spec"] == {"n": 1, "color": "red"}
            stored = it.registry.store.get("/registry/example.com/things/default/a").value
            assert stored.startswith(b'{"apiVersion":"example.com/v1","kind":"Thing","metadata":{')
            one = it.registry.get(THINGS, "a", "default")
            assert (one.obj["apiVersion"], one.obj["spec"]) == ("example.com/v1", {"n": 1})
            held = await it.registry.patch(beta, "a", "default", {"spec": {"n": 2}})
            assert (held.obj["apiVersion"], held.obj["spec"]) == ("example.com/v1beta1", {"n": 2, "color": "red"})
            assert it.registry.get(THINGS, "a", "default").obj["spec"] == {"n": 2}
            listed = await it.registry.list(beta)
            assert listed.items[0].obj == held.obj

    run(main)


def test_a_webhook_converts_reads_writes_lists_and_watches():
    async def convert(family, objects, wanted):
        assert family.webhook["clientConfig"] == {"url": "https://example.com/convert"}
        found = []
        for obj in objects:
            new = {
                **obj,
                "apiVersion": wanted,
                "spec": dict(obj.get("spec") or {}),
                "metadata": {**obj["metadata"], "name": "forged"},
            }
            if wanted.endswith("v1"):
                new["spec"]["n"] = new["spec"].pop("text").__len__()
            else:
                new["spec"]["text"] = "x" * new["spec"].pop("n")
            found.append(new)
        return found

    async def main():
        async with world() as it:
            it.registry.conversion = convert
            webhook = {"conversionReviewVersions": ["v1"], "clientConfig": {"url": "https://example.com/convert"}}
            await it.define(
                crd(
                    version("v1", storage=True, n={"type": "integer"}),
                    version("v1beta1", text={"type": "string"}),
                    conversion={"strategy": "Webhook", "webhook": webhook},
                )
            )
            beta = "things.v1beta1.example.com"
            await it.registry.create(THINGS, thing(n=3))
            assert (await it.registry.read(beta, "a", "default")).obj["spec"] == {"text": "xxx"}
            assert (await it.registry.read(beta, "a", "default")).obj["metadata"]["name"] == "a"
            await it.registry.create(beta, thing("b", of="v1beta1", text="xx"))
            assert it.registry.get(THINGS, "b", "default").obj["spec"] == {"n": 2}
            await it.registry.patch(beta, "a", "default", {"spec": {"text": "xxxxx"}})
            assert [h.obj["spec"] for h in (await it.registry.list(THINGS)).items] == [{"n": 5}, {"n": 2}]
            assert [h.obj["spec"] for h in (await it.registry.list(beta)).items] == [{"text": "xxxxx"}, {"text": "xx"}]
            batches = it.registry.watch(beta, asked=Asked(after="0"))
            first = await anext(batches)
            assert [(kind, h.obj["spec"]["text"]) for kind, h in first] == [("ADDED", "xxxxx"), ("ADDED", "xx")]
            await it.registry.delete(THINGS, "b", "default")
            ((kind, held),) = await anext(batches)
            assert (kind, held.obj["spec"], held.obj["apiVersion"]) == (
                "DELETED",
                {"text": "xx"},
                "example.com/v1beta1",
            )
            await batches.aclose()

    run(main)


def test_a_changed_schema_is_seen_by_objects_that_are_there():
    async def main():
        async with world() as it:
            await it.define(crd(version("v1", storage=True, n={"type": "integer"}, gone={"type": "string"})))
            await it.registry.create(THINGS, thing(n=1, gone="x"))
            before = it.scheme.by_id[THINGS]
            newer = version("v1", storage=True, n={"type": "integer"}, more={"type": "string", "default": "d"})
            await it.registry.patch(ID, THINGS, "", {"spec": {"versions": [newer]}})
            await it.until(lambda: it.scheme.by_id[THINGS] is not before)
            assert it.registry.get(THINGS, "a", "default").obj["spec"] == {"n": 1, "more": "d"}

    run(main)


def test_names_are_taken_by_who_came_first():
    async def main():
        async with world() as it:
            await it.define(crd(version("v1", storage=True)))
            other = crd(version("v1", storage=True), plural="others", kind="Thing")
            await it.registry.create(ID, other)
            refused = await it.until(lambda: _condition(it, "others.example.com", "NamesAccepted", "False"))
            assert (refused["reason"], refused["message"]) == (
                "MultipleConflicts",
                '"thing" is already in use, "Thing" is already in use, "ThingList" is already in use',
            )
            assert "others.example.com" not in it.scheme.by_id
            await it.registry.delete(ID, THINGS)
            await it.until(lambda: "others.example.com" in it.scheme.by_id)

    run(main)


def _condition(it, name, kind, status):
    found = it.registry.get(ID, name).obj["status"].get("conditions") or ()
    return next((c for c in found if c["type"] == kind and c["status"] == status), None)


def test_objects_go_with_their_definition_and_it_can_come_back():
    async def main():
        async with world() as it:
            definition = crd(version("v1", storage=True, n={"type": "integer"}))
            await it.define(definition)
            await it.registry.create(THINGS, thing(n=1))
            held = thing("kept", n=1)
            held["metadata"]["finalizers"] = ["example.com/mine"]
            await it.registry.create(THINGS, held)
            done = await it.registry.delete(ID, THINGS)
            assert not done.gone
            assert done.held.obj["metadata"]["finalizers"] == [FINALIZER]
            await it.until(lambda: it.registry.lookup(THINGS, "a", "default") is None)
            await it.until(lambda: is_true(it.registry.get(ID, THINGS).obj, "Terminating"))
            await it.until(lambda: "create" not in it.scheme.by_id[THINGS].verbs)
            with pytest.raises(ApiError, match="create is not supported"):
                await it.registry.create(THINGS, thing("late", n=1))
            await it.registry.patch(THINGS, "kept", "default", {"metadata": {"finalizers": None}})
            await it.until(lambda: THINGS not in it.scheme.by_id)
            assert it.registry.lookup(ID, THINGS) is None
            await it.define(definition)
            assert (await it.registry.list(THINGS)).items == []
            await it.registry.create(THINGS, thing(n=2))

    run(main)


def test_namespaces_and_owners_take_custom_resources_with_them():
    async def main():
        async with world() as it:
            await it.define(crd(version("v1", storage=True)))
            owner = await it.registry.create(THINGS, thing("owner"))
            child = thing("child")
            child["metadata"]["ownerReferences"] = [
                {"apiVersion": "example.com/v1", "kind": "Thing", "name": "owner", "uid": owner.obj["metadata"]["uid"]}
            ]
            await it.registry.create(THINGS, child)
            await it.registry.delete(THINGS, "owner", "default")
            await it.until(lambda: it.registry.lookup(THINGS, "child", "default") is None)
            await it.registry.create("namespaces", {"metadata": {"name": "n"}})
            inside = thing("inside")
            inside["metadata"]["namespace"] = "n"
            await it.registry.create(THINGS, inside)
            await it.registry.delete("namespaces", "n")
            await it.until(lambda: it.registry.lookup("namespaces", "n") is None)
            assert it.registry.lookup(THINGS, "inside", "n") is None

    run(main)


def test_a_restart_serves_what_was_defined():
    async def main():
        store = MemoryStore()
        async with world(store) as it:
            await it.define(crd(version("v1", storage=True, n={"type": "integer"})))
            await it.registry.create(THINGS, thing(n=1), options=Options())
        for record in store.list("/registry/"):
            record.held = None
        again = World(store)
        again.custom.load()
        assert again.registry.get(THINGS, "a", "default").obj["spec"] == {"n": 1}

    run(main)


def test_a_status_of_a_definition_changes_nothing_that_was_compiled():
    async def main():
        async with world() as it:
            await it.define(crd(version("v1", storage=True)))
            row, generation = it.scheme.by_id[THINGS], it.scheme.generation
            await it.registry.patch(ID, THINGS, "", {"metadata": {"labels": {"a": "b"}}})
            await it.define(crd(version("v1", storage=True), plural="others", kind="Other"))
            assert it.scheme.by_id[THINGS] is row
            assert it.scheme.generation == generation + 1

    run(main)
