"""Route tables. Their bytes are joined from those of their virtual hosts, and these from those of their routes: one
changed route of thousands is one route built, and some copying.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import chain

from envoy.config.route.v3 import route_pb2

from sampan import ir
from sampan.xds.build.headers import change_request
from sampan.xds.build.kept import Kept
from sampan.xds.build.routes import Made, Routes
from sampan.xds.messages import digest, serialized
from sampan.xds.types import Resource
from sampan.xds.wire import nested, number, text


@dataclass(slots=True)
class Table:
    """What was made of one RouteTable, kept for the next time."""

    name: str
    hosts: Kept[str, ir.VirtualHost, Made] = field(default_factory=Kept)
    routes: dict[str, Kept[str, ir.Route, Made]] = field(default_factory=dict)
    shapes: Routes = field(default_factory=Routes)

    def build(self, table: ir.RouteTable) -> tuple[Resource, frozenset[str]]:
        """The resource, and the names of the filters that its routes need."""
        made = self.hosts.all([(host.name, host) for host in table.hosts], self._host)
        if len(self.routes) > len(made):
            self.routes = {host.name: self.routes[host.name] for host in table.hosts}
        # ignore_port_in_host_matching; names of clusters may be news that have not arrived yet.
        head = text(1, self.name) + number(14, 1) + nested(7, b"") + _headers(table.request_headers)
        longest = max([one.body for one in made], default=0)
        if longest > 4096:
            head += nested(11, number(1, longest))
        body = head + b"".join([one.field for one in made])
        origins = tuple(chain.from_iterable([one.origins for one in made]))
        version = digest(head + b"".join([one.digest for one in made])).hex()
        filters = frozenset().union(*{one.filters for one in made})
        return Resource(self.name, version, body, origins), filters

    def _host(self, host: ir.VirtualHost) -> Made:
        kept = self.routes.setdefault(host.name, Kept())
        made = kept.all([(route.name, route) for route in host.routes], self.shapes.made)
        head = text(1, host.name) + b"".join([text(2, domain.lower()) for domain in host.domains])
        body = nested(2, head + b"".join([one.field for one in made]))
        if len(made) == 1:
            (only,) = made
            return Made(body, only.filters, only.origins, only.body, digest(body))
        return Made(
            body,
            frozenset().union(*{one.filters for one in made}),
            tuple(dict.fromkeys([origin for one in made for origin in one.origins])),
            max([one.body for one in made], default=0),
            digest(body),
        )


def _headers(wanted: ir.HeaderChanges) -> bytes:
    made = route_pb2.RouteConfiguration()
    change_request(made, wanted)
    return serialized(made)
