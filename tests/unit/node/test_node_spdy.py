"""exec, attach and port-forward as dialogues: the test is a SPDY or WebSocket client, pods are servers on loopback."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from fake_runtime import FakeProcess

from sampan.base.http import spdy
from sampan.base.http.types import Request
from sampan.node.portforward import ChannelForwards, SpdyForwards, Tunnel, dialer, ports
from sampan.node.spdy_streams import PROTOCOLS, V4, SpdyStreams
from sampan.node.streams import Wanted, serve
from sampan.node.upgrades import upgrade

HERE = Path("/proc/self/ns/net")


class Peer:
    """A SPDY client at the other end of a Raw, and that Raw. `said` is what it got on each stream, `ended` where FIN."""

    def __init__(self) -> None:
        self.spdy = spdy.Connection(client=True)
        self._to_server: asyncio.Queue[bytes] = asyncio.Queue()
        self.said: dict[int, bytes] = {}
        self.ended: set[int] = set()
        self.refused: set[int] = set()
        self.pongs: list[bytes] = []
        self._news = asyncio.Event()

    # Raw, for the server
    async def read(self) -> bytes:
        return await self._to_server.get()

    async def write(self, data: bytes) -> None:
        if data[:4] == b"\x80\x03\x00\x06":
            self.pongs.append(data)
        for event in self.spdy.receive(data):
            if isinstance(event, spdy.Data):
                self.said[event.stream] = self.said.get(event.stream, b"") + event.data
                if event.fin:
                    self.ended.add(event.stream)
            elif isinstance(event, spdy.Reset):
                self.refused.add(event.stream)
        self._news.set()

    def close(self) -> None:
        self.leave()

    # for the test
    def open(self, *, fin: bool = False, **headers: str) -> int:
        number, data = self.spdy.open(headers, fin=fin)
        self._to_server.put_nowait(data)
        return number

    def send(self, stream: int, data: bytes, *, fin: bool = False) -> None:
        self._to_server.put_nowait(self.spdy.send(stream, data, fin=fin))

    def tell(self, data: bytes) -> None:
        self._to_server.put_nowait(data)

    def leave(self) -> None:
        self._to_server.put_nowait(b"")

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(5):
            while not condition():
                self._news.clear()
                await self._news.wait()


# -- exec


def execute(
    process: FakeProcess,
    wanted: Wanted,
    test: Callable[[Peer], Awaitable[None]],
    protocol: str = V4,
) -> Peer:
    async def begin() -> FakeProcess:
        return process

    async def main() -> Peer:
        peer = Peer()
        server = asyncio.create_task(serve(SpdyStreams(peer, protocol, wanted), wanted, begin))
        await test(peer)
        await asyncio.wait_for(server, 5)
        return peer

    return asyncio.run(main())


def test_exec_with_input_size_and_exit_code() -> None:
    process = FakeProcess(code=3, echo=True)

    async def test(peer: Peer) -> None:
        error, stdin, stdout, size = (peer.open(streamType=kind) for kind in ("error", "stdin", "stdout", "resize"))
        peer.send(size, b'{"Width":80,"Hei')
        peer.send(size, b'ght":24}\n{"Width":90,"Height":25}\n')
        peer.tell(peer.spdy.ping(7))
        peer.send(stdin, b"hi\n", fin=True)
        await peer.until(lambda: error in peer.ended)
        assert peer.said[stdout] == b"hi\n"
        assert json.loads(peer.said[error])["details"]["causes"] == [{"reason": "ExitCode", "message": "3"}]
        assert {error, stdin, stdout, size} <= peer.ended
        peer.leave()

    peer = execute(process, Wanted(stdin=True, tty=True), test)
    assert process.sizes == [(80, 24), (90, 25)]
    assert process.closed
    assert len(peer.pongs) == 1


@pytest.mark.parametrize("protocol", PROTOCOLS[1:])
def test_before_v4_the_error_stream_has_bare_text(protocol: str) -> None:
    async def test(peer: Peer) -> None:
        error = peer.open(streamType="error")
        peer.open(streamType="stdout"), peer.open(streamType="stderr")
        await peer.until(lambda: error in peer.ended)
        assert peer.said[error] == b"command terminated with non-zero exit code: exit status 2"
        peer.leave()

    execute(FakeProcess(code=2, output=b"x"), Wanted(), test, protocol)


def test_a_client_that_leaves_ends_what_it_started() -> None:
    process = FakeProcess(echo=True)

    async def test(peer: Peer) -> None:
        for kind in ("error", "stdin", "stdout", "stderr"):
            peer.open(streamType=kind)
        peer.leave()

    execute(process, Wanted(stdin=True), test)
    assert process.closed


def test_a_client_that_left_is_missed_though_its_input_waits_for_the_process() -> None:
    class Stuck(FakeProcess):
        async def write(self, data: bytes) -> None:
            await asyncio.sleep(60)

    process = Stuck(echo=True)

    async def begin() -> FakeProcess:
        return process

    async def main() -> None:
        peer = Peer()
        wanted = Wanted(stdin=True, stdout=False, stderr=False)
        server = asyncio.create_task(serve(SpdyStreams(peer, V4, wanted), wanted, begin, pause=0.01))
        peer.open(streamType="error")
        peer.send(peer.open(streamType="stdin"), b"much")
        await peer.until(lambda: len(peer.pongs) > 1)
        assert not server.done()

        async def gone(data: bytes) -> None:
            raise ConnectionResetError

        peer.write = gone  # type: ignore[method-assign]
        await asyncio.wait_for(server, 5)

    asyncio.run(main())
    assert process.closed


def test_unknown_and_second_streams_are_refused() -> None:
    async def test(peer: Peer) -> None:
        odd, error = peer.open(streamType="video"), peer.open(streamType="error")
        again = peer.open(streamType="error")
        peer.open(streamType="stdout")
        await peer.until(lambda: error in peer.ended)
        assert peer.refused == {odd, again}
        peer.leave()

    execute(FakeProcess(), Wanted(stderr=False), test)


def test_versions_are_negotiated() -> None:
    async def nothing(*_: object) -> None: ...

    def ask(**headers: str) -> list[tuple[str, str]]:
        everything = {"connection": "Upgrade", "upgrade": "SPDY/3.1", **headers}
        request = Request("POST", "/", "/", "", everything)
        return upgrade(
            request, spdy=PROTOCOLS, run_spdy=nothing, websocket=(), run_websocket=nothing
        ).headers  # fmt: skip

    name = "x-stream-protocol-version"
    assert (name, "v3.channel.k8s.io") in ask(**{name: "channel.k8s.io, v3.channel.k8s.io"})
    assert name not in dict(ask())
    with pytest.raises(Exception, match=r"client supports \[v9\], server accepts \[v4.channel.k8s.io v3"):
        ask(**{name: "v9"})
    with pytest.raises(Exception, match="missing upgrade headers"):
        ask(upgrade="h2c")


# -- port-forward


def forwarding(pod: Callable[..., Awaitable[None]], test: Callable[[Peer, str], Awaitable[None]]) -> None:
    """Run `test(client, port)` while `pod` answers on a port of loopback."""

    async def main() -> None:
        server = await asyncio.start_server(pod, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        peer = Peer()
        running = asyncio.create_task(SpdyForwards(peer, dialer(HERE, "uid-1")).run())
        try:
            await asyncio.wait_for(test(peer, str(port)), 10)
            peer.leave()
            await asyncio.wait_for(running, 5)
        finally:
            running.cancel()
            server.close()

    asyncio.run(main())


async def shout(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answers only when it has heard all: needs a half-closed connection."""
    writer.write((await reader.read()).upper())
    await writer.drain()
    writer.close()


def pair(peer: Peer, port: str, request: str) -> tuple[int, int]:
    error = peer.open(fin=True, streamType="error", port=port, requestID=request)
    return error, peer.open(streamType="data", port=port, requestID=request)


def test_forwards_side_by_side_with_half_closing() -> None:
    async def test(peer: Peer, port: str) -> None:
        pairs = [pair(peer, port, str(i)) for i in range(40)]
        for i, (_, data) in enumerate(pairs):
            peer.send(data, f"forward {i}".encode())
        for _, data in reversed(pairs):
            peer.send(data, b"!", fin=True)
        await peer.until(lambda: all({e, d} <= peer.ended for e, d in pairs))
        assert [peer.said[d] for _, d in pairs] == [f"FORWARD {i}!".encode() for i in range(40)]
        assert all(not peer.said[e] for e, _ in pairs)

    forwarding(shout, test)


def test_a_pod_that_has_said_all_ends_the_forward_though_the_client_has_not() -> None:
    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"bye")
        writer.close()

    async def test(peer: Peer, port: str) -> None:
        error, data = pair(peer, port, "0")
        await peer.until(lambda: {error, data} <= peer.ended)  # kubectl waits for the end of both
        assert peer.said[data] == b"bye"

    forwarding(greet, test)


def test_a_client_that_gives_one_forward_up_keeps_the_others() -> None:
    gone = asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                writer.write(b"x")
                await writer.drain()
                await asyncio.sleep(0.001)
        except ConnectionError:
            gone.set()

    async def test(peer: Peer, port: str) -> None:
        (error, data), (_, other) = pair(peer, port, "0"), pair(peer, port, "1")
        await peer.until(lambda: {data, other} <= peer.said.keys())
        peer.tell(peer.spdy.reset(data))
        await peer.until(lambda: error in peer.ended)
        await asyncio.wait_for(gone.wait(), 5)
        before = len(peer.said[other])
        await peer.until(lambda: len(peer.said[other]) > before)

    forwarding(talk, test)


def test_a_port_where_nobody_listens() -> None:
    async def main() -> None:
        free = await asyncio.start_server(shout, "127.0.0.1", 0)
        port = str(free.sockets[0].getsockname()[1])
        free.close()
        await free.wait_closed()
        peer = Peer()
        running = asyncio.create_task(SpdyForwards(peer, dialer(HERE, "uid-1")).run())
        error, data = pair(peer, port, "0")
        await peer.until(lambda: error in peer.ended)
        text = peer.said[error].decode()
        assert text.startswith(
            f"error forwarding port {port} to pod uid-1, uid : failed to connect to localhost:{port}"
        )
        assert f"dial tcp4 127.0.0.1:{port}: connect: connection refused" in text
        assert data in peer.refused
        odd = peer.open(streamType="data", port="99999", requestID="1")
        await peer.until(lambda: odd in peer.refused)
        peer.leave()
        await asyncio.wait_for(running, 5)

    asyncio.run(main())


def test_a_pod_that_does_not_read_holds_the_client_back() -> None:
    async def deaf(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(60)

    async def test(peer: Peer, port: str) -> None:
        _, data = pair(peer, port, "0")
        for _ in range(400):
            peer.send(data, bytes(64 * 1024))
        await asyncio.sleep(0.3)
        assert peer._to_server.qsize() > 200  # 25 MB, of which it took a few
        while not peer._to_server.empty():
            peer._to_server.get_nowait()

    async def quick(peer: Peer, port: str) -> None:
        await test(peer, port)
        raise _Done

    class _Done(Exception): ...

    with pytest.raises(_Done):
        forwarding(deaf, quick)


class Socket:
    """A WebSocket of messages."""

    protocol = ""

    def __init__(self) -> None:
        self.inbox: asyncio.Queue[bytes | None] = asyncio.Queue()
        self.got: dict[int, bytes] = {}
        self.news = asyncio.Event()

    async def receive(self) -> bytes | None:
        return await self.inbox.get()

    async def send(self, data: bytes) -> None:
        self.got[data[0]] = self.got.get(data[0], b"") + data[1:]
        self.news.set()


def test_channels_of_a_websocket() -> None:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write((await reader.readexactly(4)).upper())
        writer.close()

    async def main() -> None:
        server = await asyncio.start_server(echo, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        word = port.to_bytes(2, "little")
        socket = Socket()
        forwards = ChannelForwards(socket, (port, port), dialer(HERE, "uid-1"))
        for message in (b"\x00wo", b"\x02twin", b"\x00rd", b"\x01?", b"\x09?"):
            socket.inbox.put_nowait(message)
        await asyncio.wait_for(forwards.run(), 5)  # over when both are
        assert socket.got == {0: word + b"WORD", 1: word, 2: word + b"TWIN", 3: word}
        server.close()

    asyncio.run(main())


def test_a_tunnel_is_the_bytes_of_its_messages() -> None:
    async def main() -> list[bytes]:
        socket = Socket()
        for message in (b"ab", b"", b"c", None):
            socket.inbox.put_nowait(message)
        tunnel = Tunnel(socket)
        return [await tunnel.read() for _ in range(3)]

    assert asyncio.run(main()) == [b"ab", b"c", b""]


def test_ports_of_a_query() -> None:
    assert ports(["80", "81,82"]) == (80, 81, 82)
    with pytest.raises(Exception, match='invalid port "x"'):
        ports(["x"])
    with pytest.raises(Exception, match="required"):
        ports([])
