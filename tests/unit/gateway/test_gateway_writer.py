"""Statuses are written once and keep their times; events are told once for each change of the object."""

import asyncio

from fake_client import FakeClient

from sampan.api.meta import Key
from sampan.api.status import conflict
from sampan.base.clock import FakeClock
from sampan.gateway.types import Notice, Ref, Resources
from sampan.gateway.upkeep import MADE_OF, ensure, marked
from sampan.gateway.writer import Writer, stamped

INGRESSES = "ingresses.networking.k8s.io"
GATEWAYS = "gateways.gateway.networking.k8s.io"
OLD, NOW = "2026-01-01T00:00:00Z", "2026-02-02T00:00:00Z"


def condition(status, type="Accepted", reason="R", time=None):
    made = {"type": type, "status": status, "reason": reason, "message": ""}
    return made | ({"lastTransitionTime": time} if time else {})


def test_a_time_moves_only_with_its_status():
    old = {"conditions": [condition("True", time=OLD), condition("True", "Programmed", time=OLD)]}
    wanted = {"conditions": [condition("True", reason="Other"), condition("False", "Programmed")]}
    assert stamped(wanted, old, NOW) == {
        "conditions": [condition("True", reason="Other", time=OLD), condition("False", "Programmed", time=NOW)]
    }


def test_parents_and_listeners_are_told_apart_by_who_they_are():
    one = {"parentRef": {"name": "a"}, "controllerName": "us", "conditions": [condition("True", time=OLD)]}
    other = {"parentRef": {"name": "b"}, "controllerName": "us", "conditions": [condition("False", time=OLD)]}
    wanted = {
        "parents": [
            {"parentRef": {"name": "b"}, "controllerName": "us", "conditions": [condition("True")]},
            {"parentRef": {"name": "a"}, "controllerName": "us", "conditions": [condition("True")]},
        ]
    }
    made = stamped(wanted, {"parents": [one, other]}, NOW)
    assert [p["conditions"][0]["lastTransitionTime"] for p in made["parents"]] == [NOW, OLD]


class Recorder:
    def __init__(self):
        self.said = []

    def event(self, about, type, reason, message):
        self.said.append((about["metadata"]["name"], type, reason, message))


def gateway(generation=1, **status):
    metadata = {"name": "g", "namespace": "d", "uid": "u", "generation": generation}
    return {"apiVersion": "v1", "kind": "Gateway", "metadata": metadata, "spec": {}, "status": status}


def look(obj):
    return Resources({GATEWAYS: {Key("d", "g"): obj}})


def test_an_event_is_told_again_only_when_the_user_changed_the_object():
    recorder = Recorder()
    writer = Writer(FakeClient(), FakeClock(), {"sampan-gateway": recorder})
    ref = Ref(GATEWAYS, "d", "g")
    notice = Notice(ref, "Invalid", "no")
    writer.tell([notice], look(gateway()), {ref})
    writer.tell([notice], look(gateway(addresses=["written by us"])), {ref})
    assert len(recorder.said) == 1
    writer.tell([notice], look(gateway(generation=2)), {ref})
    writer.tell([], look(gateway(generation=2)), set())
    writer.tell([notice], look(gateway(generation=2)), set())
    assert recorder.said == [("g", "Warning", "Invalid", "no")] * 3


def test_a_status_is_written_when_it_differs_and_loses_what_is_no_longer_there():
    async def story():
        client = FakeClient()
        await client.create(INGRESSES, {"metadata": {"name": "g", "namespace": "d"}, "spec": {}})
        await client.patch(INGRESSES, "g", "d", {"status": {"old": 1}}, subresource="status")
        writer, ref = Writer(client, FakeClock(), {}), Ref(INGRESSES, "d", "g")
        wanted = {"loadBalancer": {"ingress": [{"ip": "1.2.3.4"}]}}

        async def write():
            now = client.find(INGRESSES, "g", "d")
            return await writer.statuses({ref: wanted}, Resources({INGRESSES: {Key("d", "g"): now}}), {ref})

        assert await write()
        assert client.find(INGRESSES, "g", "d")["status"] == wanted
        before = client.writes
        assert await write()
        assert client.writes == before, "nothing new, nothing written"
        client.fail("patch", INGRESSES, conflict(INGRESSES, "g"))
        wanted = {"loadBalancer": {}}
        assert not await write(), "to be tried again"
        now = Resources({INGRESSES: {Key("d", "g"): client.find(INGRESSES, "g", "d")}})
        assert await writer.statuses({ref: wanted}, now, set()), "and it is, though nothing changed"
        assert client.find(INGRESSES, "g", "d")["status"] == wanted

    asyncio.run(story())


def test_our_own_objects_are_made_once_and_changed_when_we_want_something_else():
    async def story():
        client = FakeClient()
        config = {"metadata": {"name": "c", "namespace": "d"}, "spec": {"a": 1, "replicas": 1}}
        await ensure(client, [("deployments.apps", config)])
        found = client.find("deployments.apps", "c", "d")
        assert found["metadata"]["annotations"][MADE_OF] == marked(config)["metadata"]["annotations"][MADE_OF]
        await client.patch("deployments.apps", "c", "d", {"spec": {"replicas": 5}})
        before = client.writes
        await ensure(client, [("deployments.apps", config)])
        assert client.writes == before, "what somebody scaled stays so"
        await ensure(client, [("deployments.apps", config | {"spec": {"a": 2, "replicas": 1}})])
        assert client.find("deployments.apps", "c", "d")["spec"] == {"a": 2, "replicas": 5}

    asyncio.run(story())
