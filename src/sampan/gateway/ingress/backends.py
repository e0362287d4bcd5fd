"""References to Services → backends, and backends → clusters.

The `endpoints` of a cluster are named "NAMESPACE/SERVICE/PORT", PORT being the number of the Service's port.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace

from sampan.api.meta import Obj
from sampan.gateway.ingress.look import Look
from sampan.gateway.ingress.model import Backend, Upstream
from sampan.ir import Cluster, Endpoint, Endpoints, Origin

_TLS = ("HTTPS", "GRPCS")
_HTTP2 = ("GRPC", "GRPCS")
_H2C = "kubernetes.io/h2c"


class Missing(Exception):
    """There is nothing to send to; says what is missing."""


def find(look: Look, namespace: str, service: Obj, *, vip: bool = False) -> Backend:
    """The backend that an Ingress's `service: {name, port}` names. Raises Missing."""
    name, wanted = service["name"], service.get("port") or {}
    found = look.service(namespace, name)
    if found is None:
        raise Missing(f"Service {namespace}/{name} does not exist")
    spec = found.get("spec") or {}
    if spec.get("type") == "ExternalName":
        return _external(namespace, name, spec, wanted)
    port = _port(spec, wanted)
    if port is None:
        asked = wanted.get("name") or wanted.get("number")
        raise Missing(f"Service {namespace}/{name} has no port {asked}{_ports(spec)}")
    if port.get("protocol", "TCP") != "TCP":
        raise Missing(f"port {port['port']} of Service {namespace}/{name} is {port['protocol']}, not TCP")
    address = spec.get("clusterIP") or ""
    usable = address if vip and address not in ("", "None") else ""
    return Backend(namespace, name, port["port"], vip=usable, http2=port.get("appProtocol") == _H2C)


def first_port(look: Look, namespace: str, name: str) -> Backend:
    """A Service named without a port: its first one, as ingress-nginx takes for default backends. Raises Missing."""
    service = look.service(namespace, name)
    ports = ((service or {}).get("spec") or {}).get("ports") or []
    if service is not None and not ports:
        raise Missing(f"Service {namespace}/{name} has no ports")
    return find(look, namespace, {"name": name, "port": {"number": ports[0]["port"]} if ports else {}})


def _port(spec: Obj, wanted: Obj) -> Obj | None:
    key, value = ("name", wanted["name"]) if wanted.get("name") else ("port", wanted.get("number"))
    found: Obj | None = next((p for p in spec.get("ports") or () if p.get(key) == value), None)
    return found


def _ports(spec: Obj) -> str:
    ports = [f"{p['name']} ({p['port']})" if p.get("name") else str(p["port"]) for p in spec.get("ports") or ()]
    return f"; it has {', '.join(ports)}" if ports else ""


def _external(namespace: str, name: str, spec: Obj, wanted: Obj) -> Backend:
    """The host may be sent to on any port; those that the Service lists may lead to another one."""
    port = _port(spec, wanted)
    number = port["port"] if port else wanted.get("number")
    if not number:
        raise Missing(f"Service {namespace}/{name} has no port {wanted.get('name')}{_ports(spec)}")
    target = (port or {}).get("targetPort")
    to = target if isinstance(target, int) and target else number
    return Backend(namespace, name, number, dns=(spec.get("externalName", "").rstrip("."), to))


def cluster(backend: Backend, upstream: Upstream, origin: Origin | None) -> Cluster:
    """Equal wishes for the same backend are the same cluster."""
    vip = upstream.by_vip and bool(backend.vip)
    plain = upstream if upstream.by_vip == vip else replace(upstream, by_vip=vip)
    name = f"ingress/{backend}"
    if plain != Upstream():
        digest = hashlib.sha256(repr(plain).encode()).hexdigest()[:8]
        name += f"/{plain.protocol.lower()}-{digest}"
    secure = plain.protocol in _TLS
    return Cluster(
        name=name,
        endpoints="" if backend.dns else vip_name(backend) if vip else str(backend),
        dns=backend.dns,
        service=f"{backend.namespace}/{backend.service}",
        http2=plain.protocol in _HTTP2 or (backend.http2 and not secure),
        tls=plain.tls if secure else None,
        lb=plain.lb,
        connect_timeout=plain.connect_timeout,
        max_requests=plain.max_requests,
        retry=plain.retry,
        origin=origin,
    )


def vip_name(backend: Backend) -> str:
    return f"ingress-vip/{backend}"


def vip_endpoints(backend: Backend) -> Endpoints:
    return Endpoints(vip_name(backend), (Endpoint(backend.vip, backend.port),))
