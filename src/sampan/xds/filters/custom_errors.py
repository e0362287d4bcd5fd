"""Error pages of another service in place of the upstream's. In Lua: Envoy's custom_response would need a route to that
service which anybody could call, and cannot follow an upload that is not finished.
"""

from __future__ import annotations

from collections.abc import Mapping

from sampan import ir
from sampan.xds.filters.filter import Filter
from sampan.xds.filters.scripts import changes, script, with_context
from sampan.xds.messages import Message

NAME = "custom_errors"
PAGE_NAME = "error_page"
TIMEOUT_MS = 5000


def of_route(policies: ir.Policies) -> Mapping[str, Message]:
    errors = policies.errors
    if not errors:
        return {}
    context = {
        "codes": [str(code) for code in errors.codes],
        "cluster": errors.cluster,
        "host": errors.host,
        "path": errors.path,
        "changes": changes(errors.headers),
        "timeout_ms": TIMEOUT_MS,
    }
    return {NAME: with_context(context)}


def page_of_route(policies: ir.Policies) -> Mapping[str, Message]:
    return {PAGE_NAME: with_context({})} if policies.errors else {}


FILTER = Filter(NAME, of_route, lambda _: script("templates", "custom_errors"))
PAGE = Filter(PAGE_NAME, page_of_route, lambda _: script("error_page"))
