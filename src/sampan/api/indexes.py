"""Sets of completion indexes as a Job's status writes them: "0,2-4,7".

Source: https://kubernetes.io/docs/concepts/workloads/controllers/job/#completion-mode
"""

from __future__ import annotations

from collections.abc import Iterable

# Values to count through in a text: beyond this nobody means it.
LIMIT = 100_000


def text(indexes: Iterable[int]) -> str:
    """Sorted; runs of three and more as FIRST-LAST."""
    ordered = sorted(indexes)
    parts: list[str] = []
    for i, index in enumerate(ordered):
        if i and ordered[i - 1] == index - 1:
            continue
        last = index
        while i + 1 < len(ordered) and ordered[i + 1] == last + 1:
            i, last = i + 1, last + 1
        parts.append(str(index) if last == index else f"{index}-{last}" if last > index + 1 else f"{index},{last}")
    return ",".join(parts)


def parse(written: str, completions: int) -> set[int]:
    """The set a text means, all below `completions`. Raises ValueError with a reason for people."""
    found: set[int] = set()
    before = -1
    for part in written.split(",") if written else ():
        first, dash, last = part.partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()):
            raise ValueError(f'cannot convert string to integer for index: "{part}"')
        low, high = int(first), int(last) if dash else int(first)
        if low <= before or high < low:
            raise ValueError(f'non-increasing order, previous: {before}, current: "{part}"')
        if high >= max(completions, 0):
            raise ValueError(f'too large index: "{high}"')
        found.update(range(low, min(high, LIMIT) + 1))
        before = high
    return found
