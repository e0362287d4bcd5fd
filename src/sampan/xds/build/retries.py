"""Trying again. Said by clusters: by each of thousands of routes, it was a third of Envoy's time for a table."""

from __future__ import annotations

from envoy.config.route.v3 import route_components_pb2
from envoy.extensions.retry.host.previous_hosts.v3 import previous_hosts_pb2

from sampan import ir
from sampan.xds.messages import Message, duration, extension, uint32


def retry_policy(wanted: ir.Retry) -> Message:
    """Elsewhere: up to three picks that avoid those who have failed already."""
    conditions = wanted.on + (("retriable-status-codes",) if wanted.codes else ())
    made = route_components_pb2.RetryPolicy(
        retry_on=",".join(dict.fromkeys(conditions)),
        num_retries=uint32(wanted.attempts),
        retriable_status_codes=wanted.codes,
        host_selection_retry_max_attempts=3,
    )
    previous = extension("envoy.retry_host_predicates.previous_hosts", previous_hosts_pb2.PreviousHostsPredicate())
    made.retry_host_predicate.add(name=previous.name, typed_config=previous.typed_config)
    if wanted.backoff:
        made.retry_back_off.base_interval.CopyFrom(duration(wanted.backoff))
        # The default maximum is ten times a base of 25 ms: a longer base would be refused.
        made.retry_back_off.max_interval.CopyFrom(duration(wanted.backoff * 10))
    return made
