"""What EndpointSlices say of a Service's port. Pure; read by the service proxy and by the gateway.

Source: discovery.k8s.io/v1, KEP-1669 (terminating endpoints).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from sampan.api import meta
from sampan.api.meta import Key, Obj

SERVICE_NAME = "kubernetes.io/service-name"


class Endpoint(NamedTuple):
    """One address of a slice under one port, with what decides whether it gets traffic."""

    ip: str
    port: int
    node: str
    ready: bool
    serving: bool
    terminating: bool
    hints: Mapping[str, Any] | None


def service_of(entry: Obj) -> Key:
    """The Service an EndpointSlice belongs to; the name is "" when it belongs to none."""
    return Key(meta.namespace(entry), meta.labels(entry).get(SERVICE_NAME, ""))


def endpoints_of(port: Obj, slices: Iterable[Obj]) -> list[Endpoint]:
    """All IPv4 endpoints for a Service's port, ready or not. Slices carry the resolved port under the port's name."""
    wanted = (port.get("name") or "", port.get("protocol") or "TCP")
    found: dict[tuple[str, int], Endpoint] = {}
    for entry in slices:
        if entry.get("addressType") != "IPv4":
            continue
        numbers = [
            p["port"]
            for p in entry.get("ports") or ()
            if p.get("port") and (p.get("name") or "", p.get("protocol") or "TCP") == wanted
        ]
        for endpoint in entry.get("endpoints") or ():
            for number in numbers:
                made = _endpoint(endpoint, number)
                # The same pod in two slices while one is being moved: ready wins.
                known = found.get((made.ip, number))
                if known is None or (made.ready and not known.ready):
                    found[made.ip, number] = made
    return [found[key] for key in sorted(found)]


def _endpoint(endpoint: Obj, port: int) -> Endpoint:
    """A condition that is not set: ready and serving count as true, terminating as false (discovery.k8s.io/v1)."""
    conditions = endpoint.get("conditions") or {}
    ready = conditions.get("ready") is not False
    serving = conditions.get("serving")
    return Endpoint(
        ip=endpoint["addresses"][0],
        port=port,
        node=endpoint.get("nodeName") or "",
        ready=ready,
        serving=ready if serving is None else serving,
        terminating=conditions.get("terminating") is True,
        hints=endpoint.get("hints"),
    )
