"""Hosts → listeners, the table of routes, clusters, secrets, statuses: the Result."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import chain

from sampan.api.meta import Key, Obj
from sampan.gateway.ingress import backends, hosts, routes
from sampan.gateway.ingress.answers import NOT_FOUND
from sampan.gateway.ingress.compile import COMPONENT
from sampan.gateway.ingress.gathered import InOrder, Owned
from sampan.gateway.ingress.listeners import listeners
from sampan.gateway.ingress.model import CATCH_ALL, TABLE, Backend, Chain, Compiled
from sampan.gateway.ingress.streams import Stream
from sampan.gateway.types import Notice, Ref, Resources, Result
from sampan.ir import Cluster, HeaderChanges, Respond, Route, RouteTable, Secret, VirtualHost

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


@dataclass(slots=True)
class Parts:
    """What came of all Ingresses and hosts. Most hosts are only `virtual`; the others have a place for each of the
    things that they are besides. A cluster is whose host is the first in the alphabet; what only policies ask is
    nobody's."""

    notices: InOrder[Key, tuple[Notice, ...]] = field(default_factory=InOrder)
    secrets: Owned[Key, Secret] = field(default_factory=Owned)
    asked: Owned[Key, Cluster] = field(default_factory=Owned)
    virtual: InOrder[str, VirtualHost] = field(default_factory=InOrder)
    special: InOrder[str, hosts.Host] = field(default_factory=InOrder)
    chained: InOrder[str, Chain] = field(default_factory=InOrder)
    host_notices: InOrder[str, tuple[Notice, ...]] = field(default_factory=InOrder)
    vips: InOrder[str, tuple[Backend, ...]] = field(default_factory=InOrder)
    clusters: Owned[str, Cluster] = field(default_factory=Owned)

    def put_ingress(self, key: Key, made: Compiled | None) -> None:
        """None: it is gone."""
        self.notices.put(key, made.notices if made else None)
        self.secrets.put(key, {secret.name: secret for secret in made.secrets} if made else {})
        self.asked.put(key, {cluster.name: cluster for cluster in made.clusters} if made else {})

    def put_host(self, name: str, host: hosts.Host | None) -> None:
        """None: nobody says anything about it any more."""
        self.virtual.put(name, host.virtual if host and host.served else None)
        self.special.put(name, host if host and host.special and host.served else None)
        self.chained.put(name, host.chain if host else None)
        self.host_notices.put(name, (host.notices or None) if host else None)
        self.vips.put(name, (host.vips or None) if host else None)
        self.clusters.put(name, {cluster.name: cluster for cluster in host.clusters} if host else {})


def assemble(
    resources: Resources,
    parts: Parts,
    streams: list[Stream],
    notices: list[Notice],
    statuses: dict[Ref, Obj],
) -> Result:
    said = parts.notices.all()
    virtual, more = _virtual_hosts(parts)
    chained = parts.chained.all()
    secrets = parts.secrets.all()
    if (default := resources.default_certificate) is not None and said:
        secrets[default.name] = default
    names = [(one, virtual[host].domains) for host, one in chained.items()]
    vips = chain.from_iterable(parts.vips.all().values())
    about_hosts = chain.from_iterable(parts.host_notices.all().values())
    return Result(
        listeners={s.listener.name: s.listener for s in streams} | (listeners(resources, names) if said else {}),
        tables=_tables(chained, virtual, resources.outside) if said else {},
        clusters=parts.asked.all() | parts.clusters.all() | {s.cluster.name: s.cluster for s in streams},
        endpoints={backends.vip_name(backend): backends.vip_endpoints(backend) for backend in vips},
        secrets=secrets,
        statuses=statuses,
        notices=(*chain.from_iterable(said.values()), *about_hosts, *more, *notices),
    )


def _tables(
    chained: dict[str, Chain], virtual: dict[str, VirtualHost], outside: tuple[int, int]
) -> dict[str, RouteTable]:
    """Hosts whose clients need a certificate are in tables of their own, which only their own chains lead to: else who
    names another host in the handshake would get to them without one."""
    open_hosts, closed = dict(virtual), dict[str, list[VirtualHost]]()
    for name, one in chained.items():
        if one.table != TABLE:
            closed.setdefault(one.table, []).append(virtual[name])
            open_hosts[name] = _locked(virtual[name], outside)
    tables = {TABLE: tuple(open_hosts.values())} | {name: tuple(group) for name, group in closed.items()}
    return {name: RouteTable(name, group, NOT_FOUND, REQUEST_HEADERS) for name, group in tables.items()}


def _locked(virtual: VirtualHost, outside: tuple[int, int]) -> VirtualHost:
    """What such a host is for everybody else: a way to HTTPS."""
    origin = virtual.routes[0].origin if virtual.routes else None
    way = routes.to_https("", routes.root(), origin, outside)
    return replace(virtual, routes=(*way, Route("misdirected", routes.root(), _MISDIRECTED, origin=origin)))


def _virtual_hosts(parts: Parts) -> tuple[dict[str, VirtualHost], list[Notice]]:
    """By the host's name. Hosts go before aliases, and those before the other form of a www redirect."""
    notices: list[Notice] = []
    made, special = parts.virtual.all(), list(parts.special.all().values())
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
