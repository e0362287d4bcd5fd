"""Hosts → listeners, the table of routes, clusters, secrets, statuses: the Result."""

from __future__ import annotations

from dataclasses import replace

from sampan.api.meta import Obj
from sampan.gateway.ingress import backends, hosts, routes
from sampan.gateway.ingress.answers import NOT_FOUND
from sampan.gateway.ingress.compile import COMPONENT
from sampan.gateway.ingress.listeners import listeners
from sampan.gateway.ingress.model import CATCH_ALL, TABLE, Compiled
from sampan.gateway.ingress.streams import Stream
from sampan.gateway.types import Notice, Ref, Resources, Result
from sampan.ir import HeaderChanges, Respond, Route, RouteTable, VirtualHost

# What backends behind ingress-nginx are told of the client, whatever it says of itself. Source: nginx.tmpl.
REQUEST_HEADERS = HeaderChanges(
    set=(
        ("x-real-ip", "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%"),
        ("x-forwarded-for", "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%"),
        ("x-forwarded-host", "%REQ(:authority)%"),
        ("x-forwarded-port", "%DOWNSTREAM_LOCAL_PORT%"),
        ("x-forwarded-scheme", "%REQ(x-forwarded-proto)%"),
        ("x-scheme", "%REQ(x-forwarded-proto)%"),
    ),
    remove=("proxy",),  # https://httpoxy.org
)
_MISDIRECTED = Respond(421, "421 Misdirected Request: this host is for clients with a certificate\n")


def assemble(
    resources: Resources,
    found: list[Compiled],
    merged: dict[str, hosts.Host],
    streams: list[Stream],
    notices: list[Notice],
    statuses: dict[Ref, Obj],
) -> Result:
    virtual, more = _virtual_hosts(merged)
    secrets = {secret.name: secret for one in found for secret in one.secrets}
    if (default := resources.default_certificate) is not None and found:
        secrets[default.name] = default
    chained = [(host.chain, virtual[host.name].domains) for host in merged.values() if host.chain]
    # Backwards, as the first host in the alphabet is whose cluster it is; what only policies ask is nobody's.
    clusters = {cluster.name: cluster for one in found for cluster in one.clusters}
    clusters |= {cluster.name: cluster for host in reversed(merged.values()) for cluster in host.clusters}
    clusters.update((stream.cluster.name, stream.cluster) for stream in streams)
    vips = [backend for host in merged.values() for backend in host.vips]
    return Result(
        listeners={s.listener.name: s.listener for s in streams} | (listeners(resources, chained) if found else {}),
        tables=_tables(merged, virtual) if found else {},
        clusters=clusters,
        endpoints={backends.vip_name(backend): backends.vip_endpoints(backend) for backend in vips},
        secrets=secrets,
        statuses=statuses,
        notices=(
            *[notice for one in found for notice in one.notices],
            *[notice for host in merged.values() for notice in host.notices],
            *more,
            *notices,
        ),
    )


def _tables(merged: dict[str, hosts.Host], virtual: dict[str, VirtualHost]) -> dict[str, RouteTable]:
    """Hosts whose clients need a certificate are in tables of their own, which only their own chains lead to: else who
    names another host in the handshake would get to them without one."""
    open_hosts, closed = dict(virtual), dict[str, list[VirtualHost]]()
    for host in merged.values():
        if host.chain and host.chain.table != TABLE:
            closed.setdefault(host.chain.table, []).append(virtual[host.name])
            open_hosts[host.name] = _locked(virtual[host.name])
    tables = {TABLE: tuple(open_hosts.values())} | {name: tuple(group) for name, group in closed.items()}
    return {name: RouteTable(name, group, NOT_FOUND, REQUEST_HEADERS) for name, group in tables.items()}


def _locked(virtual: VirtualHost) -> VirtualHost:
    """What such a host is for everybody else: a way to HTTPS."""
    origin = virtual.routes[0].origin if virtual.routes else None
    first = replace(routes.root(), headers=(routes.PLAIN_HTTP,))
    way = Route("to https", first, routes.TO_HTTPS, origin=origin)
    return replace(virtual, routes=(way, Route("misdirected", routes.root(), _MISDIRECTED, origin=origin)))


def _virtual_hosts(merged: dict[str, hosts.Host]) -> tuple[dict[str, VirtualHost], list[Notice]]:
    """By the host's name. Hosts go before aliases, and those before the other form of a www redirect."""
    notices: list[Notice] = []
    made = {host.name: host.virtual for host in merged.values() if host.served}
    special = [host for host in merged.values() if host.special and host.served]
    if not special:
        return made, notices
    taken = set(made)
    catch_all = made.get(CATCH_ALL)
    for host in special:
        virtual = host.virtual
        if host.aliases:
            virtual = replace(virtual, domains=(*virtual.domains, *_aliases(host, taken, notices)))
        if host.name.startswith("*."):
            virtual = hosts.one_label(virtual, catch_all)
        made[host.name] = virtual
    for host in special:
        if host.www is not None and (other := hosts.other_www(host.name)) not in taken:
            taken.add(other)
            made[other] = VirtualHost(f"ingress {other}", (other,), (host.www,))
    return made, notices


def _aliases(host: hosts.Host, taken: set[str], notices: list[Notice]) -> list[str]:
    """Those that nobody has; the host whose name is first in the alphabet has an alias that two want."""
    made: list[str] = []
    for alias, ref in host.aliases:
        if alias in taken or host.name == CATCH_ALL:
            why = "only a host with a name can have others" if host.name == CATCH_ALL else "that host is served already"
            notices.append(Notice(ref, "DuplicateHost", f"server-alias {alias}: {why}", component=COMPONENT))
        else:
            taken.add(alias)
            made.append(alias)
    return made
