"""`sampan convert` as golden files: tests/golden/convert. What comes out is valid Gateway API."""

from pathlib import Path

import gatewaycases
import golden
import ingresscases
import pytest
import yaml

from sampan.api.meta import copy
from sampan.base.errors import UserError
from sampan.cli.convert import Target, convert
from sampan.gateway.convert import convert as converted

CASES = golden.cases("convert")


@pytest.mark.parametrize("case", CASES, ids=str)
def test_golden_convert(case: golden.Case) -> None:
    made = converted(ingresscases.full(case.input))
    for obj in made.manifests:
        strategy = gatewaycases.STRATEGIES[obj["apiVersion"], obj["kind"]]
        full = copy(obj)
        full["metadata"] |= {"creationTimestamp": "2026-01-01T00:00:00Z", "generation": 1}
        strategy.default(full)
        full.pop("status", None)
        assert [str(fault) for fault in strategy.validate(full)] == []
    names = [(obj["kind"], obj["metadata"]["name"]) for obj in made.manifests]
    assert len(names) == len(set(names))
    case.check({"manifests": list(made.manifests), "notes": [str(note) for note in made.notes]})


def test_the_command_reads_files_and_writes_yaml(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "in.yaml"
    rule = {"http": {"paths": [{"path": "/a/*", "backend": {"serviceName": "web", "servicePort": 80}}]}}
    ingress = {"apiVersion": "extensions/v1beta1", "kind": "Ingress", "metadata": {"name": "old"}}
    file.write_text(yaml.safe_dump_all([ingress | {"spec": {"rules": [rule]}}, None]))
    convert([str(file)], Target.GATEWAY_API, "mine")
    out, err = capsys.readouterr()
    gateway, route = yaml.safe_load_all(out)
    assert gateway["spec"]["gatewayClassName"] == "mine"
    assert route["spec"]["rules"][0]["matches"] == [{"path": {"type": "PathPrefix", "value": "/a"}}]
    assert err == "ingress default/old: path /a/*: a * means nothing in a Prefix; taken as Prefix /a\n"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("kind: Service\nmetadata: {name: x}", "there is no Ingress in"),
        ("{", "is no YAML"),
        ("- 1", "is no Kubernetes object"),
        (None, "cannot read"),
    ],
)
def test_files_that_are_no_use_are_named(tmp_path: Path, text: str | None, why: str) -> None:
    file = tmp_path / "in.yaml"
    if text is not None:
        file.write_text(text)
    with pytest.raises(UserError, match=why) as error:
        convert([str(file)])
    assert str(file) in str(error.value)
