"""What becomes of a path: on the way upstream, or in a redirect."""

from __future__ import annotations

import re

from envoy.config.route.v3 import route_components_pb2
from envoy.type.matcher.v3 import regex_pb2

from sampan import ir
from sampan.xds.messages import Message, regex

REDIRECT_CODES = {
    301: route_components_pb2.RedirectAction.MOVED_PERMANENTLY,
    302: route_components_pb2.RedirectAction.FOUND,
    303: route_components_pb2.RedirectAction.SEE_OTHER,
    307: route_components_pb2.RedirectAction.TEMPORARY_REDIRECT,
    308: route_components_pb2.RedirectAction.PERMANENT_REDIRECT,
}
"""Those that Envoy can send; a Redirect with another code is sent as 302."""


def rewrite(made: Message, wanted: ir.Rewrite, path: ir.PathMatch) -> None:
    """`made` is a RouteAction."""
    if wanted.host:
        made.host_rewrite_literal = wanted.host
    if wanted.full is not None:
        made.regex_rewrite.CopyFrom(_substitute("^.*$", _literal(wanted.full)))
    else:
        _part(made, wanted, path)


def redirect(wanted: ir.Redirect, path: ir.PathMatch) -> Message:
    made = route_components_pb2.RedirectAction(
        response_code=REDIRECT_CODES.get(wanted.code, route_components_pb2.RedirectAction.FOUND),
        host_redirect=wanted.host,
        port_redirect=wanted.port,
        strip_query=not wanted.keep_query,
    )
    if wanted.scheme:
        made.scheme_redirect = wanted.scheme
    if wanted.path and wanted.path.full is not None:
        made.path_redirect = wanted.path.full
    elif wanted.path:
        _part(made, wanted.path, path)
    return made


def _part(made: Message, wanted: ir.Rewrite, path: ir.PathMatch) -> None:
    """RouteAction and RedirectAction name these fields alike."""
    if wanted.regex:
        pattern, substitution = wanted.regex
        made.regex_rewrite.CopyFrom(_substitute(pattern, substitution))
    elif wanted.prefix is not None:
        _prefix(made, wanted.prefix, path)


def _prefix(made: Message, new: str, path: ir.PathMatch) -> None:
    """Envoy replaces the characters that matched. For whole path elements the slash between the two parts must be
    there once: /a → / makes /a/b to /b, not //b."""
    if path.kind is not ir.PathKind.SEGMENTS:
        made.prefix_rewrite = new
        return
    target = new.rstrip("/")
    if not path.value.strip("/"):
        made.prefix_rewrite = target + "/"
    elif target:
        made.prefix_rewrite = target
    else:
        fold = "(?i)" if path.ignore_case else ""
        made.regex_rewrite.CopyFrom(_substitute(f"{fold}^{re.escape(path.value.rstrip('/'))}/*", "/"))


def _substitute(pattern: str, substitution: str) -> Message:
    return regex_pb2.RegexMatchAndSubstitute(pattern=regex(pattern), substitution=substitution)


def _literal(text: str) -> str:
    return text.replace("\\", "\\\\")
