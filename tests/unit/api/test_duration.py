"""Go's durations as texts."""

import pytest

from sampan.api import duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("2160h", 7776000),
        ("1h30m", 5400),
        ("1.5h", 5400),
        ("300ms", 0.3),
        (".5s", 0.5),
        ("-5m", -300),
        ("+5m", 300),
        ("0", 0),
        ("5", None),
        ("", None),
        ("h", None),
        ("1d", None),
        ("1h 30m", None),
    ],
)
def test_parse(text, seconds):
    assert duration.parse(text) == seconds


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(7776000, "2160h0m0s"), (5400, "1h30m0s"), (300, "5m0s"), (1, "1s"), (0, "0s"), (-300, "-5m0s")],
)
def test_show(seconds, text):
    assert duration.show(seconds) == text
