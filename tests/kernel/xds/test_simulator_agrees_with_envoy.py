"""Goal: what `sampan route` says is what Envoy does. Method: every golden case is given to both, with its own requests
and with ones made up of the hosts, paths, headers and names in its routes; all that can be seen is compared.
"""

from __future__ import annotations

import base64
import os
import random
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

from sampan import ir
from sampan.gateway import gatewayapi, ingress
from sampan.gateway.types import Result
from sampan.ir import Endpoint, Endpoints, Proxy
from sampan.xds.build import Builder
from sampan.xds.simulate import Request
from sampan.xds.types import Snapshot

MADE_UP = int(os.environ.get("SAMPAN_MADE_UP", "25"))
SEED = os.environ.get("SAMPAN_SEED", "1")


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


def test_refusals(lab: EnvoyLab) -> None:
    """Every answer that the proxy gives by itself, with headers that the route changes in answers."""
    allowed = ir.Cors(origins=(ir.ValueMatch("origin", "https://a"),), methods=("*",), expose=("x-b",))
    basic = ir.BasicAuth((("a", "{PLAIN}b"), ("m", "$apr1$salt$VEpBc9VHGUKwI9.yg13Iu0")), 'a "realm"')
    none = ir.Respond(403, "no")
    routes = (
        refusing("/cors", policies=ir.Policies(cors=allowed)),
        refusing("/deny", policies=ir.Policies(ip_access=ir.IpAccess(deny=("127.0.0.0/8",)))),
        refusing("/allow", policies=ir.Policies(ip_access=ir.IpAccess(allow=("10.0.0.0/8",)), basic_auth=basic)),
        refusing(
            "/either",
            policies=ir.Policies(ip_access=ir.IpAccess(allow=("10.0.0.0/8",)), basic_auth=basic, any_auth=True),
        ),
        refusing("/body", policies=ir.Policies(max_body=2)),
        refusing("/basic", policies=ir.Policies(basic_auth=basic)),
        refusing("/none", cluster="empty"),
        refusing("/nobody", cluster=""),
        refusing("/no-upgrade", action=ir.Forward((ir.Target("one"),), upgrades=())),
        refusing("/redirect", action=ir.Redirect(code=307, scheme="https", port=8443)),
        refusing("/respond", action=none),
    )
    one = ir.Endpoints("one", (Endpoint("127.1.0.1", UPSTREAM_PORT),))
    proxy = Proxy(
        listeners={"http": ir.Listener("http", 10080, (ir.SniChain("all", ir.Http("t")),))},
        tables={"t": ir.RouteTable("t", (ir.VirtualHost("all", ("x.test",), routes),), ir.Respond(404, "nothing\n"))},
        clusters={"one": ir.Cluster("one", "one"), "empty": ir.Cluster("empty", "empty", service="default/empty")},
        endpoints={"one": one},
    )
    preflight = (("origin", "https://a"), ("access-control-request-method", "PUT"))
    sent = [
        *((route.name, "GET", (), 0) for route in routes),
        ("/cors", "OPTIONS", preflight, 0),
        ("/cors", "OPTIONS", (("origin", "https://evil"), *preflight[1:]), 0),
        ("/cors", "GET", preflight[:1], 0),
        ("/body", "POST", (), 3),
        ("/body", "POST", (), 2),
        *(
            (path, "GET", (("authorization", password(*who)),), 0)
            for path in ("/basic", "/either")
            for who in PASSWORDS
        ),
        ("/basic", "GET", (("authorization", "Bearer x"),), 0),
        ("/nowhere", "GET", (), 0),
        *((path, "GET", UPGRADE, 0) for path in ("/no-upgrade", "/respond", "/redirect", "/basic")),
        ("/cors", "GET", (("upgrade", "other"), UPGRADE[1]), 0),
        ("//deny", "GET", (("x-a", "0"), ("x_a", "1")), 0),
    ]
    agree(lab, Builder().build(proxy), [Request(m, "x.test", path, 10080, headers=h, body=b) for path, m, h, b in sent])


UPGRADE = (("upgrade", "websocket"), ("connection", "Upgrade"))
PASSWORDS = (("a", "b"), ("a", "c"), ("m", "secret"), ("m", "b"), ("nobody", "b"), ("", ""))


def password(name: str, word: str) -> str:
    return "Basic " + base64.b64encode(f"{name}:{word}".encode()).decode()


def refusing(
    path: str,
    *,
    cluster: str = "one",
    action: ir.Forward | ir.Redirect | ir.Respond | None = None,
    policies: ir.Policies = ir.Policies(),
) -> ir.Route:
    changes = ir.HeaderChanges(set=(("x-a", "1"), ("x-path", "%REQ(:path)%")), remove=("server",))
    match = ir.Match(ir.PathMatch(path))
    return ir.Route(path, match, action or ir.Forward((ir.Target(cluster),)), policies, response_headers=changes)


def built(result: Result) -> Snapshot:
    members = {name: Endpoints(name, (Endpoint(ip, UPSTREAM_PORT),)) for name, ip in addresses(result).items()}
    return Builder().build(Proxy(result.listeners, result.tables, result.clusters, members, result.secrets))


def asked(one: golden.Request, port: int) -> Request:
    parts = urlsplit(one.url)
    headers = {name.lower(): value for name, value in one.headers.items()}
    sni = headers.pop("sni", parts.hostname)
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
