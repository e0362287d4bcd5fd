"""Listeners of a Gateway and its ListenerSets: what each may carry, and which stand in each other's way."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

from sampan import ir
from sampan.api.meta import Key, Obj
from sampan.gateway.gatewayapi.hostnames import covers
from sampan.gateway.gatewayapi.memo import View
from sampan.gateway.gatewayapi.names import GROUP
from sampan.gateway.gatewayapi.references import From, Wrong, authorities, certificate
from sampan.gateway.types import Ref


class Carries(NamedTuple):
    """What a protocol is made of. `layer`: what is told apart on a port before anything else: plain HTTP, TLS by SNI,
    bytes, datagrams. Listeners of one layer share a port when their hostnames differ."""

    kinds: tuple[str, ...]
    layer: str


_HTTP, _TLS = ("HTTPRoute", "GRPCRoute"), ("TLSRoute",)
PROTOCOLS = {
    "HTTP": Carries(_HTTP, "http"),
    "HTTPS": Carries(_HTTP, "tls"),
    "TLS": Carries(_TLS, "tls"),
    "TCP": Carries(("TCPRoute",), "tcp"),
    "UDP": Carries(("UDPRoute",), "udp"),
}


@dataclass(frozen=True, slots=True)
class Clients:
    """Whose certificates clients must show. `roots` empty: of nobody that could be found."""

    name: str
    roots: bytes
    insecure: bool
    wrong: tuple[Wrong, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Listener:
    """`parent`: the Gateway or ListenerSet it stands in. `conflict`, `refused`: why it is not there at all.

    `unresolved`: what it refers to in vain; it may work all the same. `terminates`: TLS ends here.
    """

    parent: Ref
    name: str
    port: int
    protocol: str
    hostname: str
    kinds: tuple[str, ...]
    allowed: Obj
    terminates: bool = False
    certificates: tuple[ir.Secret, ...] = ()
    clients: Clients | None = None
    unresolved: tuple[Wrong, ...] = ()
    refused: Wrong | None = None
    conflict: Wrong | None = None
    overlaps: tuple[str, ...] = ()

    @property
    def layer(self) -> str:
        return PROTOCOLS[self.protocol].layer if self.protocol in PROTOCOLS else ""

    @property
    def accepted(self) -> bool:
        return self.refused is None and self.conflict is None

    @property
    def usable(self) -> bool:
        """Can a proxy be told to do it?"""
        return self.accepted and not (self.terminates and not self.certificates)


def read(view: View, parent: Ref, kind: str, entries: list[Obj], clients: dict[int, Clients]) -> tuple[Listener, ...]:
    """The listeners that stand in one object. `clients`: by port, 0 for all others."""
    by = From(kind, parent.namespace)
    return tuple(_read(view, parent, by, entry, clients) for entry in entries)


def _read(view: View, parent: Ref, by: From, entry: Obj, clients: dict[int, Clients]) -> Listener:
    protocol, port = entry["protocol"], entry["port"]
    unresolved: list[Wrong] = []
    refused: Wrong | None = None
    tls = entry.get("tls") or {}
    terminates = protocol == "HTTPS" or (protocol == "TLS" and tls.get("mode", "Terminate") == "Terminate")
    certificates: list[ir.Secret] = []
    if protocol not in PROTOCOLS:
        refused = Wrong("UnsupportedProtocol", f"{protocol} is not one of {', '.join(PROTOCOLS)}")
    for ref in tls.get("certificateRefs") or () if terminates else ():
        found = certificate(view, by, ref, "InvalidCertificateRef")
        if isinstance(found, Wrong):
            unresolved.append(found)
        else:
            certificates.append(found)
    if terminates and not tls.get("certificateRefs"):
        unresolved.append(Wrong("InvalidCertificateRef", "it names no certificate"))
    asked = (clients.get(port) or clients.get(0)) if protocol == "HTTPS" else None
    if asked:
        unresolved.extend(asked.wrong)
        if not asked.roots:
            refused = Wrong("NoValidCACertificate", asked.wrong[0].message)
    kinds, unknown = _kinds(entry, protocol)
    if unknown:
        unresolved.append(Wrong("InvalidRouteKinds", f"{', '.join(unknown)}: not for listeners of protocol {protocol}"))
    return Listener(
        parent,
        entry["name"],
        port,
        protocol,
        entry.get("hostname", "") if protocol in ("HTTP", "HTTPS", "TLS") else "",
        kinds,
        (entry.get("allowedRoutes") or {}).get("namespaces") or {},
        terminates,
        tuple(certificates),
        asked,
        tuple(unresolved),
        refused,
    )


def _kinds(entry: Obj, protocol: str) -> tuple[tuple[str, ...], list[str]]:
    """The kinds of routes that may attach, and those asked for that cannot."""
    possible = PROTOCOLS[protocol].kinds if protocol in PROTOCOLS else ()
    asked = (entry.get("allowedRoutes") or {}).get("kinds") or ()
    if not asked:
        return possible, []
    named = [(kind.get("group", GROUP), kind["kind"]) for kind in asked]
    known = tuple(dict.fromkeys(kind for group, kind in named if group == GROUP and kind in possible))
    return known, [kind for group, kind in named if group != GROUP or kind not in possible]


def clients_of(view: View, key: Key, spec: Obj) -> dict[int, Clients]:
    """The Gateway's spec.tls.frontend: port → whose certificates; 0 is the default."""
    frontend = (spec.get("tls") or {}).get("frontend") or {}
    entries = [(0, frontend.get("default") or {})]
    entries += [(entry["port"], entry.get("tls") or {}) for entry in frontend.get("perPort") or ()]
    found: dict[int, Clients] = {}
    for port, tls in entries:
        if validation := tls.get("validation"):
            refs = validation.get("caCertificateRefs") or []
            by = From("Gateway", key.namespace)
            roots, wrong = authorities(view, by, refs, "InvalidCACertificateKind")
            name = f"gateway/{key}/clients/{port}"
            insecure = validation.get("mode") == "AllowInsecureFallback"
            found[port] = Clients(name, roots, insecure, tuple(wrong))
    return found


def settle(groups: list[tuple[Listener, ...]]) -> list[tuple[Listener, ...]]:
    """Mark conflicts and overlaps. `groups`: the Gateway's own listeners, then those of each ListenerSet, in their
    order of precedence: the first one with a port and hostname has it. Within one object nobody is first: all lose."""
    settled: list[tuple[Listener, ...]] = []
    taken: list[Listener] = []
    for group in groups:
        # Who loses against an earlier object is out, and in nobody's way in its own.
        left = tuple(_in_conflict(one, taken) for one in group)
        now = tuple(_in_conflict(one, [other for other in left if other is not one]) for one in left)
        taken += [one for one in now if one.accepted]
        settled.append(now)
    return [tuple(replace(one, overlaps=tuple(_overlaps(one, taken))) for one in group) for group in settled]


def _in_conflict(one: Listener, others: list[Listener]) -> Listener:
    if not one.accepted:
        return one
    found = (_conflict(one, other) for other in others if other.accepted)
    conflict = next(filter(None, found), None)
    return replace(one, conflict=conflict) if conflict else one


def _conflict(one: Listener, other: Listener) -> Wrong | None:
    if one.port != other.port or (one.layer == "udp") != (other.layer == "udp"):
        return None
    if one.layer != other.layer:
        text = f"port {one.port} is for {other.protocol} already: listener {other.name}"
        return Wrong("ProtocolConflict", text)
    if one.hostname == other.hostname:
        what = (
            f"{one.hostname or 'any host'} on port {one.port}" if one.layer in ("http", "tls") else f"port {one.port}"
        )
        return Wrong("HostnameConflict", f"{what} is taken already: listener {other.name}")
    return None


def _overlaps(one: Listener, all_of_them: list[Listener]) -> Iterator[str]:
    if not (one.accepted and one.terminates):
        return
    for other in all_of_them:
        near = (other.parent, other.name) != (one.parent, one.name) and other.terminates and other.port == one.port
        if near and (covers(one.hostname, other.hostname) or covers(other.hostname, one.hostname)):
            yield other.name
