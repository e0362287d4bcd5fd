"""CEL's `quantity` and `semver`.

Sources: k8s.io/apiserver/pkg/cel/library/{quantity,semverlib}.go, https://semver.org
"""

from __future__ import annotations

import re
from typing import Any

from sampan.api.cel.rows import Row, Tagged, valid
from sampan.api.quantity import Quantity

_QUANTITY, _SEMVER = "kubernetes.Quantity", "kubernetes.Semver"
_NUMBER = r"(0|[1-9]\d*)"
_FORM = re.compile(rf"{_NUMBER}\.{_NUMBER}\.{_NUMBER}(?:-([0-9A-Za-z.-]+))?(?:\+([0-9A-Za-z.-]+))?")
_INT64 = 2**63


def _tag(amount: Quantity) -> Tagged:
    # The plain amount, whatever its suffix was: 1 and 1000m are equal.
    return {_QUANTITY: str(Quantity(amount.amount.normalize() + 0))}


def _quantity(text: str) -> Tagged:
    return _tag(Quantity.parse(text))


def _amount(value: Tagged | int) -> Quantity:
    if isinstance(value, int):
        return Quantity.parse(value)
    if _QUANTITY not in value:
        raise ValueError("no such overload: expected a quantity")
    return Quantity.parse(value[_QUANTITY])


def _whole(value: Tagged) -> bool:
    amount = _amount(value).amount
    return amount == amount.to_integral_value() and -_INT64 <= amount < _INT64


def _as_integer(value: Tagged) -> int:
    if not _whole(value):
        raise ValueError("cannot convert value to integer")
    return int(_amount(value).amount)


def _sign(value: Tagged) -> int:
    amount = _amount(value).amount
    return (amount > 0) - (amount < 0)


def _semver(text: str, normalize: bool = False) -> Tagged:
    if normalize:
        text = text.removeprefix("v")
        core, mark, rest = re.fullmatch(r"([^-+]*)([-+]?)(.*)", text, re.DOTALL).groups()  # type: ignore[union-attr]
        numbers = [re.sub(r"^0+(?=\d)", "", part) for part in core.split(".")]
        text = ".".join(numbers + ["0"] * (3 - len(numbers))) + mark + rest
    if not _FORM.fullmatch(text):
        raise ValueError(f"invalid semantic version {text!r}")
    return {_SEMVER: text.partition("+")[0]}


def _parts(value: Tagged) -> tuple[list[int], str]:
    if _SEMVER not in value:
        raise ValueError("no such overload: expected a semantic version")
    core, _, pre = value[_SEMVER].partition("-")
    return [int(n) for n in core.split(".")], pre


def _order(value: Tagged) -> tuple[Any, ...]:
    """A key that sorts as semver.org's precedence: a pre-release comes before its release, numbers before texts."""
    numbers, pre = _parts(value)
    identifiers = [(0, int(p), "") if p.isdigit() else (1, 0, p) for p in pre.split(".")]
    return (numbers, not pre, identifiers)


def _compare(a: Tagged, b: Tagged) -> int:
    """-1, 0 or 1, for two quantities or two versions."""
    first: Any
    second: Any
    if _SEMVER in a:
        first, second = _order(a), _order(b)
    else:
        first, second = _amount(a), _amount(b)
    return int(first > second) - int(first < second)


ROWS: tuple[Row, ...] = (
    ("quantity", "", "s", "*", _quantity),
    ("isQuantity", "", "s", "b", valid(_quantity)),
    ("isInteger", "m", "", "b", _whole),
    ("asInteger", "m", "", "i", _as_integer),
    ("asApproximateFloat", "m", "", "d", lambda value: float(_amount(value).amount)),
    ("sign", "m", "", "i", _sign),
    *(("add", "m", kind, "*", lambda a, b: _tag(_amount(a) + _amount(b))) for kind in "mi"),
    *(("sub", "m", kind, "*", lambda a, b: _tag(_amount(a) - _amount(b))) for kind in "mi"),
    ("isLessThan", "m", "m", "b", lambda a, b: _compare(a, b) < 0),
    ("isGreaterThan", "m", "m", "b", lambda a, b: _compare(a, b) > 0),
    ("compareTo", "m", "m", "i", _compare),
    ("semver", "", "s", "*", _semver),
    ("semver", "", "sb", "*", _semver),
    ("isSemver", "", "s", "b", valid(_semver)),
    ("isSemver", "", "sb", "b", lambda text, normalize: valid(lambda t: _semver(t, normalize))(text)),
    ("major", "m", "", "i", lambda value: _parts(value)[0][0]),
    ("minor", "m", "", "i", lambda value: _parts(value)[0][1]),
    ("patch", "m", "", "i", lambda value: _parts(value)[0][2]),
)
