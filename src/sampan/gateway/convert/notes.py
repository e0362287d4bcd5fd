"""What is said about a conversion: what has no equal, and what is a little different afterwards."""

from __future__ import annotations

from dataclasses import dataclass, field

from sampan.api import meta
from sampan.api.meta import Obj


@dataclass(frozen=True, slots=True)
class Note:
    """`lost`: it is not in the output; otherwise it is, and this is what to know."""

    about: str
    text: str
    lost: bool = False

    def __str__(self) -> str:
        return f"{self.about}: {'LOST ' if self.lost else ''}{self.text}"


@dataclass(slots=True)
class Notes:
    """The notes about one object are told once each, in the order they come up."""

    _found: dict[Note, None] = field(default_factory=dict)

    def say(self, obj: Obj, text: str, *, lost: bool = False) -> None:
        about = f"{obj.get('kind', 'Ingress').lower()} {meta.namespace(obj)}/{meta.name(obj)}"
        self._found[Note(about, text, lost)] = None

    def all(self) -> tuple[Note, ...]:
        return tuple(self._found)
