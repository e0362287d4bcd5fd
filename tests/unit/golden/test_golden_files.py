"""Every golden file has a test that reads it, an input and an output; `make golden` deletes the orphans."""

import re
from pathlib import Path

import golden
import yaml

TESTS = Path(__file__).resolve().parents[2]


def claimed() -> set[str]:
    """The folders that some test asks for."""
    sources = [path.read_text() for path in TESTS.rglob("test_*.py")]
    return {folder for text in sources for folder in re.findall(r'golden\.cases\("([^"]+)"\)', text)}


def test_golden_files_are_complete_and_read_by_a_test() -> None:
    wrong = []
    for path in sorted(p for p in golden.ROOT.rglob("*") if p.is_file()):
        data = yaml.safe_load(path.read_text()) if path.suffix == ".yaml" else None
        orphan = path.parent.name not in claimed() or not isinstance(data, dict) or "input" not in data
        if orphan and golden.WRITE:
            path.unlink()
        elif orphan or (not golden.WRITE and "output" not in data):
            wrong.append(str(path.relative_to(golden.ROOT)))
    assert wrong == []


def test_bytes_of_secrets_never_show() -> None:
    for path in golden.ROOT.rglob("*.yaml"):
        shown = golden.dump(yaml.safe_load(path.read_text()).get("output"))
        assert "PRIVATE KEY" not in shown
        assert "BEGIN CERTIFICATE" not in shown
