"""What changed in an object, as YAML lines with - and + and the keys they are under. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from difflib import SequenceMatcher
from itertools import takewhile
from typing import Any

import yaml

from sampan.api.meta import Obj

_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
# Changes with every write and says nothing.
_NOISE = ("resourceVersion", "managedFields")


class _Dumper(yaml.SafeDumper):
    """Lists are indented below their key, so that indentation alone says what is inside what."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)


def without_noise(obj: Obj) -> Obj:
    metadata = {k: v for k, v in (obj.get("metadata") or {}).items() if k not in _NOISE}
    annotations = {k: v for k, v in (metadata.get("annotations") or {}).items() if k != _LAST_APPLIED}
    if annotations:
        metadata["annotations"] = annotations
    else:
        metadata.pop("annotations", None)
    return {**obj, "metadata": metadata}


def lines(obj: Any) -> list[str]:
    """The object as YAML."""
    return yaml.dump(obj, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=1000).splitlines()


def changes(old: Obj, new: Obj) -> Iterator[str]:
    """Lines that start with "-", "+" or " " (the keys above a change, each once)."""
    before, after = lines(without_noise(old)), lines(without_noise(new))
    shown: list[str] = []
    for tag, low, high, first, last in SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
        if tag == "equal":
            continue
        above = _above(before, low) if low < high else _above(after, first)
        known = len(list(takewhile(lambda pair: pair[0] == pair[1], zip(above, shown, strict=False))))
        yield from (f"  {key}" for key in above[known:])
        shown = above
        yield from (f"- {line}" for line in before[low:high])
        yield from (f"+ {line}" for line in after[first:last])


def _above(text: list[str], at: int) -> list[str]:
    """The lines that the line `at` is inside of, outermost first."""
    found: list[str] = []
    indent = _indent(text[at])
    for line in reversed(text[:at]):
        if _indent(line) < indent:
            found.append(line)
            indent = _indent(line)
    return found[::-1]


def _indent(line: str) -> int:
    """Where its content begins; "- " begins an item, whose other keys stand below its first one."""
    return len(line) - len(line.lstrip(" "))
