"""Conditions on requests, and which of two that both fit goes first.

The order: an exact path, then a regular expression (the specification leaves its place open), then the longest
prefix; a method; more headers; more query parameters. For gRPC: the longest service, the longest method, regular
expressions after them; more headers. What is left is decided by the routes' age and names.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from sampan import ir
from sampan.api.meta import Obj
from sampan.gateway.ingress.pcre import Unsupported, to_re2

_HOW = {"Exact": ir.Kind.EXACT, "RegularExpression": ir.Kind.REGEX}
_PATHS = {"Exact": ir.PathKind.EXACT, "PathPrefix": ir.PathKind.SEGMENTS, "RegularExpression": ir.PathKind.REGEX}
_RANK = {"Exact": 2, "RegularExpression": 1, "PathPrefix": 0}
_ANY, _PATTERN, _NAMED = range(3)


class Rank(NamedTuple):
    """The greater one goes first."""

    path: int
    length: tuple[int, int]
    method: bool
    headers: int
    query: int


class Unusable(ValueError):
    """A condition that no proxy can check; says which and why."""


def of_http(match: Obj) -> tuple[ir.Match, Rank]:
    """Raises Unusable."""
    path = match.get("path") or {}
    kind, value = path.get("type", "PathPrefix"), path.get("value", "/")
    if kind not in _PATHS:
        raise Unusable(f"path type {kind} is not known")
    if kind == "RegularExpression":
        value = _regex(value, "path")
    headers = _values(match.get("headers") or (), "header", lower=True)
    query = _values(match.get("queryParams") or (), "query parameter")
    method = match.get("method", "")
    made = ir.Match(ir.PathMatch(value, _PATHS[kind]), method, headers, query)
    return made, Rank(_RANK[kind], (len(value), 0), bool(method), len(headers), len(query))


def of_grpc(match: Obj) -> tuple[ir.Match, Rank]:
    """A method of gRPC is the path /SERVICE/METHOD. Raises Unusable."""
    wanted = match.get("method") or {}
    service, method = wanted.get("service") or "", wanted.get("method") or ""
    headers = _values(match.get("headers") or (), "header", lower=True)
    tier = _NAMED if service or method else _ANY
    if wanted.get("type", "Exact") == "RegularExpression":
        tier = _PATTERN
        parts = (
            f"(?:{_regex(text, what)})" if text else "[^/]+"
            for text, what in ((service, "service"), (method, "method"))
        )
        path = ir.PathMatch("/" + "/".join(parts), ir.PathKind.REGEX)
    elif service and method:
        path = ir.PathMatch(f"/{service}/{method}", ir.PathKind.EXACT)
    elif service:
        path = ir.PathMatch(f"/{service}/", ir.PathKind.PREFIX)
    elif method:
        path = ir.PathMatch(f"/[^/]+/{re.escape(method)}", ir.PathKind.REGEX)
    else:
        path = ir.PathMatch("/", ir.PathKind.PREFIX)
    return ir.Match(path, headers=headers), Rank(tier, (len(service), len(method)), False, len(headers), 0)


def _values(wanted: list[Obj] | tuple[()], what: str, lower: bool = False) -> tuple[ir.ValueMatch, ...]:
    """Of several for one name the first counts."""
    found: dict[str, ir.ValueMatch] = {}
    for one in wanted:
        how, name = one.get("type", "Exact"), one["name"].lower() if lower else one["name"]
        if how not in _HOW:
            raise Unusable(f"{what} match type {how} is not known")
        value = _regex(one["value"], f"{what} {name}") if how == "RegularExpression" else one["value"]
        found.setdefault(name, ir.ValueMatch(name, value, _HOW[how]))
    return tuple(found.values())


def _regex(pattern: str, where: str) -> str:
    try:
        return to_re2(pattern) or "(?:)"  # Envoy takes no empty one
    except Unsupported as error:
        raise Unusable(f"{where} {pattern!r}: {error}") from None
