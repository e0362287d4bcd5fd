"""Route tables: for each host name of a listener the routes in the order in which they are tried.

A request belongs to the listener with the most specific host name, and only the routes attached there count (listener
isolation). There, routes with a more specific host name go first.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from sampan import ir
from sampan.gateway.gatewayapi.hostnames import most_specific, specificity, wider
from sampan.gateway.gatewayapi.memo import View
from sampan.gateway.gatewayapi.rules import Compiled

MISDIRECTED = ir.Respond(421)


@dataclass(slots=True)
class Site:
    """A listener with what is attached to it, by host name."""

    hostname: str
    attached: dict[str, list[Compiled]] = field(default_factory=dict)

    def add(self, hostnames: Iterable[str], compiled: Compiled) -> None:
        for hostname in hostnames:
            self.attached.setdefault(hostname, []).append(compiled)


def table(view: View, name: str, sites: Sequence[Site], elsewhere: Sequence[str] = ()) -> ir.RouteTable:
    """`elsewhere`: host names of other listeners of the port, of which a request here should have gone there."""
    owners = [site.hostname for site in sites]
    hosts: dict[str, ir.VirtualHost] = {}
    for site in sites:
        for domain in dict.fromkeys((*site.attached, site.hostname)):
            if most_specific((*owners, *elsewhere), domain) == site.hostname:
                hosts[domain] = _host(view, name, domain, site)
    for domain in elsewhere:
        hosts[domain] = view.once(("421", name, domain), _misdirected, domain)
    wanted = tuple(hosts[domain] for domain in sorted(hosts))
    return view.once(("table", name), _table, name, *wanted)


def _table(view: View, name: str, *hosts: ir.VirtualHost) -> ir.RouteTable:
    return ir.RouteTable(name, hosts)


def _misdirected(view: View, domain: str) -> ir.VirtualHost:
    routes = (ir.Route("misdirected", ir.Match(), MISDIRECTED),)
    return ir.VirtualHost(domain or "*", (domain or "*",), routes)


def _host(view: View, table_name: str, domain: str, site: Site) -> ir.VirtualHost:
    """The routes for this name and for the wildcards above it, which go on where the better ones do not fit."""
    levels = [(name, compiled) for name in wider(domain) for compiled in site.attached.get(name, ())]
    flat = [part for level in levels for part in level]
    return view.once(("host", table_name, domain), _built, domain, *flat)


def _built(view: View, domain: str, *levels: str | Compiled) -> ir.VirtualHost:
    pairs = [(name, compiled) for name, compiled in zip(levels[::2], levels[1::2], strict=True)]
    routes: list[ir.Route] = []
    seen: set[str] = set()
    for route in _ordered(pairs):
        if route.name not in seen:
            seen.add(route.name)
            routes.append(route)
    return ir.VirtualHost(domain or "*", (domain or "*",), tuple(routes))


def _ordered(pairs: list[tuple[str | Compiled, str | Compiled]]) -> Iterator[ir.Route]:
    """By host name, then by the rank of the match, then by the age of the object, then as it stands there."""
    entries = [
        (specificity(name), ranked.rank, compiled.age, position, ranked.route)
        for name, compiled in pairs
        if isinstance(name, str) and isinstance(compiled, Compiled)
        for position, ranked in enumerate(compiled.routes)
    ]
    entries.sort(key=lambda e: (e[2], e[3]))
    entries.sort(key=lambda e: (e[0], e[1]), reverse=True)
    return (entry[4] for entry in entries)
