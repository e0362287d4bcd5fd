"""Headers of a request on its way, and what the configuration does to them."""

from __future__ import annotations

import re
from collections.abc import Iterable

from sampan.xds.messages import Message

Pairs = tuple[tuple[str, str | None], ...]
_COMMAND = re.compile(r"%%|%(?P<name>[A-Z_0-9]+)(?:\((?P<arguments>[^)]*)\))?(?::\d+)?%")


class Headers:
    """Names are lower case; `:method`, `:path`, `:authority` and `:scheme` are among them as in HTTP/2."""

    def __init__(self, pairs: Iterable[tuple[str, str]] = ()) -> None:
        self._pairs = [(name.lower(), value) for name, value in pairs]

    def copy(self) -> Headers:
        return Headers(self._pairs)

    def get(self, name: str) -> str | None:
        """All values, joined as Envoy does before it compares."""
        values = [value for key, value in self._pairs if key == name.lower()]
        return ("; " if name.lower() == "cookie" else ",").join(values) if values else None

    def set(self, name: str, value: str) -> None:
        """In the place of the first one."""
        name = name.lower()
        places = [place for place, (key, _) in enumerate(self._pairs) if key == name]
        self.remove(name)
        self._pairs.insert(places[0] if places else len(self._pairs), (name, value))

    def add(self, name: str, value: str) -> None:
        self._pairs.append((name.lower(), value))

    def remove(self, name: str) -> None:
        self._pairs = [pair for pair in self._pairs if pair[0] != name.lower()]

    def drop(self, names: re.Pattern[str]) -> list[str]:
        dropped = [name for name, _ in self._pairs if names.search(name)]
        self._pairs = [pair for pair in self._pairs if pair[0] not in dropped]
        return dropped

    def changes(self, after: Headers) -> Pairs:
        """What is different there: (name, new value), None where it is gone. Pseudo headers are told apart."""
        names = dict.fromkeys(name for name, _ in [*self._pairs, *after._pairs] if not name.startswith(":"))
        return tuple((name, after.get(name)) for name in names if self.get(name) != after.get(name))


def change(
    headers: Headers,
    options: Iterable[Message],
    remove: Iterable[str],
    known: dict[str, str],
    request: Headers | None = None,
) -> None:
    """`options` are HeaderValueOptions. Removals come first. `known`: what commands without a header stand for;
    `request`: whose headers the others name, when that is not what is changed."""
    for name in remove:
        headers.remove(name)
    before = request or headers.copy()
    for option in options:
        value = filled(option.header.value, before, known)
        if not value and not option.keep_empty_value:
            continue
        name = option.header.key
        present = headers.get(name) is not None
        if option.append_action == option.ADD_IF_ABSENT and present:
            continue
        if option.append_action == option.OVERWRITE_IF_EXISTS and not present:
            continue
        if option.append_action == option.APPEND_IF_EXISTS_OR_ADD:
            headers.add(name, value)
        else:
            headers.set(name, value)


def filled(text: str, headers: Headers, known: dict[str, str]) -> str:
    """Commands that nobody knows before the answer is there stay as they are written."""

    def value(found: re.Match[str]) -> str:
        name, arguments = found["name"], found["arguments"]
        if name is None:
            return "%"
        if name == "REQ" and arguments:
            return next((v for n in arguments.lower().split("?") if (v := headers.get(n)) is not None), "")
        key = f"{name}({arguments})" if arguments else name
        return known.get(key, found[0])

    return _COMMAND.sub(value, text)
