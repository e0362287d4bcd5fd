"""Mutation expressions build typed objects; our CEL knows maps. Pure.

    Object{spec: Object.spec{replicas: 3}}    →  {"spec": {"replicas": 3}}
    JSONPatch{op: "add", path: "/a", value: 1}  →  {"op": "add", "path": "/a", "value": 1}
    jsonpatch.escapeKey(key)                    →  ((key).replace("~", "~0").replace("/", "~1"))

Source: https://kubernetes.io/docs/reference/access-authn-authz/mutating-admission-policy/
"""

from __future__ import annotations

import re

_TOKEN = re.compile(
    r"""(?P<text>[rRbB]{0,2}(?:'''.*?'''|\"{3}.*?\"{3}|"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'))"""
    r"""|(?P<name>[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*)|(?P<space>\s+)|(?P<other>.)""",
    re.DOTALL,
)
_TYPE = re.compile(r"Object(\.\w+)*|JSONPatch")
_ESCAPE = "jsonpatch.escapeKey"
_CLOSING = {"}": "{", ")": "(", "]": "["}


def as_maps(expression: str) -> str:
    """The expression with its constructors as maps."""
    found: list[str] = []
    open_: list[str] = []  # kinds of the brackets around: message, map, escape, ( or [
    before, key_may_follow = "", False
    for match in _TOKEN.finditer(expression):
        token = match[0]
        if match["space"]:
            found.append(token)
            continue
        if match["name"] and key_may_follow:
            found.append(f'"{token}"')
        elif match["other"] and token in "{([":
            kind = token
            if token == "{" and _TYPE.fullmatch(before):
                kind = "message"
                _drop(found, before)
            elif token == "(" and before == _ESCAPE:
                kind, token = "escape", "(("
                _drop(found, before)
            open_.append(kind)
            found.append(token)
        elif token in _CLOSING and match["other"]:
            kind = open_.pop() if open_ else ""
            found.append(').replace("~", "~0").replace("/", "~1"))' if kind == "escape" else token)
        else:
            found.append(token)
        key_may_follow = bool(open_) and open_[-1] == "message" and match[0] in "{,"
        before = match[0]
    return "".join(found)


def _drop(found: list[str], token: str) -> None:
    """Take back the last token, past white space."""
    while found.pop() != token:
        pass
