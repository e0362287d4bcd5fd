"""Every golden case of Gateway API is pushed to one real Envoy, and its requests are made."""

from __future__ import annotations

import gatewaycases
import golden
import pytest
from envoylab import EnvoyLab, faults
from gatewaylab import ask, configure, wrong
from golden import Case

CASES = golden.cases("gatewayapi")


@pytest.mark.parametrize("case", CASES, ids=str)
def test_envoy_does_what_the_case_says(lab: EnvoyLab, case: Case) -> None:
    resources = gatewaycases.resources(case)
    result = configure(lab, resources)
    found = faults(
        case,
        lambda request: ask(lab, resources, request),
        lambda request, answer: wrong(request, answer, result),
    )
    assert found == {}
