"""The HTTP filters, one short file each. A request passes them in the order of this table, an answer in reverse.

cors              first: preflights carry no credentials, and scripts may read refusals only with CORS headers on them
misdirected       a request on the wrong connection is nobody's here: before anything is counted or asked
ip_access         the cheapest refusal
rate_limit        before auth, so that guessing passwords is limited
body_limit        before anybody is asked about a request that is too large anyway
auth              basic auth and questions by HTTP (Lua)
ext_authz         questions by gRPC; after auth: both must agree, and the local one is cheaper
stateful_session  only requests that go upstream need an endpoint
error_page        puts in what custom_errors has got: answers come here from there
custom_errors     nearest the upstream, so that it sees the upstream's own answer first
router            last by definition

Each is in a listener only when some route of its table needs it, is disabled there, and enabled by the routes that
need it: the others do not pay.
"""

from __future__ import annotations

from collections.abc import Iterable

from envoy.extensions.filters.network.http_connection_manager.v3 import http_connection_manager_pb2

from sampan import ir
from sampan.xds.filters import (
    auth,
    body_limit,
    cors,
    custom_errors,
    ext_authz,
    ip_access,
    misdirected,
    rate_limit,
    router,
    stateful_session,
)
from sampan.xds.filters.filter import Filter
from sampan.xds.messages import Message, typed

ORDER: tuple[Filter, ...] = (
    cors.FILTER,
    misdirected.FILTER,
    ip_access.FILTER,
    rate_limit.EXEMPT,
    rate_limit.FILTER,
    body_limit.FILTER,
    auth.ALLOWED,
    auth.FILTER,
    ext_authz.FILTER,
    stateful_session.FILTER,
    custom_errors.PAGE,
    custom_errors.FILTER,
)
_PLACES = {one.name: place for place, one in enumerate(ORDER)}


def of_policies(policies: ir.Policies) -> dict[str, Message]:
    """What a route says to the filters: by the name of an instance, in order."""
    made: dict[str, Message] = {}
    for one in ORDER:
        made.update(one.route(policies))
    return made


def of_listener(needed: Iterable[str], misdirected_names: tuple[str, ...] = ()) -> list[Message]:
    """The filters of an HTTP connection manager: `needed` are the names of instances that its table's routes use."""
    made = [_filter(name, disabled=True) for name in sorted(needed, key=_place)]
    if misdirected_names:
        place = sum(_place(name) < _place(misdirected.NAME) for name in needed)
        made.insert(place, misdirected.of_listener(misdirected_names))
    return [*made, router.of_listener()]


def _place(instance: str) -> tuple[int, str]:
    return _PLACES[instance.partition("/")[0]], instance


def _filter(instance: str, *, disabled: bool) -> Message:
    one = ORDER[_place(instance)[0]]
    config = typed(one.listener(instance.partition("/")[2]))
    return http_connection_manager_pb2.HttpFilter(name=instance, typed_config=config, disabled=disabled)


__all__ = ["ORDER", "of_listener", "of_policies"]
