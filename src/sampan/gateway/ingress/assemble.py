"""Hosts → listeners, the table of routes, clusters, secrets, statuses: the Result."""

from __future__ import annotations

from sampan.api.meta import Key, Obj
from sampan.gateway.ingress import backends, hosts
from sampan.gateway.ingress.answers import NOT_FOUND
from sampan.gateway.ingress.compile import COMPONENT
from sampan.gateway.ingress.model import CATCH_ALL, Chain, Compiled
from sampan.gateway.ingress.streams import Stream
from sampan.gateway.types import Notice, Ref, Resources, Result
from sampan.ir import Http, Listener, ListenerTls, RouteTable, Secret, SniChain, VirtualHost

TABLE = "ingress"
DEFAULT_CERTIFICATE = "ingress/default-certificate"
_OWN = Key("", "")
_HTTP, _HTTPS = 80, 443


def assemble(
    resources: Resources,
    found: list[Compiled],
    merged: dict[str, hosts.Host],
    streams: list[Stream],
    notices: list[Notice],
) -> Result:
    virtual, more = _virtual_hosts(merged)
    secrets = {secret.name: secret for one in found for secret in one.secrets}
    chains = [host.chain for host in merged.values() if host.chain]
    listeners = {s.listener.name: s.listener for s in streams}
    if found:
        listeners |= _listeners(resources, chains, secrets)
    clusters = {cluster.name: cluster for one in found for cluster in one.clusters}
    for host in merged.values():
        for cluster in host.clusters:
            clusters.setdefault(cluster.name, cluster)
    clusters.update((stream.cluster.name, stream.cluster) for stream in streams)
    vips = [backend for host in merged.values() for backend in host.vips]
    table = RouteTable(TABLE, virtual, NOT_FOUND)
    return Result(
        listeners=listeners,
        tables={TABLE: table} if found else {},
        clusters=clusters,
        endpoints={backends.vip_name(backend): backends.vip_endpoints(backend) for backend in vips},
        secrets=secrets,
        statuses=_statuses(found, resources.address),
        notices=(
            *(notice for one in found for notice in one.notices),
            *(notice for host in merged.values() for notice in host.notices),
            *more,
            *notices,
        ),
    )


def _virtual_hosts(merged: dict[str, hosts.Host]) -> tuple[tuple[VirtualHost, ...], list[Notice]]:
    """Names that are hosts go before aliases, and those before the other form of a www redirect."""
    notices: list[Notice] = []
    served = {name: host for name, host in merged.items() if host.served}
    owner = dict.fromkeys(served, "")
    made: list[VirtualHost] = []
    catch_all = served.get(CATCH_ALL)
    for name, host in served.items():
        domains = [name or "*"]
        for alias, ref in host.aliases:
            if alias not in owner and name != CATCH_ALL:
                owner[alias] = name
                domains.append(alias)
            elif owner.get(alias) != name:
                text = f"server-alias {alias}: that host is served already, or this one has no name"
                notices.append(Notice(ref, "DuplicateHost", text, component=COMPONENT))
        full = hosts.one_label(host, catch_all) if name.startswith("*.") else host
        made.append(VirtualHost(f"ingress {domains[0]}", tuple(domains), full.routes))
    for name, host in served.items():
        other = hosts.other_www(name)
        if host.www is not None and other not in owner:
            owner[other] = name
            made.append(VirtualHost(f"ingress {other}", (other,), (host.www,)))
    return tuple(made), notices


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


def _statuses(found: list[Compiled], address: str) -> dict[Ref, Obj]:
    status: Obj = {"loadBalancer": {"ingress": [{"ip": address}]} if address else {}}
    return {one.ref: status for one in found}
