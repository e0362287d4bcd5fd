"""One route: match, action, headers, and what its policies say to the HTTP filters."""

from __future__ import annotations

from envoy.config.core.v3 import base_pb2
from envoy.config.route.v3 import route_components_pb2

from sampan import ir
from sampan.xds.build.forward import forward
from sampan.xds.build.headers import change_request, change_response
from sampan.xds.build.matches import match
from sampan.xds.build.rewrites import redirect
from sampan.xds.filters import of_policies
from sampan.xds.messages import Message, route_name, typed

NONE = ir.Policies()


def route(wanted: ir.Route) -> Message:
    made = route_components_pb2.Route(name=route_name(wanted.name, wanted.origin), match=match(wanted.match))
    path = wanted.match.path
    match wanted.action:
        case ir.Forward() as action:
            forward(made, action, path)
        case ir.Redirect() as action:
            made.redirect.CopyFrom(redirect(action, path))
        case ir.Respond() as action:
            _respond(made, action)
    if wanted.request_headers:
        change_request(made, wanted.request_headers)
    if wanted.response_headers:
        change_response(made, wanted.response_headers)
    if wanted.policies != NONE:
        for name, message in of_policies(wanted.policies).items():
            made.typed_per_filter_config[name].CopyFrom(typed(message))
    return made


def _respond(made: Message, wanted: ir.Respond) -> None:
    made.direct_response.status = wanted.status
    if wanted.body:
        made.direct_response.body.CopyFrom(base_pb2.DataSource(inline_string=wanted.body))
        if wanted.content_type != ir.Respond(0).content_type:
            change_response(made, ir.HeaderChanges(set=(("content-type", wanted.content_type),)))
