"""What `sampan history` and `sampan get --at` make of words, objects and tables."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from sampan.base.errors import UserError
from sampan.cli import get, history
from sampan.cli.diff import changes, lines
from sampan.cli.moments import duration, moment, retention

NOW = datetime(2026, 11, 20, 14, 30, tzinfo=timezone(timedelta(hours=1)))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("10m ago", "2026-11-20T14:20:00+01:00"),
        ("-10m", "2026-11-20T14:20:00+01:00"),
        ("1h30m", "2026-11-20T13:00:00+01:00"),
        ("now", "2026-11-20T14:30:00+01:00"),
        ("14:05", "2026-11-20T14:05:00+01:00"),
        ("9:05:07", "2026-11-20T09:05:07+01:00"),
        ("23:00", "2026-11-19T23:00:00+01:00"),
        ("2026-11-01", "2026-11-01T00:00:00+01:00"),
        ("2026-11-20 14:05", "2026-11-20T14:05:00+01:00"),
        ("2026-11-20T13:05:00Z", "2026-11-20T14:05:00+01:00"),
    ],
)
def test_moments(text: str, expected: str) -> None:
    assert moment(text, NOW) == datetime.fromisoformat(expected)


@pytest.mark.parametrize("text", ["", "soon", "25:00", "10 parsecs ago", "2026-13-01", "m", "9999999999d"])
def test_no_moments(text: str) -> None:
    with pytest.raises(UserError) as caught:
        moment(text, NOW)
    assert "--at" in caught.value.hint


def test_durations_and_retentions() -> None:
    assert duration("1d12h") == 129600
    assert retention("") == (None, None)
    assert retention("7d") == (604800, None)
    assert retention("1G") == (None, 1 << 30)
    assert retention("7d,512Mi") == (604800, 512 << 20)
    with pytest.raises(UserError):
        retention("long")


OLD = {
    "metadata": {"name": "a", "resourceVersion": "1", "managedFields": [1]},
    "spec": {"replicas": 2, "template": {"containers": [{"name": "web", "image": "web:1"}, {"name": "log"}]}},
}
NEW = {
    "metadata": {"name": "a", "resourceVersion": "2", "managedFields": [2]},
    "spec": {"replicas": 3, "template": {"containers": [{"name": "web", "image": "web:2"}, {"name": "log"}]}},
}


def test_changes_come_with_the_keys_above_them() -> None:
    assert list(changes(OLD, NEW)) == [
        "  spec:",
        "-   replicas: 2",
        "+   replicas: 3",
        "    template:",
        "      containers:",
        "        - name: web",
        "-         image: web:1",
        "+         image: web:2",
    ]
    assert list(changes(OLD, OLD)) == []


values = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text("ab:- #", max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text("abc", min_size=1, max_size=3), inner, max_size=3)
    ),
    max_leaves=12,
)


@given(
    st.dictionaries(st.text("xyz", min_size=1, max_size=2), values),
    st.dictionaries(st.text("xyz", min_size=1, max_size=2), values),
)
def test_no_change_is_kept_back(old: dict[str, object], new: dict[str, object]) -> None:
    old, new = {"metadata": {}, **old}, {"metadata": {}, **new}
    found = list(changes(old, new))
    before, after = lines(old), lines(new)
    assert yaml.safe_load("\n".join(before)) == old
    # Taking the removed lines out of the one and the added lines out of the other leaves the same.
    for line in found:
        if line.startswith("- "):
            before.remove(line[2:])
        elif line.startswith("+ "):
            after.remove(line[2:])
    assert sorted(before) == sorted(after)


def test_a_history_is_readable() -> None:
    items = [
        {"type": "ADDED", "revision": 5, "time": 0.0, "author": {"user": "ann", "verb": "create", "ip": "10.0.0.1",
         "agent": "kubectl/v1.32.4 (linux/amd64)"}, "object": {"metadata": {}, "data": {"k": "1"}}},
        {"type": "MODIFIED", "revision": 7, "time": 1.0, "author": {}, "object": {"metadata": {}}},
        {"type": "DELETED", "revision": 9, "time": 2.0, "author": {"user": "eve", "by": "root", "verb": "patch"}},
    ]  # fmt: skip
    text = "\n".join(history.shown({"items": items, "total": 4}))
    assert "1 earlier changes are not shown" in text
    assert "revision 5  ann  create  kubectl/v1.32.4 from 10.0.0.1" in text
    assert "    +   k: '1'" in text
    assert "revision 7  somebody  update" in text
    assert "not kept any more" in text
    assert "revision 9  eve (asked by root)  patch, which deleted it" in text
    assert history.colored("    - x") == "\x1b[31m    - x\x1b[0m"


def test_a_table_looks_as_kubectl_prints_it() -> None:
    body = {
        "columnDefinitions": [{"name": "Name"}, {"name": "Ready"}, {"name": "IP", "priority": 1}],
        "rows": [{"cells": ["web-0", True, None], "object": {"metadata": {"namespace": "ns"}}}],
    }
    assert list(get.table(body, wide=False, namespaces=False)) == ["NAME    READY", "web-0   true"]
    assert list(get.table(body, wide=True, namespaces=True)) == [
        "NAMESPACE   NAME    READY   IP",
        "ns          web-0   true    <none>",
    ]
    assert list(get.table({**body, "rows": []}, wide=False, namespaces=False)) == ["No resources found"]


def test_utc_is_understood() -> None:
    assert moment("2026-11-20T13:30:00Z", NOW).astimezone(UTC) == NOW
