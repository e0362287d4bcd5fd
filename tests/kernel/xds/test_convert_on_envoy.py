"""What `sampan convert` makes of an Ingress behaves as the Ingress does: both are asked the same of one real Envoy."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import gatewaycases
import golden
import ingresscases
import pytest
from envoylab import Answer, EnvoyLab
from gatewaylab import addresses, push, wrong
from golden import Case, Request

from sampan.gateway import gatewayapi, ingress
from sampan.gateway.convert import convert
from sampan.gateway.convert.legacy import current
from sampan.gateway.convert.notes import Notes
from sampan.gateway.types import Resources, Result

CASES = [case for case in golden.cases("convert") if case.requests]


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EnvoyLab]:
    lab = EnvoyLab(Path(tmp_path_factory.mktemp("envoy")))
    try:
        yield lab
    finally:
        lab.close()


@pytest.mark.parametrize("case", CASES, ids=str)
def test_both_sides_do_what_the_case_says(lab: EnvoyLab, case: Case) -> None:
    written = ingresscases.full(case.input)
    now = [_current(obj) if obj["kind"] == "Ingress" else obj for obj in written]
    old = ingresscases.made(now)
    assert faults(lab, case, old, push(lab, ingress.translate(old))) == {}
    others = [obj for obj in written if obj["kind"] != "Ingress"]
    new = gatewaycases.made([*others, *convert(written).manifests])
    assert faults(lab, case, new, push(lab, gatewayapi.translate(new))) == {}


def _current(obj: dict) -> dict:
    made = current(obj, Notes())
    made["spec"].setdefault("ingressClassName", "nginx")
    return made


def faults(lab: EnvoyLab, case: Case, resources: Resources, result: Result) -> dict[str, object]:
    bad: dict[str, object] = {}
    for request in case.requests:
        answer = ask(lab, resources, request)
        expect = dict(request.expect)
        backend = expect.pop("backend", None)
        found: dict[str, object] = wrong(Request(request.url, expect=expect), answer, result)
        if backend and answer.status == 200 and answer.seen["ip"] != addresses(result)[backend]:
            found["backend"] = answer.seen["ip"]
        if found:
            bad[str(request)] = (found, answer)
    return bad


def ask(lab: EnvoyLab, resources: Resources, request: Request) -> Answer:
    parts = urlsplit(request.url)
    wanted = 443 if parts.scheme == "https" else 80
    (inner,) = (port for (_, number), port in resources.ports.items() if number == wanted)
    url = parts._replace(netloc=f"{parts.hostname}:{inner}").geturl()
    return lab.request(url, request.method, {"host": parts.netloc, **request.headers})
