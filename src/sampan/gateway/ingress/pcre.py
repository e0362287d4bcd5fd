"""nginx's regular expressions (PCRE) in the engine of Envoy (RE2): the same text where both mean the same.

RE2 takes time linear in the input because it has no look-around, back-references, atomic groups and the like: a path
that needs them is refused by name. Source: https://github.com/google/re2/wiki/Syntax, pcre2pattern(3).
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass

from sampan.base import regex

_GROUPS = (
    ("(?=", "look-ahead (?=…)"),
    ("(?!", "negative look-ahead (?!…)"),
    ("(?<=", "look-behind (?<=…)"),
    ("(?<!", "negative look-behind (?<!…)"),
    ("(?>", "an atomic group (?>…)"),
    ("(?|", "a branch reset (?|…)"),
    ("(?#", "a comment (?#…)"),
    ("(?R", "recursion (?R)"),
    ("(?&", "a subroutine call (?&…)"),
    ("(?(", "a condition (?(…)…)"),
    ("(*", "a verb (*…)"),
)
_NAMED = re.compile(r"\(\?P?<[A-Za-z_]\w*>|\(\?'([A-Za-z_]\w*)'")
_FLAGS = re.compile(r"\(\?[imsU]*(-[imsU]+)?[:)]")
_ESCAPES = {
    "Z": "\\Z",
    "G": "\\G",
    "K": "\\K",
    "R": "\\R",
    "X": "\\X",
    "h": "\\h",
    "H": "\\H",
    "N": "\\N",
    "e": "\\e",
}
_REPEAT = re.compile(r"\{([0-9]+)(,([0-9]*))?\}")
_MOST = 1000  # RE2's largest repetition
_LONGEST_REPEAT = 100  # characters: Python reads numbers of some thousand digits only
LARGEST = 50_000  # program; proxies take twice that, as some are put into larger ones


class Unsupported(ValueError):
    """Says which construct it is."""


@dataclass(slots=True)
class _Scan:
    text: str
    at: int = 0
    groups: int = 0
    open: int = 0
    in_class: bool = False
    alternatives: bool = False


def to_re2(text: str) -> str:
    """The same expression for RE2. Raises Unsupported for what RE2 has not, or what is none at all."""
    return _scanned(text)[0]


def captures(text: str) -> int:
    return _scanned(text)[1].groups


def beginning(text: str) -> str:
    """An RE2 pattern for all of a text that begins as `^text` says: nginx anchors a location at its start only."""
    made, scan = _scanned(text)
    if scan.alternatives:  # the ^ belongs to the first of them only: nginx finds the others anywhere
        return f".*?(?:^{made}).*"
    return made if re.search(r"(?<!\\)\.\*\)?$", made) else f"{made}.*"


@functools.lru_cache(maxsize=4096)  # the few paths that everybody has, each asked about several times
def _scanned(text: str) -> tuple[str, _Scan]:
    scan = _Scan(text)
    made: list[str] = []
    while scan.at < len(text):
        made.append(_in_class(scan) if scan.in_class else _outside(scan))
    if scan.in_class:
        raise Unsupported("a [ is not closed")
    if scan.open:
        raise Unsupported("a ( is not closed")
    pattern = "".join(made)
    try:
        size = regex.compiled(pattern.encode()).programsize
    except regex.NotRe2 as error:
        raise Unsupported(f"RE2, the engine of Envoy, refuses it: {error}") from None
    if size > LARGEST:
        raise Unsupported(f"it takes {size} instructions of RE2, the engine of Envoy; {LARGEST} are allowed")
    return pattern, scan


def _outside(scan: _Scan) -> str:
    text, at = scan.text, scan.at
    char = text[at]
    if char == "\\":
        return _escape(scan)
    if char == "[":
        return _open_class(scan)
    if char == "(":
        return _group(scan)
    if char == ")":
        if not scan.open:
            raise Unsupported("a ) has no (")
        scan.open -= 1
    elif char == "|":
        scan.alternatives = scan.alternatives or scan.open == 0
    elif char in "*+?{":
        return _repeat(scan)
    scan.at += 1
    return char


def _group(scan: _Scan) -> str:
    text, at = scan.text, scan.at
    for start, what in _GROUPS:
        if text.startswith(start, at):
            raise Unsupported(f"{what} is not possible with RE2, the engine of Envoy")
    scan.open += 1
    if not text.startswith("(?", at):
        scan.groups += 1
        scan.at += 1
        return "("
    if named := _NAMED.match(text, at):
        scan.groups += 1
        scan.at = named.end()
        name = named[1] or named[0].strip("(?P<>")
        return f"(?P<{name}>"
    flags = _FLAGS.match(text, at)
    if not flags:
        raise Unsupported(f"what begins with {text[at : at + 4]!r} is not possible with RE2, the engine of Envoy")
    if flags[0].endswith(")"):
        scan.open -= 1
    scan.at = flags.end()
    return flags[0]


def _repeat(scan: _Scan) -> str:
    text, at = scan.text, scan.at
    token = text[at]
    if token == "{":
        found = _REPEAT.match(text, at)
        if not found:
            scan.at += 1
            return "\\{"  # PCRE reads it literally
        token = found[0]
        if len(token) > _LONGEST_REPEAT or max(int(found[1]), int(found[3] or 0)) > _MOST:
            raise Unsupported(f"{token} repeats more than {_MOST} times")
        if found[3] and int(found[3]) < int(found[1]):
            raise Unsupported(f"{token} has its numbers in the wrong order")
    if at == 0 or (text[at - 1] in "(|" and not _escaped(text, at - 1)):
        raise Unsupported(f"{token} repeats nothing")
    end = at + len(token)
    if text[end : end + 1] == "+":
        raise Unsupported(f"the possessive {token}+ is not possible with RE2, the engine of Envoy")
    if text[end : end + 1] == "*":
        raise Unsupported(f"{token}* repeats a repetition")
    if text[end : end + 1] == "?":
        token += "?"
    scan.at = at + len(token)
    return token


def _escaped(text: str, at: int) -> bool:
    slashes = 0
    while at - slashes - 1 >= 0 and text[at - slashes - 1] == "\\":
        slashes += 1
    return slashes % 2 == 1


def _escape(scan: _Scan) -> str:
    text, at = scan.text, scan.at
    char = text[at + 1 : at + 2]
    if not char:
        raise Unsupported("it ends in a single \\")
    if char.isdigit() and char != "0":
        raise Unsupported(f"the back-reference \\{char} is not possible with RE2, the engine of Envoy")
    if char in "kg":
        raise Unsupported(f"the back-reference \\{char} is not possible with RE2, the engine of Envoy")
    if char in _ESCAPES:
        raise Unsupported(f"{_ESCAPES[char]} is not possible with RE2, the engine of Envoy")
    if char == "Q":
        return _quoted(scan)
    scan.at += 2
    if char == "E":  # of no \\Q: nothing
        return ""
    if char.isalpha() or char.isdigit() or not char.isascii():
        known = char in "aftnrvxdDsSwWbBAzpPC0"
        return f"\\{char}" if known else char
    return f"\\{char}" if re.match(r"[^\w\s]", char) else char


def _quoted(scan: _Scan) -> str:
    """\\Q…\\E is text. Spelled out, as one that is not closed would run on into the pattern that this is put into."""
    inside, _, _ = scan.text[scan.at + 2 :].partition("\\E")
    scan.at += 2 + len(inside)  # the \\E is looked at next
    return re.escape(inside)


def _open_class(scan: _Scan) -> str:
    text = scan.text
    scan.in_class = True
    start = scan.at
    scan.at += 1
    if text[scan.at : scan.at + 1] == "^":
        scan.at += 1
    made = text[start : scan.at]
    if text[scan.at : scan.at + 1] == "]":  # first in a class it is itself
        scan.at += 1
        made += "\\]"
    return made


def _in_class(scan: _Scan) -> str:
    text, at = scan.text, scan.at
    if text[at] == "]":
        scan.in_class = False
    elif text.startswith("[:", at) and (end := text.find(":]", at)) > 0:
        scan.at = end + 2
        return text[at : end + 2]
    elif text[at] == "[":
        scan.at += 1
        return "\\["
    elif text[at] == "\\":
        return _escape(scan)
    scan.at += 1
    return text[at]
