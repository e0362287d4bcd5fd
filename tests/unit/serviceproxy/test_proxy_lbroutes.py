"""Addresses with externalTrafficPolicy Local lead to a node that has an endpoint, and stay there while it has one."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from proxyworld import A, B, during, endpoint, service, settled, slice_of

from sampan.base.clock import FakeClock
from sampan.base.errors import ProcessError
from sampan.serviceproxy.lbroutes import LbRoutes, node_for

NODES = {"a": A, "b": B}
IP = "172.30.0.129"
ON_A, ON_B = endpoint("10.244.0.2"), endpoint("10.244.1.2", "b")
LEAVING = endpoint("10.244.0.2", ready=False, serving=True, terminating=True)


def balanced(policy: str = "Local", ip: str = IP, name: str = "web", **spec: Any) -> dict[str, Any]:
    made = service(name, type="LoadBalancer", externalTrafficPolicy=policy, **spec)
    return made | {"status": {"loadBalancer": {"ingress": [{"ip": ip, "ipMode": "VIP"}] if ip else []}}}


@pytest.mark.parametrize(
    ("endpoints", "now", "expected"),
    [
        ([], "", ""),
        ([], "b", ""),
        ([ON_B], "", "b"),
        ([ON_A, ON_B], "", "a"),
        ([ON_A, ON_B], "b", "b"),  # no reason to move
        ([LEAVING, ON_B], "a", "b"),
        ([LEAVING], "", "a"),
        ([endpoint("10.244.1.2", "b", ready=False)], "", ""),
    ],
)
def test_which_node(endpoints: list[Any], now: str, expected: str) -> None:
    assert node_for(balanced(), [slice_of(*endpoints)], NODES, now) == expected
    assert node_for(balanced("Cluster"), [slice_of(*endpoints)], NODES, now) == ""


def test_the_node_that_has_most_ports() -> None:
    ports = [{"name": "x", "port": 80}, {"name": "y", "port": 81}]
    one = slice_of(ON_A, ON_B, ports=[{"name": "x", "port": 8080, "protocol": "TCP"}])
    two = slice_of(ON_B, ports=[{"name": "y", "port": 8081, "protocol": "TCP"}])
    assert node_for(balanced(ports=ports), [one, two], NODES, "a") == "b"


class Kernel:
    """A routing table that understands what is said to it; the first `failures` times it does half of it."""

    def __init__(self, failures: int = 0, **there: str) -> None:
        self.routes = dict(there)
        self.failures = failures
        self.changes = 0

    async def read(self, link: str) -> dict[str, str]:
        return dict(self.routes)

    async def apply(self, text: str) -> None:
        lines = text.splitlines()
        for line in lines[: len(lines) // 2] if self.failures else lines:
            self.changes += 1
            words = line.split()
            ip = words[2].removesuffix("/32")
            assert words[-4:] == ["dev", "sp0-lan", "proto", "83"]
            if words[1] == "del":
                del self.routes[ip]
            else:
                self.routes[ip] = words[4]
        if self.failures:
            self.failures -= 1
            raise ProcessError(["ip"], 1, "no")


def play(scene: Callable[[LbRoutes, Kernel, FakeClock], Coroutine[Any, Any, None]], kernel: Kernel) -> None:
    async def main() -> None:
        clock = FakeClock()
        routes = LbRoutes("sp0-lan", NODES, clock, apply=kernel.apply, read=kernel.read)
        routes.service_changed(None, balanced())
        routes.slice_changed(None, slice_of(ON_A, ON_B))
        await during(routes.run(), scene(routes, kernel, clock))

    asyncio.run(main())


def test_a_route_follows_its_endpoints_and_goes_with_them() -> None:
    async def scene(routes: LbRoutes, kernel: Kernel, _: FakeClock) -> None:
        await settled()
        assert kernel.routes == {IP: A.ip}
        routes.slice_changed(slice_of(ON_A, ON_B), slice_of(ON_B))
        await settled()
        assert kernel.routes == {IP: B.ip}
        routes.slice_changed(slice_of(ON_B), slice_of(ON_A, ON_B))
        await settled()
        assert kernel.routes == {IP: B.ip}
        routes.slice_changed(slice_of(ON_A, ON_B), None)
        await settled()
        assert kernel.routes == {}
        routes.slice_changed(None, slice_of(ON_A))
        routes.service_changed(balanced(), balanced(ip="172.30.0.130"))
        await settled()
        assert kernel.routes == {"172.30.0.130": A.ip}
        changes = kernel.changes
        routes.service_changed(None, balanced("Cluster", "172.30.0.131", "other"))
        routes.slice_changed(None, slice_of(ON_A, name="other"))
        await settled()
        assert kernel.changes == changes
        routes.service_changed(balanced(ip="172.30.0.130"), balanced("Cluster", "172.30.0.130"))
        await settled()
        assert kernel.routes == {}

    play(scene, Kernel())


def test_a_new_process_adopts_what_is_there() -> None:
    async def scene(routes: LbRoutes, kernel: Kernel, _: FakeClock) -> None:
        await settled()
        assert kernel.routes == {IP: B.ip}
        assert kernel.changes == 1  # the other one went

    play(scene, Kernel(**{IP: B.ip, "172.30.0.140": A.ip}))


def test_after_a_failure_all_again() -> None:
    async def scene(routes: LbRoutes, kernel: Kernel, clock: FakeClock) -> None:
        await settled()
        assert kernel.routes == {"172.30.0.141": A.ip, IP: "172.30.0.9"}
        assert not routes.synced()
        await clock.advance(1)
        await settled()
        assert kernel.routes == {IP: A.ip}
        assert routes.synced()

    play(scene, Kernel(1, **{"172.30.0.140": A.ip, "172.30.0.141": A.ip, IP: "172.30.0.9"}))


def test_only_addresses_of_the_pool_are_routed() -> None:
    async def scene(routes: LbRoutes, kernel: Kernel, _: FakeClock) -> None:
        routes.service_changed(None, balanced(ip="192.0.2.1"))
        await settled()
        assert kernel.routes == {}

    play(scene, Kernel())
