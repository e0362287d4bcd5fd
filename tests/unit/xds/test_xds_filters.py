"""The pure parts of the filters: the table, templates, hashes, buckets."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import json_format

from sampan import ir
from sampan.xds import filters
from sampan.xds.filters import ORDER, of_listener, of_policies
from sampan.xds.filters.templates import template

EVERYTHING = ir.Policies(
    cors=ir.Cors(),
    basic_auth=ir.BasicAuth((("bob", "{PLAIN}x"),)),
    external_auth=ir.ExternalAuth("auth", "auth.local", "/"),
    ip_access=ir.IpAccess(allow=("10.0.0.0/8",)),
    rate_limits=(ir.RateLimit(1, 1, 1, exempt=("10.0.0.1",)),),
    session=ir.SessionCookie("route"),
    errors=ir.CustomErrors((503,), "errors"),
    max_body=1,
)


def test_the_table_and_its_reasons_name_the_same_filters() -> None:
    """The docstring gives the reason for each place, in this order."""
    text = (filters.__doc__ or "").partition("\n\n")[2].partition("\n\n")[0]
    reasons = [line.split()[0] for line in text.splitlines()]
    helpers = {"rate_limit_exempt", "auth_allowed"}
    assert [one.name for one in ORDER if one.name not in helpers] == reasons[:-1]
    assert reasons[-1] == "router"


def test_each_policy_is_some_filter_s() -> None:
    """A field that no filter reads would be a policy that nobody enforces."""
    for field in fields(ir.Policies):
        if field.name == "any_auth":
            continue
        alone = ir.Policies(**{field.name: getattr(EVERYTHING, field.name)})
        assert of_policies(alone), field.name
    assert of_policies(ir.Policies()) == {}


def test_a_listener_has_them_in_order_disabled_and_the_router_last() -> None:
    needed = frozenset(of_policies(EVERYTHING)) | {"body_limit/2", "ext_authz/open"}
    made = of_listener(needed, ("a.example.com",))
    names = [one.name for one in made]
    order = [one.name for one in ORDER]
    assert names[-1] == "envoy.filters.http.router"
    assert [order.index(name.partition("/")[0]) for name in names[:-1]] == sorted(
        order.index(name.partition("/")[0]) for name in names[:-1]
    )
    assert {one.name for one in made if not one.disabled} == {"misdirected", "envoy.filters.http.router"}
    assert {"body_limit/1", "body_limit/2", "misdirected"} <= set(names)


def test_no_filters_but_the_router_when_nobody_needs_one() -> None:
    assert [one.name for one in of_listener(frozenset())] == ["envoy.filters.http.router"]


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("", []),
        ("/auth", ["/auth"]),
        ("100%%", ["100%"]),
        ("%REQ(:path)%", [["REQ", ":path"]]),
        ("/a?rd=%ESCAPE(X-A?:PATH)%&b", ["/a?rd=", ["ESCAPE", "x-a", ":path"], "&b"]),
        ("%RESPONSE_CODE%", [["RESPONSE_CODE"]]),
        ("a %% b", ["a % b"]),
    ],
)
def test_templates(text: str, parts: list[Any]) -> None:
    assert template(text) == parts


@pytest.mark.parametrize("text", ["%NO_SUCH%", "%REQ()%", "%REQ%", "%RESPONSE_CODE(x)%"])
def test_unknown_commands(text: str) -> None:
    with pytest.raises(ValueError, match="unknown command"):
        template(text)


@pytest.mark.parametrize(
    ("text", "supported"),
    [
        ("$apr1$abcdefgh$h9FWgUz3n9YxylKLlR5SQ/", True),
        ("$1$abcdefgh$cHJi5PXp/ki/ktXzqlk6I1", True),
        ("{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=", True),
        ("{SSHA}gVK8WC9YyFT1gMsQHTGCgT3sSv5zYWx0", True),
        ("{PLAIN}secret", True),
        ("$2y$05$c4WoMPo3SXsafkva.HHa6uXQZWr7oboPiC2bT/r7q1BB8I2s0BRqC", False),
        ("$6$salt$hash", False),
        ("rl0aSQT1FPNHo", False),
        ("secret", False),
        ("", False),
        ("$apr1$abcdefgh$short", False),
    ],
)
def test_supported_hashes(text: str, supported: bool) -> None:
    assert ir.supported_hash(text) is supported


@pytest.mark.parametrize(
    ("requests", "period", "burst"), [(5, 1, 25), (1, 60, 1), (1000, 1, 5000), (100_000, 1, 1), (7, 3600, 7)]
)
def test_buckets_fill_at_the_rate_that_was_asked_for(requests: int, period: float, burst: int) -> None:
    limit = ir.RateLimit(requests, period, burst)
    made = json_format.MessageToDict(of_policies(ir.Policies(rate_limits=(limit,)))["rate_limit"])
    bucket = made["descriptors"][0]["tokenBucket"]
    seconds = float(bucket["fillInterval"].rstrip("s"))
    assert bucket["maxTokens"] == burst
    assert seconds >= 0.05
    assert bucket["tokensPerFill"] / seconds == pytest.approx(requests / period)


def test_any_auth_leaves_the_address_to_the_script() -> None:
    any_of = ir.Policies(ip_access=EVERYTHING.ip_access, basic_auth=EVERYTHING.basic_auth, any_auth=True)
    assert set(of_policies(any_of)) == {"auth_allowed", "auth"}


def test_any_auth_with_the_address_alone_is_the_address() -> None:
    assert set(of_policies(ir.Policies(ip_access=EVERYTHING.ip_access, any_auth=True))) == {"ip_access"}


def test_a_body_of_more_than_envoy_can_count_is_not_limited() -> None:
    assert of_policies(ir.Policies(max_body=1 << 33)) == {}


def test_scripts_are_in_the_package() -> None:
    folder = Path(filters.__file__).parent / "lua"
    assert {path.stem for path in folder.glob("*.lua")} == {
        "auth", "custom_errors", "digests", "error_page", "passwords", "templates",
    }  # fmt: skip
