"""What the Envoy of a pod says of itself: its admin port, which only the pod's own namespace reaches."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from sampan.api.meta import Obj
from sampan.app.config import Cluster
from sampan.base.errors import UserError
from sampan.base.netns import inside
from sampan.cli.records import running

ADMIN_PORT = 15000
_DUMP = "/config_dump?include_eds"
_SECONDS = 10.0


class Part(NamedTuple):
    """A resource that Envoy has. `version` "" when it has none yet; `refused`: why it did not take a newer one."""

    name: str
    version: str
    refused: str = ""


def parts(cluster: Cluster, pod: Obj, kind: str) -> list[Part]:
    """`kind`: listeners, routes, clusters, endpoints or secrets. Raises UserError."""
    name = f"{pod['metadata']['namespace']}/{pod['metadata']['name']}"
    pid = next((pid for pid, _ in running(cluster, pod)), None)
    if pid is None:
        raise UserError(f"pod {name} does not run", f"kubectl get pod -n {name.replace('/', ' ')}")
    try:
        dump = _dump(pid)
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise UserError(f"no Envoy answers in pod {name}: {error}", "kubectl get pods -n sampan-system") from None
    return [part for entry in dump["configs"] for part in _PARTS[kind](entry)]


def _dump(pid: int) -> Any:
    connection = http.client.HTTPConnection("127.0.0.1", ADMIN_PORT, timeout=_SECONDS)
    try:
        with inside(Path(f"/proc/{pid}/ns/net")):
            connection.connect()
        connection.request("GET", _DUMP)
        return json.loads(connection.getresponse().read())
    finally:
        connection.close()


def _listeners(entry: Obj) -> Iterator[Part]:
    for one in entry.get("dynamic_listeners", ()):
        version = (one.get("active_state") or {}).get("version_info", "")
        yield Part(one["name"], version, (one.get("error_state") or {}).get("details", ""))


def _named(field: str, inside_of: str) -> Any:
    """Entries of a list that have a version, and the resource with its name inside."""

    def parts(entry: Obj) -> Iterator[Part]:
        for one in entry.get(field, ()):
            name = one.get("name") or one[inside_of]["name"]
            yield Part(name, one.get("version_info", ""), (one.get("error_state") or {}).get("details", ""))

    return parts


def _endpoints(entry: Obj) -> Iterator[Part]:
    """These have no version: their members say as much."""
    for one in entry.get("dynamic_endpoint_configs", ()):
        config = one["endpoint_config"]
        members = [_member(m) for locality in config.get("endpoints", ()) for m in locality.get("lb_endpoints", ())]
        yield Part(config["cluster_name"], ", ".join(sorted(members)))


def _member(member: Obj) -> str:
    socket = member["endpoint"]["address"].get("socket_address") or {}
    return f"{socket.get('address')}:{socket.get('port_value')} {member.get('health_status', 'HEALTHY')}"


_PARTS = {
    "listeners": _listeners,
    "routes": _named("dynamic_route_configs", "route_config"),
    "clusters": _named("dynamic_active_clusters", "cluster"),
    "secrets": _named("dynamic_active_secrets", "secret"),
    "endpoints": _endpoints,
}
