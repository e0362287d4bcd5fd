"""RE2's syntax and its promise of linear time."""

from __future__ import annotations

import pytest

from sampan.base.regex import NotRe2, compiled


def test_patterns_are_go_s_and_linear() -> None:
    pattern = compiled(r'^[a-z]+\d?"x$')
    assert pattern.search('abc1"x')
    assert not pattern.search('abc"x\n')
    assert not compiled(r"^(a+)+$").search("a" * 50000 + "b")


def test_bytes_are_as_envoy_takes_them() -> None:
    assert compiled(r"[\x{100}-\x{10FFFF}]").search("\u2603")
    with pytest.raises(NotRe2, match="escape"):
        compiled(rb"[\x{100}-\x{10FFFF}]")


@pytest.mark.parametrize(
    ("pattern", "why"),
    [("(", "missing"), ("a(?=b)", "perl operator"), ("([a-z]{1,900}){1,900}", "repetition size"), (r"(a)\1", "escape")],
)
def test_what_it_refuses_it_says(pattern: str, why: str) -> None:
    with pytest.raises(NotRe2, match=why):
        compiled(pattern)
