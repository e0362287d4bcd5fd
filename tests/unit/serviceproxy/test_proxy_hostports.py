"""Host ports that lead to load balancers: what the annotation says, who gets a port, and who is told why not."""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from proxyworld import during, service, settled

from sampan.api.meta import Key
from sampan.base.clock import FakeClock
from sampan.serviceproxy import hostports
from sampan.serviceproxy.forwards import ANNOTATION, Forward, HostPort, settle, wish_of
from sampan.serviceproxy.hostclaims import HostClaims, listen
from sampan.serviceproxy.hostports import HostPorts

IP = "172.30.0.129"
PORTS = [{"name": "http", "port": 80, "protocol": "TCP"}, {"name": "https", "port": 443, "protocol": "TCP"},
         {"name": "h3", "port": 443, "protocol": "UDP"}]  # fmt: skip


def edge(text: str, name: str = "gw", ip: str = IP, **spec: Any) -> dict[str, Any]:
    made = service(name, **{"type": "LoadBalancer", "ports": PORTS} | spec)
    made["metadata"]["annotations"] = {ANNOTATION: text}
    return made | {"status": {"loadBalancer": {"ingress": [{"ip": ip, "ipMode": "VIP"}] if ip else []}}}


def test_what_the_annotation_says() -> None:
    assert wish_of(edge("8080:80, 8443:443")).forwards == {
        HostPort("tcp", 8080): Forward(IP, 80),
        HostPort("tcp", 8443): Forward(IP, 443),
        HostPort("udp", 8443): Forward(IP, 443),
    }
    assert wish_of(edge("")) == wish_of(service()) == wish_of(edge("80:80", ip=""))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("80", '"80" in sampan.io/host-ports is not HOST-PORT:SERVICE-PORT'),
        ("80:80,", '"" in sampan.io/host-ports is not HOST-PORT:SERVICE-PORT'),
        ("0:80", '"0:80" in sampan.io/host-ports is not HOST-PORT:SERVICE-PORT'),
        ("70000:80", '"70000:80" in sampan.io/host-ports is not HOST-PORT:SERVICE-PORT'),
        ("80:http", '"80:http" in sampan.io/host-ports is not HOST-PORT:SERVICE-PORT'),
        ("80:81", "sampan.io/host-ports names port 81, which the Service has not"),
    ],
)
def test_what_is_wrong_with_it(text: str, why: str) -> None:
    assert wish_of(edge(f"81:80,{text}")).problems == (why,)
    assert HostPort("tcp", 81) in wish_of(edge(f"81:80,{text}")).forwards


def test_only_for_load_balancers() -> None:
    assert wish_of(edge("80:80", type="ClusterIP")).problems == (
        "sampan.io/host-ports is for Services of type LoadBalancer",
    )


def test_the_first_by_name_has_a_port_that_two_want() -> None:
    wishes = {Key("default", name): wish_of(edge(text, name)) for name, text in (("b", "80:80,81:80"), ("a", "80:80"))}
    owners, refused = settle(wishes)
    assert owners == {HostPort("tcp", 80): Key("default", "a"), HostPort("tcp", 81): Key("default", "b")}
    assert refused == {Key("default", "b"): ["host port 80/tcp leads to Service default/a already"]}


class Machine:
    """Ports that others have, what nft is told, what Services are told."""

    def __init__(self) -> None:
        self.taken: set[int] = set()
        self.open: dict[HostPort, socket.socket] = {}
        self.texts: list[str] = []
        self.told: list[tuple[str, str]] = []

    def listen(self, port: HostPort) -> socket.socket:
        if port.port in self.taken:
            raise OSError(98, "Address already in use")
        self.open[port] = socket.socket()
        return self.open[port]

    @property
    def held(self) -> set[int]:
        return {port.port for port, sock in self.open.items() if sock.fileno() >= 0}

    async def apply(self, text: str) -> None:
        self.texts.append(text)


def play(scene: Callable[[HostPorts, Machine], Awaitable[None]]) -> None:
    async def main() -> None:
        machine = Machine()
        tell = lambda about, text: machine.told.append((about["metadata"]["name"], text))
        ports = HostPorts("t", FakeClock(), tell=tell, claims=HostClaims(machine.listen), apply=machine.apply)

        async def from_now_on() -> None:
            await settled()
            machine.texts.clear()
            await scene(ports, machine)

        await during(ports.run(), from_now_on())

    asyncio.run(main())


def test_it_follows_its_service() -> None:
    async def scene(ports: HostPorts, machine: Machine) -> None:
        ports.service_changed(None, edge("80:80"))
        await settled()
        assert machine.texts == [f"add element ip t hostports {{ tcp . 80 : {IP} . 80 }}\n"]
        assert machine.held == {80}
        ports.service_changed(None, edge("80:80", ip="172.30.0.130"))
        await settled()
        assert machine.texts[1:] == [
            f"delete element ip t hostports {{ tcp . 80 : {IP} . 80 }}\n"
            "add element ip t hostports { tcp . 80 : 172.30.0.130 . 80 }\n"
        ]
        ports.service_changed(edge("80:80"), None)
        await settled()
        assert machine.texts[2:] == ["delete element ip t hostports { tcp . 80 : 172.30.0.130 . 80 }\n"]
        assert machine.held == set()
        assert machine.told == []

    play(scene)


def test_nobody_loses_a_port_and_it_is_had_when_it_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hostports, "AGAIN_SECONDS", 0.02)

    async def scene(ports: HostPorts, machine: Machine) -> None:
        machine.taken.add(80)
        ports.service_changed(None, edge("80:80,443:443"))
        await asyncio.sleep(0.05)
        assert machine.texts == [f"add element ip t hostports {{ tcp . 443 : {IP} . 443, udp . 443 : {IP} . 443 }}\n"]
        assert machine.told == [("gw", "host port 80/tcp is in use by another program of this machine")]  # once
        machine.taken.clear()
        await asyncio.sleep(0.05)
        assert machine.texts[1:] == [f"add element ip t hostports {{ tcp . 80 : {IP} . 80 }}\n"]
        assert machine.held == {80, 443}

    play(scene)


def test_the_heir_gets_the_port() -> None:
    async def scene(ports: HostPorts, machine: Machine) -> None:
        ports.service_changed(None, edge("80:80", "a"))
        ports.service_changed(None, edge("80:80", "b", ip="172.30.0.130"))
        await settled()
        assert machine.told == [("b", "host port 80/tcp leads to Service default/a already")]
        ports.service_changed(edge("80:80", "a"), service("a"))
        await settled()
        assert machine.texts[-1].endswith("add element ip t hostports { tcp . 80 : 172.30.0.130 . 80 }\n")
        assert machine.held == {80}

    play(scene)


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
@pytest.mark.parametrize("address", ["127.0.0.1", "0.0.0.0"])
def test_a_held_port_is_nobody_elses(protocol: str, address: str) -> None:
    kind = socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM

    async def knock(number: int) -> None:
        reader, _ = await asyncio.open_connection("127.0.0.1", number)
        await reader.read()

    async def main() -> None:
        with socket.socket(socket.AF_INET, kind) as theirs:
            theirs.bind((address, 0))
            port = HostPort(protocol, theirs.getsockname()[1])
            if protocol == "tcp":
                theirs.listen()
            claims = HostClaims()
            assert claims.hold({port}) == frozenset()
        assert claims.hold({port}) == {port}
        with socket.socket(socket.AF_INET, kind) as theirs:
            if protocol == "tcp":
                theirs.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with pytest.raises(OSError, match="in use"):
                theirs.bind((address, port.port))
        if protocol == "tcp":  # nobody is kept waiting
            with pytest.raises(ConnectionResetError):
                await asyncio.wait_for(knock(port.port), 2)
        assert claims.hold(set()) == frozenset()
        listen(port).close()

    asyncio.run(main())
