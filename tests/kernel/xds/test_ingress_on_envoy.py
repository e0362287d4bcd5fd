"""Every golden case of Ingresses is pushed to one real Envoy, and its requests are made."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import golden
import ingresscases
import pytest
from envoylab import Answer, EnvoyLab
from gatewaylab import push, wrong
from golden import Case, Request

from sampan.gateway.ingress import translate

CASES = golden.cases("ingress")


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EnvoyLab]:
    lab = EnvoyLab(Path(tmp_path_factory.mktemp("envoy")))
    try:
        yield lab
    finally:
        lab.close()


@pytest.mark.parametrize("case", CASES, ids=str)
def test_envoy_does_what_the_case_says(lab: EnvoyLab, case: Case) -> None:
    result = push(lab, translate(ingresscases.resources(case)))
    bad = {}
    for request in case.requests:
        answer = ask(lab, request)
        if faults := wrong(request, answer, result):
            bad[str(request)] = (faults, answer)
    assert bad == {}


def ask(lab: EnvoyLab, request: Request) -> Answer:
    """The scheme says which listener; a port in the URL is the client's affair."""
    parts = urlsplit(request.url)
    port = ingresscases.HTTPS if parts.scheme == "https" else ingresscases.HTTP
    url = parts._replace(netloc=f"{parts.hostname}:{port}").geturl()
    headers = {"host": parts.netloc, **request.headers}
    return lab.request(url, request.method, headers, request.body.encode() or None)
