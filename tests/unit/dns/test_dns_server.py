"""Goal: real DNS clients get right answers over UDP and TCP. Method: dnspython as the client, loopback sockets."""

import asyncio
import contextlib
import socket

import dns.asyncquery
import dns.flags
import dns.message
import dns.rcode
import pytest
from test_dns_zone import endpoint, service, slice_of

from sampan.dns.plugins.forward import Forward, upstreams
from sampan.dns.plugins.kubernetes import Kubernetes
from sampan.dns.server import Resolver, Server
from sampan.dns.zone import Zone


def bound(kind, port=0):
    sock = socket.socket(socket.AF_INET, kind)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind(("127.0.0.1", port))
    sock.setblocking(False)
    return sock


def both_bound():
    """UDP and TCP sockets on one port that is free for both."""
    while True:
        udp = bound(socket.SOCK_DGRAM)
        try:
            return udp, bound(socket.SOCK_STREAM, udp.getsockname()[1])
        except OSError:
            udp.close()


@contextlib.asynccontextmanager
async def serving(*plugins, version=lambda: 0):
    """A server on loopback; yields its port."""
    udp, tcp = both_bound()
    port = udp.getsockname()[1]
    server = Server(Resolver(plugins, version))
    await server.serve(udp, tcp)
    try:
        yield port
    finally:
        await server.close()


async def ask(port, name, kind="A", tcp=False, **options):
    query = dns.message.make_query(name, kind, **options)
    send = dns.asyncquery.tcp if tcp else dns.asyncquery.udp
    return await send(query, "127.0.0.1", port=port, timeout=3)


def zone_with(count):
    zone = Zone("cluster.local", ["10.96.0.0/16"], "10.96.0.10")
    zone.on_service(None, service("db", clusterIP="None"))
    zone.on_slice(None, slice_of("db", *(endpoint(f"10.244.{i // 250}.{i % 250 + 1}") for i in range(count))))
    zone.on_service(None, service("ext", type="ExternalName", externalName="out.example"))
    return zone


NAME = "db.default.svc.cluster.local"


@pytest.mark.parametrize("tcp", [False, True])
def test_answers_over_both_transports(tcp):
    async def main():
        async with serving(Kubernetes(zone_with(2), lambda: True)) as port:
            answer = await ask(port, NAME, tcp=tcp)
            assert sorted(rr.to_text() for rr in answer.answer[0]) == ["10.244.0.1", "10.244.0.2"]
            assert answer.flags & dns.flags.AA

    asyncio.run(main())


def test_repeated_questions_rotate_and_change_at_once_with_the_zone():
    async def main():
        zone = zone_with(3)
        async with serving(Kubernetes(zone, lambda: True), version=lambda: zone.version) as port:
            firsts = {(await ask(port, NAME)).answer[0][0].to_text() for _ in range(9)}
            assert len(firsts) == 3
            zone.on_slice(slice_of("db"), slice_of("db", endpoint("10.244.9.9")))
            assert (await ask(port, NAME)).answer[0][0].to_text() == "10.244.9.9"

    asyncio.run(main())


def test_what_does_not_fit_a_datagram_is_truncated_and_whole_over_tcp():
    async def main():
        async with serving(Kubernetes(zone_with(200), lambda: True)) as port:
            short = await ask(port, NAME)
            assert short.flags & dns.flags.TC
            assert len((await ask(port, NAME, tcp=True)).answer[0]) == 200

    asyncio.run(main())


def test_names_not_synced_yet_are_servfail_never_nxdomain():
    async def main():
        async with serving(Kubernetes(zone_with(1), lambda: False)) as port:
            assert (await ask(port, "later.default.svc.cluster.local")).rcode() == dns.rcode.SERVFAIL
            assert (await ask(port, NAME)).rcode() == dns.rcode.NOERROR

    asyncio.run(main())


def test_other_names_are_forwarded_and_cnames_followed():
    async def main():
        world = Zone("example", [], "192.0.2.53")
        world.on_service(None, service("unused"))
        world._forward = lambda below, name: _world(name)
        async with serving(Kubernetes(world, lambda: True)) as upstream:
            forward = Forward(("127.0.0.1",), lambda kind: socket.socket(socket.AF_INET, kind), upstream)
            async with serving(Kubernetes(zone_with(1), lambda: True), forward) as port:
                assert (await ask(port, "out.example")).answer[0][0].to_text() == "192.0.2.80"
                assert (await ask(port, "out.example", tcp=True)).answer[0][0].to_text() == "192.0.2.80"
                chased = await ask(port, "ext.default.svc.cluster.local")
                assert [rrset.to_text().split()[-1] for rrset in chased.answer] == ["out.example.", "192.0.2.80"]

    asyncio.run(main())


def _world(name):
    from sampan.dns.types import Rr

    return [Rr(name, "A", 60, "192.0.2.80")]


def test_no_upstream_answers_is_servfail():
    async def main():
        closed = bound(socket.SOCK_DGRAM)
        port = closed.getsockname()[1]
        closed.close()
        forward = Forward(("127.0.0.1",), lambda kind: socket.socket(socket.AF_INET, kind), port)
        async with serving(forward) as mine:
            assert (await ask(mine, "example.com")).rcode() == dns.rcode.SERVFAIL

    asyncio.run(main())


def test_garbage_gets_no_answer_and_harms_nobody():
    async def main():
        async with serving(Kubernetes(zone_with(1), lambda: True)) as port:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
                for junk in (b"", b"x", b"\xff" * 40, b"\x00" * 12, bytes(range(200))):
                    sock.sendto(junk, ("127.0.0.1", port))
            assert (await ask(port, NAME)).rcode() == dns.rcode.NOERROR

    asyncio.run(main())


def test_upstreams_are_the_machine_s_ipv4_nameservers(tmp_path):
    path = tmp_path / "resolv.conf"
    path.write_text("# c\nsearch x\nnameserver 127.0.0.53\nnameserver ::1\nnameserver 9.9.9.9\n")
    assert upstreams(path) == ("127.0.0.53", "9.9.9.9")
