"""Golden cases of Gateway API on the real Envoy: what is translated is built, pushed, and asked."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from envoylab import UPSTREAM_PORT, Answer, EnvoyLab
from golden import Request

from sampan.gateway.gatewayapi import translate
from sampan.gateway.types import Resources, Result
from sampan.ir import Endpoint, Endpoints, Proxy
from sampan.xds.build import Builder


def addresses(result: Result) -> dict[str, str]:
    """Endpoints' name → the address of the one who stands behind it."""
    names = sorted({cluster.endpoints for cluster in result.clusters.values()})
    return {name: f"127.1.0.{number}" for number, name in enumerate(names, 1)}


def configure(lab: EnvoyLab, resources: Resources) -> Result:
    """Give Envoy what the resources come to."""
    if lab.ads.snapshot.resources:
        lab.push(Builder().build(Proxy()))  # what another case had on the same ports
    return push(lab, translate(resources))


def push(lab: EnvoyLab, result: Result) -> Result:
    """Envoy must refuse nothing."""
    members = {name: Endpoints(name, (Endpoint(ip, UPSTREAM_PORT),)) for name, ip in addresses(result).items()}
    proxy = Proxy(result.listeners, result.tables, result.clusters, members, result.secrets)
    assert lab.push(Builder().build(proxy)) == {}
    lab.wait_until_ready()
    return result


def ask(lab: EnvoyLab, resources: Resources, request: Request) -> Answer:
    """The URL's port is the Gateway's, Envoy listens at another."""
    parts = urlsplit(request.url)
    wanted = parts.port or (443 if parts.scheme == "https" else 80)
    (inner,) = (port for (_, number), port in resources.ports.items() if number == wanted)
    url = parts._replace(netloc=f"{parts.hostname}:{inner}").geturl()
    headers = {"host": parts.netloc, **request.headers}
    sni = headers.pop("sni", "")
    return lab.request(url, request.method, headers, request.body.encode() or None, sni=sni)


def wrong(request: Request, answer: Answer, result: Result) -> dict[str, Any]:
    """What is not as it should be: what it is."""
    found = {key: _ACTUAL[key](answer, wanted) for key, wanted in request.expect.items() if key != "cluster"}
    bad = {k: v for k, v in found.items() if v != request.expect[k] and not (k == "body" and request.expect[k] in v)}
    if "cluster" in request.expect:
        chosen = request.expect["cluster"]
        possible = [chosen] if isinstance(chosen, str) else chosen
        known = addresses(result)
        behind = [name for name, ip in known.items() if answer.status == 200 and answer.seen["ip"] == ip]
        if not {result.clusters[name].endpoints for name in possible} & set(behind):
            bad["cluster"] = behind
    return bad


_ACTUAL = {
    "status": lambda answer, wanted: answer.status,
    "path": lambda answer, wanted: answer.seen["path"],
    "host": lambda answer, wanted: answer.seen["host"],
    "location": lambda answer, wanted: answer.headers.get("location"),
    "headers": lambda answer, wanted: {k: answer.headers.get(k) for k in wanted},
    "upstream_headers": lambda answer, wanted: {k: answer.seen["headers"].get(k) for k in wanted},
    "body": lambda answer, wanted: answer.body,
}
