"""What the connection manager makes of a path before anything is compared with it.

Source: Envoy's path_utility.cc, and what Envoy 1.40 does with each character (tests/kernel/xds replays that).
"""

from __future__ import annotations

import re
from typing import Any

_UNRESERVED = re.compile(r"%(2[DE]|3[0-9]|4[1-9A-F]|5[0-9AF]|6[1-9A-F]|7[0-9AE])", re.IGNORECASE)
_ESCAPED = str.maketrans({c: f"%{ord(c):02X}" for c in '"<>^`{|}'})
# A dot segment with parameters is one without.
_PARAMETERS = re.compile(r"(?<=/)(\.\.?);[^/]*")
_HALF = re.compile(r"%[0-9A-Fa-f]{2}\Z")
_HEX_PAIR = re.compile(r"[0-9A-Fa-f]{2}")
_SLASHES = re.compile(r"%2f|%5c", re.IGNORECASE)


class BadPath(Exception):
    """400."""


class Moved(Exception):
    """307 to the path in its simple form."""


def normalized(path: str, manager: Any) -> str:
    """`path` with its query. Raises BadPath, Moved."""
    if "#" in path:
        raise BadPath("a path has no fragment")
    bare, mark, query = path.partition("?")
    bare, moved = _slashes(bare, manager)
    if manager.normalize_path.value:
        bare = canonical(bare)
    if manager.merge_slashes and bare.strip("/"):
        bare = re.sub("//+", "/", bare)
    elif manager.merge_slashes and "//" in bare:
        bare = "//"  # of nothing but slashes two are left
    if moved:
        raise Moved(bare + mark + query)
    return bare + mark + query


def _slashes(path: str, manager: Any) -> tuple[str, bool]:
    """%2F and %5C: (the path, whether the client shall ask again for it)."""
    action = manager.path_with_escaped_slashes_action
    if action in (manager.IMPLEMENTATION_SPECIFIC_DEFAULT, manager.KEEP_UNCHANGED) or not _SLASHES.search(path):
        return path, False
    if action == manager.REJECT_REQUEST:
        raise BadPath("an escaped slash in the path")
    plain = _SLASHES.sub(lambda found: "/" if found[0][1] == "2" else "\\", path)
    return plain, action == manager.UNESCAPE_AND_REDIRECT


def canonical(path: str) -> str:
    """Dot segments are walked, backslashes are slashes, characters that need no escape have none and the others do.

    Raises BadPath.
    """
    path = _PARAMETERS.sub(r"\1", path)
    if "%00" in path:
        raise BadPath("%00 in the path")
    out: list[str] = []
    segments = path.replace("\\", "/").removeprefix("/").split("/")
    for place, segment in enumerate(segments):
        dots = re.sub("%2e", ".", segment, flags=re.IGNORECASE)
        if dots == "..":
            out = out[:-1]
        elif dots != ".":
            out.append(_plain(segment))
        if dots in (".", "..") and place == len(segments) - 1:
            out.append("")
    return "/" + "/".join(out)


def _plain(segment: str) -> str:
    """Where an unescaped character would complete another escape (%2%41), that one's percent sign is escaped."""
    out = ""
    end = 0
    for found in _UNRESERVED.finditer(segment):
        out += segment[end : found.start()].translate(_ESCAPED)
        char = chr(int(found[1], 16))
        end = found.end()
        if _HALF.search(out + char) or (out.endswith("%") and _HEX_PAIR.match(char + segment[end : end + 1])):
            place = out.rindex("%") + 1
            out = f"{out[:place]}25{out[place:]}"
        out += char
    return out + segment[end:].translate(_ESCAPED)
