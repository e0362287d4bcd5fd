"""Goal: one bad object never harms the rest. Method: objects that the API takes and nobody would write, made up from a
seed, go with one in order to the real Envoy: it refuses nothing, waits for nothing, and the one in order is served.
"""

from __future__ import annotations

import os
import random
import time

import gatewaycases
import ingresscases
import nastygateway
import nastyingress
import pytest
from envoylab import UPSTREAM_PORT, EnvoyLab

from sampan.api.meta import Obj
from sampan.gateway import gatewayapi, ingress
from sampan.gateway.types import Resources, Result
from sampan.ir import Endpoint, Endpoints, Proxy
from sampan.xds.build import Builder

SEED = int(os.environ.get("SAMPAN_SEED", "1"))
ROUNDS = int(os.environ.get("SAMPAN_ROUNDS", "3"))
MADE_UP = int(os.environ.get("SAMPAN_MADE_UP", "100"))
OLD = "2020-01-01T00:00:00Z"  # it goes before all others
GOOD_INGRESS = {
    "kind": "Ingress",
    "name": "good",
    "rules": ["good.test / Prefix good:80"],
    "annotations": {"ssl-redirect": "false"},
}
GOOD_ROUTE = {
    "kind": "HTTPRoute",
    "name": "good",
    "created": OLD,
    "to": ["main"],
    "hostnames": ["good.test"],
    "rules": [{"backendRefs": [{"name": "good", "port": 80}]}],
}


def ingresses(odd: list[Obj], around: list[Obj]) -> Resources:
    good = ingresscases.full([{"kind": "Service", "name": "good"}, GOOD_INGRESS])
    good[1]["metadata"]["creationTimestamp"] = OLD
    return ingresscases.made([*good, *around, *odd])


@pytest.mark.parametrize("seed", range(SEED, SEED + ROUNDS))
def test_ingresses(lab: EnvoyLab, seed: int) -> None:
    chance = random.Random(seed)
    around = nastyingress.surroundings(chance)
    resources = ingresses(nastyingress.ingresses(chance, MADE_UP), around)
    served(lab, ingress.translate(resources), ingresscases.HTTP, ingresscases.HTTPS)


def test_ingresses_with_every_odd_certificate(lab: EnvoyLab) -> None:
    around = nastyingress.surroundings(random.Random(SEED))
    shown = [one["metadata"]["name"] for one in around if one["metadata"]["name"].startswith("pair-")]
    roots = nastyingress.every_roots()
    odd = [
        *({"name": name, "tls": {name: [f"{name}.example"]}} for name in shown),
        *(
            {"name": one["metadata"]["name"], "annotations": {"auth-tls-secret": one["metadata"]["name"]}}
            for one in roots
        ),
    ]
    entries = [{"kind": "Ingress", "rules": [f"{one['name']}.example / Prefix web:80"]} | one for one in odd]
    result = ingress.translate(ingresses(ingresscases.full(entries), [*around, *roots]))
    assert len(result.secrets) > 60
    served(lab, result, ingresscases.HTTP, ingresscases.HTTPS)


@pytest.mark.parametrize("seed", range(SEED, SEED + ROUNDS))
def test_gateways_and_routes(lab: EnvoyLab, seed: int) -> None:
    chance = random.Random(seed)
    around = [*nastyingress.surroundings(chance), *nastygateway.surroundings()]
    odd = nastygateway.objects(chance, MADE_UP // 2)
    resources = gatewaycases.made(
        [{"kind": "Service", "name": "good"}, GOOD_ROUTE, *around, *odd],
        checked=False,  # they are, each by itself
    )
    main = {port: inner for (gateway, port), inner in resources.ports.items() if gateway.name == "main"}
    served(lab, gatewayapi.translate(resources), main[80], main[443])


def served(lab: EnvoyLab, result: Result, http: int, https: int) -> None:
    told = [notice for notice in result.notices if notice.reason == "InternalError"]
    assert not told
    assert "a fault of the gateway's" not in str(result.statuses)
    names = {cluster.endpoints for cluster in result.clusters.values() if cluster.endpoints}
    members = {name: Endpoints(name, (Endpoint("127.0.0.1", UPSTREAM_PORT),)) for name in names}
    lab.push(Builder().build(Proxy()))  # what another case had on the same ports
    proxy = Proxy(result.listeners, result.tables, result.clusters, {**members, **result.endpoints}, result.secrets)
    assert lab.push(Builder().build(proxy)) == {}
    lab.wait_until_ready()
    end = time.monotonic() + 5
    while waiting := [line for line in lab.admin("/stats?filter=warming").splitlines() if not line.endswith(": 0")]:
        assert time.monotonic() < end, waiting
        time.sleep(0.02)
    for url in (f"http://good.test:{http}/", f"https://good.test:{https}/"):
        answer = lab.request(url)
        assert answer.status == 200, (url, answer)
        assert answer.seen["host"].startswith("good.test")
