"""Cron schedules and sets of indexes."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from sampan.api import cron, indexes

NOW = datetime(2026, 11, 20, 13, 36, 20, tzinfo=UTC)  # a Friday


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("* * * * *", "2026-11-20 13:37"),
        ("@hourly", "2026-11-20 14:00"),
        ("@daily", "2026-11-21 00:00"),
        ("@weekly", "2026-11-22 00:00"),
        ("@yearly", "2027-01-01 00:00"),
        ("*/15 8-18 * * mon-fri", "2026-11-20 13:45"),
        ("5/20 * * * *", "2026-11-20 13:45"),
        ("0 3 * * 1", "2026-11-23 03:00"),
        ("0 0 13 * 5", "2026-11-27 00:00"),  # the 13th or a Friday
        ("0 0 */2 * 5", "2026-11-21 00:00"),  # odd days or Fridays: a step restricts
        ("0 0 29 2 *", "2028-02-29 00:00"),
        ("0 0 ? JAN,jun *", "2027-01-01 00:00"),
        ("59 23 31 12 *", "2026-12-31 23:59"),
        ("0 0 31 2 *", None),
    ],
)
def test_next(text, expected):
    found = cron.parse(text).next(NOW)
    assert (found and found.strftime("%Y-%m-%d %H:%M")) == expected


def test_summer_time():
    berlin, schedule = ZoneInfo("Europe/Berlin"), cron.parse("30 2 * * *")
    moment, seen = datetime(2026, 3, 27, 12, tzinfo=UTC), []
    for _ in range(2):
        moment = schedule.next(moment, berlin)
        seen.append(moment.astimezone(berlin).isoformat())
    # On the 29th there is no 02:30.
    assert seen == ["2026-03-28T02:30:00+01:00", "2026-03-30T02:30:00+02:00"]
    autumn = datetime(2026, 10, 24, 12, tzinfo=UTC)
    twice = schedule.next(schedule.next(autumn, berlin), berlin)
    assert twice == datetime(2026, 10, 25, 1, 30, tzinfo=UTC)


def test_every():
    schedule = cron.parse("@every 1h30m")
    assert schedule.next(NOW) == NOW + timedelta(hours=1, minutes=30)


@pytest.mark.parametrize("text", ["* * * * *", "17 3 * * *", "0 0 1 1 *", "*/7 5 * * 2"])
def test_latest_is_the_last_of_all_that_came(text):
    schedule, after = cron.parse(text), NOW - timedelta(days=370)
    last, moment = None, schedule.next(NOW - timedelta(days=8) if text.startswith("*") else after)
    while moment <= NOW:
        last, moment = moment, schedule.next(moment)
    assert schedule.latest(after, NOW) == last
    assert schedule.latest(NOW - timedelta(seconds=10), NOW) is None


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "empty spec string"),
        ("a b c", "expected exactly 5 fields, found 3: [a b c]"),
        ("61 * * * *", "end of range (61) above maximum (59): 61"),
        ("* * 0 * *", "beginning of range (0) below minimum (1): 0"),
        ("* * * * 7", "end of range (7) above maximum (6): 7"),
        ("5-3 * * * *", "beginning of range (5) beyond end of range (3): 5-3"),
        ("*/0 * * * *", "step of range should be a positive number: */0"),
        ("1-2-3 * * * *", "too many hyphens: 1-2-3"),
        ("*/2/3 * * * *", "too many slashes: */2/3"),
        ("x * * * *", 'failed to parse int from x: strconv.Atoi: parsing "x": invalid syntax'),
        ("@sometimes", "unrecognized descriptor: @sometimes"),
        ("@every x", 'failed to parse duration @every x: time: invalid duration "x"'),
    ],
)
def test_faults(text, why):
    with pytest.raises(ValueError) as caught:
        cron.parse(text)
    assert str(caught.value) == why


def test_indexes():
    assert indexes.text({7, 0, 1, 2, 4, 5}) == "0-2,4,5,7"
    assert indexes.text([]) == ""
    assert indexes.parse("0-2,4,5,7", 8) == {0, 1, 2, 4, 5, 7}
    for bad in ("8", "2,1", "3-2", "a", "1,", "0-9"):
        with pytest.raises(ValueError):
            indexes.parse(bad, 8)
