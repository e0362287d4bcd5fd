"""Cron schedules: five fields or a name like @hourly, and the moments they mean in a time zone. Pure.

Our own because it is small, and because users know the rules and texts of the parser that Kubernetes has, which differ
from those of Python's libraries: 7 is not Sunday, `?` and @every exist, local times that are skipped never come.
Source: https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/#schedule-syntax, github.com/robfig/cron/v3
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import NamedTuple

from sampan.api import duration

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")


class _Field(NamedTuple):
    """The values from `low` to `high`; `names` stand for them in order."""

    low: int
    high: int
    names: tuple[str, ...] = ()


_FIELDS = (_Field(0, 59), _Field(0, 23), _Field(1, 31), _Field(1, 12, _MONTHS), _Field(0, 6, _DAYS))
_NAMED = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
# How far to look for a moment: 29 February may be eight years away.
_YEARS = 9
_MINUTE = timedelta(minutes=1)


@dataclass(frozen=True)
class Schedule:
    """`every` seconds when it is not 0, else the minutes whose fields are all in the sets."""

    minutes: frozenset[int] = frozenset()
    hours: frozenset[int] = frozenset()
    days: frozenset[int] = frozenset()
    months: frozenset[int] = frozenset()
    weekdays: frozenset[int] = frozenset()
    any_day: bool = False
    every: float = 0.0

    def next(self, after: datetime, zone: tzinfo = UTC) -> datetime | None:
        """The first moment later than `after`, as UTC; None when there is none within years.

        Local times that a change to summer time skips never come; those that come twice are met twice.
        """
        if self.every:
            return (after + timedelta(seconds=self.every)).replace(microsecond=0)
        moment = after.astimezone(UTC).replace(second=0, microsecond=0) + _MINUTE
        end = moment.year + _YEARS
        while moment.year < end:
            local = moment.astimezone(zone)
            if local.month not in self.months:
                year, month = divmod(local.year * 12 + local.month, 12)
                moment = _later(datetime(year, month + 1, 1, tzinfo=zone), moment)
            elif not self._day(local):
                day = (local.replace(tzinfo=None) + timedelta(days=1)).replace(hour=0, minute=0)
                moment = _later(day.replace(tzinfo=zone), moment)
            elif local.hour not in self.hours:
                moment += timedelta(minutes=60 - local.minute)
            elif local.minute not in self.minutes:
                moment += _MINUTE
            else:
                return moment
        return None

    def _day(self, local: datetime) -> bool:
        by_date, by_weekday = local.day in self.days, local.isoweekday() % 7 in self.weekdays
        return (by_date and by_weekday) if self.any_day else (by_date or by_weekday)

    def latest(self, after: datetime, until: datetime, zone: tzinfo = UTC) -> datetime | None:
        """The last moment in (after, until]; None when there is none. Looks back in ever longer steps."""
        for hours in (1, 24, 32 * 24, 367 * 24, 24 * 366 * _YEARS):
            start = until - timedelta(hours=hours)
            found, moment = None, self.next(max(start, after), zone)
            while moment is not None and moment <= until:
                found, moment = moment, self.next(moment, zone)
            if found is not None or start <= after:
                return found
        return None


def _later(candidate: datetime, moment: datetime) -> datetime:
    """A local midnight as UTC, whatever summer time does to it: time only goes forward."""
    return max(candidate.astimezone(UTC), moment + _MINUTE)


def parse(text: str) -> Schedule:
    """Raises ValueError with the text users know from Kubernetes."""
    if not text:
        raise ValueError("empty spec string")
    if text.startswith("@"):
        return _named(text)
    parts = text.split()
    if len(parts) != len(_FIELDS):
        raise ValueError(f"expected exactly {len(_FIELDS)} fields, found {len(parts)}: [{' '.join(parts)}]")
    minutes, hours, days, months, weekdays = (_field(part, field) for part, field in zip(parts, _FIELDS, strict=True))
    return Schedule(minutes[0], hours[0], days[0], months[0], weekdays[0], any_day=days[1] or weekdays[1])


def _named(text: str) -> Schedule:
    if text in _NAMED:
        return parse(_NAMED[text])
    if text.startswith("@every "):
        seconds = duration.parse(text.removeprefix("@every "))
        if seconds is not None:
            return Schedule(every=max(1.0, seconds // 1))
        raise ValueError(f'failed to parse duration {text}: time: invalid duration "{text.removeprefix("@every ")}"')
    raise ValueError(f"unrecognized descriptor: {text}")


def _field(text: str, field: _Field) -> tuple[frozenset[int], bool]:
    """The values of a comma-separated list, and whether it means "any"."""
    found: set[int] = set()
    star = False
    for part in text.split(","):
        if not part:
            continue
        values, is_star = _range(part, field)
        found.update(values)
        star = star or is_star
    return frozenset(found), star


def _range(text: str, field: _Field) -> tuple[range, bool]:
    span, *steps = text.split("/")
    bounds = span.split("-")
    if len(steps) > 1:
        raise ValueError(f"too many slashes: {text}")
    if len(bounds) > 2:
        raise ValueError(f"too many hyphens: {text}")
    star = bounds[0] in ("*", "?")
    if star:
        low, high = field.low, field.high
    else:
        low = _number(bounds[0], field)
        # N/STEP counts from N to the end.
        high = _number(bounds[1], field) if len(bounds) > 1 else field.high if steps else low
    step = _number(steps[0], _Field(0, 0)) if steps else 1
    if low < field.low:
        raise ValueError(f"beginning of range ({low}) below minimum ({field.low}): {text}")
    if high > field.high:
        raise ValueError(f"end of range ({high}) above maximum ({field.high}): {text}")
    if low > high:
        raise ValueError(f"beginning of range ({low}) beyond end of range ({high}): {text}")
    if step == 0:
        raise ValueError(f"step of range should be a positive number: {text}")
    return range(low, high + 1, step), star and step == 1


def _number(text: str, field: _Field) -> int:
    if text.lower() in field.names:
        return field.low + field.names.index(text.lower())
    if not re.fullmatch(r"[-+]?[0-9]+", text):
        raise ValueError(f'failed to parse int from {text}: strconv.Atoi: parsing "{text}": invalid syntax')
    if int(text) < 0:
        raise ValueError(f"negative number ({text}) not allowed: {text}")
    return int(text)
