"""metav1.Duration: Go's durations as texts.

Source: https://pkg.go.dev/time#ParseDuration, #Duration.String
"""

from __future__ import annotations

import re

_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_PART = re.compile(r"(\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|s|m|h)")


def parse(text: str) -> float | None:
    """Seconds of "1h30m", "90s", "1.5h", "-5m", "0"; None for what is no duration."""
    sign, digits = (-1, text[1:]) if text.startswith("-") else (1, text.removeprefix("+"))
    if digits == "0":
        return 0.0
    parts = _PART.findall(digits)
    if not parts or "".join(number + unit for number, unit in parts) != digits:
        return None
    return sign * sum(float(number) * _UNITS[unit] for number, unit in parts)


def show(seconds: float) -> str:
    """As Go prints it, of whole seconds: "2160h0m0s", "5m0s", "0s"."""
    sign, rest = ("-", -int(seconds)) if seconds < 0 else ("", int(seconds))
    hours, minutes, rest = rest // 3600, rest // 60 % 60, rest % 60
    return f"{sign}{f'{hours}h' if hours else ''}{f'{minutes}m' if hours or minutes else ''}{rest}s"
