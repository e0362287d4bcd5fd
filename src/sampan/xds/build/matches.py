"""Conditions on requests."""

from __future__ import annotations

import re

from envoy.config.route.v3 import route_components_pb2

from sampan import ir
from sampan.xds.messages import Message, boolean, regex, share, string_match


def match(wanted: ir.Match) -> Message:
    made = route_components_pb2.RouteMatch()
    _path(made, wanted.path)
    if wanted.share < 1:
        made.runtime_fraction.CopyFrom(share(wanted.share))
    if wanted.method:
        made.headers.append(_header(ir.ValueMatch(":method", wanted.method)))
    made.headers.extend(map(_header, wanted.headers))
    made.headers.extend(map(_cookie, wanted.cookies))
    for parameter in wanted.query:
        if parameter.invert:
            made.headers.append(_no_query(parameter))
        else:
            made.query_parameters.append(_query(parameter))
    return made


def _path(made: Message, path: ir.PathMatch) -> None:
    match path.kind:
        case ir.PathKind.EXACT:
            made.path = path.value
        case ir.PathKind.REGEX:
            made.safe_regex.CopyFrom(regex(f"(?i:{path.value})" if path.ignore_case else path.value))
            return
        case ir.PathKind.SEGMENTS if path.value.strip("/"):
            made.path_separated_prefix = path.value.rstrip("/")
        case _:
            made.prefix = path.value
    if path.ignore_case:
        made.case_sensitive.CopyFrom(boolean(False))


def _header(wanted: ir.ValueMatch) -> Message:
    made = route_components_pb2.HeaderMatcher(name=wanted.name, invert_match=wanted.invert)
    if wanted.kind is ir.Kind.PRESENT:
        made.present_match = True
    else:
        made.string_match.CopyFrom(string_match(wanted.kind, wanted.value))
    return made


def _query(wanted: ir.ValueMatch) -> Message:
    if wanted.kind is ir.Kind.PRESENT:
        return route_components_pb2.QueryParameterMatcher(name=wanted.name, present_match=True)
    return route_components_pb2.QueryParameterMatcher(
        name=wanted.name, string_match=string_match(wanted.kind, wanted.value)
    )


def _no_query(wanted: ir.ValueMatch) -> Message:
    """Envoy's query matcher has no inversion; the :path header has, and holds the query as the client wrote it."""
    value = _pattern(wanted, "[^&]*")
    pattern = rf"[^?]*\?(?:.*&)?{re.escape(wanted.name)}={value}(?:&.*)?"
    return _header(ir.ValueMatch(":path", pattern, ir.Kind.REGEX, invert=True))


def _cookie(wanted: ir.ValueMatch) -> Message:
    """One of the pairs in the Cookie header; clients that send several Cookie headers have them joined by then."""
    value = _pattern(wanted, "[^;]*")
    pattern = rf"(?:.*;\s*)?{re.escape(wanted.name)}={value}(?:\s*;.*)?"
    return _header(ir.ValueMatch("cookie", pattern, ir.Kind.REGEX, wanted.invert))


def _pattern(wanted: ir.ValueMatch, anything: str) -> str:
    """For a value inside a longer text, where `anything` matches all values."""
    match wanted.kind:
        case ir.Kind.EXACT:
            return re.escape(wanted.value)
        case ir.Kind.PREFIX:
            return re.escape(wanted.value) + anything
        case ir.Kind.SUFFIX:
            return anything + re.escape(wanted.value)
        case ir.Kind.REGEX:
            return f"(?:{wanted.value})"
        case ir.Kind.PRESENT:
            return anything
