"""Goal: what `sampan route` says is what Envoy does. Method: every golden case is given to both, with its own requests
and with ones made up of the hosts, paths, headers and names in its routes; all that can be seen is compared.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import gatewaycases
import golden
import ingresscases
import pytest
import xdscases
from agreement import disagreements, questions
from envoylab import UPSTREAM_PORT, EnvoyLab
from gatewaylab import addresses
from golden import Case

from sampan.gateway import gatewayapi, ingress
from sampan.gateway.types import Result
from sampan.ir import Endpoint, Endpoints, Proxy
from sampan.xds.build import Builder
from sampan.xds.simulate import Request
from sampan.xds.types import Snapshot

MADE_UP = int(os.environ.get("SAMPAN_MADE_UP", "25"))
SEED = os.environ.get("SAMPAN_SEED", "1")


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EnvoyLab]:
    lab = EnvoyLab(Path(tmp_path_factory.mktemp("envoy")))
    try:
        yield lab
    finally:
        lab.close()


@pytest.mark.parametrize("case", golden.cases("ingress"), ids=str)
def test_ingress(lab: EnvoyLab, case: Case) -> None:
    ports = {"http": ingresscases.HTTP, "https": ingresscases.HTTPS}
    snapshot = built(ingress.translate(ingresscases.resources(case)))
    agree(lab, snapshot, [asked(one, ports[urlsplit(one.url).scheme]) for one in case.requests])


@pytest.mark.parametrize("case", golden.cases("gatewayapi"), ids=str)
def test_gatewayapi(lab: EnvoyLab, case: Case) -> None:
    resources = gatewaycases.resources(case)
    snapshot = built(gatewayapi.translate(resources))

    def inner(one: golden.Request) -> int:
        parts = urlsplit(one.url)
        wanted = parts.port or (443 if parts.scheme == "https" else 80)
        return next(port for (_, number), port in resources.ports.items() if number == wanted)

    agree(lab, snapshot, [asked(one, inner(one)) for one in case.requests])


@pytest.mark.parametrize("case", golden.cases("xds"), ids=str)
def test_representation(lab: EnvoyLab, case: Case) -> None:
    agree(lab, xdscases.built(case), [asked(one, urlsplit(one.url).port or 80) for one in case.requests])


def built(result: Result) -> Snapshot:
    members = {name: Endpoints(name, (Endpoint(ip, UPSTREAM_PORT),)) for name, ip in addresses(result).items()}
    return Builder().build(Proxy(result.listeners, result.tables, result.clusters, members, result.secrets))


def asked(one: golden.Request, port: int) -> Request:
    parts = urlsplit(one.url)
    headers = {name.lower(): value for name, value in one.headers.items()}
    sni = headers.pop("sni", None)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    host = headers.pop("host", parts.netloc)
    more = tuple(headers.items())
    return Request(one.method, host, target, port, parts.scheme == "https", sni, headers=more, body=len(one.body))


def agree(lab: EnvoyLab, snapshot: Snapshot, requests: list[Request]) -> None:
    lab.push(Builder().build(Proxy()))  # what another case had on the same ports
    assert lab.push(snapshot) == {}
    lab.wait_until_ready()
    requests += questions(snapshot, random.Random(SEED), MADE_UP)
    bad = {request: found for request in requests if (found := disagreements(lab, snapshot, request))}
    assert not bad, (
        "\n".join(f"{request}: {found}" for request, found in bad.items())
        + f"\nSAMPAN_SEED={SEED} SAMPAN_MADE_UP={MADE_UP}"
    )
