"""Token buckets, one for each client address where that is wanted; an answer (429) when a bucket is empty.

A bucket fills by tokens a second: 1 request in 10 s is a token each 10 s. Buckets of addresses are made when an
address comes, and the least recently used of `CLIENTS` is forgotten. Clients that are exempt are marked by a filter
before (RBAC in its shadow mode writes "allowed" into the metadata); the mark is part of what buckets are chosen by.
The exemptions of several limits of one route are put together.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction

from envoy.config.route.v3 import route_components_pb2
from envoy.extensions.common.ratelimit.v3 import ratelimit_pb2
from envoy.extensions.filters.http.local_ratelimit.v3 import local_rate_limit_pb2
from envoy.extensions.filters.http.rbac.v3 import rbac_pb2
from envoy.type.metadata.v3 import metadata_pb2
from envoy.type.v3 import http_status_pb2, token_bucket_pb2

from sampan import ir
from sampan.xds.filters.filter import Filter
from sampan.xds.filters.rbac import clients
from sampan.xds.messages import Message, boolean, duration, share, uint32

NAME = "rate_limit"
EXEMPT_NAME = "rate_limit_exempt"
CLIENTS = 100_000
UNLIMITED = 0xFFFFFFFF


def of_route(policies: ir.Policies) -> Mapping[str, Message]:
    limits = policies.rate_limits
    if not limits:
        return {}
    exempt = bool(_exempt(policies))
    made = _filter()
    made.status.CopyFrom(http_status_pb2.HttpStatus(code=limits[0].status))
    # Requests that no descriptor is about (of exempt clients): never refused.
    made.token_bucket.CopyFrom(_bucket(UNLIMITED, UNLIMITED, 1))
    made.always_consume_default_token_bucket.CopyFrom(boolean(False))
    made.filter_enabled.CopyFrom(share(1))
    made.filter_enforced.CopyFrom(share(1))
    made.max_dynamic_descriptors.CopyFrom(uint32(CLIENTS))
    for place, limit in enumerate(limits):
        made.rate_limits.append(_actions(limit, str(place), exempt))
        made.descriptors.append(_descriptor(limit, str(place), exempt))
    return {NAME: made}


def _actions(limit: ir.RateLimit, key: str, exempt: bool) -> Message:
    made = route_components_pb2.RateLimit()
    made.actions.add().generic_key.descriptor_value = key
    if limit.per_client:
        made.actions.add().remote_address.SetInParent()
    if exempt:
        mark = made.actions.add().metadata
        mark.descriptor_key = "exempt"
        mark.metadata_key.CopyFrom(
            metadata_pb2.MetadataKey(
                key="envoy.filters.http.rbac",
                path=[metadata_pb2.MetadataKey.PathSegment(key=f"{EXEMPT_NAME}_shadow_engine_result")],
            )
        )
    return made


def _descriptor(limit: ir.RateLimit, key: str, exempt: bool) -> Message:
    made = ratelimit_pb2.LocalRateLimitDescriptor(token_bucket=_bucket(limit.burst, limit.requests, limit.period))
    made.entries.add(key="generic_key", value=key)
    if limit.per_client:
        made.entries.add(key="remote_address")
    if exempt:
        made.entries.add(key="exempt", value="denied")
    return made


def _bucket(most: int, tokens: int, seconds: float) -> Message:
    """In steps of one token where a step may be that long: Envoy fills not more often than each 50 ms."""
    step = Fraction(seconds).limit_denominator(1000) / tokens
    per_fill = max(1, -(-Fraction(1, 20) // step))
    return token_bucket_pb2.TokenBucket(
        max_tokens=max(most, 1),
        tokens_per_fill=uint32(min(int(per_fill), UNLIMITED)),
        fill_interval=duration(float(step * per_fill)),
    )


def _filter() -> Message:
    return local_rate_limit_pb2.LocalRateLimit(stat_prefix=NAME)


def _exempt(policies: ir.Policies) -> tuple[str, ...]:
    return tuple(dict.fromkeys(cidr for limit in policies.rate_limits for cidr in limit.exempt))


def exempt_of_route(policies: ir.Policies) -> Mapping[str, Message]:
    exempt = _exempt(policies)
    if not exempt:
        return {}
    rules = rbac_pb2.RBAC(shadow_rules=clients(exempt), shadow_rules_stat_prefix=f"{EXEMPT_NAME}_")
    return {EXEMPT_NAME: rbac_pb2.RBACPerRoute(rbac=rules)}


FILTER = Filter(NAME, of_route, lambda _: _filter())
EXEMPT = Filter(EXEMPT_NAME, exempt_of_route, lambda _: rbac_pb2.RBAC())
