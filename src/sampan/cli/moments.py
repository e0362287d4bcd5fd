"""TIME on the command line: `10m ago`, `14:05`, `2026-11-20 14:05`, RFC 3339. Pure."""

from __future__ import annotations

import re
from datetime import datetime, time, timedelta

from sampan.base.errors import UserError

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_SIZES = {"M": 1 << 20, "G": 1 << 30}
_DURATION = re.compile(r"(?:\d+(?:\.\d+)?[smhdw])+")
_PART = re.compile(r"(\d+(?:\.\d+)?)([smhdw])")


def duration(text: str) -> float:
    """Seconds of `90s`, `1h30m`, `7d`. Raises UserError."""
    if not _DURATION.fullmatch(text):
        raise UserError(f'"{text}" is not a duration', "90s, 10m, 1h30m, 7d")
    return sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(text))


def retention(text: str) -> tuple[float | None, int | None]:
    """(seconds, bytes) of `7d`, `1Gi` or `7d,1Gi`; None for what is not said. Raises UserError."""
    seconds: float | None = None
    size: int | None = None
    for part in filter(None, text.split(",")):
        if _DURATION.fullmatch(part):
            seconds = duration(part)
        elif found := re.fullmatch(r"(\d+)([MG]i?)", part):
            size = int(found[1]) * _SIZES[found[2][0]]
        else:
            raise UserError(f'"{part}" is no length of history', "--history 7d, --history 1G, --history 7d,1G")
    return seconds, size


def moment(text: str, now: datetime) -> datetime:
    """The moment meant; clock times are the last ones before `now`, in its zone. Raises UserError."""
    words = text.strip().removesuffix("ago").strip()
    try:
        if words == "now":
            return now
        if _DURATION.fullmatch(words.lstrip("-")):
            return now - timedelta(seconds=duration(words.lstrip("-")))
        if re.fullmatch(r"\d{1,2}:\d{2}(:\d{2})?", words):
            hour, _, rest = words.partition(":")
            found = datetime.combine(now.date(), time.fromisoformat(f"{hour:0>2}:{rest}"), now.tzinfo)
            return found if found <= now else found - timedelta(days=1)
        found = datetime.fromisoformat(words)
    except (ValueError, OverflowError):
        hint = "--at '10m ago', --at 14:05, --at 2026-11-20T14:05:00Z, --at REVISION"
        raise UserError(f'"{text}" is no time', hint) from None
    return found if found.tzinfo else found.replace(tzinfo=now.tzinfo)
