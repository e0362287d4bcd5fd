"""What the pages of the xDS server show: states, tables, no secrets, the way of a request."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import golden
import pytest
import xdscases

from sampan import ir
from sampan.api.status import ApiError
from sampan.base.clock import SystemClock
from sampan.xds.build import Builder
from sampan.xds.hub import Hub
from sampan.xds.pages import PAGES, View

KIND = "sampan-system/gateway"
CASES = golden.cases("xds")


def hub_of(snapshot: Any) -> Hub:
    hub = Hub(SystemClock())
    hub.publish(KIND, snapshot)
    return hub


def page(hub: Hub, name: str, **query: str | list[str]) -> Any:
    """As the server gives it: through JSON."""
    given = {key: value if isinstance(value, list) else [value] for key, value in query.items()}
    return json.loads(json.dumps(PAGES[name](View.of(hub), given)))


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("kind", ["listeners", "routes", "clusters", "endpoints", "secrets"])
def test_every_type_has_a_table_and_everything(case: golden.Case, kind: str) -> None:
    hub = hub_of(xdscases.built(case))
    table = page(hub, "config", type=kind, **{"as": "table"})
    assert all(len(row) == len(table["columns"]) for row in table["rows"])
    everything = page(hub, "config", type=kind)
    assert {one["name"] for one in everything["resources"]} == everything["versions"].keys() == table["versions"].keys()
    assert {line for line in _texts(everything) if "PRIVATE KEY" in line} == set()


def test_neither_keys_nor_passwords_are_shown() -> None:
    chain, key = golden.pair(("shop.test",))
    basic = ir.BasicAuth((("ann", "{PLAIN}hidden-word"),))
    route = ir.Route("r", ir.Match(), ir.Respond(200), ir.Policies(basic_auth=basic))
    proxy = ir.Proxy(
        tables={"t": ir.RouteTable("t", (ir.VirtualHost("all", ("*",), (route,)),))},
        secrets={"shop": ir.Secret("shop", chain, key), "ca": ir.Secret("ca", roots=chain)},
    )
    hub = hub_of(Builder().build(proxy))
    (routes,) = page(hub, "config", type="routes")["resources"]
    assert '"ann": "(not shown)"' in json.dumps(routes)
    assert "hidden-word" not in json.dumps(routes)
    secrets = {one["name"]: one["config"] for one in page(hub, "config", type="secrets")["resources"]}
    (shop,) = secrets["shop"]["certificates"]
    assert (secrets["shop"]["kind"], shop["subject"], shop["names"]) == ("certificate", "CN=shop.test", ["shop.test"])
    assert secrets["ca"]["kind"] == "roots"
    assert key.decode().splitlines()[1] not in json.dumps(secrets)


def test_the_way_of_a_request() -> None:
    route = ir.Route("r", ir.Match(headers=(ir.ValueMatch("x-user", "7"),)), ir.Redirect(scheme="https"))
    listener = ir.Listener("http", 80, (ir.SniChain("all", ir.Http("t")),))
    table = ir.RouteTable("t", (ir.VirtualHost("all", ("*",), (route,)),))
    hub = hub_of(Builder().build(ir.Proxy({"http": listener}, {"t": table})))
    found = page(hub, "route", host="shop.test", path="/a?b", header=["X-User: 7"])
    assert [(end["status"], end["location"]) for end in found["ends"]] == [(302, "https://shop.test/a?b")]
    assert not found["refused"]
    assert page(hub, "route", host="shop.test")["refused"]


@pytest.mark.parametrize(
    ("name", "query", "message"),
    [
        ("config", {"type": "filters"}, "type is one of listeners, routes, clusters, endpoints, secrets"),
        ("config", {"type": "routes", "kind": "other"}, f"no kind of proxy is called other: kind is one of {KIND}"),
        ("route", {"port": "http"}, "port: http is not a number"),
        ("route", {"path": "a"}, "path: a does not begin with /"),
        ("route", {"header": "x"}, "header: x is not NAME: VALUE"),
        ("route", {"client": "me"}, "client: me is not an address"),
    ],
)
def test_questions_that_make_no_sense(name: str, query: dict[str, str], message: str) -> None:
    with pytest.raises(ApiError) as error:
        page(hub_of(Builder().build(ir.Proxy(secrets={"s": ir.Secret("s")}))), name, **query)
    assert (error.value.code, error.value.message) == (400, message)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    else:
        for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
            yield from _texts(inner)
