"""Host names with an optional "*." before them; "" is any. A wildcard stands for one or more labels."""

from __future__ import annotations

from collections.abc import Iterable, Iterator


def covers(pattern: str, name: str) -> bool:
    """Does the pattern match all that the name (which may be a wildcard itself) stands for?"""
    if not pattern or pattern == name:
        return True
    if not pattern.startswith("*.") or not name:
        return False
    return name.removeprefix("*").endswith(pattern[1:])


def intersection(listener: str, route: Iterable[str]) -> tuple[str, ...]:
    """What both stand for: the more specific of the two, where they meet at all. No names of the route are any."""
    names = tuple(route) or ("",)
    met = (
        name if covers(listener, name) else listener
        for name in names
        if covers(listener, name) or covers(name, listener)
    )
    return tuple(dict.fromkeys(met))


def specificity(name: str) -> tuple[int, int]:
    """More is more specific: the characters of an exact name, then those of any."""
    return (0 if name.startswith("*") else len(name)), len(name)


def most_specific(patterns: Iterable[str], name: str) -> str | None:
    """The one of the patterns that answers for the name."""
    fitting = [pattern for pattern in patterns if covers(pattern, name)]
    return max(fitting, key=specificity) if fitting else None


def wider(name: str) -> Iterator[str]:
    """The name and all that cover it, the most specific first: a.b.c, *.b.c, *.c, ""."""
    yield name
    labels = name.removeprefix("*.").split(".") if name else []
    first = 0 if name.startswith("*.") else 1
    for i in range(first, len(labels)):
        if (pattern := "*." + ".".join(labels[i:])) != name:
            yield pattern
    if name:
        yield ""
