"""The proxy subresources: HTTP (and upgrades) through the API server to a pod, to an endpoint of a service, to a node.

    …/pods/[SCHEME:]NAME[:PORT]/proxy/PATH      …/services/[SCHEME:]NAME[:PORT or port name]/proxy/PATH
    …/nodes/NAME/proxy/PATH                     (the node's agent: the kubelet's endpoints)

Source: k8s.io/apimachinery/pkg/util/proxy, kubernetes/pkg/registry/core/{pod/strategy.go,service/storage/rest.go}
"""

from __future__ import annotations

import os
import random
import ssl
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

from sampan.api.meta import Obj
from sampan.api.status import ApiError, bad_request, unavailable
from sampan.base.http.client import HttpClient, StreamResponse
from sampan.base.http.types import Raw, Request, Response, Stream, Upgrade
from sampan.server.agents import Agents, splice
from sampan.server.registry import Registry

SLICES = "endpointslices.discovery.k8s.io"
SECONDS = 30.0  # to the head of the answer

# Of one connection, not of the message; and what is ours to say.
_HOP = frozenset(
    (
        *("connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "te", "trailer"),
        *("transfer-encoding", "upgrade", "content-length"),
    )
)
_OURS = _HOP | {"authorization", "host", "expect", "date"}


class Proxy:
    """`chance` picks one of a service's endpoints."""

    def __init__(self, registry: Registry, agents: Agents, chance: random.Random | None = None) -> None:
        self._registry, self._agents = registry, agents
        self._chance = chance or random.Random()

    async def answer(self, request: Request, plural: str, namespace: str, name: str) -> Response | Stream | Upgrade:
        """Raises ApiError: 400 a name that is none, 404, 503 what cannot be reached."""
        base = await self._base(plural, namespace, name)
        prefix, path = split(request.target, namespaced=bool(namespace))
        if not path and request.method in ("GET", "HEAD"):
            return Response(301, b"", [("location", f"{prefix}/{_query(request)}")])
        client = HttpClient(base, _trusting() if base.startswith("https:") else None)
        target = (path or "/") + _query(request)
        headers = [(key, value) for key, value in request.headers.items() if key not in _OURS]
        headers += [("x-forwarded-host", request.headers.get("host", "")), ("x-forwarded-uri", prefix + path)]
        headers += [("x-forwarded-proto", "https"), ("x-forwarded-for", request.peer.rpartition(":")[0])]
        try:
            if request.upgrade:
                return await _upgrade(client, request, target, headers)
            answer = await client.stream(request.method, target, headers, request.body, SECONDS)
        except (OSError, TimeoutError) as error:
            await client.close()
            raise unavailable(f"error trying to reach service: {_why(base, error)}") from None
        kept = [(key, value) for key, value in answer.headers.items() if key not in _HOP and key != "date"]
        moved = [(key, _moved(value, base, prefix) if key == "location" else value) for key, value in kept]
        return Stream(answer.status, _chunks(client, answer), moved)

    async def _base(self, plural: str, namespace: str, name: str) -> str:
        scheme, bare, port = parse(name, plural.removesuffix("s"))
        if plural == "nodes":
            self._registry.get("nodes", bare)
            return self._agents.base(bare)
        if plural == "pods":
            pod = self._registry.get("pods", bare, namespace).obj
            ip = (pod.get("status") or {}).get("podIP")
            if not ip:
                raise bad_request("address not allowed")
            return f"{scheme}://{ip}:{port or _first_port(pod) or (443 if scheme == 'https' else 80)}"
        address = await self._endpoint(namespace, bare, port)
        return f"{scheme}://{address}"

    async def _endpoint(self, namespace: str, name: str, port: str) -> str:
        service = self._registry.get("services", name, namespace).obj
        wanted = port
        if port.isdigit():
            ports = service["spec"].get("ports") or ()
            match = next((p for p in ports if p["port"] == int(port)), None)
            if match is None:
                raise unavailable(f'no service port {port} found for service "{name}"')
            wanted = match.get("name") or ""
        slices = await self._registry.list(SLICES, namespace, labels=f"kubernetes.io/service-name={name}")
        found = [
            f"{endpoint['addresses'][0]}:{number}"
            for held in slices.items
            if (number := _port(held.obj, wanted))
            for endpoint in held.obj.get("endpoints") or ()
            if (endpoint.get("conditions") or {}).get("ready") is not False
        ]
        if not found:
            raise unavailable(f'no endpoints available for service "{name}"')
        return self._chance.choice(found)


def parse(name: str, what: str) -> tuple[str, str, str]:
    """(scheme, name, port) of `[SCHEME:]NAME[:PORT]`; scheme http when it is not given. Raises ApiError 400."""
    parts = name.split(":")
    if len(parts) == 3:
        scheme, bare, port = parts
    else:
        scheme, (bare, port) = "", (*parts, "")[:2]
    if len(parts) > 3 or scheme not in ("", "http", "https") or not bare:
        raise bad_request(f'invalid {what} request "{name}"')
    return scheme or "http", bare, port


def split(target: str, *, namespaced: bool) -> tuple[str, str]:
    """(up to and with /proxy, the path behind it: "" when there is not even a slash) of a request's target."""
    parts = target.partition("?")[0].split("/")
    count = 8 if namespaced else 6
    rest = parts[count:]
    return "/".join(parts[:count]), "/" + "/".join(rest) if rest else ""


def _query(request: Request) -> str:
    return f"?{request.query_string}" if request.query_string else ""


def _first_port(pod: Obj) -> int:
    ports = (p["containerPort"] for c in pod["spec"]["containers"] for p in c.get("ports") or ())
    return next(ports, 0)


def _port(one: Obj, name: str) -> int:
    """The number of the port with this name in an EndpointSlice, 0 for none."""
    return next((p.get("port") or 0 for p in one.get("ports") or () if (p.get("name") or "") == name), 0)


def _moved(location: str, base: str, prefix: str) -> str:
    """Redirects that stay with the backend come back through the proxy."""
    parts = urlsplit(location)
    if not location.startswith("/") and f"{parts.scheme}://{parts.netloc}" != base:
        return location
    return prefix + parts.path + (f"?{parts.query}" if parts.query else "")


async def _upgrade(client: HttpClient, request: Request, target: str, headers: list[tuple[str, str]]) -> Upgrade:
    asked = [*headers, ("connection", "Upgrade"), ("upgrade", request.headers["upgrade"])]
    upgraded = await client.upgrade(request.method, target, asked, request.body, SECONDS)
    if upgraded.raw is None:
        text = upgraded.body.decode(errors="replace").strip()
        raise ApiError(upgraded.status, "ServiceUnavailable", f"the backend refuses to upgrade: {text}")
    far = upgraded.raw

    async def run(near: Raw) -> None:
        await splice(near, far)

    return Upgrade(run, [(k, v) for k, v in upgraded.headers.items() if k not in ("date", "content-length")])


async def _chunks(client: HttpClient, answer: StreamResponse) -> AsyncIterator[bytes]:
    try:
        async for data in answer:
            yield data
    finally:
        await client.close()


def _trusting() -> ssl.SSLContext:
    """Pods have certificates nobody knows; kube-apiserver does not look either."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _why(base: str, error: Exception) -> str:
    cause = error.__cause__
    number = cause.errno if isinstance(cause, OSError) else None
    text = os.strerror(number).lower() if number else str(error) or "i/o timeout"
    return f"dial tcp {urlsplit(base).netloc}: connect: {text}" if number else text
