"""The ports that tcp-services and udp-services open: those that are served, and on the gateway's own Service."""

from __future__ import annotations

from sampan.api.meta import Key
from sampan.gateway import deployment
from sampan.gateway.ingress.streams import stream_ports
from sampan.gateway.types import Resources

OWN = {(Key("", ""), 80): 80, (Key("", ""), 443): 443, (Key("default", "front"), 80): 20000}


def opened(**maps: dict[str, str]) -> set[tuple[str, int]]:
    found = {
        Key("ingress-nginx", f"{protocol}-services"): {
            "metadata": {"name": f"{protocol}-services", "namespace": "ingress-nginx"},
            "data": data,
        }
        for protocol, data in maps.items()
    }
    return stream_ports(Resources({"configmaps": found}, ports=OWN))


def test_each_by_its_protocol() -> None:
    to = "default/dns:53"
    assert opened(tcp={"53": to, "9000": to}, udp={"53": to}) == {("tcp", 53), ("tcp", 9000), ("udp", 53)}
    assert opened() == set()


def test_what_is_no_port_or_the_gateways_own_is_not_opened() -> None:
    """A Service with one port twice would be refused, and with it all other changes of the gateway's objects."""
    to = "default/web:80"
    numbers = ("0", "65536", "http", "²", "80", "443", "20000", "15021", "9000")
    assert opened(tcp=dict.fromkeys(numbers, to)) == {("tcp", 9000)}


def test_the_service_has_them() -> None:
    edge = deployment.Edge("h:1", b"", b"", "/s", (0, 0), "n0", "python", b"")
    (service,) = (obj for resource, obj in deployment.manifests(edge, {("udp", 53)}) if resource == "services")
    ports = {(port["name"], port["protocol"], port["port"]) for port in service["spec"]["ports"]}
    assert ports == {("http", "TCP", 80), ("https", "TCP", 443), ("udp-53", "UDP", 53)}
