"""A cookie that names the endpoint: the client comes back to it as long as it is there."""

from __future__ import annotations

from collections.abc import Mapping

from envoy.extensions.filters.http.stateful_session.v3 import stateful_session_pb2
from envoy.extensions.http.stateful_session.cookie.v3 import cookie_pb2 as state
from envoy.type.http.v3 import cookie_pb2

from sampan import ir
from sampan.xds.filters.filter import Filter
from sampan.xds.messages import Message, duration, extension

NAME = "stateful_session"


def of_route(policies: ir.Policies) -> Mapping[str, Message]:
    """Envoy marks its cookie HttpOnly whatever `http_only` says."""
    session = policies.session
    if not session:
        return {}
    cookie = cookie_pb2.Cookie(name=session.name, path=session.path)
    if session.ttl:
        cookie.ttl.CopyFrom(duration(session.ttl))
    for name, value in _attributes(session):
        cookie.attributes.add(name=name, value=value)
    made = extension("envoy.http.stateful_session.cookie", state.CookieBasedSessionState(cookie=cookie))
    config = stateful_session_pb2.StatefulSession(session_state=made)
    return {NAME: stateful_session_pb2.StatefulSessionPerRoute(stateful_session=config)}


def _attributes(session: ir.SessionCookie) -> list[tuple[str, str]]:
    wanted = [("SameSite", session.same_site), ("Domain", session.domain)]
    return [pair for pair in wanted if pair[1]] + ([("Secure", "")] if session.secure else [])


FILTER = Filter(NAME, of_route, lambda _: stateful_session_pb2.StatefulSession())
