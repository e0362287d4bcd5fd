"""What several parts of the representation are made of."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


@dataclass(frozen=True, slots=True)
class Origin:
    """The user's object that a part comes from: whom to tell when it is refused, and what `sampan route` names.

    `resource` as kubectl writes it ("ingresses.networking.k8s.io"), `field` the place in it
    ("spec.rules[0].http.paths[1]"), "" for the whole.
    """

    resource: str
    namespace: str
    name: str
    field: str = ""

    def __str__(self) -> str:
        kind = self.resource.split(".")[0]
        return f"{kind} {self.namespace}/{self.name}" + (f" {self.field}" if self.field else "")


class Kind(StrEnum):
    """How a value is compared. REGEX is RE2 and matches the whole value."""

    EXACT = "exact"
    PREFIX = "prefix"
    SUFFIX = "suffix"
    REGEX = "regex"
    PRESENT = "present"


@dataclass(frozen=True, slots=True)
class ValueMatch:
    """A condition on a header, query parameter or cookie. Header names are lower case; `invert` negates the whole."""

    name: str
    value: str = ""
    kind: Kind = Kind.EXACT
    invert: bool = False


@dataclass(frozen=True, slots=True)
class HeaderChanges:
    """In this order: `remove`, then `set` (replaces), then `add` (keeps what is there).

    Values may hold the `%…%` commands that `xds` documents in `xds/build/headers.py`; a literal % is written %%.
    """

    set: tuple[tuple[str, str], ...] = ()
    add: tuple[tuple[str, str], ...] = ()
    remove: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.set or self.add or self.remove)
