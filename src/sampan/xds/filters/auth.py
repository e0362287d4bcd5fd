"""Basic auth, and asking another service by HTTP. In Lua, because Envoy's own filters can neither check the hashes that
htpasswd makes, nor name a realm, ask with a path and method of their own, send a browser to sign in, or be satisfied
when any one of several agrees.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from envoy.extensions.filters.http.rbac.v3 import rbac_pb2

from sampan import ir
from sampan.xds.filters.either import either
from sampan.xds.filters.filter import Filter
from sampan.xds.filters.rbac import clients
from sampan.xds.filters.scripts import changes, script, with_context
from sampan.xds.filters.templates import template
from sampan.xds.messages import Message

NAME = "auth"
ALLOWED_NAME = "auth_allowed"


def of_route(policies: ir.Policies) -> Mapping[str, Message]:
    context: dict[str, Any] = {}
    if policies.basic_auth:
        context["basic"] = {"realm": policies.basic_auth.realm, "users": dict(policies.basic_auth.users)}
    if policies.external_auth and not policies.external_auth.grpc:
        context["ask"] = _question(policies.external_auth)
    if either(policies):
        context["any"] = True
    return {NAME: with_context(context)} if context else {}


def _question(auth: ir.ExternalAuth) -> dict[str, Any]:
    return {
        "cluster": auth.cluster,
        "method": auth.method,
        "host": auth.host,
        "path": template(auth.path),
        "headers": [name.lower() for name in auth.request_headers],
        "changes": changes(auth.set_headers),
        "response": [name.lower() for name in auth.response_headers],
        "signin": template(auth.signin),
        "timeout_ms": round(auth.timeout * 1000),
        "fail_open": auth.fail_open,
    }


def allowed_of_route(policies: ir.Policies) -> Mapping[str, Message]:
    """Marks the addresses that need no password."""
    access = policies.ip_access
    if not access or not either(policies):
        return {}
    rules = rbac_pb2.RBAC(shadow_rules=clients(access.allow, access.deny), shadow_rules_stat_prefix=f"{ALLOWED_NAME}_")
    return {ALLOWED_NAME: rbac_pb2.RBACPerRoute(rbac=rules)}


FILTER = Filter(NAME, of_route, lambda _: script("templates", "digests", "passwords", "auth"))
ALLOWED = Filter(ALLOWED_NAME, allowed_of_route, lambda _: rbac_pb2.RBAC())
