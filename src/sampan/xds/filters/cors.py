"""Cross-origin requests: preflights are answered here, other answers get their Access-Control headers."""

from __future__ import annotations

from collections.abc import Mapping

from envoy.extensions.filters.http.cors.v3 import cors_pb2

from sampan import ir
from sampan.xds.filters.filter import Filter
from sampan.xds.messages import Message, boolean, string_match

NAME = "cors"


def of_route(policies: ir.Policies) -> Mapping[str, Message]:
    """Origins that are not allowed get no headers: their preflights go to the upstream, as other OPTIONS do."""
    cors = policies.cors
    if not cors:
        return {}
    made = cors_pb2.CorsPolicy(
        allow_origin_string_match=[string_match(origin.kind, origin.value) for origin in cors.origins],
        allow_methods=", ".join(cors.methods),
        allow_headers=", ".join(cors.headers),
        expose_headers=", ".join(cors.expose),
        allow_credentials=boolean(cors.credentials),
    )
    if cors.max_age is not None:
        made.max_age = str(int(cors.max_age))
    return {NAME: made}


FILTER = Filter(NAME, of_route, lambda _: cors_pb2.Cors())
