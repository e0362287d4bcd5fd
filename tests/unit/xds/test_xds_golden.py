"""The representation → Envoy's messages, case by case; what holds for all of them."""

from __future__ import annotations

import golden
import pytest
import xdscases
from golden import Case

from sampan.xds import types
from sampan.xds.types import TYPES, Snapshot

CASES = golden.cases("xds")


@pytest.mark.parametrize("case", CASES, ids=str)
def test_golden(case: Case) -> None:
    case.check(xdscases.readable(xdscases.built(case)))


@pytest.mark.parametrize("case", CASES, ids=str)
def test_building_again_gives_the_same_bytes(case: Case) -> None:
    assert xdscases.built(case) == xdscases.built(case)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_names_and_versions(case: Case) -> None:
    snapshot = xdscases.built(case)
    for url in TYPES:
        for name, resource in snapshot.of(url).items():
            assert resource.name == name
            assert len(resource.version) == 16


@pytest.mark.parametrize("case", CASES, ids=str)
def test_references_resolve(case: Case) -> None:
    """Endpoints, secrets and routes that something waits for are there: Envoy would hold the change up for 15 s."""
    snapshot = xdscases.built(case)
    shown = xdscases.readable(snapshot)
    for name in _under(shown, "route_config_name"):
        assert name in snapshot.of(types.ROUTES)
    for name in _under(shown, "service_name"):
        assert name in snapshot.of(types.ENDPOINTS)
    for entry in _under(shown, "tls_certificate_sds_secret_configs"):
        for secret in entry:
            assert secret["name"] in snapshot.of(types.SECRET)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_filters_of_routes_are_in_the_listener(case: Case) -> None:
    shown = xdscases.readable(xdscases.built(case))
    used = {name for entry in _under(shown, "typed_per_filter_config") for name in entry}
    there = {one["name"] for entry in _under(shown, "http_filters") for one in entry}
    assert used <= there


def _under(value: object, key: str) -> list[object]:
    """Everything that stands at `key`, however deep."""
    found: list[object] = []
    if isinstance(value, dict):
        found += [value[key]] if key in value else []
        for one in value.values():
            found += _under(one, key)
    elif isinstance(value, list):
        for one in value:
            found += _under(one, key)
    return found


def test_there_are_cases() -> None:
    assert len(CASES) > 5
    assert isinstance(xdscases.built(CASES[0]), Snapshot)
