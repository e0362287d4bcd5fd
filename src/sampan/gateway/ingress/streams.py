"""TCP and UDP by ingress-nginx's ConfigMaps tcp-services and udp-services: PORT → NAMESPACE/SERVICE:PORT[:PROXY].

Source: ingress-nginx docs/user-guide/exposing-tcp-udp-services.md.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sampan.api import meta
from sampan.api.meta import Key, Obj
from sampan.gateway.ingress import backends
from sampan.gateway.ingress.compile import COMPONENT
from sampan.gateway.ingress.external import Problem
from sampan.gateway.ingress.look import CONFIGMAPS, Look
from sampan.gateway.types import Notice, Ref, Resources
from sampan.ir import Cluster, Listener, Origin, Protocol, SniChain, Tcp, Weighted

NAMESPACES = ("ingress-nginx", "sampan-system")
MAPS = {"tcp-services": Protocol.TCP, "udp-services": Protocol.UDP}
_RESERVED = (15000, 15011, 15021)  # of the proxy: administration, replay, readiness


@dataclass(frozen=True, slots=True)
class Stream:
    listener: Listener
    cluster: Cluster


def streams(resources: Resources, look: Look) -> tuple[list[Stream], list[Notice]]:
    """The first ConfigMap that names a port has it."""
    made: dict[tuple[Protocol, int], Stream] = {}
    notices: list[Notice] = []
    for ref, key, protocol, port in _entries(resources, notices):
        text = look.configmap(ref.namespace, ref.name)["data"][key]  # type: ignore[index]
        try:
            if _own(resources, port):
                raise Problem(f"port {port} is the gateway's own")
            if (protocol, port) in made:
                raise Problem(f"port {port} is taken by {made[protocol, port].listener.origin}")
            made[protocol, port] = _stream(look, ref, key, text, protocol, port)
        except (Problem, backends.Missing) as problem:
            notices.append(_notice(ref, f"{key}: {problem}"))
    return list(made.values()), notices


def stream_ports(resources: Resources) -> set[tuple[str, int]]:
    """(protocol, port) that the gateway's own Service has to have for them."""
    return {(str(protocol), port) for _, _, protocol, port in _entries(resources, []) if not _own(resources, port)}


def _own(resources: Resources, port: int) -> bool:
    return port in _RESERVED or port in resources.ports.values()


def _entries(resources: Resources, notices: list[Notice]) -> Iterator[tuple[Ref, str, Protocol, int]]:
    maps = resources.of(CONFIGMAPS)
    for namespace in NAMESPACES:
        for name, protocol in MAPS.items():
            found: Obj | None = maps.get(Key(namespace, name))
            for key in sorted((found or {}).get("data") or {}):
                ref = Ref(CONFIGMAPS, namespace, name)
                if key.isascii() and key.isdigit() and 0 < int(key) < 65536:
                    yield ref, key, protocol, int(key)
                else:
                    notices.append(_notice(ref, f"{key!r} is no port: a number from 1 to 65535"))


def _stream(look: Look, ref: Ref, key: str, text: str, protocol: Protocol, port: int) -> Stream:
    service, *rest = text.strip().split(":")
    namespace, _, name = service.partition("/")
    if not namespace or not name or not rest or len(rest) > 3:
        raise Problem(f"{text!r} is not of the form namespace/service:port[:PROXY[:PROXY]]")
    flags = [flag.upper() for flag in rest[1:]] + ["", ""]
    if any(flag not in ("", "PROXY") for flag in flags):
        raise Problem(f"{text!r}: only PROXY may follow the port")
    if flags[1]:
        raise Problem(f"{text!r}: the PROXY protocol towards the Service is not supported, only from clients (:PROXY)")
    found = look.service(namespace, name)
    if found is None:
        raise Problem(f"Service {namespace}/{name} does not exist")
    number = _port(found, rest[0], protocol)
    origin = Origin(CONFIGMAPS, ref.namespace, ref.name, f"data.{key}")
    cluster = Cluster(
        f"ingress-{protocol}/{namespace}/{name}/{number}",
        f"{namespace}/{name}/{number}",
        service=f"{namespace}/{name}",
        origin=origin,
    )
    label = f"ingress-{protocol}-{port}"
    tcp = Tcp((Weighted(cluster.name),), 600.0, origin)
    chain = SniChain(label, tcp, origin=origin)
    return Stream(Listener(label, port, (chain,), protocol, proxy_protocol=flags[0] == "PROXY", origin=origin), cluster)


def _port(service: Obj, wanted: str, protocol: Protocol) -> int:
    for port in (service.get("spec") or {}).get("ports") or ():
        if wanted in (str(port["port"]), port.get("name")) and port.get("protocol", "TCP").lower() == protocol:
            number: int = port["port"]
            return number
    raise Problem(f"Service {meta.key(service)} has no {protocol.upper()} port {wanted}")


def _notice(ref: Ref, message: str) -> Notice:
    return Notice(ref, "InvalidStream", message, component=COMPONENT)
