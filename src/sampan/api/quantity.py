"""resource.Quantity: exact amounts such as 100m, 1.5, 128Mi, 1e3.

Source: k8s.io/apimachinery/pkg/api/resource. A quantity keeps the family of its suffix (binary Ki/Mi, decimal k/M or
exponent e3), because its canonical text is written in that family: 1024Ki is 1Mi, 1000k is 1M.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal
from functools import lru_cache
from typing import ClassVar

_FORM = re.compile(r"([+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+))(?:([KMGTPE]i)|([numkMGTPE]?)|[eE]([+-]?[0-9]+))")
_BINARY = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50, "Ei": 60}
_DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_SUFFIX = {power: suffix for suffix, power in _DECIMAL.items()}
_NANO = Decimal("1e-9")
_MAX = Decimal(2**63 - 1)
# Wide enough that no sum, product or scaling of values below 2**63 with nine decimals is ever rounded.
_EXACT = Context(prec=200)

INVALID = "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"


@dataclass(frozen=True, order=True)
class Quantity:
    """An amount. Equality and order look at the amount only; `family` is "binary", "decimal" or "exponent"."""

    amount: Decimal
    family: str = "decimal"

    ZERO: ClassVar[Quantity]

    @classmethod
    def parse(cls, text: str | int | float) -> Quantity:
        """The quantity a text or JSON number names; finer than 1n is rounded up, beyond 2**63-1 is capped.

        Raises ValueError with kube-apiserver's text.
        """
        return _parse(str(text))

    def __add__(self, other: Quantity) -> Quantity:
        return Quantity(_EXACT.add(self.amount, other.amount), self._family_with(other))

    def __sub__(self, other: Quantity) -> Quantity:
        return Quantity(_EXACT.subtract(self.amount, other.amount), self._family_with(other))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Quantity) and self.amount == other.amount

    def __hash__(self) -> int:
        return hash(self.amount)

    def _family_with(self, other: Quantity) -> str:
        return self.family if self.amount else other.family

    @property
    def value(self) -> int:
        """Whole units (bytes, pods), rounded up: a request for 1.5 bytes needs two."""
        return int(self.amount.to_integral_value(ROUND_CEILING))

    @property
    def milli(self) -> int:
        """Thousandths (millicores), rounded up."""
        return int(self.amount.scaleb(3, _EXACT).to_integral_value(ROUND_CEILING))

    def __str__(self) -> str:
        """The canonical text: no fraction, the largest suffix that needs none."""
        if not self.amount:
            return "0"
        if self.family == "binary" and abs(self.amount) >= 1024 and self.amount == self.amount.to_integral_value():
            return self._in_binary()
        sign, digits, power = self.amount.normalize(_EXACT).as_tuple()
        assert isinstance(power, int)
        mantissa = int("".join(map(str, digits)))
        scale = max(-9, min(18, power // 3 * 3)) if self.family != "exponent" else power // 3 * 3
        mantissa *= 10 ** (power - scale)
        suffix = _SUFFIX[scale] if self.family != "exponent" else f"e{scale}" if scale else ""
        return f"{'-' if sign else ''}{mantissa}{suffix}"

    def _in_binary(self) -> str:
        whole = int(self.amount)
        suffix = ""
        for name in _BINARY:
            if whole % 1024:
                break
            whole, suffix = whole // 1024, name
        return f"{whole}{suffix}"


@lru_cache(maxsize=4096)
def canonical(text: str) -> str:
    """The canonical text of a quantity. Raises ValueError with kube-apiserver's text."""
    return str(_parse(text))


@lru_cache(maxsize=4096)
def _parse(text: str) -> Quantity:
    found = _FORM.fullmatch(text)
    if not found:
        raise ValueError(INVALID)
    number, binary, decimal, exponent = found.groups()
    if binary:
        amount, family = _EXACT.multiply(Decimal(number), Decimal(1 << _BINARY[binary])), "binary"
    elif exponent is not None:
        if abs(int(exponent)) > 1000:
            raise ValueError("unable to parse quantity's suffix")
        amount, family = Decimal(number).scaleb(int(exponent), _EXACT), "exponent"
    else:
        amount, family = Decimal(number).scaleb(_DECIMAL[decimal], _EXACT), "decimal"
    return Quantity(_bound(amount), family)


def _bound(amount: Decimal) -> Decimal:
    if abs(amount) > _MAX:
        return _MAX.copy_sign(amount)
    if amount != (rounded := amount.quantize(_NANO, ROUND_CEILING if amount > 0 else ROUND_FLOOR, _EXACT)):
        return rounded
    return amount


Quantity.ZERO = Quantity(Decimal(0))
