"""What another cluster has is not chosen again, not even while nothing of it can be seen yet."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from sampan.app import claims
from sampan.app.claims import Claim

CLAIM = Claim(61, 6504, (8080, 0))


def aged(run: Path) -> None:
    long_ago = time.time() - claims.STARTING_SECONDS - 1
    os.utime(run / claims.FILE, (long_ago, long_ago))


def test_others_are_seen_and_oneself_is_not(tmp_path: Path) -> None:
    claims.write(tmp_path / "a", CLAIM)
    assert claims.read(tmp_path / "a") == CLAIM
    assert list(claims.others(tmp_path / "b")) == [CLAIM]
    assert list(claims.others(tmp_path / "a")) == []


def test_one_that_failed_to_start_is_forgotten_and_one_that_runs_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claims, "_LINKS", tmp_path / "links")
    claims.write(tmp_path / "a", CLAIM)
    aged(tmp_path / "a")
    assert list(claims.others(tmp_path / "b")) == []
    (tmp_path / "links" / "sp61-lan").mkdir(parents=True)
    assert list(claims.others(tmp_path / "b")) == [CLAIM]


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", '{"index": 1, "api": 2, "edge": 3}', '{"index": 1, "edge": [1, 2]}']
)
def test_a_damaged_one_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / claims.FILE).write_text(text)
    assert claims.read(tmp_path / "a") is None
    assert list(claims.others(tmp_path / "b")) == []
