"""Who is connected, and whether it has what it shall have."""

from __future__ import annotations

from typing import Any

from sampan.api.meta import timestamp
from sampan.xds import types
from sampan.xds.hub import ProxyStatus
from sampan.xds.pages.query import Query, View, one

# As Envoy calls the services that bring them.
SERVICES = {
    types.CLUSTER: "CDS",
    types.LISTENER: "LDS",
    types.ENDPOINTS: "EDS",
    types.ROUTES: "RDS",
    types.SECRET: "SDS",
}


def status(view: View, query: Query) -> Any:
    """`kind`: only those of one kind."""
    kind = one(query, "kind")
    return {"proxies": [_proxy(proxy) for proxy in view.proxies if kind in ("", proxy.kind)]}


def _proxy(proxy: ProxyStatus) -> dict[str, Any]:
    found = {SERVICES[one.type_url]: one for one in proxy.types}
    return {
        "name": proxy.node,
        "kind": proxy.kind,
        "since": timestamp(proxy.since),
        "types": {
            service: {"state": str(found[service].state), "sent": found[service].sent, "acked": found[service].acked}
            | ({"message": found[service].message} if found[service].message else {})
            for service in SERVICES.values()
        },
    }
