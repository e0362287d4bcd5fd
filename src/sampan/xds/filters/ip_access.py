"""Addresses that may come, or may not: 403 for the others."""

from __future__ import annotations

from collections.abc import Mapping

from envoy.extensions.filters.http.rbac.v3 import rbac_pb2

from sampan import ir
from sampan.xds.filters.either import either
from sampan.xds.filters.filter import Filter
from sampan.xds.filters.rbac import clients
from sampan.xds.messages import Message

NAME = "ip_access"


def of_route(policies: ir.Policies) -> Mapping[str, Message]:
    access = policies.ip_access
    if not access or either(policies):
        return {}
    rules = rbac_pb2.RBAC(rules=clients(access.allow, access.deny))
    return {NAME: rbac_pb2.RBACPerRoute(rbac=rules)}


FILTER = Filter(NAME, of_route, lambda _: rbac_pb2.RBAC())
