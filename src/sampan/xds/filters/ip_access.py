"""Addresses that may come, or may not: 403 for the others."""

from __future__ import annotations

from collections.abc import Mapping

from envoy.extensions.filters.http.rbac.v3 import rbac_pb2

from sampan import ir
from sampan.xds.filters.filter import Filter
from sampan.xds.filters.rbac import clients
from sampan.xds.messages import Message

NAME = "ip_access"


def of_route(policies: ir.Policies) -> Mapping[str, Message]:
    """With `any_auth` a wrong address alone refuses nobody: `auth` looks at it."""
    access = policies.ip_access
    if not access or policies.any_auth:
        return {}
    rules = rbac_pb2.RBAC(rules=clients(access.allow, access.deny))
    return {NAME: rbac_pb2.RBACPerRoute(rbac=rules)}


FILTER = Filter(NAME, of_route, lambda _: rbac_pb2.RBAC())
