"""413 for request bodies that are too large: at once when Content-Length says so, else when the bytes have come.

Envoy's body_size_limit filter counts what streams by and buffers nothing (its `buffer` filter would hold uploads in
memory); more than 4 GiB it cannot count and lets pass. It takes its limit only from the listener, so there is one
instance for each limit that some route has, and the routes enable theirs by an optional configuration that the filter
does not read.
"""

from __future__ import annotations

from collections.abc import Mapping

from envoy.config.route.v3 import route_components_pb2

from sampan import ir
from sampan.xds.filters.body_size_limit import MOST, body_size_limit
from sampan.xds.filters.filter import Filter
from sampan.xds.messages import Message, typed

NAME = "body_limit"


def of_route(policies: ir.Policies) -> Mapping[str, Message]:
    if not 0 < policies.max_body <= MOST:
        return {}
    enable = route_components_pb2.FilterConfig(config=typed(body_size_limit(0)), is_optional=True)
    return {f"{NAME}/{policies.max_body}": enable}


FILTER = Filter(NAME, of_route, lambda limit: body_size_limit(int(limit)))
