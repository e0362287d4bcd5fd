"""What the schema takes and Envoy refuses, with everybody's routes, is said on the route."""

from __future__ import annotations

from typing import Any

import gatewaycases
import pytest

from sampan.gateway.gatewayapi import rules, translate
from sampan.gateway.types import Result

BACKENDS = [{"name": "web", "port": 80}]
FRONT = {"kind": "Gateway", "name": "front", "listeners": [{"name": "http", "port": 80, "protocol": "HTTP"}]}


def translated(rule: dict[str, Any]) -> Result:
    """Beside a route that is in order."""
    odd = {"kind": "HTTPRoute", "name": "odd", "to": ["front"], "rules": [{"backendRefs": BACKENDS} | rule]}
    good = {"kind": "HTTPRoute", "name": "good", "to": ["front"], "rules": [{"backendRefs": BACKENDS}]}
    return translate(gatewaycases.made([FRONT, {"kind": "Service", "name": "web"}, odd, good]))


def said(result: Result) -> str:
    """Of the odd one. The other one is served."""
    (host,) = result.tables["gateway/default/front/80"].hosts
    assert [route.name for route in host.routes] == ["httproute/default/good/0/0"]
    (parent,) = next(status["parents"] for ref, status in result.statuses.items() if ref.name == "odd")
    (accepted,) = (one for one in parent["conditions"] if one["type"] == "Accepted")
    assert accepted["status"] == "False"
    message: str = accepted["message"]
    return message


def changes(**spec: Any) -> dict[str, Any]:
    return {"filters": [{"type": "RequestHeaderModifier", "requestHeaderModifier": spec}]}


def rewrite(kind: str, value: str) -> dict[str, Any]:
    path = {"type": kind, kind[0].lower() + kind[1:]: value}
    return {"filters": [{"type": "URLRewrite", "urlRewrite": {"path": path}}]}


@pytest.mark.parametrize(
    ("rule", "why"),
    [
        (changes(set=[{"name": "Host", "value": "a"}]), "requestHeaderModifier.set: 'host' is not changed"),
        (changes(add=[{"name": "Content-Length", "value": "7"}]), "'content-length' says where a body ends"),
        (changes(remove=[":path"]), "remove: ':path' is no name of a header"),
        (changes(remove=[""]), "remove: '' is no name of a header"),
        (rewrite("ReplaceFullPath", "/\x00"), "replaceFullPath: '/\\x00' has control characters"),
        (rewrite("ReplacePrefixMatch", "/\n"), "replacePrefixMatch: '/\\n' has control characters"),
        ({"sessionPersistence": {"sessionName": "a;b"}}, "sessionName: 'a;b' is no name of a cookie"),
        ({"matches": [{"path": {"type": "RegularExpression", "value": r"/[^\x{100}]"}}]}, "RE2"),
    ],
)
def test_the_rule_is_left_out_and_says_why(rule: dict[str, Any], why: str) -> None:
    assert why in said(translated(rule))


def test_numbers_and_times_that_envoy_cannot_count_are_as_long_as_it_can() -> None:
    retry = {"attempts": 2**63 - 1, "backoff": "99999h99999h99999h99999h"}
    result = translated({"retry": retry})
    (cluster,) = (one for one in result.clusters.values() if one.retry and one.retry.backoff)
    assert cluster.retry is not None
    assert (cluster.retry.attempts, cluster.retry.backoff) == (2**32 - 1, 500_000_000)


def test_a_path_of_an_auth_service_holds_no_commands() -> None:
    auth = {"protocol": "HTTP", "backendRef": BACKENDS[0], "http": {"path": "/%CC%CC"}}
    result = translated({"filters": [{"type": "ExternalAuth", "externalAuth": auth}]})
    asked = [
        route.policies.external_auth
        for host in result.tables["gateway/default/front/80"].hosts
        for route in host.routes
    ]
    assert [one.path for one in asked if one] == ["/%%CC%%CC"]


def test_a_fault_of_ours_is_said_on_the_route_that_shows_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def faulty(rule: dict[str, Any], obj: Any, number: int) -> None:
        if "retry" in rule:
            raise ZeroDivisionError("nobody thought of it")

    monkeypatch.setattr(rules, "_session", faulty)
    assert "nobody thought of it" in said(translated({"retry": {"attempts": 1}}))
