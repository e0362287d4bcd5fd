"""A Gateway with what is attached to it → listeners and route tables of the proxy."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from sampan import ir
from sampan.api.meta import Key
from sampan.gateway.gatewayapi import tables
from sampan.gateway.gatewayapi.gateways import Gateway
from sampan.gateway.gatewayapi.hostnames import most_specific
from sampan.gateway.gatewayapi.listeners import Listener
from sampan.gateway.gatewayapi.memo import View
from sampan.gateway.gatewayapi.names import GATEWAYS
from sampan.gateway.gatewayapi.routes import Place
from sampan.gateway.gatewayapi.rules import Compiled
from sampan.gateway.gatewayapi.streams import Stream

_CLOSED = ir.Tcp(())


@dataclass(slots=True)
class Attached:
    """The routes of one listener with their host names there."""

    routes: list[tuple[tuple[str, ...], Compiled]] = field(default_factory=list)
    streams: list[tuple[tuple[str, ...], Stream]] = field(default_factory=list)

    def add(self, place: Place) -> None:
        if isinstance(place.part, Compiled):
            self.routes.append((place.hostnames, place.part))
        else:
            self.streams.append((place.hostnames, place.part))


@dataclass(slots=True)
class Made:
    listeners: dict[str, ir.Listener] = field(default_factory=dict)
    tables: dict[str, ir.RouteTable] = field(default_factory=dict)
    secrets: dict[str, ir.Secret] = field(default_factory=dict)


Ports = Mapping[tuple[Key, int], int]


def build(view: View, gateway: Gateway, ports: Ports, attached: Mapping[Listener, Attached], made: Made) -> None:
    """`ports`: where the proxy listens for each of the Gateway's ports; one without is left out."""
    by_port: dict[tuple[int, str], list[Listener]] = {}
    for one in gateway.all_listeners():
        if one.usable and (gateway.key, one.port) in ports:
            by_port.setdefault((one.port, "udp" if one.layer == "udp" else "tcp"), []).append(one)
    for (port, protocol), listeners in by_port.items():
        name = f"gateway/{gateway.key}/{port}" + ("/udp" if protocol == "udp" else "")
        layer = _LAYERS[listeners[0].layer]
        chains = layer(view, name, listeners, attached, made)
        if chains:
            inner = ports[gateway.key, port]
            made.listeners[name] = view.once(("listener", name), _listener, name, gateway.key, inner, protocol, *chains)
    if gateway.certificate:
        made.secrets[gateway.certificate.name] = gateway.certificate


def _listener(view: View, name: str, key: Key, port: int, protocol: str, *chains: ir.SniChain) -> ir.Listener:
    return ir.Listener(name, port, chains, ir.Protocol(protocol), origin=ir.Origin(GATEWAYS, *key))


_Attached = Mapping[Listener, Attached]


def _http(view: View, name: str, listeners: list[Listener], attached: _Attached, made: Made) -> list[ir.SniChain]:
    made.tables[name] = tables.table(view, name, [_site(one, attached) for one in listeners])
    return [view.once(("chain", name), _plain, name)]


def _plain(view: View, name: str) -> ir.SniChain:
    return ir.SniChain(name, ir.Http(name))


def _site(one: Listener, attached: _Attached) -> tables.Site:
    site = tables.Site(one.hostname)
    for hostnames, compiled in attached[one].routes if one in attached else ():
        site.add(hostnames, compiled)
    return site


def _tls(view: View, name: str, listeners: list[Listener], attached: _Attached, made: Made) -> list[ir.SniChain]:
    """One chain for each listener of HTTPS, and for each host name that TLSRoutes have."""
    https = [one for one in listeners if one.protocol == "HTTPS"]
    chains: list[ir.SniChain] = []
    for one in listeners:
        unique = f"{name}/{one.hostname or '*'}"
        for secret in one.certificates:
            made.secrets[secret.name] = secret
        if one.clients:
            made.secrets[one.clients.name] = ir.Secret(one.clients.name, roots=one.clients.roots)
        if one.protocol == "HTTPS":
            others = [other.hostname for other in https if other is not one]
            made.tables[unique] = tables.table(view, unique, [_site(one, attached)], others)
            chains.append(view.once(("chain", unique), _https, unique, one))
        else:
            owners = [other.hostname for other in listeners]
            chains.extend(_streams(view, name, one, owners, attached))
    return chains


def _https(view: View, name: str, one: Listener) -> ir.SniChain:
    return ir.SniChain(name, ir.Http(name), _sni(one.hostname), _termination(one), _origin(one))


def _termination(one: Listener) -> ir.ListenerTls | None:
    if not one.terminates:
        return None
    certificates = tuple(secret.name for secret in one.certificates)
    if one.protocol != "HTTPS":
        return ir.ListenerTls(certificates, alpn=())
    if one.clients is None:
        return ir.ListenerTls(certificates)
    insecure = one.clients.insecure
    return ir.ListenerTls(certificates, one.clients.name, client_required=not insecure, client_insecure=insecure)


def _sni(hostname: str) -> tuple[str, ...]:
    return (hostname,) if hostname else ()


def _origin(one: Listener) -> ir.Origin:
    return ir.Origin(*one.parent, f"spec.listeners[{one.name}]")


def _streams(view: View, name: str, one: Listener, owners: Iterable[str], attached: _Attached) -> Iterable[ir.SniChain]:
    """The oldest route of a host name has it. What belongs to this listener and no route is closed."""
    first: dict[str, Stream] = {}
    for hostnames, stream in sorted(attached[one].streams if one in attached else (), key=lambda entry: entry[1].age):
        for hostname in hostnames:
            first.setdefault(hostname, stream)
    targets = {one.hostname: _CLOSED} | {hostname: stream.target for hostname, stream in first.items()}
    for hostname, target in targets.items():
        if most_specific(owners, hostname) == one.hostname:
            unique = f"{name}/{hostname or '*'}"
            yield view.once(("chain", unique), _stream, unique, hostname, target, one)


def _stream(view: View, name: str, hostname: str, target: ir.Tcp, one: Listener) -> ir.SniChain:
    return ir.SniChain(name, target, _sni(hostname), _termination(one), _origin(one))


def _bytes(view: View, name: str, listeners: list[Listener], attached: _Attached, made: Made) -> list[ir.SniChain]:
    (one,) = listeners
    streams = [stream for _, stream in attached[one].streams] if one in attached else []
    target = min(streams, key=lambda stream: stream.age).target if streams else _CLOSED
    return [view.once(("chain", name), _raw, name, target, one)]


def _raw(view: View, name: str, target: ir.Tcp, one: Listener) -> ir.SniChain:
    return ir.SniChain(name, target, origin=_origin(one))


def _datagrams(view: View, name: str, listeners: list[Listener], attached: _Attached, made: Made) -> list[ir.SniChain]:
    """Without a target there is nothing to listen for: nobody could be told."""
    chains = _bytes(view, name, listeners, attached, made)
    return chains if chains[0].handler != _CLOSED else []


_LAYERS = {"http": _http, "tls": _tls, "tcp": _bytes, "udp": _datagrams}
