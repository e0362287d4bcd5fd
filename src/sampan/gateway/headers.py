"""Headers that users add to requests and answers: what an Envoy refuses, or should not be told, is found first."""

from __future__ import annotations

import re

_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+\-.^_`|~]{1,256}")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_LONGEST = 16384  # bytes of a value
# Connections are shared: what says otherwise than the proxy where a body ends hides requests of others in it.
_FRAMING = ("content-length", "transfer-encoding")


def wrong_name(name: str) -> str:
    """Why a header cannot be changed, in words that go on after its name; "" when it can."""
    if not _NAME.fullmatch(name):
        return "is no name of a header"
    if name.lower() == "host":
        return "is not changed as a header: Envoy refuses that with the routes of everybody"
    return ""


def wrong(name: str, value: str) -> str:
    """The same for one that is set to a value, as it is written for Envoy (a literal % is %%)."""
    if why := wrong_name(name):
        return why
    if name.lower() in _FRAMING:
        return "says where a body ends: the proxy sets it"
    if _CONTROL.search(value):
        return "has control characters in its value"
    return f"has a value of more than {_LONGEST} bytes" if len(value.encode()) > _LONGEST else ""
