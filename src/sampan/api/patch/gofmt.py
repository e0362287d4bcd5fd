"""JSON values as Go's %v shows them, which some error texts quote: map[spec:map[replicas:2]]."""

from __future__ import annotations

from typing import Any


def go_value(value: Any) -> str:
    match value:
        case dict():
            return f"map[{' '.join(f'{key}:{go_value(value[key])}' for key in sorted(value))}]"
        case list():
            return f"[{' '.join(map(go_value, value))}]"
        case bool():
            return str(value).lower()
        case None:
            return "<nil>"
        case _:
            return str(value)
