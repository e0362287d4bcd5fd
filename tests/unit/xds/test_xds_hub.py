"""The hub: kinds, who is settled, who is told of a NACK."""

import asyncio

import pytest
from envoy.service.discovery.v3 import discovery_pb2
from xdsdialogue import CDS, LDS, URLS, snapshot

from sampan.base.clock import FakeClock
from sampan.ir import Origin
from sampan.xds.discovery import Request, delta_body, parse
from sampan.xds.hub import Hub, differences
from sampan.xds.session import Send
from sampan.xds.types import CLUSTER, LISTENER, Resource, Snapshot


def ask(short, nonce="", error=None, kind="k", node="n", agent="envoy"):
    return Request(URLS[short], (), (), {}, nonce, error, node, kind, agent)


def joined(hub, short=CDS, **more):
    first = ask(short, **more)
    stream = hub.join(True, first)
    hub.receive(stream, first)
    return stream


def nonce(send: Send) -> str:
    return discovery_pb2.DeltaDiscoveryResponse.FromString(send.body).nonce


def test_each_kind_has_its_own_and_an_unknown_one_waits():
    hub = Hub(FakeClock())
    hub.publish("k", snapshot(1, CDS="a@1"))
    assert len(hub.turn(joined(hub))) == 1
    waiting = joined(hub, kind="other")
    assert hub.turn(waiting) == []
    assert not hub.settled("other")
    hub.publish("other", snapshot(1, CDS="b@1"))
    assert waiting.wake.is_set()
    assert b"b 1" in hub.turn(waiting)[0].body


def test_grpc_clients_without_a_kind_get_theirs():
    hub = Hub(FakeClock())
    hub.publish("grpc", snapshot(1, CDS="a@1"))
    assert joined(hub, kind="", agent="gRPC C-core").kind.name == "grpc"


def test_two_streams_get_the_very_same_bytes():
    hub = Hub(FakeClock())
    hub.publish("k", snapshot(1, CDS="a@1 b@1"))
    one, other = joined(hub), joined(hub)
    assert hub.turn(one)[0].body is hub.turn(other)[0].body


def test_an_equal_snapshot_is_silence():
    hub = Hub(FakeClock())
    hub.publish("k", snapshot(1, CDS="a@1"))
    stream = joined(hub)
    hub.turn(stream)
    stream.wake.clear()
    hub.publish("k", snapshot(2, CDS="a@1"))
    assert not stream.wake.is_set()


def test_versions_of_another_process_are_no_reason_to_send_old_bytes():
    hub = Hub(FakeClock())
    hub.publish("k", snapshot(1, CDS="a@1"))
    hub.turn(joined(hub))
    hub.publish("k", snapshot(1, CDS="a@2"))
    assert b"a 2" in hub.turn(joined(hub))[0].body


def test_acked_waits_for_the_answer_of_all_that_are_connected():
    async def main():
        hub = Hub(FakeClock())
        hub.publish("k", snapshot(1, CDS="a@1"))
        streams = [joined(hub) for _ in range(3)]
        waiting = asyncio.ensure_future(hub.acked("k", 1))
        sends = [hub.turn(stream)[0] for stream in streams]
        hub.receive(streams[0], ask(CDS, nonce(sends[0])))
        hub.receive(streams[1], ask(CDS, nonce(sends[1]), error="no"))
        await asyncio.sleep(0)
        assert not waiting.done()
        hub.leave(streams[2])
        await asyncio.wait_for(waiting, 1)

    asyncio.run(main())


def test_whoever_wrote_it_is_told_of_a_refusal():
    told = []
    hub = Hub(FakeClock(), lambda *what: told.append(what))
    origin = Origin("ingresses.networking.k8s.io", "default", "web")
    hub.publish("k", Snapshot(1, {LISTENER: {"l": Resource("l", "1", b"l 1", (origin,))}}))
    stream = joined(hub, LDS)
    (send,) = hub.turn(stream)
    hub.receive(stream, ask(LDS, nonce(send), error="no such filter"))
    assert told == [("k", LISTENER, ("l",), (origin,), "no such filter")]
    (status,) = hub.status()
    assert {t.type_url: (t.state, t.message) for t in status.types}[LISTENER] == ("NACK", "no such filter")


def test_differences_are_by_version_and_the_same_mapping_is_not_looked_at():
    before, now = snapshot(1, CDS="a@1 b@1 c@1", LDS="l@1"), snapshot(2, CDS="a@1 b@2 d@1", LDS="l@1")
    assert differences(before, now) == {CLUSTER: ({"b", "d"}, {"c"})}
    assert differences(now, Snapshot(3, {**now.resources})) == {}


@pytest.mark.parametrize("size", [0, 1, 127, 128, 20_000])
def test_hand_made_bytes_are_what_protobuf_reads(size):
    resources = [Resource("näme", "v1", b"x" * size), Resource("b" * 200, "v2", b"y")]
    message = discovery_pb2.DeltaDiscoveryResponse.FromString(delta_body(CLUSTER, 7, resources, ["gone"]))
    assert message.system_version_info == "7"
    assert message.type_url == CLUSTER
    assert [(r.name, r.version, r.resource.type_url, r.resource.value) for r in message.resources] == [
        (r.name, r.version, CLUSTER, r.body) for r in resources
    ]
    assert list(message.removed_resources) == ["gone"]


def test_requests_of_both_dialects_are_read():
    delta = discovery_pb2.DeltaDiscoveryRequest(
        node={"id": "n", "cluster": "k", "user_agent_name": "envoy"},
        type_url=CLUSTER,
        resource_names_subscribe=["a"],
        resource_names_unsubscribe=["b"],
        initial_resource_versions={"a": "1"},
        response_nonce="3",
        error_detail={"code": 13, "message": ""},
    )
    assert parse(delta.SerializeToString(), True) == Request(
        CLUSTER, ("a",), ("b",), {"a": "1"}, "3", "", "n", "k", "envoy"
    )
    sotw = discovery_pb2.DiscoveryRequest(resource_names=["a", "b"], response_nonce="3", version_info="1")
    assert parse(sotw.SerializeToString(), False, LISTENER) == Request(LISTENER, ("a", "b"), nonce="3")
