"""What the function tables share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

# A quantity, URL, IP, …: a map with one tagged key. Equal values are equal maps.
Tagged = dict[Any, Any]

# (name, receiver, parameters, result, implementation). Types: s string, i int, d double, b bool, m map, l list,
# * anything (results only). A row is one overload; what it raises as ValueError ends the run with that text.
Row = tuple[str, str, str, str, Callable[..., Any]]


def valid(parse: Callable[[str], Any]) -> Callable[[str], bool]:
    """The test that goes with a parser that raises ValueError."""

    def check(text: str) -> bool:
        try:
            parse(text)
        except ValueError:
            return False
        return True

    return check
