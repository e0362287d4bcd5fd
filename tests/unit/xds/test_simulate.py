"""The simulator on small configurations; that it agrees with Envoy is shown in tests/kernel/xds."""

from __future__ import annotations

import pytest

from sampan import ir
from sampan.base.regex import NotRe2
from sampan.xds.build import Builder
from sampan.xds.simulate import Request, Stage, Walk, simulate
from sampan.xds.simulate.passwords import correct
from sampan.xds.simulate.paths import canonical
from sampan.xds.simulate.regex import replace_all, whole

ORIGIN = ir.Origin("ingresses.networking.k8s.io", "default", "web", "spec.rules[0].http.paths[0]")
ONE = ir.Forward((ir.Target("one"),))


def walk(*routes: ir.Route, request: Request, endpoints: tuple[ir.Endpoint, ...] = ()) -> Walk:
    proxy = ir.Proxy(
        {"http": ir.Listener("http", 10080, (ir.SniChain("all", ir.Http("t")),))},
        {"t": ir.RouteTable("t", (ir.VirtualHost("shop", ("shop.test",), routes),), ir.Respond(404, "nothing"))},
        {name: ir.Cluster(name, name, service=f"default/{name}") for name in ("one", "two")},
        {name: ir.Endpoints(name, endpoints) for name in ("one", "two")},
    )
    return simulate(Builder().build(proxy), request)


def asking(path: str = "/", host: str = "shop.test") -> Request:
    return Request(host=host, path=path, port=10080)


def test_every_step_names_its_object() -> None:
    found = walk(
        ir.Route("r", ir.Match(), ONE, origin=ORIGIN), request=asking(), endpoints=(ir.Endpoint("10.0.0.1", 80),)
    )
    (end,) = found.ends
    assert (end.status, end.cluster, end.members[0].address) == (0, "one", "10.0.0.1:80")
    assert {step.stage: step.origin for step in end.steps}[Stage.ROUTE] == ORIGIN
    host = next(step for step in found.steps if step.stage is Stage.HOST)
    assert str(host.origin) == "ingresses default/web"
    assert not found.refused


def test_nobody_behind_a_service_is_what_the_client_reads() -> None:
    found = walk(ir.Route("r", ir.Match(), ONE), request=asking())
    assert [(end.status, end.body) for end in found.ends] == [
        (503, "no endpoints: Service default/one has no ready endpoints\n")
    ]
    assert found.refused


def test_all_draining_members_serve_and_one_that_drains_beside_others_does_not() -> None:
    draining, other = ir.Endpoint("10.0.0.1", 80, draining=True), ir.Endpoint("10.0.0.2", 80)
    route = ir.Route("r", ir.Match(), ONE)
    assert walk(route, request=asking(), endpoints=(draining,)).ends[0].status == 0
    states = {
        one.address: one.state for one in walk(route, request=asking(), endpoints=(draining, other)).ends[0].members
    }
    assert states == {"10.0.0.1:80": "draining", "10.0.0.2:80": "healthy"}


def test_weights_are_ends_with_shares() -> None:
    forward = ir.Forward((ir.Target("one", 3), ir.Target("two", 1), ir.Target("never", 0)))
    found = walk(ir.Route("r", ir.Match(), forward), request=asking())
    assert [(end.cluster, end.share) for end in found.ends] == [("one", 0.75), ("two", 0.25)]


def test_a_route_that_takes_a_share_leaves_the_rest_to_the_next() -> None:
    some = ir.Route("some", ir.Match(share=0.2), ir.Respond(200))
    rest = ir.Route("rest", ir.Match(ir.PathMatch("/a")), ONE)
    found = walk(some, rest, request=asking("/a"))
    assert [(round(end.share, 6), end.status) for end in found.ends] == [(0.2, 200), (0.8, 503)]
    assert [round(end.share, 6) for end in walk(some, rest, request=asking("/b")).ends] == [0.2, 0.8]


def test_without_a_route_each_near_one_says_what_does_not_fit() -> None:
    routes = (
        ir.Route("a", ir.Match(ir.PathMatch("/a", ir.PathKind.SEGMENTS)), ONE),
        ir.Route("h", ir.Match(headers=(ir.ValueMatch("x-user", "7"),)), ONE),
    )
    (end,) = walk(*routes, request=asking("/ab")).ends
    assert (end.status, end.body) == (404, "nothing")
    assert end.steps[0].text.splitlines() == ["no route fits:", "a: path prefix /a", "h: header x-user exact 7"]


@pytest.mark.parametrize(
    ("request_", "stage"),
    [
        (Request(host="shop.test", port=1), Stage.LISTENER),
        (Request(host="shop.test", port=10080, tls=True), Stage.CHAIN),
        (asking(host="other.test"), Stage.HOST),
        (asking("/#top"), Stage.REQUEST),
        (asking(host=""), Stage.REQUEST),
    ],
)
def test_where_it_ends(request_: Request, stage: Stage) -> None:
    found = walk(ir.Route("r", ir.Match(), ONE), request=request_)
    assert found.refused
    assert (found.steps[-1].stage, found.steps[-1].ok) == (stage, False)


def test_a_snapshot_without_anything() -> None:
    found = simulate(Builder().build(ir.Proxy()), asking())
    assert found.steps[0].text == "nothing listens on port 10080 of the proxy: it has no listeners"


@pytest.mark.parametrize(
    ("path", "simple"),
    [
        ("/a/../b", "/b"),
        ("/../..", "/"),
        ("/a/.", "/a/"),
        ("/a/%2e%2E/b", "/b"),
        ("/a/..;p=1/b", "/b"),
        ("/a\\..\\b", "/b"),
        ("/%41%7e%2f%20", "/A~%2f%20"),
        ("/a|b", "/a%7Cb"),
        ("/%2%41", "/%252A"),
        ("/a//b", "/a//b"),
    ],
)
def test_paths(path: str, simple: str) -> None:
    assert canonical(path) == simple


@pytest.mark.parametrize(
    ("pattern", "substitution", "text", "result"),
    [
        (r"^/api(/|$)(.*)", r"/\2", "/api/v1/x", "/v1/x"),
        (r"(?i)^/API/*", "/", "/api//x", "/x"),
        ("^.*$", r"/\\", "/a", "/\\"),
        ("b*", "-", "abc", "-a-c-"),  # an empty match right behind another is none
        (r"(?<name>[[:digit:]]+)\z", r"<\1>", "/a/17", "/a/<17>"),
        (r"\Q.\E", "!", "a.b", "a!b"),
        ("(a)|(b)", r"\2", "ab", "b"),
    ],
)
def test_replacements_are_re2s(pattern: str, substitution: str, text: str, result: str) -> None:
    assert replace_all(pattern, substitution, text) == result


def test_patterns_match_the_whole_text_and_are_re2s() -> None:
    assert whole("/a|/b", "/b")
    assert not whole("/a|/b", "/bc")
    with pytest.raises(NotRe2):
        whole("(?=a)", "a")


@pytest.mark.parametrize(
    ("stored", "right"),
    [
        ("{PLAIN}secret", True),
        ("{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=", True),
        ("{SSHA}W/amtLGQGGV6wPdgJDP2Cs5C1gBzYWx0", False),
        ("$apr1$salt$VEpBc9VHGUKwI9.yg13Iu0", True),
        ("$apr1$salt$VEpBc9VHGUKwI9.yg13Iu1", False),
        ("$1$salt$gLUXpNzVG8ODWIXEb2.lM/", False),
        ("{SHA}!", False),
        ("", False),
    ],
)
def test_passwords(stored: str, right: bool) -> None:
    assert correct(stored, "secret") is right
