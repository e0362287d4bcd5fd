"""What the HTTP filters say to a request, as far as that can be known without asking anybody.

One function a filter, in a table by the type of its configuration; those of Lua are told apart by the filter's name.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from google.protobuf import json_format

from sampan.xds.filters import auth, custom_errors, rate_limit
from sampan.xds.messages import Message
from sampan.xds.simulate.clients import refused_by
from sampan.xds.simulate.headers import Headers
from sampan.xds.simulate.match import string_matches
from sampan.xds.simulate.messages import unpacked
from sampan.xds.simulate.passwords import correct
from sampan.xds.simulate.types import Request

_FILTER_CONFIG = "type.googleapis.com/envoy.config.route.v3.FilterConfig"
# Of a preflight's answer: what "*" is replaced by.
_PREFLIGHT = {
    "allow_methods": "access-control-request-method",
    "allow_headers": "access-control-request-headers",
    "max_age": "",
}
_RBAC_BODY = "RBAC: access denied"


@dataclass(frozen=True, slots=True)
class Verdict:
    """`status` 0 lets the request go on. `maybe`: nobody knows beforehand."""

    text: str
    status: int = 0
    body: str = ""
    details: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    maybe: bool = False


@dataclass(slots=True)
class Asked:
    """What a filter sees. `marks`: what filters before it have found out."""

    request: Request
    headers: Headers
    client: str
    name: str = ""
    base: Message = None
    route: Message = None
    marks: dict[str, str] = field(default_factory=dict)


def verdicts(manager: Message, levels: list[Message], asked: Asked) -> Iterator[tuple[str, Verdict]]:
    """(filter, verdict) in order; the last one may be a refusal. `levels`: the route, its virtual host, the table."""
    for one in manager.http_filters:
        active, route = _route_config(one, levels)
        judge = _TABLE.get(one.typed_config.type_url.rpartition(".")[2])
        if not (active and judge):
            continue
        asked.name, asked.base, asked.route = one.name, unpacked(one.typed_config), route
        verdict = judge(asked)
        if verdict:
            yield one.name, verdict
            if verdict.status:
                return


def _route_config(one: Message, levels: list[Message]) -> tuple[bool, Message | None]:
    """Does the filter see the request, and what does the most specific level that names it say?"""
    for level in levels:
        if one.name in level.typed_per_filter_config:
            packed = level.typed_per_filter_config[one.name]
            if packed.type_url != _FILTER_CONFIG:
                return True, unpacked(packed)
            wrapper = unpacked(packed)
            assert wrapper is not None
            return not wrapper.disabled, unpacked(wrapper.config)
    return not one.disabled, None


# -- one function a filter


def _cors(asked: Asked) -> Verdict | None:
    policy, origin = asked.route, asked.headers.get("origin")
    if policy is None or not origin:
        return None
    if not any(string_matches(one, origin) for one in policy.allow_origin_string_match):
        return Verdict(f"origin {origin} is not allowed: no Access-Control headers")
    headers = [("access-control-allow-origin", origin)]
    if policy.allow_credentials.value:
        headers.append(("access-control-allow-credentials", "true"))
    if policy.expose_headers:
        headers.append(("access-control-expose-headers", policy.expose_headers))
    if asked.request.method != "OPTIONS" or not asked.headers.get("access-control-request-method"):
        return Verdict(f"origin {origin} is allowed", headers=tuple(headers))
    for name, asks in _PREFLIGHT.items():
        if value := getattr(policy, name):
            answer = (asked.headers.get(asks) or "") if value == "*" else value
            headers.append((f"access-control-{name.replace('_', '-')}", answer))
    return Verdict(f"a preflight, answered by the proxy: origin {origin} is allowed", 200, headers=tuple(headers))


def _rbac(asked: Asked) -> Verdict | None:
    config = asked.route.rbac if asked.route is not None else asked.base
    if config.HasField("shadow_rules"):
        allowed = not refused_by(config.shadow_rules, asked.client, asked.headers)
        asked.marks[config.shadow_rules_stat_prefix] = "allowed" if allowed else "denied"
        return None
    policy = refused_by(config.rules, asked.client, asked.headers) if config.HasField("rules") else ""
    if not policy:
        return Verdict(f"{asked.client} may pass") if asked.route is not None else None
    details = f"rbac_access_denied_matched_policy[{policy}]"
    who = f"client {asked.client}" if policy in ("none", "clients") else policy
    return Verdict(f"refuses {who}", 403, _RBAC_BODY, details)


def _rate_limit(asked: Asked) -> Verdict | None:
    limits = asked.route or asked.base
    if asked.marks.get(f"{rate_limit.EXEMPT_NAME}_") == "allowed":
        return Verdict(f"{asked.client} is exempt from limits")
    shown = []
    for one in limits.descriptors:
        bucket = one.token_bucket
        seconds = bucket.fill_interval.seconds + bucket.fill_interval.nanos / 1e9
        fill = f"{bucket.tokens_per_fill.value or 1} each {seconds:g} s"
        who = " a client" if any(entry.key == "remote_address" for entry in one.entries) else ""
        shown.append(f"{bucket.max_tokens} at once, {fill}{who}")
    return Verdict(f"may answer {limits.status.code or 429}: {'; '.join(shown)}", maybe=True)


def _body_limit(asked: Asked) -> Verdict | None:
    most = asked.base.max_request_bytes.value if asked.base is not None else 0
    if asked.request.body > most:
        return Verdict(
            f"a body of {asked.request.body} bytes, at most {most} may come", 413, "content length too large"
        )
    return Verdict(f"bodies up to {most} bytes")


def _lua(asked: Asked) -> Verdict | None:
    if asked.route is None:
        return None
    context = json_format.MessageToDict(asked.route.filter_context)
    if asked.name == auth.NAME:
        return _auth(asked, context)
    if asked.name == custom_errors.NAME:
        return Verdict(
            f"answers {', '.join(context['codes'])} are replaced by cluster {context['cluster']}", maybe=True
        )
    return None


def _auth(asked: Asked, context: dict[str, Any]) -> Verdict | None:
    """Basic auth is decided here; what another service says nobody knows."""
    any_ = context.get("any")
    if any_ and asked.marks.get(f"{auth.ALLOWED_NAME}_") == "allowed":
        return Verdict(f"{asked.client} needs no password")
    refusal = Verdict(f"refuses client {asked.client}", 403, "403 Forbidden\n") if any_ else None
    if basic := context.get("basic"):
        verdict = _basic(asked, basic)
        if (not verdict.status and any_) or (verdict.status and not any_):
            return verdict
        refusal = verdict if verdict.status else refusal
    if ask := context.get("ask"):
        return Verdict(f"asks cluster {ask['cluster']} first: what is not 2xx is the answer", maybe=True)
    return refusal or Verdict("the password is right")


def _basic(asked: Asked, wanted: dict[str, Any]) -> Verdict:
    scheme, _, credentials = (asked.headers.get("authorization") or "").partition(" ")
    try:
        name, _, password = base64.b64decode(credentials.strip()).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        name = password = ""
    stored = wanted["users"].get(name)
    if scheme.lower() == "basic" and stored and correct(stored, password):
        return Verdict(f"the password of {name} is right")
    why = f"wrong password of {name}" if stored else f"no user {name}" if name else "no user and password"
    realm = wanted["realm"].replace("\\", "\\\\").replace('"', '\\"')
    challenge = f'Basic realm="{realm}", charset="UTF-8"'
    return Verdict(f"basic auth: {why}", 401, "401 Unauthorized\n", headers=(("www-authenticate", challenge),))


def _ext_authz(asked: Asked) -> Verdict | None:
    service = asked.route.check_settings.grpc_service if asked.route is not None else asked.base.grpc_service
    return Verdict(f"asks cluster {service.envoy_grpc.cluster_name} first (gRPC)", maybe=True)


def _session(asked: Asked) -> Verdict | None:
    state = asked.route.stateful_session.session_state if asked.route is not None else asked.base.session_state
    cookie = unpacked(state.typed_config)
    return Verdict(f"cookie {cookie.cookie.name} names the endpoint") if cookie is not None else None


_TABLE: dict[str, Callable[[Asked], Verdict | None]] = {
    "Cors": _cors,
    "RBAC": _rbac,
    "LocalRateLimit": _rate_limit,
    "BodySizeLimit": _body_limit,
    "Lua": _lua,
    "ExtAuthz": _ext_authz,
    "StatefulSession": _session,
}
