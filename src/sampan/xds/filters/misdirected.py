"""421 for a Host that does not belong to the names of the TLS connection it came on.

Browsers send requests for several hosts over one HTTP/2 connection when the certificate covers them; when those hosts
are configured apart (other certificates asked of clients, other routes), the request must come again on its own.
"""

from __future__ import annotations

import re

from envoy.config.rbac.v3 import rbac_pb2 as rules
from envoy.config.route.v3 import route_components_pb2
from envoy.extensions.filters.http.rbac.v3 import rbac_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import http_connection_manager_pb2

from sampan import ir
from sampan.xds.filters.filter import Filter
from sampan.xds.messages import Message, string_match, typed

NAME = "misdirected"
DETAILS = f"rbac_access_denied_matched_policy[{NAME}]"
"""What Envoy calls the refusal: `build/replies.py` makes a 421 of it."""


def of_listener(names: tuple[str, ...]) -> Message:
    """One regular expression: thousands of names cost as much as one."""
    pattern = rf"(?i:{'|'.join(map(_pattern, names))})(?::\d+)?"
    host = route_components_pb2.HeaderMatcher(
        name=":authority", string_match=string_match(ir.Kind.REGEX, pattern), invert_match=True
    )
    policy = rules.Policy(permissions=[rules.Permission(header=host)], principals=[rules.Principal(any=True)])
    config = rbac_pb2.RBAC(rules=rules.RBAC(action=rules.RBAC.DENY, policies={NAME: policy}))
    return http_connection_manager_pb2.HttpFilter(name=NAME, typed_config=typed(config))


def _pattern(name: str) -> str:
    return r"[^:]+" + re.escape(name[1:]) if name.startswith("*.") else re.escape(name)


FILTER = Filter(NAME, lambda _: {}, lambda _: rbac_pb2.RBAC())
