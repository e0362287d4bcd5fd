"""`sampan route`, `proxy-status`, `proxy-config`: what is asked and what is shown."""

from __future__ import annotations

from typing import Any

import pytest

from sampan.base.errors import UserError
from sampan.cli import proxy_status, route
from sampan.cli.doors import Door, doors, leading
from sampan.cli.envoy_admin import Part
from sampan.cli.proxy_config import Type, differences


def service(namespace: str, name: str, ports: dict[int, int], ip: str = "", gateway: str = "", host: str = "") -> Any:
    return {
        "metadata": {
            "namespace": namespace,
            "name": name,
            "labels": {"gateway.networking.k8s.io/gateway-name": gateway} if gateway else {},
            "annotations": {"sampan.io/host-ports": host} if host else {},
        },
        "spec": {"ports": [{"port": port, "targetPort": inner} for port, inner in ports.items()]},
        "status": {"loadBalancer": {"ingress": [{"ip": ip}]} if ip else {}},
    }


SERVICES = [
    service("default", "web", {80: 8080}),
    service("default", "gateway-own", {80: 20000, 8443: 20001}, "172.30.0.130", gateway="own"),
    service("sampan-system", "gateway", {80: 80, 443: 443}, "172.30.0.129", host="8080:80,443:443"),
]


@pytest.mark.parametrize(
    ("host", "port", "gateway", "inner"),
    [
        ("shop.test", 80, "", [80, 20000]),
        ("172.30.0.129", 80, "", [80]),
        ("172.30.0.130", 80, "", [20000]),
        ("shop.test", 80, "own", [20000]),
        ("shop.test", 8443, "default/own", [20001]),
        ("localhost", 8080, "", [80]),
        ("127.0.0.1", 8080, "", [80]),
        ("shop.test", 443, "", [443]),
    ],
)
def test_which_port_of_the_proxy_a_url_means(host: str, port: int, gateway: str, inner: list[int]) -> None:
    assert [door.inner for door in leading(doors(SERVICES), host, port, gateway)] == inner


@pytest.mark.parametrize(
    ("found", "port", "gateway", "message"),
    [
        ([], 80, "", "there is no gateway yet"),
        (SERVICES, 81, "", "nothing of the gateway has port 81"),
        (SERVICES, 80, "other", "Gateway other has no listeners here"),
    ],
)
def test_urls_that_lead_nowhere(found: list[Any], port: int, gateway: str, message: str) -> None:
    with pytest.raises(UserError, match=message) as error:
        leading(doors(found), "shop.test", port, gateway)
    assert error.value.hint


@pytest.mark.parametrize("url", ["ftp://a/", "http://", "http://a:99999/", "http://a:x/", "http://[::1/"])
def test_what_is_no_url(url: str) -> None:
    with pytest.raises(UserError, match="is not a URL"):
        route._parsed(url)


def test_a_host_header_goes_before_the_urls_host() -> None:
    query = route._query("get", route._parsed("172.30.0.129/a?b=c"), ["Host: shop.test", "X-A: 1"])
    assert query == {
        "method": "GET",
        "host": "shop.test",
        "sni": "172.30.0.129",
        "path": "/a?b=c",
        "tls": "",
        "header": ["X-A: 1"],
    }


def test_the_way_is_shown_with_each_object_once() -> None:
    web = {"resource": "ingresses.networking.k8s.io", "namespace": "default", "name": "web"}
    path = web | {"field": "spec.rules[0]"}
    steps = [
        {"stage": "route", "ok": True, "text": "prefix /", "origin": path},
        {"stage": "cluster", "ok": True, "text": "one", "origin": path},
    ]
    walk = {
        "gateway": Door("", "172.30.0.129", 80, 80).shown(),
        "steps": [{"stage": "host", "ok": True, "text": "shop.test", "origin": web}],
        "ends": [
            {"share": 0.75, "status": 0, "steps": steps, "asks": ["auth"]},
            {"share": 0.25, "status": 503, "steps": []},
        ],
        "others": ["Gateway default/own, 172.30.0.130 port 80 → 20000"],
    }
    assert list(route.shown(walk)) == [
        "✔ gateway   Ingresses, 172.30.0.129 port 80",
        "✔ host      shop.test",
        "            by ingresses default/web",
        "— 75% of such requests:",
        "✔ route     prefix /",
        "            by ingresses default/web spec.rules[0]",
        "✔ cluster   one",
        "✔ answer    the upstream's (unless auth says otherwise)",
        "— 25% of such requests:",
        "× answer    503 by the gateway",
        "            (Gateway default/own, 172.30.0.130 port 80 → 20000 would take it too: --gateway)",
    ]


def test_states_and_below_them_what_was_refused() -> None:
    types = {name: {"state": "SYNCED", "sent": 3, "acked": 3} for name in proxy_status.COLUMNS}
    types["LDS"] = {"state": "NACK", "sent": 3, "acked": 2, "message": "Error adding listener\nport 80"}
    proxy = {"name": "gateway-1", "kind": "sampan-system/gateway", "since": "2026-01-01T00:00:00Z", "types": types}
    assert list(proxy_status.shown([proxy])) == [
        "NAME        CDS      LDS    EDS      RDS      SDS      KIND                    SINCE",
        "gateway-1   SYNCED   NACK   SYNCED   SYNCED   SYNCED   sampan-system/gateway   2026-01-01T00:00:00Z",
        "",
        "gateway-1 refuses LDS:",
        "  Error adding listener",
        "  port 80",
    ]
    assert list(proxy_status.shown([])) == ["No proxies are connected."]


def test_what_differs_between_a_proxy_and_what_it_was_told() -> None:
    wanted = {"same": "1", "old": "2", "refused": "2", "waiting": "2", "not fetched": "1"}
    has = [
        Part("same", "1"),
        Part("old", "1"),
        Part("refused", "1", "no such filter"),
        Part("waiting", ""),
        Part("gone", "1"),
    ]
    assert dict(differences(Type.LISTENERS, wanted, has)) == {
        "old": "the proxy has 1, the control plane 2",
        "refused": "the proxy refuses the newest: no such filter",
        "waiting": "the proxy has nothing yet, the control plane 2",
        "gone": "the proxy has it still, the control plane no more",
    }
    assert "gone" not in dict(differences(Type.SECRETS, wanted, has))
