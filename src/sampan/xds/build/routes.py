"""One route: match, action, headers, and what its policies say to the HTTP filters.

Most routes of thousands only send their requests somewhere and differ in nothing else: those share their bytes, and
name and cluster are put before them.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from operator import attrgetter

from envoy.config.core.v3 import base_pb2
from envoy.config.route.v3 import route_components_pb2

from sampan import ir
from sampan.xds.build.forward import forward
from sampan.xds.build.headers import change_request, change_response
from sampan.xds.build.matches import match
from sampan.xds.build.rewrites import redirect
from sampan.xds.filters import of_policies
from sampan.xds.messages import Message, route_name, serialized, typed
from sampan.xds.wire import nested, text

NONE = ir.Policies()


# Kept at most of what many routes share.
SHAPES = 1024
_SENT = attrgetter(*(f.name for f in fields(ir.Forward) if f.name != "targets"))


@dataclass(frozen=True, slots=True)
class Made:
    """A part of a table: its bytes as a field of what it stands in, and what the whole must know of it.

    `filters`: the instances that it needs in the listener. `body`: the longest answer it gives by itself.
    `digest`: of the bytes, where the whole is too long to be hashed for each change.
    """

    field: bytes
    filters: frozenset[str] = frozenset()
    origins: tuple[ir.Origin, ...] = ()
    body: int = 0
    digest: bytes = b""


@dataclass(slots=True)
class Routes:
    """Keeps the shared bytes between calls."""

    _shared: dict[tuple[object, ...], bytes] = field(default_factory=dict)

    def made(self, wanted: ir.Route) -> Made:
        origins = (wanted.origin,) if wanted.origin else ()
        if cluster := _only_target(wanted):
            key = (wanted.match, *_SENT(wanted.action))
            shared = self._shared.get(key)
            if shared is None:
                if len(self._shared) >= SHAPES:
                    self._shared.clear()
                shared = self._shared[key] = _without_target(wanted)
            own = text(14, route_name(wanted.name, wanted.origin)) + nested(2, text(1, cluster))
            return Made(nested(3, own + shared), origins=origins)
        made = _route(wanted)
        return Made(
            nested(3, serialized(made)),
            frozenset(made.typed_per_filter_config) if wanted.policies != NONE else frozenset(),
            origins,
            len(made.direct_response.body.inline_string.encode()) if made.HasField("direct_response") else 0,
        )


def _only_target(wanted: ir.Route) -> str:
    """The cluster of a route that does nothing but send there."""
    action = wanted.action
    if not isinstance(action, ir.Forward) or len(action.targets) != 1 or wanted.policies != NONE:
        return ""
    (target,) = action.targets
    changes = (wanted.request_headers, wanted.response_headers, target.request_headers, target.response_headers)
    return target.cluster if target.weight and not any(changes) else ""


def _without_target(wanted: ir.Route) -> bytes:
    made = _route(wanted)
    made.ClearField("name")
    made.route.ClearField("cluster")
    return serialized(made)


def _route(wanted: ir.Route) -> Message:
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
