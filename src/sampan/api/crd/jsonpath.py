"""The JSONPath of printer columns and selectable fields: `.spec.a`, `.list[0].b`, `.conditions[?(@.type=="Ready")].x`.

Source: https://kubernetes.io/docs/reference/kubectl/jsonpath/
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from typing import Any

Step = Callable[[Any], Iterator[Any]]

_TOKEN = re.compile(
    r"""\.\.(?P<deep>[\w\-\\./]*) | \.(?P<name>(?:\\.|[^.\[\]\s\\])+) | \[\s*(?P<quote>['"])(?P<key>.*?)(?P=quote)\s*\]
      | \[(?P<index>-?\d+)\] | \[(?P<from>-?\d*):(?P<to>-?\d*)\] | (?P<all>\[\*\]|\.\*)
      | \[\?\(\s*@(?P<path>.*?)\s*(?:(?P<operator>==|!=|<=|>=|<|>)\s*(?P<value>.*?))?\s*\)\]""",
    re.VERBOSE,
)
_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
}


@lru_cache(maxsize=1024)
def parse(path: str) -> Callable[[Any], list[Any]]:
    """A function from a document to all values the path finds. Raises ValueError for a path that is none."""
    steps: list[Step] = []
    at = 0
    text = path.strip().removeprefix("{").removesuffix("}").removeprefix("$")
    if text and text[0] not in ".[":
        text = f".{text}"
    while at < len(text):
        found = _TOKEN.match(text, at)
        if found is None:
            raise ValueError(f"unrecognized character in action: {text[at:]!r}")
        steps.append(_step(found))
        at = found.end()

    def find(document: Any) -> list[Any]:
        values: Iterable[Any] = (document,)
        for step in steps:
            values = [inner for value in values for inner in step(value)]
        return list(values)

    return find


def _step(found: re.Match[str]) -> Step:
    groups = found.groupdict()
    if groups["deep"] is not None:
        return _deep(groups["deep"])
    if groups["name"] is not None or groups["key"] is not None:
        name = groups["key"] if groups["key"] is not None else re.sub(r"\\(.)", r"\1", groups["name"])
        return _every() if name == "*" else _field(name)
    if groups["index"] is not None:
        return _index(int(groups["index"]))
    if groups["from"] is not None:
        return _slice(groups["from"], groups["to"])
    if groups["all"] is not None:
        return _every()
    return _filter(groups["path"], groups["operator"], groups["value"])


def _field(name: str) -> Step:
    def step(value: Any) -> Iterator[Any]:
        if isinstance(value, dict) and name in value:
            yield value[name]

    return step


def _index(number: int) -> Step:
    def step(value: Any) -> Iterator[Any]:
        if isinstance(value, list) and -len(value) <= number < len(value):
            yield value[number]

    return step


def _slice(start: str, end: str) -> Step:
    cut = slice(int(start) if start else None, int(end) if end else None)

    def step(value: Any) -> Iterator[Any]:
        if isinstance(value, list):
            yield from value[cut]

    return step


def _every() -> Step:
    def step(value: Any) -> Iterator[Any]:
        if isinstance(value, dict):
            yield from value.values()
        elif isinstance(value, list):
            yield from value

    return step


def _deep(name: str) -> Step:
    def step(value: Any) -> Iterator[Any]:
        if isinstance(value, dict):
            if name in value:
                yield value[name]
            for inner in value.values():
                yield from step(inner)
        elif isinstance(value, list):
            for inner in value:
                yield from step(inner)

    return step


def _filter(path: str, operator: str | None, text: str | None) -> Step:
    inside = parse(path)
    wanted = _literal(text or "")

    def step(value: Any) -> Iterator[Any]:
        for item in value if isinstance(value, list) else ():
            found = inside(item)
            if not found:
                continue
            if operator is None or (type(found[0]) is type(wanted) and _COMPARE[operator](found[0], wanted)):
                yield item

    return step


def _literal(text: str) -> Any:
    if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"":
        return text[1:-1]
    if text in ("true", "false"):
        return text == "true"
    try:
        return int(text)
    except ValueError:
        return text
