"""The functions Kubernetes adds to CEL, as one extension of the engine.

The engine knows no types of ours: a quantity, URL, IP, CIDR, version or format is a map with one tagged key, made by
its constructor and understood by its methods. Equal values have equal maps.
Source: k8s.io/apiserver/pkg/cel/library (1.32), https://kubernetes.io/docs/reference/using-api/cel/
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from itertools import pairwise
from typing import Any

from sampan.api.cel import amounts, formats, network
from sampan.api.cel.rows import Row


def _find(text: str, pattern: str) -> str:
    found = _regex(pattern).search(text)
    return found[0] if found else ""


def _find_all(text: str, pattern: str, limit: int = -1) -> list[str]:
    found = [match[0] for match in _regex(pattern).finditer(text)]
    return found if limit < 0 else found[:limit]


@lru_cache(maxsize=256)
def _regex(pattern: str) -> re.Pattern[str]:
    try:
        return re.compile(pattern)
    except re.error as error:
        raise ValueError(f"error parsing regexp: {error}") from None


def _index(values: list[Any], value: Any) -> int:
    return values.index(value) if value in values else -1


def _last_index(values: list[Any], value: Any) -> int:
    return len(values) - 1 - values[::-1].index(value) if value in values else -1


def _extreme(pick: Callable[[list[Any]], Any], name: str) -> Callable[[list[Any]], Any]:
    def choose(values: list[Any]) -> Any:
        if not values:
            raise ValueError(f"{name} called on empty list")
        return pick(values)

    return choose


def _sum(values: list[Any]) -> Any:
    return sum(values[1:], values[0]) if values else 0


def _sorted(values: list[Any]) -> bool:
    return all(a <= b for a, b in pairwise(values))


def _contains(values: list[Any], sub: list[Any]) -> bool:
    return all(v in values for v in sub)


def _escape_key(key: str) -> str:
    return key.replace("~", "~0").replace("/", "~1")


_LISTS: tuple[Row, ...] = (
    ("isSorted", "l", "", "b", _sorted),
    ("sum", "l", "", "*", _sum),
    ("min", "l", "", "*", _extreme(min, "min")),
    ("max", "l", "", "*", _extreme(max, "max")),
    *(("indexOf", "l", kind, "i", _index) for kind in "sidbml"),
    *(("lastIndexOf", "l", kind, "i", _last_index) for kind in "sidbml"),
    ("sets.contains", "", "ll", "b", _contains),
    ("sets.intersects", "", "ll", "b", lambda a, b: any(v in b for v in a)),
    ("sets.equivalent", "", "ll", "b", lambda a, b: _contains(a, b) and _contains(b, a)),
)
_TEXTS: tuple[Row, ...] = (
    ("find", "s", "s", "s", _find),
    ("findAll", "s", "s", "l", _find_all),
    ("findAll", "s", "si", "l", _find_all),
    ("jsonpatch.escapeKey", "", "s", "s", _escape_key),
)


def rows() -> tuple[Row, ...]:
    return (*_LISTS, *_TEXTS, *amounts.ROWS, *network.ROWS, *formats.ROWS)


def extension() -> Any:
    """A fresh extension for one environment of the engine."""
    from cel_expr_python import cel

    types = {
        "s": cel.Type.STRING,
        "i": cel.Type.INT,
        "d": cel.Type.DOUBLE,
        "b": cel.Type.BOOL,
        "m": cel.Type.Map(cel.Type.DYN, cel.Type.DYN),
        "l": cel.Type.List(cel.Type.DYN),
        "*": cel.Type.DYN,
    }
    overloads: dict[str, list[Any]] = {}
    for name, receiver, parameters, result, implementation in rows():
        overload = cel.Overload(
            f"kubernetes_{name}_{receiver}_{parameters}",
            types[result],
            [types[p] for p in receiver + parameters],
            bool(receiver),
            implementation,
        )
        overloads.setdefault(name, []).append(overload)
    return cel.CelExtension("kubernetes", [cel.FunctionDecl(name, found) for name, found in overloads.items()])
