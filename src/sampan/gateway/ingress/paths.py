"""nginx's locations: which path is looked at first, what it matches, what it is rewritten to.

Source: ingress-nginx docs/user-guide/ingress-path-matching.md, nginx's ngx_http_core_module (location) and
ngx_http_rewrite_module.
"""

from __future__ import annotations

import re

from sampan.gateway.ingress import pcre
from sampan.gateway.ingress.model import Location
from sampan.ir import PathKind, PathMatch, Rewrite

EXACT, PREFIX, SPECIFIC = "Exact", "Prefix", "ImplementationSpecific"
_STRICT = re.compile(r"/[A-Za-z0-9._\-/]*")


def wrong(path: str, kind: str, *, regex: bool) -> str:
    """Why the path cannot be served; "" when it can. `regex`: it is, or may become, a regular expression."""
    if kind in (EXACT, PREFIX):
        # strict-validate-path-type, on by default
        if _STRICT.fullmatch(path):
            return ""
        allowed = "only ImplementationSpecific may hold a regular expression"
        return f"path {path!r} cannot be used with pathType {kind}: {allowed}"
    if regex:
        try:
            pcre.to_re2(path)
        except pcre.Unsupported as error:
            return f"path {path!r} cannot be used as a regular expression: {error}"
    return ""


def order(location: Location, *, regex: bool) -> tuple[bool, int, str]:
    """Sort key, to be reversed: exact paths first unless the host is one of regular expressions, then the longest.

    nginx's location for a Prefix ends in a slash, and so is longer than the same path that compares characters.
    """
    path = location.path
    if not regex and location.kind == PREFIX and not path.endswith("/"):
        path += "/"
    return (not regex and location.kind == EXACT, len(path), path)


def match(location: Location, *, regex: bool, exact_too: bool) -> PathMatch:
    """`regex`: the host's paths are regular expressions. `exact_too`: another location has this very path as Exact."""
    path = location.path
    if regex:
        if location.kind == PREFIX and not location.regex and exact_too and not path.endswith("/"):
            path += "/"
        return _regex(path)
    if location.kind == EXACT:
        return PathMatch(path, PathKind.EXACT)
    if location.kind == PREFIX and path != "/":
        return PathMatch(path.rstrip("/") or "/", PathKind.SEGMENTS)
    return PathMatch(path, PathKind.PREFIX)


def _regex(path: str) -> PathMatch:
    """What needs no regular expression is not made one: it is the same, and cheaper."""
    literal = _literal(path)
    if literal is not None:
        return PathMatch(literal, PathKind.PREFIX, ignore_case=True)
    return PathMatch(pcre.beginning(path), PathKind.REGEX, ignore_case=True)


def _literal(path: str) -> str | None:
    """The text that the expression stands for, when it is one text."""
    found = re.sub(r"\\([^\w\s])", "", path)
    if re.search(r"[\\^$.|?*+(){}\[\]]", found):
        return None
    return re.sub(r"\\([^\w\s])", r"\1", path)


def rewrite(location: Location) -> Rewrite | None:
    """nginx's `rewrite "(?i)PATH" TARGET break`: the whole path becomes TARGET."""
    if not location.rewrites:
        return None
    target = location.behavior.rewrite
    if not target.startswith(("/", "$")):
        target = "/" + target.split("://", 1)[1].partition("/")[2]
    if "$" not in target:
        return Rewrite(full=target)
    count = pcre.captures(location.path)
    made = target.replace("\\", "\\\\")
    made = re.sub(r"\$(\d)", lambda hit: f"\\{hit[1]}" if int(hit[1]) <= count else "", made)
    return Rewrite(regex=(f"(?i)^{pcre.beginning(location.path)}$", made))
