"""Who tries again, on the real Envoy, and what is not risked in the first place."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress

import pytest
from envoylab import UPSTREAM_PORT, EnvoyLab

from sampan import ir
from sampan.base.netns import inside
from sampan.xds.build import Builder

PORT, NOBODY_PORT, IMPATIENT_PORT, REQUESTS = 8000, 8999, 8998, 40
RETRIES = {"usual": ir.UNSENT, "once": ir.Retry(1, ("connect-failure",)), "never": None}


def statuses(envoy: EnvoyLab, name: str, method: str = "GET") -> Counter[int]:
    return Counter(envoy.request(f"http://web:{PORT}/{name}", method).status for _ in range(REQUESTS))


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


@pytest.mark.parametrize(("name", "method"), [("usual", "GET"), ("usual", "POST"), ("once", "GET")])
def test_what_reached_nobody_is_sent_elsewhere(half_alive: EnvoyLab, name: str, method: str) -> None:
    assert statuses(half_alive, name, method) == {200: REQUESTS}


def test_a_cluster_may_want_one_try_only(half_alive: EnvoyLab) -> None:
    found = statuses(half_alive, "never")
    assert found.keys() == {200, 503}
    assert found[503] >= REQUESTS // 4


class Impatient(threading.Thread):
    """A backend that keeps connections for two seconds, as gunicorn does, and never closes one politely: a request that
    comes later on it is read and answered with a reset. `/reset` is answered so at once.
    """

    KEEPS = 2.0

    def __init__(self, lab: EnvoyLab) -> None:
        super().__init__(daemon=True)
        self.read: list[bytes] = []
        self.connections: list[socket.socket] = []
        with inside(lab.netns):
            self._listening = socket.create_server(("0.0.0.0", IMPATIENT_PORT))

    def run(self) -> None:
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            self.connections.append(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        answered = time.monotonic()
        with connection:
            while data := connection.recv(65536):
                self.read.append(data.partition(b" HTTP/")[0])
                if b"/reset" in self.read[-1] or time.monotonic() > answered + self.KEEPS:
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    return
                connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
                answered = time.monotonic()

    def close(self) -> None:
        for one in (self._listening, *self.connections):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()


@pytest.fixture
def impatient(envoy: EnvoyLab) -> Iterator[Impatient]:
    route = ir.Route("r", ir.Match(), ir.Forward((ir.Target("impatient"),)))
    proxy = ir.Proxy(
        listeners={"web": ir.Listener("web", PORT, (ir.SniChain("all", ir.Http("t")),))},
        tables={"t": ir.RouteTable("t", (ir.VirtualHost("all", ("*",), (route,)),))},
        clusters={"impatient": ir.Cluster("impatient", "i")},
        endpoints={"i": ir.Endpoints("i", (ir.Endpoint("127.0.0.1", IMPATIENT_PORT),))},
    )
    backend = Impatient(envoy)
    backend.start()
    assert envoy.push(Builder().build(proxy)) == {}
    envoy.wait_until_ready()
    try:
        yield backend
    finally:
        backend.close()


def test_a_connection_is_not_used_for_longer_than_servers_keep_it(envoy: EnvoyLab, impatient: Impatient) -> None:
    ask = lambda method: envoy.request(f"http://web:{PORT}/", method).status
    assert [ask("GET"), ask("POST")] == [200, 200]
    assert len(impatient.connections) == 1  # it is used again as long as it is fresh
    time.sleep(impatient.KEEPS + 0.1)
    assert [ask("POST"), ask("GET")] == [200, 200]
    assert len(impatient.connections) == 2


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_what_a_backend_has_read_is_not_sent_again(envoy: EnvoyLab, impatient: Impatient, method: str) -> None:
    assert envoy.request(f"http://web:{PORT}/reset", method).status == 503
    assert impatient.read == [f"{method} /reset".encode()]
