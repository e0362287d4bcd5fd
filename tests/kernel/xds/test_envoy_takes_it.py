"""Every golden case of what is built is pushed to one real Envoy, and the requests of the case are made of it."""

from __future__ import annotations

import golden
import pytest
import xdscases
from envoylab import Answer, EnvoyLab, faults
from golden import Case, Request

CASES = golden.cases("xds")


@pytest.mark.parametrize("case", CASES, ids=str)
def test_nothing_is_refused(lab: EnvoyLab, case: Case) -> None:
    assert lab.push(xdscases.built(case)) == {}
    lab.wait_until_ready()
    ask = lambda one: lab.request(one.url, one.method, dict(one.headers), one.body.encode() or None)
    assert faults(case, ask, lambda request, answer: wrong(request, answer, case)) == {}


def wrong(request: Request, answer: Answer, case: Case) -> dict[str, object]:
    """What is not as it should be: what it is."""
    found = {key: ACTUAL[key](answer, case, wanted) for key, wanted in request.expect.items()}
    return {k: v for k, v in found.items() if v != request.expect[k] and not (k == "body" and request.expect[k] in v)}


def _cluster(answer: Answer, case: Case, wanted: object) -> str:
    """The cluster whose endpoint has the address that was asked."""
    for name, cluster in case.input["clusters"].items():
        members = case.input["endpoints"].get(cluster.get("endpoints"), {}).get("members", ())
        if any(member["ip"] == answer.seen["ip"] for member in members):
            return str(name)
    return "none"


ACTUAL = {
    "status": lambda answer, case, wanted: answer.status,
    "cluster": _cluster,
    "path": lambda answer, case, wanted: answer.seen["path"],
    "host": lambda answer, case, wanted: answer.seen["host"],
    "location": lambda answer, case, wanted: answer.headers.get("location"),
    "headers": lambda answer, case, wanted: {k: answer.headers.get(k) for k in wanted},
    "upstream_headers": lambda answer, case, wanted: {k: answer.seen["headers"].get(k) for k in wanted},
    "body": lambda answer, case, wanted: answer.body,
}
