"""Who tries again, on the real Envoy."""

from __future__ import annotations

from collections import Counter

import pytest
from envoylab import UPSTREAM_PORT, EnvoyLab

from sampan import ir
from sampan.xds.build import Builder

PORT, NOBODY_PORT, REQUESTS = 8000, 8999, 40
RETRIES = {"usual": ir.UNSENT, "once": ir.Retry(1, ("connect-failure",)), "never": None}


def statuses(envoy: EnvoyLab, name: str) -> Counter[int]:
    return Counter(envoy.request(f"http://web:{PORT}/{name}").status for _ in range(REQUESTS))


@pytest.fixture(scope="module")
def half_alive(envoy: EnvoyLab) -> EnvoyLab:
    """Every second request goes to an endpoint that refuses connections."""
    routes = tuple(
        ir.Route(name, ir.Match(ir.PathMatch(f"/{name}")), ir.Forward((ir.Target(name),))) for name in RETRIES
    )
    members = (ir.Endpoint("127.0.0.1", UPSTREAM_PORT), ir.Endpoint("127.0.0.1", NOBODY_PORT))
    proxy = ir.Proxy(
        listeners={"web": ir.Listener("web", PORT, (ir.SniChain("all", ir.Http("t")),))},
        tables={"t": ir.RouteTable("t", (ir.VirtualHost("all", ("*",), routes),))},
        clusters={name: ir.Cluster(name, "e", retry=retry) for name, retry in RETRIES.items()},
        endpoints={"e": ir.Endpoints("e", members)},
    )
    assert envoy.push(Builder().build(proxy)) == {}
    envoy.wait_until_ready()
    return envoy


@pytest.mark.parametrize("name", ["usual", "once"])
def test_what_reached_nobody_is_sent_elsewhere(half_alive: EnvoyLab, name: str) -> None:
    assert statuses(half_alive, name) == {200: REQUESTS}


def test_a_cluster_may_want_one_try_only(half_alive: EnvoyLab) -> None:
    found = statuses(half_alive, "never")
    assert found.keys() == {200, 503}
    assert found[503] >= REQUESTS // 4
