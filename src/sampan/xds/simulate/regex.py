"""What Envoy does with a regular expression: whole matches and RE2's own kind of replacement."""

from __future__ import annotations

import re
from typing import Any

from sampan.base.regex import compiled


def whole(pattern: str, text: str) -> bool:
    """Does it match from the first character to the last? Raises NotRe2."""
    return compiled(pattern).fullmatch(text) is not None


def replace_all(pattern: str, substitution: str, text: str) -> str:
    r"""RE2::GlobalReplace: every match is replaced; an empty one right behind the last one is not. \0 to \9 are groups.

    Raises NotRe2.
    """
    wanted = compiled(pattern)
    out: list[str] = []
    start, last = 0, -1
    while start <= len(text) and (found := wanted.search(text, start)):
        out.append(text[start : found.start()])
        if found.start() == found.end() == last:
            out.append(text[last : last + 1])
            start = last + 1
            continue
        out.append(_expand(substitution, found))
        start = last = found.end()
    return "".join([*out, text[start:]])


def _expand(substitution: str, found: Any) -> str:
    def part(token: re.Match[str]) -> str:
        return token[1] if token[1] == "\\" else found[int(token[1])] or ""

    return re.sub(r"\\(\\|\d)", part, substitution)
