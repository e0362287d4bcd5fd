"""HTTP/1.1 bytes: heads and chunks. Pure. Source: RFC 9110, RFC 9112."""

from __future__ import annotations

import time
from collections.abc import Iterable
from email.utils import formatdate
from http import HTTPStatus

_STATUS = {s.value: f"HTTP/1.1 {s.value} {s.phrase}\r\n" for s in HTTPStatus}

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
LAST_CHUNK = b"0\r\n\r\n"

_date_second = 0
_date_line = ""


def status_line(status: int) -> str:
    return _STATUS.get(status) or f"HTTP/1.1 {status} Unknown\r\n"


def header_lines(headers: Iterable[tuple[str, str]]) -> str:
    """`name: value` lines. Raises ValueError for a value that would break out of its line."""
    lines = ""
    for name, value in headers:
        if "\n" in value or "\r" in value:
            raise ValueError(f"header {name} has a line break in its value")
        lines += f"{name}: {value}\r\n"
    return lines


def date_line() -> str:
    """The Date header, made once a second."""
    global _date_second, _date_line
    now = int(time.time())
    if now != _date_second:
        _date_second, _date_line = now, f"date: {formatdate(now, usegmt=True)}\r\n"
    return _date_line


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)
