"""The server, the replay and the launcher with the real Envoy: what it takes, refuses, keeps, and goes on serving when
its server is away."""

import dataclasses
import subprocess
import sys
import time
from pathlib import Path

import pytest
from xdslab import KIND, Load, XdsLab, world

from sampan import ir
from sampan.base.netns import inside
from sampan.xds.types import LISTENER, Resource, Snapshot

# The sixty seconds were measured by hand; here is enough for Envoy's reconnects to reach their longest pause.
AWAY_SECONDS = 8


@pytest.fixture
def lab(tmp_path: Path):
    lab = XdsLab(tmp_path)
    try:
        yield lab
    finally:
        lab.close()


@pytest.fixture
def served(lab):
    """Envoy has a world with one listener and answers by the first upstream."""
    primary = lab.primary()
    primary.publish(lab.build(world(lab.upstreams[0])), wait=False)
    lab.start_envoy()
    lab.until("/", (200, str(lab.upstreams[0])))
    return lab, primary


def test_everything_is_acknowledged_and_endpoints_follow(served):
    lab, primary = served
    primary.ask("acked", KIND, 1)
    assert primary.states() == {
        "Cluster": "SYNCED",
        "ClusterLoadAssignment": "SYNCED",
        "Secret": "NOT SENT",
        "Listener": "SYNCED",
        "RouteConfiguration": "SYNCED",
    }
    primary.publish(lab.build(world(lab.upstreams[1], clusters=2)))
    assert lab.get("/1/")[0] == 200
    primary.publish(lab.builder.update_endpoints(world(lab.upstreams[2]).endpoints))
    assert lab.get() == (200, str(lab.upstreams[2]))
    assert lab.stat("listener_manager.listener_modified") == 0


def test_a_changed_cluster_is_warm_at_once(served):
    """Envoy does not ask again for endpoints it has; without them sent again it would wait for 15 seconds."""
    lab, primary = served
    for timeout in (1.0, 2.0, 3.0):
        proxy = world(lab.upstreams[0])
        changed = {"c0": dataclasses.replace(proxy.clusters["c0"], connect_timeout=timeout)}
        began = time.monotonic()
        primary.publish(lab.build(dataclasses.replace(proxy, clusters=changed)))
        assert time.monotonic() - began < 1
        assert lab.stat("cluster_manager.warming_clusters") == 0
    assert lab.stat("cluster_manager.cluster_modified") == 3


def test_routes_move_from_cluster_to_cluster_without_a_failed_request(served):
    lab, primary = served
    load = Load(lab)
    for n in range(20):
        snapshot = lab.build(_renamed(world(lab.upstreams[0]), f"moved{n}"))
        primary.publish(snapshot, wait=n % 2 == 0)
        time.sleep(0.05)
    primary.ask("acked", KIND, snapshot.version)
    assert load.stop() > 100
    assert load.failed == []
    assert lab.stat("cluster_manager.cluster_removed") >= 10


def test_a_refused_listener_leaves_the_good_one_and_the_others(served):
    lab, primary = served
    good = lab.build(world(lab.upstreams[0]))
    more = lab.build(world(lab.upstreams[0], listener="more", port=8001))
    listeners = {**good.of(LISTENER), **more.of(LISTENER)}
    # It names a filter that no Envoy has.
    bad = listeners["web"].body.replace(b"http_connection_manager", b"http_connection_mistaken")
    assert bad != listeners["web"].body
    listeners["web"] = Resource("web", "bad", bad)
    primary.publish(Snapshot(7, {**good.resources, LISTENER: listeners}))
    assert lab.get() == (200, str(lab.upstreams[0]))
    assert lab.get(port=8001) == (200, str(lab.upstreams[0]))
    assert primary.states()["Listener"] == "NACK"
    (nack,) = primary.ask("nacks")
    assert nack[:3] == [KIND, LISTENER, ["web"]]
    assert "http_connection_mistaken" in nack[3]
    primary.publish(Snapshot(8, {**good.resources, LISTENER: {**listeners, "web": good.of(LISTENER)["web"]}}))
    assert primary.states()["Listener"] == "SYNCED"


def test_the_server_comes_back_with_less_and_only_that_is_sent(served):
    lab, primary = served
    two = lab.build(world(lab.upstreams[0], clusters=2))
    primary.publish(two)
    primary.kill()
    taken = {name: lab.stat(name) for name in ("cluster_manager.cds.update_success", "cluster.c0.update_success")}
    primary = lab.primary()
    one = lab.build(world(lab.upstreams[0], clusters=1))
    primary.publish(one, wait=False)
    lab.until("/clusters?format=json&filter=c1", lab.get("/clusters?format=json&filter=none", 15000), port=15000)
    primary.ask("acked", KIND, one.version)
    assert lab.stat("cluster_manager.cluster_removed") == 1
    assert lab.stat("cluster.c0.update_success") == taken["cluster.c0.update_success"]
    assert lab.stat("cluster_manager.cds.update_success") == taken["cluster_manager.cds.update_success"] + 1


def test_no_request_fails_while_the_server_is_away(served):
    lab, primary = served
    load = Load(lab)
    primary.kill()
    time.sleep(AWAY_SECONDS)
    primary = lab.primary()
    primary.publish(lab.build(world(lab.upstreams[1])), wait=False)
    lab.until("/", (200, str(lab.upstreams[1])), seconds=3)
    assert load.stop() > AWAY_SECONDS * 100
    assert load.failed == []


def test_an_envoy_that_starts_alone_serves_the_last_configuration_and_goes_back(lab):
    lab.save(lab.build(world(lab.upstreams[0], clusters=2)))
    lab.start_envoy()
    assert lab.until("/", (200, str(lab.upstreams[0]))) < 2
    assert lab.get("/1/")[0] == 200
    (replay,) = lab.replays()
    load = Load(lab)
    primary = lab.primary()
    primary.publish(lab.build(world(lab.upstreams[0], clusters=2)), wait=False)
    last = lab.build(world(lab.upstreams[1], clusters=1))
    primary.publish(last, wait=False)
    end = time.monotonic() + 10
    while primary.connected() == 0 and time.monotonic() < end:
        time.sleep(0.05)
    primary.ask("acked", KIND, last.version)
    lab.until("/", (200, str(lab.upstreams[1])))
    # Envoy does not tell the server what it has from elsewhere, yet what is gone must go.
    assert lab.stat("cluster_manager.cluster_removed") == 1
    end = time.monotonic() + 5
    while lab.replays() and time.monotonic() < end:
        time.sleep(0.05)
    assert lab.replays() == []
    load.stop()
    assert load.failed == []
    assert replay not in _zombies(lab)


def test_a_killed_envoy_is_back_within_two_seconds(served):
    lab, primary = served
    lab.save(lab.build(world(lab.upstreams[0])))
    for server_is_there in (True, False):
        if not server_is_there:
            primary.kill()
        lab.kill_envoy()
        lab.start_envoy()
        assert lab.until("/", (200, str(lab.upstreams[0]))) < 2, f"server is there: {server_is_there}"


def test_the_replay_dies_with_its_envoy(lab):
    lab.save(lab.build(world(lab.upstreams[0])))
    lab.start_envoy()
    lab.until("/", (200, str(lab.upstreams[0])))
    lab.kill_envoy()
    time.sleep(0.3)
    assert lab.replays() == []


def test_only_the_gateways_certificate_is_taken(lab):
    primary = lab.primary()
    primary.publish(lab.build(world(lab.upstreams[0])), wait=False)
    lab.start_envoy("stranger")
    time.sleep(2)
    assert primary.connected() == 0
    with pytest.raises(OSError):
        lab.get()


def test_draining_loses_nothing(served):
    """What a rollout does: the hook, then SIGTERM; clients go to the next Envoy when they are told."""
    lab, _ = served
    load = Load(lab)
    time.sleep(0.5)
    with inside(lab.netns):
        hook = subprocess.Popen([sys.executable, "-m", "sampan.xds.drain", "--hold", "1", "--seconds", "10"])
    lab.until("/healthz/ready", (503, "DRAINING\n"), port=15021)
    load.stop()
    assert hook.wait(12) == 0
    lab.terminate_envoy()
    assert load.failed == []
    assert load.count > 100


def _renamed(proxy: ir.Proxy, name: str) -> ir.Proxy:
    """The same world with another cluster, on other endpoints."""
    target = ir.Forward((ir.Target(name),))
    host = proxy.tables["t"].hosts[0]
    routes = tuple(dataclasses.replace(route, action=target) for route in host.routes)
    return dataclasses.replace(
        proxy,
        clusters={name: dataclasses.replace(proxy.clusters["c0"], name=name, endpoints=f"e-{name}")},
        endpoints={f"e-{name}": dataclasses.replace(proxy.endpoints["e0"], name=f"e-{name}")},
        tables={"t": dataclasses.replace(proxy.tables["t"], hosts=(dataclasses.replace(host, routes=routes),))},
    )


def _zombies(lab: XdsLab) -> list[int]:
    out = subprocess.run(
        ["ps", "-o", "pid=,stat=", "--ppid", str(lab.envoy.pid)], capture_output=True, text=True
    ).stdout
    return [int(line.split()[0]) for line in out.splitlines() if line.split()[1].startswith("Z")]
