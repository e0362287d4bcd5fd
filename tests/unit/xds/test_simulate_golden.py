"""What the golden cases say of requests, the simulator says too: no Envoy, no root."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import gatewaycases
import golden
import ingresscases
import pytest
import xdscases
from golden import Case

from sampan import ir
from sampan.gateway import gatewayapi, ingress
from sampan.gateway.types import Result
from sampan.xds.build import Builder
from sampan.xds.simulate import End, Request, simulate
from sampan.xds.types import Snapshot


@pytest.mark.parametrize("case", golden.cases("ingress"), ids=str)
def test_ingress(case: Case) -> None:
    ports = {"http": ingresscases.HTTP, "https": ingresscases.HTTPS}
    check(case, built(ingress.translate(ingresscases.resources(case))), lambda url: ports[urlsplit(url).scheme])


@pytest.mark.parametrize("case", golden.cases("gatewayapi"), ids=str)
def test_gatewayapi(case: Case) -> None:
    resources = gatewaycases.resources(case)
    ports = {number: port for (_, number), port in resources.ports.items()}
    check(case, built(gatewayapi.translate(resources)), lambda url: ports[outer(url)])


@pytest.mark.parametrize("case", golden.cases("xds"), ids=str)
def test_representation(case: Case) -> None:
    check(case, xdscases.built(case), outer)


def built(result: Result) -> Snapshot:
    names = {cluster.endpoints for cluster in result.clusters.values()}
    members = {name: ir.Endpoints(name, (ir.Endpoint("10.0.0.1", 8080),)) for name in names}
    return Builder().build(ir.Proxy(result.listeners, result.tables, result.clusters, members, result.secrets))


def outer(url: str) -> int:
    parts = urlsplit(url)
    return parts.port or (443 if parts.scheme == "https" else 80)


def check(case: Case, snapshot: Snapshot, port: Any) -> None:
    bad = {}
    for one in case.requests:
        parts = urlsplit(one.url)
        headers = {name.lower(): value for name, value in one.headers.items()}
        sni, host = headers.pop("sni", parts.hostname), headers.pop("host", parts.netloc)
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        tls, sent = parts.scheme == "https", tuple(headers.items())
        request = Request(one.method, host, target, port(one.url), tls, sni, headers=sent, body=len(one.body))
        ends = simulate(snapshot, request).ends
        wrong = [differs(end, one.expect) for end in ends]
        if all(wrong):
            bad[str(one)] = wrong[0]
    assert bad == {}


def differs(end: End, expect: Any) -> dict[str, Any]:
    """Only what the simulator can know: an upstream's answer is its own affair, and whom a filter asks may answer."""
    found: dict[str, Any] = {}
    own = end.status or (200 if not end.path.startswith("/status/") else None)
    if own is not None and not end.asks:
        found["status"] = own
    if not end.status:
        found |= {"cluster": end.cluster} | ({"path": end.path, "host": end.host} if end.path else {})
    else:
        found |= {"location": end.location or None}
    bad = {key: value for key, value in found.items() if key in expect and value not in _any_of(expect[key])}
    if end.status and "body" in expect and not end.asks and expect["body"] not in end.body:
        bad["body"] = end.body
    return bad


def _any_of(wanted: Any) -> list[Any]:
    return wanted if isinstance(wanted, list) else [wanted]
