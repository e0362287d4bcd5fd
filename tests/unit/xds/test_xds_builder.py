"""Building again what changed, and only that; bytes by hand are those that protobuf would write."""

from __future__ import annotations

from dataclasses import replace

import pytest
from envoy.config.cluster.v3 import cluster_pb2
from envoy.config.core.v3 import health_check_pb2
from envoy.config.endpoint.v3 import endpoint_pb2
from envoy.config.listener.v3 import listener_pb2
from envoy.config.route.v3 import route_pb2
from envoy.extensions.transport_sockets.tls.v3 import tls_pb2
from hypothesis import given
from hypothesis import strategies as st

from sampan import ir
from sampan.xds.build import Builder
from sampan.xds.build.endpoints import endpoints_resource
from sampan.xds.types import CLUSTER, ENDPOINTS, LISTENER, ROUTES, SECRET, TYPES, Snapshot
from sampan.xds.wire import nested, number, text, varint


def origin(name: str) -> ir.Origin:
    return ir.Origin("ingresses.networking.k8s.io", "default", name)


def host(n: int, policies: ir.Policies = ir.Policies()) -> ir.VirtualHost:
    route = ir.Route("r", ir.Match(), ir.Forward((ir.Target(f"c{n}"),)), policies, origin=origin(f"i{n}"))
    return ir.VirtualHost(f"h{n}", (f"h{n}.example.com",), (route,))


def proxy(size: int = 5) -> ir.Proxy:
    names = range(size)
    members = (ir.Endpoint("10.0.0.1", 8080), ir.Endpoint("10.0.0.2", 8080))
    return ir.Proxy(
        listeners={"http": ir.Listener("http", 80, (ir.SniChain("all", ir.Http("t")),), origin=origin("gw"))},
        tables={"t": ir.RouteTable("t", tuple(map(host, names)))},
        clusters={f"c{n}": ir.Cluster(f"c{n}", endpoints=f"e{n}", service=f"default/s{n}") for n in names},
        endpoints={f"e{n}": ir.Endpoints(f"e{n}", members) for n in names},
    )


def with_table(before: ir.Proxy, hosts: tuple[ir.VirtualHost, ...]) -> ir.Proxy:
    return replace(before, tables={"t": ir.RouteTable("t", hosts)})


def changed(before: Snapshot, after: Snapshot) -> set[tuple[str, str]]:
    """Resources that are not the same objects as before, and those that are gone."""
    found = set()
    for url in TYPES:
        for name in before.of(url).keys() | after.of(url).keys():
            if before.of(url).get(name) is not after.of(url).get(name):
                found.add((url, name))
    return found


def test_an_equal_proxy_is_the_same_snapshot() -> None:
    builder = Builder()
    first = builder.build(proxy())
    assert builder.build(proxy()) is first
    assert first.version == 1


def test_one_changed_host_is_one_changed_table() -> None:
    builder, now = Builder(), proxy()
    first = builder.build(now)
    hosts = now.tables["t"].hosts
    second = builder.build(with_table(now, (replace(hosts[0], domains=("new.example.com",)), *hosts[1:])))
    assert changed(first, second) == {(ROUTES, "t")}
    assert second.version == 2
    made = route_pb2.RouteConfiguration.FromString(second.of(ROUTES)["t"].body)
    assert [list(one.domains) for one in made.virtual_hosts[:2]] == [["new.example.com"], ["h1.example.com"]]


def test_what_is_kept_is_what_would_be_built_anew() -> None:
    """Hosts and routes come, change, swap places and go: the bytes are those of a new builder."""
    builder, now = Builder(), proxy(4)
    builder.build(now)
    h = now.tables["t"].hosts
    more = replace(
        h[1], routes=(*h[1].routes, ir.Route("r2", ir.Match(ir.PathMatch("/x")), ir.Respond(418, "x" * 5000)))
    )
    for hosts in ((h[1], h[0], h[3]), (more, h[0]), (h[0], replace(more, routes=more.routes[::-1])), (), h):
        wanted = Builder().build(with_table(now, hosts)).of(ROUTES)["t"]
        assert builder.build(with_table(now, hosts)).of(ROUTES)["t"] == wanted


def test_a_version_is_of_the_bytes() -> None:
    first = Builder().build(proxy())
    assert Builder().build(proxy()).of(CLUSTER) == first.of(CLUSTER)
    assert len({one.version for one in first.of(CLUSTER).values()}) == 5


def test_one_changed_endpoint_is_one_changed_resource() -> None:
    builder = Builder()
    first = builder.build(proxy())
    second = builder.update_endpoints({"e1": ir.Endpoints("e1", (ir.Endpoint("10.0.0.9", 1),))})
    assert changed(first, second) == {(ENDPOINTS, "e1")}
    assert builder.update_endpoints({"e1": ir.Endpoints("e1", (ir.Endpoint("10.0.0.9", 1),))}) is second


def test_endpoints_of_the_proxy_are_only_taken_at_first() -> None:
    """They are of the time of a translation; what came by the fast path is newer."""
    builder = Builder()
    builder.build(proxy())
    newer = builder.update_endpoints({"e1": ir.Endpoints("e1", ())}).of(ENDPOINTS)["e1"]
    hosts = proxy().tables["t"].hosts[:1]
    assert builder.build(with_table(proxy(), hosts)).of(ENDPOINTS)["e1"] is newer


def test_endpoints_that_are_gone() -> None:
    """A cluster that refers to them has none; without such a cluster there is no resource."""
    builder = Builder()
    builder.build(replace(proxy(), endpoints={**proxy().endpoints, "other": ir.Endpoints("other", ())}))
    after = builder.update_endpoints({"e1": None, "other": None, "unknown": None}).of(ENDPOINTS)
    assert "other" not in after
    assert "unknown" not in after
    assert endpoint_pb2.ClusterLoadAssignment.FromString(after["e1"].body) == endpoint_pb2.ClusterLoadAssignment(
        cluster_name="e1"
    )
    left = proxy()
    gone = replace(left, clusters={k: v for k, v in left.clusters.items() if k != "c1"}, endpoints={})
    assert "e1" not in builder.build(gone).of(ENDPOINTS)


def test_endpoints_may_come_before_their_cluster() -> None:
    builder = Builder()
    builder.build(proxy())
    early = builder.update_endpoints({"e9": ir.Endpoints("e9", (ir.Endpoint("10.0.0.9", 1),))})
    assert "e9" in early.of(ENDPOINTS)


def test_a_cluster_waits_for_no_endpoints() -> None:
    made = Builder().build(ir.Proxy(clusters={"c": ir.Cluster("c", endpoints="nobody")}))
    assert "nobody" in made.of(ENDPOINTS)


def test_nobody_yet_is_not_known_to_be_nobody() -> None:
    builder, now = Builder(), proxy()
    builder.build(replace(now, endpoints={}))
    assert builder.build(now).of(ENDPOINTS) == Builder().build(now).of(ENDPOINTS)


def test_filters_come_with_the_first_route_that_needs_them_and_stay() -> None:
    """To take one out would be another listener, whose old connections are closed."""
    builder, now = Builder(), proxy(2)
    plain = builder.build(now).of(LISTENER)["http"]
    cors = ir.Policies(cors=ir.Cors())
    needs = builder.build(with_table(now, (host(0, cors), host(1)))).of(LISTENER)["http"]
    assert needs.body != plain.body
    assert b"envoy.extensions.filters.http.cors" in needs.body
    assert b"envoy.extensions.filters.http.cors" not in plain.body
    assert builder.build(now).of(LISTENER)["http"] is needs
    assert Builder().build(now).of(LISTENER)["http"] == plain


def test_a_listener_changes_when_its_certificate_comes() -> None:
    tls = ir.ListenerTls(("cert",))
    listener = ir.Listener("https", 443, (ir.SniChain("all", ir.Http("t"), (), tls),))
    builder = Builder()
    assert builder.build(ir.Proxy({"https": listener})).of(LISTENER) == {}
    secret = ir.Secret("cert", b"chain", b"key", origin=origin("s"))
    there = builder.build(ir.Proxy({"https": listener}, secrets={"cert": secret}))
    assert set(there.of(LISTENER)) == {"https"}
    renewed = builder.build(ir.Proxy({"https": listener}, secrets={"cert": replace(secret, chain=b"new")}))
    assert changed(there, renewed) == {(SECRET, "cert")}


def test_origins_say_whom_to_blame() -> None:
    made = Builder().build(proxy(3))
    assert made.of(ROUTES)["t"].origins == (origin("i0"), origin("i1"), origin("i2"))
    assert made.of(LISTENER)["http"].origins == (origin("gw"),)


ENDPOINT = st.builds(
    ir.Endpoint,
    ip=st.sampled_from(["10.0.0.1", "192.168.100.200", "2001:db8:1111:2222:3333:4444:5555:6666"]),
    port=st.integers(1, 65535),
    weight=st.integers(1, 2**31),
    zone=st.sampled_from(["", "a", "a-long-name-of-a-zone" * 8]),
    draining=st.booleans(),
)


@given(st.builds(ir.Endpoints, st.text(min_size=1, max_size=200), st.lists(ENDPOINT, max_size=30).map(tuple)))
def test_endpoints_by_hand_are_what_protobuf_reads(endpoints: ir.Endpoints) -> None:
    made = endpoint_pb2.ClusterLoadAssignment.FromString(endpoints_resource(endpoints).body)
    assert made.cluster_name == endpoints.name
    serving = any(not member.draining for member in endpoints.members)
    read = []
    for locality in made.endpoints:
        for one in locality.lb_endpoints:
            socket = one.endpoint.address.socket_address
            weight = one.load_balancing_weight.value if one.HasField("load_balancing_weight") else 1
            draining = one.health_status == health_check_pb2.DRAINING
            read.append((socket.address, socket.port_value, weight, locality.locality.zone, draining))
    wanted = [(m.ip, m.port, m.weight, m.zone, m.draining and serving) for m in endpoints.members]
    assert sorted(read) == sorted(wanted)


@given(st.text(min_size=1, max_size=300), st.text(max_size=300), st.text(max_size=300))
def test_clusters_by_hand_are_what_protobuf_reads(name: str, endpoints: str, service: str) -> None:
    cluster = ir.Cluster(name, endpoints=endpoints, service=service)
    made = cluster_pb2.Cluster.FromString(Builder().build(ir.Proxy(clusters={name: cluster})).of(CLUSTER)[name].body)
    assert made.name == name
    assert made.eds_cluster_config.service_name == endpoints
    assert made.eds_cluster_config.eds_config.HasField("ads")
    metadata = made.metadata.filter_metadata
    assert (metadata["sampan"]["service"] if service else "") == service


@pytest.mark.parametrize("value", [0, 1, 127, 128, 300, 2**32 - 1, 2**63])
def test_varints(value: int) -> None:
    made = route_pb2.google_dot_protobuf_dot_wrappers__pb2.UInt64Value.FromString(number(1, value))
    assert made.value == value
    assert len(varint(value)) == max(1, -(-value.bit_length() // 7))


def test_long_fields() -> None:
    assert cluster_pb2.Cluster.FromString(text(28, "x" * 1000)).alt_stat_name == "x" * 1000
    assert nested(1, b"") == b"\x0a\x00"


def test_a_chain_that_cannot_check_its_clients_keeps_its_names() -> None:
    """Without, its clients would come in by the chain for all other names, unchecked."""
    asks = ir.ListenerTls(("cert",), client_ca="missing", client_required=False)
    chains = (
        ir.SniChain("asks", ir.Http("t"), ("a.example.com",), asks),
        ir.SniChain("rest", ir.Http("t"), (), ir.ListenerTls(("cert",))),
    )
    secret = ir.Secret("cert", b"chain", b"key")
    made = Builder().build(ir.Proxy({"https": ir.Listener("https", 443, chains)}, secrets={"cert": secret}))
    listener = listener_pb2.Listener.FromString(made.of(LISTENER)["https"].body)
    (chain,) = listener.filter_chains
    assert list(chain.filter_chain_match.server_names) == ["a.example.com"]
    context = tls_pb2.DownstreamTlsContext.FromString(chain.transport_socket.typed_config.value)
    assert context.require_client_certificate.value
    assert context.common_tls_context.validation_context.verify_certificate_hash == ["0" * 64]
