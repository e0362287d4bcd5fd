"""Questions as they come in a URL."""

from __future__ import annotations

from collections.abc import Mapping

from sampan.api.status import bad_request
from sampan.xds.hub import Hub
from sampan.xds.types import Snapshot

Query = Mapping[str, list[str]]


def one(query: Query, name: str, default: str = "") -> str:
    return query.get(name, [default])[-1]


def number(query: Query, name: str, default: int) -> int:
    """Raises ApiError 400."""
    text = one(query, name)
    if text and not text.isdecimal():
        raise bad_request(f"{name}: {text} is not a number")
    return int(text) if text else default


def of_kind(hub: Hub, query: Query) -> tuple[str, Snapshot]:
    """The kind that is asked for, or the only one. Raises ApiError 400."""
    snapshots = hub.snapshots()
    kind = one(query, "kind")
    if not kind and len(snapshots) == 1:
        (kind,) = snapshots
    if kind not in snapshots:
        asked = f"no kind of proxy is called {kind}" if kind else "which kind of proxy"
        raise bad_request(f"{asked}: kind is one of {', '.join(sorted(snapshots))}")
    return kind, snapshots[kind]
