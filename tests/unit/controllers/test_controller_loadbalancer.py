"""LoadBalancer Services get addresses, keep them, give them back; the events are MetalLB's."""

from __future__ import annotations

from typing import Any

import pytest
from controller_world import World, run

from sampan.api import status
from sampan.api.meta import Obj
from sampan.controllers import loadbalancer
from sampan.controllers.loadbalancer_pool import Pool, Refused, Use, use_of, wanted

SMALL = "172.30.0.128/30"  # .129 and .130


def _world(cidr: str = SMALL) -> World:
    return World(loadbalancer.controller(cidr))


def _service(name: str, annotations: dict[str, str] | None = None, **spec: Any) -> Obj:
    spec = {"type": "LoadBalancer", "ports": [{"port": 80, "protocol": "TCP"}], **spec}
    metadata = {"name": name, "namespace": "default", "annotations": annotations or {}}
    return {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec}


def _shown(world: World) -> dict[str, str]:
    """Service → the last number of its address, "" for none."""
    found = {}
    for service in world.client.all("services"):
        ingress = service.get("status", {}).get("loadBalancer", {}).get("ingress") or [{"ip": "."}]
        found[service["metadata"]["name"]] = ingress[0]["ip"].rpartition(".")[2]
    return found


async def _change(world: World, name: str, spec: dict[str, Any]) -> None:
    await world.client.patch("services", name, "default", {"spec": spec})
    await world.settle()


def test_an_address_at_once_and_an_event() -> None:
    async def go() -> None:
        world = _world()
        await world.add("services", _service("a"))
        await world.add("services", _service("plain", type="ClusterIP"))
        await world.add("services", _service("theirs", loadBalancerClass="example.com/lb"))
        await world.add("services", _service("b", loadBalancerClass="sampan.io/load-balancer"))
        await world.settle()
        assert _shown(world) == {"a": "129", "b": "130", "plain": "", "theirs": ""}
        made = world.client.find("services", "a", "default")
        assert made["status"]["loadBalancer"]["ingress"] == [{"ip": "172.30.0.129", "ipMode": "VIP"}]
        assert world.events.seen == [
            ("a", "Normal", "IPAllocated", 'Assigned IP ["172.30.0.129"]'),
            ("b", "Normal", "IPAllocated", 'Assigned IP ["172.30.0.130"]'),
        ]

    run(go())


@pytest.mark.parametrize("leave", ["delete", "type", "class"])
def test_what_is_freed_goes_to_who_waits_longest(leave: str) -> None:
    async def go() -> None:
        world = _world()
        for name in ("a", "b", "d", "c"):
            await world.add("services", _service(name))
            await world.settle()
        assert _shown(world) == {"a": "129", "b": "130", "c": "", "d": ""}
        refused = world.events.messages("AllocationFailed")
        assert refused == [f'Failed to allocate IP for "default/{name}": no available IPs' for name in ("d", "c")]
        if leave == "delete":
            await world.client.delete("services", "a", "default")
        elif leave == "type":
            await world.client.patch("services", "a", "default", {"spec": {"type": "ClusterIP"}})
        else:
            await world.client.patch("services", "a", "default", {"spec": {"loadBalancerClass": "example.com/lb"}})
        await world.settle()
        shown = _shown(world)
        assert (shown["d"], shown["c"]) == ("129", "")
        assert world.events.messages("AllocationFailed") == refused  # nobody is told the same twice
        if leave == "type":
            assert "ingress" not in world.client.find("services", "a", "default")["status"]["loadBalancer"]

    run(go())


def test_a_write_that_fails_loses_no_address() -> None:
    async def go() -> None:
        world = _world()
        for name in ("a", "b", "c"):
            await world.add("services", _service(name))
        await world.settle()
        await world.client.delete("services", "a", "default")
        world.client.fail("patch", "services", status.conflict("services", "c"), times=2)
        await world.settle()
        assert _shown(world) == {"b": "130", "c": "129"}
        assert world.events.messages("IPAllocated").count('Assigned IP ["172.30.0.129"]') == 2  # a's and c's

    run(go())


def test_created_together_while_the_cache_lags() -> None:
    async def go() -> None:
        world = _world("172.30.0.128/25")
        for i in range(20):
            await world.add("services", _service(f"s{i}"))
        work = world.sync()
        world.caches["services"].frozen = True
        await world.step([*work, *work])
        assert len(set(_shown(world).values())) == 20
        world.caches["services"].frozen = False
        await world.settle()
        assert len(set(_shown(world).values())) == 20
        assert len(world.events.seen) == 20

    run(go())


def test_a_new_process_finds_all_as_it_was() -> None:
    async def go() -> None:
        world = _world()
        for name in ("c", "b"):
            await world.add("services", _service(name))
        await world.settle()
        before = _shown(world)
        await world.add("services", _service("a"))  # comes first in the alphabet, and while nobody looks
        again = _world()
        again.client = world.client
        writes = again.client.writes
        await again.settle()
        assert _shown(again) == before | {"a": ""}
        assert again.client.writes == writes
        assert again.events.messages("IPAllocated") == []

    run(go())


def test_the_same_name_again_is_another_service() -> None:
    async def go() -> None:
        world = _world()
        await world.add("services", _service("a"))
        await world.settle()
        await world.client.delete("services", "a", "default")
        await world.add("services", _service("a"))
        await world.settle()
        assert _shown(world) == {"a": "129"}
        assert len(world.events.messages("IPAllocated")) == 2

    run(go())


@pytest.mark.parametrize("way", ["field", "annotation", "old annotation"])
def test_a_wanted_address(way: str) -> None:
    def asks(name: str, ip: str) -> Obj:
        prefix = "metallb.io" if way == "annotation" else "metallb.universe.tf"
        return (
            _service(name, loadBalancerIP=ip) if way == "field" else _service(name, {f"{prefix}/loadBalancerIPs": ip})
        )

    async def go() -> None:
        world = _world()
        await world.add("services", asks("a", "172.30.0.130"))
        await world.add("services", asks("b", "172.30.0.130"))
        await world.add("services", asks("c", "192.0.2.1"))
        await world.settle()
        assert _shown(world) == {"a": "130", "b": "", "c": ""}
        assert world.events.messages("AllocationFailed") == [
            'Failed to allocate IP for "default/b": '
            'can\'t change sharing key for "172.30.0.130", address also in use by default/a',
            'Failed to allocate IP for "default/c": ["192.0.2.1"] is not allowed in config',
        ]
        await world.client.delete("services", "a", "default")
        await world.settle()
        assert _shown(world) == {"b": "130", "c": ""}

    run(go())


def test_another_wish_later() -> None:
    async def go() -> None:
        world = _world()
        await world.add("services", _service("a"))
        await world.add("services", _service("b", loadBalancerIP="172.30.0.130"))
        await world.settle()
        await _change(world, "b", {"loadBalancerIP": None})
        assert _shown(world) == {"a": "129", "b": "130"}
        await _change(world, "a", {"loadBalancerIP": "nonsense"})
        assert _shown(world)["a"] == "129"  # it keeps what it has
        assert world.events.messages("LoadBalancerFailed") == [
            'invalid requested loadbalancer IPs: invalid spec.loadBalancerIP "nonsense"'
        ]
        await _change(world, "a", {"loadBalancerIP": "172.30.0.130"})
        assert _shown(world) == {"a": "", "b": "130"}
        await _change(world, "b", {"loadBalancerIP": "172.30.0.129"})
        assert _shown(world) == {"a": "130", "b": "129"}

    run(go())


def test_an_address_of_another_pool_is_replaced() -> None:
    async def go() -> None:
        world = _world()
        await world.add("services", _service("a"), {"loadBalancer": {"ingress": [{"ip": "172.30.9.129"}]}})
        await world.settle()
        assert (
            world.client.find("services", "a", "default")["status"]["loadBalancer"]["ingress"][0]["ip"]
            == "172.30.0.129"
        )
        assert world.events.messages("ClearAssignment") == [
            'current IP for "default/a" not allowed by config, will attempt for new IP assignment: '
            '["172.30.9.129"] is not allowed in config'
        ]

    run(go())


def test_sharing() -> None:
    async def go() -> None:
        world, key = _world(), {"metallb.io/allow-shared-ip": "dns"}
        await world.add("services", _service("tcp", key, ports=[{"port": 53, "protocol": "TCP"}]))
        await world.add("services", _service("udp", key, ports=[{"port": 53, "protocol": "UDP"}]))
        await world.settle()
        await world.add(
            "services", _service("also", key, ports=[{"port": 53, "protocol": "UDP"}], loadBalancerIP="172.30.0.129")
        )
        await world.settle()
        assert _shown(world) == {"tcp": "129", "udp": "129", "also": ""}
        assert world.events.messages("AllocationFailed") == [
            'Failed to allocate IP for "default/also": port UDP/53 is already in use on "172.30.0.129"'
        ]
        await world.client.patch("services", "udp", "default", {"metadata": {"annotations": None}})
        await world.settle()
        assert _shown(world) == {"tcp": "129", "udp": "130", "also": "129"}

    run(go())


def test_local_services_share_only_with_the_same_pods() -> None:
    pool, local = Pool(SMALL), {"externalTrafficPolicy": "Local"}
    use = use_of(_service("a", {"metallb.io/allow-shared-ip": "x"}, selector={"b": "2", "a": "1"}, **local))
    assert use == Use("x", "a=1,b=2", ("TCP/80",))
    assert pool.next(("", "a"), use) == "172.30.0.129"
    assert pool.next(("", "b"), Use("x", "a=1,b=2", ("TCP/81",))) == "172.30.0.129"
    assert pool.next(("", "c"), Use("x", "", ("TCP/82",))) == "172.30.0.130"
    with pytest.raises(Refused, match="no available IPs"):
        pool.next(("", "d"), Use("y", "", ("TCP/83",)))


@pytest.mark.parametrize(
    ("listed", "single", "why"),
    [
        ("172.30.0.129", "172.30.0.129", "service can not have both metallb.io/loadBalancerIPs and svc.Spec.LoadBalancerIP"),
        ("x", "", 'invalid metallb.io/loadBalancerIPs: "x"'),
        ("172.30.0.129,", "", 'invalid metallb.io/loadBalancerIPs: "172.30.0.129,"'),
        ("1.1.1.1, 1.1.1.2", "", 'IPFamilyForAddresses: same address family ["1.1.1.1" "1.1.1.2"]'),
        ("1.1.1.1,::1", "", 'requested loadBalancer IP(s) ["1.1.1.1" "::1"] does not match the ipFamily of the service'),
        ("", "::1", 'requested loadBalancer IP(s) ["::1"] does not match the ipFamily of the service'),
        ("1.1.1.1,1.1.1.2,1.1.1.3", "", 'IPFamilyForAddresses: invalid ips length 3 ["1.1.1.1" "1.1.1.2" "1.1.1.3"]'),
        ("", "300.0.0.1", 'invalid spec.loadBalancerIP "300.0.0.1"'),
    ],
)  # fmt: skip
def test_wishes_nobody_can_grant(listed: str, single: str, why: str) -> None:
    with pytest.raises(Refused) as caught:
        wanted(_service("a", {"metallb.io/loadBalancerIPs": listed}, loadBalancerIP=single))
    assert str(caught.value) == why


@pytest.mark.parametrize("ip", ["172.30.0.128", "172.30.0.131", "172.30.0.2"])
def test_edges_of_the_range_are_no_addresses(ip: str) -> None:
    with pytest.raises(Refused, match="not allowed in config"):
        Pool(SMALL).take(("", "a"), ip, Use("", "", ()))
