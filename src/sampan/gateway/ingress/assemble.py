"""Hosts → listeners, the table of routes, clusters, secrets, statuses: the Result."""

from __future__ import annotations

from dataclasses import replace

from sampan.api.meta import Key, Obj
from sampan.gateway.ingress import backends, hosts
from sampan.gateway.ingress.answers import NOT_FOUND
from sampan.gateway.ingress.compile import COMPONENT
from sampan.gateway.ingress.model import CATCH_ALL, Chain, Compiled
from sampan.gateway.ingress.streams import Stream
from sampan.gateway.types import Notice, Ref, Resources, Result
from sampan.ir import HeaderChanges, Http, Listener, ListenerTls, RouteTable, Secret, SniChain, VirtualHost

TABLE = "ingress"
DEFAULT_CERTIFICATE = "ingress/default-certificate"
_OWN = Key("", "")
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
_HTTP, _HTTPS = 80, 443


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
    chains = [host.chain for host in merged.values() if host.chain]
    listeners = {s.listener.name: s.listener for s in streams}
    if found:
        listeners |= _listeners(resources, chains, secrets)
    # Backwards, as the first host in the alphabet is whose cluster it is; what only policies ask is nobody's.
    clusters = {cluster.name: cluster for one in found for cluster in one.clusters}
    clusters |= {cluster.name: cluster for host in reversed(merged.values()) for cluster in host.clusters}
    clusters.update((stream.cluster.name, stream.cluster) for stream in streams)
    vips = [backend for host in merged.values() for backend in host.vips]
    table = RouteTable(TABLE, virtual, NOT_FOUND, REQUEST_HEADERS)
    return Result(
        listeners=listeners,
        tables={TABLE: table} if found else {},
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


def _virtual_hosts(merged: dict[str, hosts.Host]) -> tuple[tuple[VirtualHost, ...], list[Notice]]:
    """Names that are hosts go before aliases, and those before the other form of a www redirect."""
    notices: list[Notice] = []
    made = [host.virtual for host in merged.values() if host.served and not host.special]
    special = {host.name: host for host in merged.values() if host.special and host.served}
    if not special:
        return tuple(made), notices
    taken = {name for name, host in merged.items() if host.served}
    catch_all = merged[CATCH_ALL].virtual if CATCH_ALL in taken else None
    for name, host in special.items():
        virtual = host.virtual
        if host.aliases:
            virtual = replace(virtual, domains=(*virtual.domains, *_aliases(name, host, taken, notices)))
        if name.startswith("*."):
            virtual = hosts.one_label(virtual, catch_all)
        made.append(virtual)
    for name, host in special.items():
        if host.www is not None and (other := hosts.other_www(name)) not in taken:
            taken.add(other)
            made.append(VirtualHost(f"ingress {other}", (other,), (host.www,)))
    return tuple(made), notices


def _aliases(name: str, host: hosts.Host, taken: set[str], notices: list[Notice]) -> list[str]:
    """Those that nobody has; the host whose name is first in the alphabet has an alias that two want."""
    made: list[str] = []
    for alias, ref in host.aliases:
        if alias in taken or name == CATCH_ALL:
            why = "only a host with a name can have others" if name == CATCH_ALL else "that host is served already"
            notices.append(Notice(ref, "DuplicateHost", f"server-alias {alias}: {why}", component=COMPONENT))
        else:
            taken.add(alias)
            made.append(alias)
    return made


def _listeners(resources: Resources, chains: list[Chain], secrets: dict[str, Secret]) -> dict[str, Listener]:
    made: dict[str, Listener] = {}
    if http := resources.ports.get((_OWN, _HTTP)):
        plain = SniChain("ingress-http", Http(TABLE))
        made["ingress-http"] = Listener("ingress-http", http, (plain,))
    if https := resources.ports.get((_OWN, _HTTPS)):
        all_chains = _chains(resources, chains, secrets)
        if all_chains:
            made["ingress-https"] = Listener("ingress-https", https, all_chains)
    return made


def _chains(resources: Resources, chains: list[Chain], secrets: dict[str, Secret]) -> tuple[SniChain, ...]:
    """One chain a certificate and demand for clients' certificates, and one for all other names."""
    default = resources.default_certificate
    if default is not None:
        secrets[default.name] = default
    made: list[SniChain] = []
    grouped: dict[tuple[str, ListenerTls | None], list[Chain]] = {}
    for chain in chains:
        if chain.tcp is not None:
            made.append(SniChain(f"ingress-passthrough {chain.host}", chain.tcp, (chain.host,), origin=chain.origin))
        else:
            grouped.setdefault((chain.certificate, chain.client_auth), []).append(chain)
    for (certificate, auth), group in grouped.items():
        shown = certificate or (default.name if default else "")
        if not shown:
            continue
        tls = ListenerTls(
            (shown,),
            client_ca=auth.client_ca if auth else "",
            client_required=auth.client_required if auth else True,
            client_insecure=auth.client_insecure if auth else False,
        )
        names = tuple(sorted(chain.host for chain in group))
        label = f"{shown} {auth.client_ca}" if auth else shown
        made.append(SniChain(label, Http(TABLE), names, tls, origin=group[0].origin))
    if default is not None:
        made.append(SniChain("ingress-https", Http(TABLE), (), ListenerTls((default.name,))))
    return tuple(made)
