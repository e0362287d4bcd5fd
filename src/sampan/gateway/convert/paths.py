"""nginx's paths and rewrites → matches and filters of an HTTPRoute."""

from __future__ import annotations

import re
from dataclasses import dataclass

from sampan.api.meta import Obj
from sampan.gateway.ingress import pcre

# A path that takes what follows it, and the number of the capture that holds it: /app(/|$)(.*) or /app/(.*)
_TAKES_REST = re.compile(r"(?P<prefix>(?:/[\w.~-]+)*)(?:\(/\|\$\)\(\.\*\)|/\(\.\*\)|/?\(\.\*\))")
_LITERAL = re.compile(r"[\w./~-]*")


@dataclass(frozen=True, slots=True)
class Converted:
    """`match` of a rule, {} without an equal; `rewrite` None leaves the path; `note`, `lost`: what to tell."""

    match: Obj
    rewrite: Obj | None = None
    note: str = ""
    lost: str = ""


def convert(path: str, kind: str, target: str, *, regex: bool) -> Converted:
    """`target`: of rewrite-target, "" without. `regex`: the Ingress's own paths are regular expressions."""
    if kind == "Exact" and not regex:
        return _rewritten(Converted(_match("Exact", path)), target)
    if _LITERAL.fullmatch(path):
        whole = (
            "" if kind == "Prefix" or path == "/" else f"path {path}: nginx compares characters, PathPrefix elements"
        )
        return _rewritten(Converted(_match("PathPrefix", path), note=whole), target)
    if not regex:
        return Converted(_match("PathPrefix", path), note=f"path {path}: its characters stand for themselves")
    return _expression(path, target)


def _expression(path: str, target: str) -> Converted:
    try:
        whole = pcre.beginning(path)
    except pcre.Unsupported as error:
        return Converted({}, lost=f"path {path}: {error}")
    found = _TAKES_REST.fullmatch(path)
    last = pcre.captures(path)
    if found and (not target or target.endswith(f"${last}")) and "$" not in target[: -len(f"${last}")]:
        prefix = found["prefix"] or "/"
        made = Converted(_match("PathPrefix", prefix))
        if target:
            new = target[: -len(f"${last}")].rstrip("/") or "/"
            return Converted(made.match, {"type": "ReplacePrefixMatch", "replacePrefixMatch": new})
        return made
    made = Converted(
        _match("RegularExpression", f"(?i){whole}"), note=f"path {path}: how it is compared is up to the gateway"
    )
    if "$" in target:
        return Converted(made.match, note=made.note, lost=f"rewrite-target {target}: Gateway API has no captures")
    return _rewritten(made, target)


def _rewritten(made: Converted, target: str) -> Converted:
    if not target or target == made.match["path"]["value"]:
        return made
    if "$" in target:  # captures of a path that has none are empty
        target = re.sub(r"\$\d", "", target) or "/"
    return Converted(made.match, {"type": "ReplaceFullPath", "replaceFullPath": target}, made.note)


def _match(kind: str, value: str) -> Obj:
    return {"path": {"type": kind, "value": value if kind != "PathPrefix" or value == "/" else value.rstrip("/")}}
