"""EndpointSlices, Endpoints and mirrored slices show each pod as it is, one reconcile after it changed."""

from __future__ import annotations

from controller_world import World, node, pod, run

from sampan.api import meta
from sampan.controllers import endpoints, endpointslice, endpointslice_mirroring, slices

SLICES = slices.RESOURCE
PORTS = [{"name": "http", "port": 80, "targetPort": "web", "protocol": "TCP"}]


def _world() -> World:
    return World(endpointslice.controller(), endpoints.controller(), endpointslice_mirroring.controller())


def _service(name: str = "web", **spec):
    spec = {"selector": {"app": "web"}, "ports": PORTS, "clusterIP": "10.96.0.10", "ipFamilies": ["IPv4"], **spec}
    metadata = {"name": name, "namespace": "default", "labels": {"team": "a"}}
    return {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec}


def _web(name: str, port: int = 8080, **spec):
    containers = [{"name": "main", "ports": [{"name": "web", "containerPort": port, "protocol": "TCP"}]}]
    return pod(name, {"app": "web"}, node="n1", containers=containers, **spec)


async def _running(world: World, name: str, ip: str, ready: bool = True, **spec):
    return await world.ready(await world.add("pods", _web(name, **spec)), ready, ip)


def _conditions(world: World) -> dict[str, str]:
    """Pod → the conditions that are true, over all slices of all managers."""
    return {
        e["targetRef"]["name"]: " ".join(k for k, v in e["conditions"].items() if v)
        for s in world.client.all(SLICES)
        for e in s["endpoints"]
    }


def _subsets(world: World, name: str = "web"):
    """(ready addresses, not ready ones, ports) of each subset."""
    return [
        (
            [a["ip"] for a in s.get("addresses", [])],
            [a["ip"] for a in s.get("notReadyAddresses", [])],
            [p["port"] for p in s.get("ports", [])],
        )
        for s in world.client.find("endpoints", name, "default").get("subsets", [])
    ]


def test_a_service_with_pods():
    async def go() -> None:
        world = _world()
        zone = {"topology.kubernetes.io/zone": "z1"}
        await world.add("nodes", *node("n1", labels=zone))
        await world.add("services", _service())
        made = await _running(world, "a", "10.0.0.1")
        await world.settle()
        (found,) = world.client.all(SLICES)
        assert meta.name(found).startswith("web-")
        assert meta.labels(found) == {
            "team": "a",
            "kubernetes.io/service-name": "web",
            "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
        }
        assert meta.controller_of(found)["kind"] == "Service"
        assert (found["addressType"], found["ports"]) == (
            "IPv4",
            [{"name": "http", "port": 8080, "protocol": "TCP"}],
        )
        assert found["endpoints"] == [
            {
                "addresses": ["10.0.0.1"],
                "conditions": {"ready": True, "serving": True, "terminating": False},
                "nodeName": "n1",
                "zone": "z1",
                "targetRef": {"kind": "Pod", "namespace": "default", "name": "a", "uid": meta.uid(made)},
            }
        ]
        old = world.client.find("endpoints", "web", "default")
        assert meta.labels(old) == {"team": "a", "endpoints.kubernetes.io/managed-by": "endpoint-controller"}
        assert old["subsets"] == [
            {
                "addresses": [{"ip": "10.0.0.1", "nodeName": "n1", "targetRef": found["endpoints"][0]["targetRef"]}],
                "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
            }
        ]

    run(go())


def test_one_reconcile_takes_a_pod_in_and_out():
    async def go() -> None:
        world = _world()
        await world.add("services", _service())
        await _running(world, "a", "10.0.0.1")
        late = await world.add("pods", _web("b"))
        await world.settle()
        assert _conditions(world) == {"a": "ready serving"}
        late = await world.ready(late, False, "10.0.0.2")
        await world.settle()
        assert _conditions(world) == {"a": "ready serving", "b": ""}
        assert _subsets(world) == [(["10.0.0.1"], ["10.0.0.2"], [8080])]
        await world.ready(late, True, "10.0.0.2")
        await world.step(world.sync())
        assert _conditions(world) == {"a": "ready serving", "b": "ready serving"}
        await world.settle()
        await world.client.delete("pods", "a", "default")
        await world.step(world.sync())
        assert _conditions(world) == {"a": "serving terminating", "b": "ready serving"}
        assert _subsets(world) == [(["10.0.0.2"], [], [8080])]
        await world.client.delete("pods", "a", "default", grace=0)
        await world.settle()
        assert _conditions(world) == {"b": "ready serving"}

    run(go())


def test_ended_and_foreign_pods_are_no_endpoints():
    async def go() -> None:
        world = _world()
        await world.add("services", _service())
        done = await _running(world, "done", "10.0.0.1")
        await world.status("pods", done, {"phase": "Succeeded"})
        other = await world.add("pods", pod("other", {"app": "other"}))
        await world.ready(other, True, "10.0.0.9")
        await world.settle()
        assert _conditions(world) == {}
        assert _subsets(world) == []
        (empty,) = world.client.all(SLICES)
        assert (empty["endpoints"], empty["ports"]) == ([], [])

    run(go())


def test_a_relabelled_pod_changes_sides():
    async def go() -> None:
        world = _world()
        await world.add("services", _service())
        await _running(world, "a", "10.0.0.1")
        await world.settle()
        await world.client.patch("pods", "a", "default", {"metadata": {"labels": {"app": "canary"}}})
        await world.settle()
        assert _conditions(world) == {}

    run(go())


def test_the_first_pod_reuses_the_empty_slice():
    async def go() -> None:
        world = _world()
        await world.add("services", _service())
        await world.settle()
        (empty,) = world.client.all(SLICES)
        await _running(world, "a", "10.0.0.1")
        await world.settle()
        (found,) = world.client.all(SLICES)
        assert meta.uid(found) == meta.uid(empty)
        assert len(found["endpoints"]) == 1

    run(go())


def test_publish_not_ready_addresses():
    async def go() -> None:
        world = _world()
        await world.add("services", _service(publishNotReadyAddresses=True))
        await _running(world, "a", "10.0.0.1", ready=False)
        await world.settle()
        assert _conditions(world) == {"a": "ready"}
        assert _subsets(world) == [(["10.0.0.1"], [], [8080])]
        await world.client.delete("pods", "a", "default")
        await world.settle()
        assert _conditions(world) == {"a": "ready terminating"}
        assert _subsets(world) == [(["10.0.0.1"], [], [8080])]

    run(go())


def test_headless_with_hostnames():
    async def go() -> None:
        world = _world()
        await world.add("services", _service(clusterIP="None"))
        await _running(world, "a", "10.0.0.1", hostname="db-0", subdomain="web")
        await _running(world, "b", "10.0.0.2", hostname="db-1", subdomain="elsewhere")
        await world.settle()
        (found,) = world.client.all(SLICES)
        assert [e.get("hostname") for e in found["endpoints"]] == ["db-0", None]
        assert meta.labels(found)["service.kubernetes.io/headless"] == ""
        old = world.client.find("endpoints", "web", "default")
        assert [a.get("hostname") for a in old["subsets"][0]["addresses"]] == ["db-0", None]

    run(go())


def test_pods_with_other_ports_are_apart():
    async def go() -> None:
        world = _world()
        metrics = {"name": "metrics", "port": 9090, "targetPort": 9090, "protocol": "TCP"}
        await world.add("services", _service(ports=[*PORTS, metrics]))
        await _running(world, "a", "10.0.0.1")
        await world.ready(await world.add("pods", _web("b", port=9000)), True, "10.0.0.2")
        plain = await world.add("pods", pod("plain", {"app": "web"}))
        await world.ready(plain, True, "10.0.0.3")
        await world.settle()
        ports = {
            e["targetRef"]["name"]: {p["name"]: p["port"] for p in s["ports"]}
            for s in world.client.all(SLICES)
            for e in s["endpoints"]
        }
        assert ports == {
            "a": {"http": 8080, "metrics": 9090},
            "b": {"http": 9000, "metrics": 9090},
            "plain": {"metrics": 9090},
        }
        # Each address with exactly its own ports, in as few subsets as that takes.
        assert sorted(_subsets(world)) == [
            (["10.0.0.1"], [], [8080]),
            (["10.0.0.1", "10.0.0.2", "10.0.0.3"], [], [9090]),
            (["10.0.0.2"], [], [9000]),
        ]

    run(go())


def test_a_service_goes_and_its_endpoints_with_it():
    async def go() -> None:
        world = _world()
        await world.add("services", _service())
        await _running(world, "a", "10.0.0.1")
        await world.settle()
        await world.client.delete("services", "web", "default")
        await world.settle()
        assert world.client.all(SLICES) == []
        assert world.client.all("endpoints") == []

    run(go())


def test_a_lagging_cache_makes_no_second_slice():
    async def go() -> None:
        world = _world()
        made = await world.add("services", _service())
        await _running(world, "a", "10.0.0.1")
        world.sync()
        world.caches[SLICES].frozen = True
        for _ in range(3):
            await world.step([(0, meta.key(made))])
        assert len(world.client.all(SLICES)) == 1
        world.caches[SLICES].frozen = False
        await world.advance(5)
        assert _conditions(world) == {"a": "ready serving"}

    run(go())


def test_nothing_changed_nothing_written():
    async def go() -> None:
        world = _world()
        made = await world.add("services", _service())
        await _running(world, "a", "10.0.0.1")
        await world.settle()
        before = world.client.writes
        await world.step([(i, meta.key(made)) for i in range(3)])
        assert world.client.writes == before

    run(go())


def test_hand_made_endpoints_are_mirrored():
    async def go() -> None:
        world = _world()
        service = _service("db")
        del service["spec"]["selector"]
        await world.add("services", service)
        await world.settle()
        assert world.client.all(SLICES) == []
        subset = {
            "addresses": [{"ip": "192.0.2.1"}],
            "notReadyAddresses": [{"ip": "192.0.2.2"}],
            "ports": [{"port": 5432, "protocol": "TCP"}],
        }
        by_hand = {
            "apiVersion": "v1",
            "kind": "Endpoints",
            "metadata": {"name": "db", "namespace": "default"},
            "subsets": [subset],
        }
        made = await world.add("endpoints", by_hand)
        await world.settle()
        (found,) = world.client.all(SLICES)
        assert meta.labels(found) == {
            "kubernetes.io/service-name": "db",
            "endpointslice.kubernetes.io/managed-by": "endpointslicemirroring-controller.k8s.io",
        }
        assert meta.controller_of(found)["uid"] == meta.uid(made)
        assert found["ports"] == [{"name": "", "port": 5432, "protocol": "TCP"}]
        assert [(e["addresses"], e["conditions"]["ready"]) for e in found["endpoints"]] == [
            (["192.0.2.1"], True),
            (["192.0.2.2"], False),
        ]
        await world.client.patch(
            "endpoints", "db", "default", {"subsets": [{**subset, "addresses": [{"ip": "192.0.2.7"}]}]}
        )
        await world.settle()
        (found,) = world.client.all(SLICES)
        assert sorted(e["addresses"] for e in found["endpoints"]) == [["192.0.2.2"], ["192.0.2.7"]]
        await world.client.delete("endpoints", "db", "default")
        await world.settle()
        assert world.client.all(SLICES) == []

    run(go())


def test_endpoints_that_ask_not_to_be_mirrored():
    async def go() -> None:
        world = _world()
        service = _service("kubernetes")
        del service["spec"]["selector"]
        await world.add("services", service)
        metadata = {
            "name": "kubernetes",
            "namespace": "default",
            "labels": {endpointslice_mirroring.SKIP_LABEL: "true"},
        }
        await world.add("endpoints", {"metadata": metadata, "subsets": [{"addresses": [{"ip": "172.30.0.1"}]}]})
        await world.settle()
        assert world.client.all(SLICES) == []

    run(go())


def _entry(i: int, ready: bool = True):
    address = f"10.0.{i // 250}.{i % 250 + 1}"
    return {"addresses": [address], "conditions": {"ready": ready}, "targetRef": {"uid": f"u{i}"}}


BASE = {
    "apiVersion": "discovery.k8s.io/v1",
    "kind": "EndpointSlice",
    "metadata": {"generateName": "web-", "namespace": "default", "labels": {}, "ownerReferences": []},
}


def _stored(changes: slices.Changes, before: dict[str, dict]) -> dict[str, dict]:
    """The slices after these changes, by name."""
    after = dict(before)
    for each in changes.update:
        after[each["metadata"]["name"]] = each
    for each in changes.create:
        name = f"s{len(after)}"
        after[name] = {**each, "metadata": {**each["metadata"], "name": name}}
    for each in changes.delete:
        del after[each["metadata"]["name"]]
    return after


def _distribute(entries, before):
    wanted = [slices.Wanted("IPv4", [], list(entries))]
    changes = slices.distribute(BASE, wanted, before.values(), 100)
    return changes, _stored(changes, before)


def test_many_endpoints_fill_slices_of_a_hundred():
    changes, after = _distribute(map(_entry, range(250)), {})
    assert sorted(len(s["endpoints"]) for s in after.values()) == [50, 100, 100]
    assert len(changes.create) == 3


def test_one_change_writes_one_slice():
    _, before = _distribute(map(_entry, range(250)), {})
    changed, after = _distribute([_entry(i, ready=i != 120) for i in range(250)], before)
    assert (len(changed.update), len(changed.create), len(changed.delete)) == (1, 0, 0)
    grown, after = _distribute(map(_entry, range(251)), before)
    assert (len(grown.update), len(grown.create), len(grown.delete)) == (1, 0, 0)
    assert sorted(len(s["endpoints"]) for s in after.values()) == [51, 100, 100]
    same, _ = _distribute(map(_entry, range(250)), before)
    assert same == slices.Changes()


def test_newcomers_take_the_places_of_those_who_left():
    _, before = _distribute(map(_entry, range(200)), {})
    changes, after = _distribute([_entry(i) for i in range(5, 205)], before)
    assert (len(changes.update), len(changes.create), len(changes.delete)) == (1, 0, 0)
    assert {e["targetRef"]["uid"] for s in after.values() for e in s["endpoints"]} == {f"u{i}" for i in range(5, 205)}


def test_empty_slices_go_but_the_last_stays():
    _, before = _distribute(map(_entry, range(250)), {})
    _, after = _distribute([], before)
    assert [s["endpoints"] for s in after.values()] == [[]]
