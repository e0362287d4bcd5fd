"""RE2, as Envoy has it: whole matches by the engine itself, replacements by Python's after a translation."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache

from sampan.api import cel
from sampan.base.errors import SampanError

_POSIX = {
    "alnum": "0-9A-Za-z",
    "alpha": "A-Za-z",
    "ascii": r"\x00-\x7f",
    "blank": r"\t ",
    "cntrl": r"\x00-\x1f\x7f",
    "digit": "0-9",
    "graph": "!-~",
    "lower": "a-z",
    "print": " -~",
    "punct": r"!-/:-@\[-`{-~",
    "space": r"\t\n\v\f\r ",
    "upper": "A-Z",
    "word": "0-9A-Za-z_",
    "xdigit": "0-9A-Fa-f",
}
# What the two write differently: \z, \Q…\E, [[:class:]], (?<name>, and flags that begin later than the text.
_DIFFERENT = re.compile(r"\\z|\\Q(?P<quoted>.*?)(?:\\E|$)|\[:(?P<posix>\w+):\]|\(\?<(?=[A-Za-z_])|\\.", re.DOTALL)
_FLAGS = re.compile(r"\(\?([imsU]+)\)")


class NotRe2(SampanError):
    """A pattern that Envoy refuses too."""


@lru_cache(maxsize=4096)
def whole(pattern: str) -> Callable[[str], bool]:
    """Does a text match from its first character to its last? Raises NotRe2."""
    try:
        return cel.matcher(rf"\A(?:{pattern})\z")
    except cel.CompileError as error:
        raise NotRe2(f"{pattern}: {error}") from None


def replace_all(pattern: str, substitution: str, text: str) -> str:
    r"""RE2::GlobalReplace: every match is replaced; an empty one right behind the last one is not. \0 to \9 are groups.

    Raises NotRe2.
    """
    compiled = _python(pattern)
    out: list[str] = []
    start, last = 0, -1
    while start <= len(text) and (found := compiled.search(text, start)):
        out.append(text[start : found.start()])
        if found.start() == found.end() == last:
            out.append(text[last : last + 1])
            start = last + 1
            continue
        out.append(_expand(substitution, found))
        start = last = found.end()
    return "".join([*out, text[start:]])


def _expand(substitution: str, found: re.Match[str]) -> str:
    def part(token: re.Match[str]) -> str:
        return token[1] if token[1] == "\\" else found[int(token[1])] or ""

    return re.sub(r"\\(\\|\d)", part, substitution)


@lru_cache(maxsize=1024)
def _python(pattern: str) -> re.Pattern[str]:
    flags = re.ASCII
    if leading := _FLAGS.match(pattern):
        pattern = pattern[leading.end() :]
        flags |= re.IGNORECASE if "i" in leading[1] else 0
        flags |= re.MULTILINE if "m" in leading[1] else 0
        flags |= re.DOTALL if "s" in leading[1] else 0
    try:
        return re.compile(_DIFFERENT.sub(_same, pattern), flags)
    except re.error as error:
        raise NotRe2(f"{pattern}: {error}") from None


def _same(token: re.Match[str]) -> str:
    if token["quoted"] is not None:
        return re.escape(token["quoted"])
    if token["posix"] is not None:
        return _POSIX.get(token["posix"], token[0])
    return {r"\z": r"\Z", "(?<": "(?P<"}.get(token[0], token[0])
