"""The server over real gRPC, in both dialects and by the services of one type, with grpcio's plain client."""

import asyncio

import grpc
import grpc.aio
import pytest
import uvloop
from envoy.service.discovery.v3 import discovery_pb2
from xdsdialogue import snapshot

from sampan.base.clock import SystemClock
from sampan.xds.server import METHODS, XdsServer
from sampan.xds.types import CLUSTER

ADS = "/envoy.service.discovery.v3.AggregatedDiscoveryService/"


class Client:
    """One stream."""

    def __init__(self, port: int, method: str, delta: bool) -> None:
        self.channel = grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=[("grpc.use_local_subchannel_pool", 1)])
        self.kind = discovery_pb2.DeltaDiscoveryRequest if delta else discovery_pb2.DiscoveryRequest
        answer = discovery_pb2.DeltaDiscoveryResponse if delta else discovery_pb2.DiscoveryResponse
        self.stream = self.channel.stream_stream(method, self.kind.SerializeToString, answer.FromString)()

    async def say(self, **fields) -> None:
        request = self.kind(**fields)
        request.node.id, request.node.cluster = "n", "k"
        await self.stream.write(request)

    async def hear(self):
        return await asyncio.wait_for(self.stream.read(), 5)


async def end_of(stream) -> grpc.StatusCode:
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await asyncio.wait_for(stream.read(), 5)
    return raised.value.code()


def talk(work) -> None:
    async def main() -> None:
        server = XdsServer(SystemClock())
        server.publish("k", snapshot(1, CDS="a@1 b@1", EDS="e@1", SDS="s@1", LDS="l@1", RDS="r@1"))
        port = await server.start_insecure("127.0.0.1", 0)
        try:
            await work(server, port)
        finally:
            await server.stop()

    uvloop.run(main())


NAMES = {"Clusters": "a", "Endpoints": "e", "Listeners": "l", "Routes": "r", "Secrets": "s"}


@pytest.mark.parametrize(("method", "about"), METHODS.items(), ids=lambda value: str(value).rpartition("/")[2])
def test_every_method_answers(method, about):
    delta, type_url = about
    noun = method.rpartition("/")[2].removeprefix("Delta").removeprefix("Stream")

    async def work(server, port):
        client = Client(port, method, delta)
        name = NAMES.get(noun, "a")
        names = {"resource_names_subscribe" if delta else "resource_names": [name]}
        await client.say(type_url=CLUSTER if noun == "AggregatedResources" else "", **names)
        answer = await client.hear()
        assert answer.type_url == (type_url or CLUSTER)
        assert len(answer.resources) == 1
        await client.channel.close()

    talk(work)


def test_a_method_that_is_not_one_of_ours_is_not_implemented():
    async def work(server, port):
        client = Client(port, ADS + "Wrong", True)
        assert await end_of(client.stream) == grpc.StatusCode.UNIMPLEMENTED
        await client.channel.close()

    talk(work)


def test_garbage_ends_the_stream_and_no_other():
    async def work(server, port):
        good = Client(port, ADS + "DeltaAggregatedResources", True)
        await good.say(type_url=CLUSTER)
        await good.hear()
        channel = grpc.aio.insecure_channel(f"127.0.0.1:{port}")
        bad = channel.stream_stream(ADS + "DeltaAggregatedResources")()
        await bad.write(b"\xff\xff\xff garbage")
        assert await end_of(bad) == grpc.StatusCode.INVALID_ARGUMENT
        assert len(server.status()) == 1
        server.publish("k", snapshot(2, CDS="a@2 b@1"))
        await good.say(type_url=CLUSTER, response_nonce="1")
        assert [r.name for r in (await good.hear()).resources] == ["a"]
        await channel.close()
        await good.channel.close()

    talk(work)


def test_a_client_that_leaves_is_forgotten():
    async def work(server, port):
        client = Client(port, ADS + "StreamAggregatedResources", False)
        await client.say(type_url=CLUSTER)
        await client.hear()
        assert len(server.status()) == 1
        await client.channel.close()
        for _ in range(100):
            if not server.status():
                return
            await asyncio.sleep(0.02)
        raise AssertionError(server.status())

    talk(work)


def test_stopping_tells_the_clients_and_is_quiet(capfd):
    async def work(server, port):
        clients = [Client(port, ADS + "DeltaAggregatedResources", True) for _ in range(3)]
        for client in clients:
            await client.say(type_url=CLUSTER)
            await client.hear()
        await server.stop()
        for client in clients:
            assert await end_of(client.stream) == grpc.StatusCode.UNAVAILABLE
            await client.channel.close()

    talk(work)
    assert "Traceback" not in capfd.readouterr().err


def test_a_slow_reader_gets_the_newest_and_not_all():
    """It does not read while two hundred snapshots pass by; half a megabyte each would fill any buffer."""

    async def work(server, port):
        client = Client(port, ADS + "DeltaAggregatedResources", True)
        await client.say(type_url=CLUSTER)
        for version in range(2, 202):
            server.publish("k", snapshot(version, CDS=" ".join(f"{'n' * 100}{i}@{version}" for i in range(500))))
            await asyncio.sleep(0)
        heard = []
        while not heard or heard[-1] != "201":
            answer = await client.hear()
            heard.append(answer.system_version_info)
            await client.say(type_url=CLUSTER, response_nonce=answer.nonce)
        assert len(heard) < 10
        await client.channel.close()

    talk(work)


def test_a_taken_port_is_an_error():
    async def work(server, port):
        with pytest.raises(RuntimeError):
            await XdsServer(SystemClock()).start_insecure("127.0.0.1", port)

    talk(work)
