"""Strings with `%…%` commands that our own Lua scripts fill in: parsed here once, joined there for each request.

%REQ(NAME)%  %REQ(NAME?OTHER)%             a request header ("" when there is none); ":path" is path and query
%ESCAPE(NAME)%                             the same, percent-encoded for a query: %ESCAPE(:path)%
%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%   the client's address, X-Forwarded-For of trusted hops considered
%RESPONSE_CODE%                            (CustomErrors) the code that is replaced
%%                                         a percent sign
"""

from __future__ import annotations

import re
from typing import Any

_COMMAND = re.compile(r"%%|%(?P<name>[A-Z_]+)(?:\((?P<arguments>[^)%]*)\))?%")
_WITH_HEADERS = ("REQ", "ESCAPE")
_PLAIN = ("DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT", "RESPONSE_CODE")


def template(text: str) -> list[Any]:
    """Literals as strings, commands as lists (name, header…). An unknown command is a ValueError."""
    parts: list[Any] = []
    end = 0
    for found in _COMMAND.finditer(text):
        _literal(parts, text[end : found.start()])
        name, arguments = found["name"], found["arguments"]
        if name is None:
            _literal(parts, "%")
        elif name in _WITH_HEADERS and arguments:
            parts.append([name, *arguments.lower().split("?")])
        elif name in _PLAIN and arguments is None:
            parts.append([name])
        else:
            raise ValueError(f"unknown command {found[0]} in {text!r}")
        end = found.end()
    _literal(parts, text[end:])
    return parts


def _literal(parts: list[Any], text: str) -> None:
    if text and parts and isinstance(parts[-1], str):
        parts[-1] += text
    elif text:
        parts.append(text)
