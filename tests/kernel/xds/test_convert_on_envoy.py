"""What `sampan convert` makes of an Ingress behaves as the Ingress does: both are asked the same of one real Envoy."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import gatewaycases
import golden
import ingresscases
import pytest
from envoylab import Answer, EnvoyLab, faults
from gatewaylab import addresses, ask, push, wrong
from golden import Case, Request

from sampan.gateway import gatewayapi, ingress
from sampan.gateway.convert import convert
from sampan.gateway.convert.legacy import current
from sampan.gateway.convert.notes import Notes
from sampan.gateway.types import Resources, Result

CASES = [case for case in golden.cases("convert") if case.requests]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_both_sides_do_what_the_case_says(lab: EnvoyLab, case: Case) -> None:
    written = ingresscases.full(case.input)
    now = [_current(obj) if obj["kind"] == "Ingress" else obj for obj in written]
    old = ingresscases.made(now)
    assert unlike(lab, case, old, push(lab, ingress.translate(old))) == {}
    others = [obj for obj in written if obj["kind"] != "Ingress"]
    new = gatewaycases.made([*others, *convert(written).manifests])
    assert unlike(lab, case, new, push(lab, gatewayapi.translate(new))) == {}


def _current(obj: dict) -> dict:
    made = current(obj, Notes())
    made["spec"].setdefault("ingressClassName", "nginx")
    return made


def unlike(lab: EnvoyLab, case: Case, resources: Resources, result: Result) -> dict[str, object]:
    """`backend` in a case: who shall answer, whatever the clusters are called on either side."""

    def not_as_wanted(request: Request, answer: Answer) -> dict[str, Any]:
        expect = dict(request.expect)
        backend = expect.pop("backend", None)
        found = wrong(replace(request, expect=expect), answer, result)
        if backend and answer.status == 200 and answer.seen["ip"] != addresses(result)[backend]:
            found["backend"] = answer.seen["ip"]
        return found

    return dict(faults(case, lambda request: ask(lab, resources, request), not_as_wanted))
