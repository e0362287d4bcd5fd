"""RBAC rules about the client's address, for the filters that are made of them.

The address is the one that the connection manager found: X-Forwarded-For counts as far as its hops are trusted.
"""

from __future__ import annotations

from collections.abc import Iterable

from envoy.config.rbac.v3 import rbac_pb2

from sampan.xds.messages import Message, cidrs

POLICY = "clients"


def clients(allow: Iterable[str], deny: Iterable[str] = ()) -> Message:
    """Who is in `allow` (empty: everybody) and not in `deny`."""
    allowed, denied = cidrs(allow), cidrs(deny)
    who = _any_of(allowed) if allowed else rbac_pb2.Principal(any=True)
    if denied:
        others = rbac_pb2.Principal(not_id=_any_of(denied))
        who = rbac_pb2.Principal(and_ids=rbac_pb2.Principal.Set(ids=[who, others]))
    policy = rbac_pb2.Policy(permissions=[rbac_pb2.Permission(any=True)], principals=[who])
    return rbac_pb2.RBAC(action=rbac_pb2.RBAC.ALLOW, policies={POLICY: policy})


def _any_of(ranges: list[Message]) -> Message:
    ids = [rbac_pb2.Principal(remote_ip=one) for one in ranges]
    return rbac_pb2.Principal(or_ids=rbac_pb2.Principal.Set(ids=ids))
