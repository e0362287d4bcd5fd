"""Every golden case of Gateway API is pushed to one real Envoy, and its requests are made."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import gatewaycases
import golden
import pytest
from envoylab import EnvoyLab
from gatewaylab import ask, configure, wrong
from golden import Case

CASES = golden.cases("gatewayapi")


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EnvoyLab]:
    lab = EnvoyLab(Path(tmp_path_factory.mktemp("envoy")))
    try:
        yield lab
    finally:
        lab.close()


@pytest.mark.parametrize("case", CASES, ids=str)
def test_envoy_does_what_the_case_says(lab: EnvoyLab, case: Case) -> None:
    resources = gatewaycases.resources(case)
    result = configure(lab, resources)
    for request in case.requests:
        answer = ask(lab, resources, request)
        assert wrong(request, answer, result) == {}, f"{request}: {answer}"
