"""Questions as they come in a URL, and what they are asked of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sampan.api.status import bad_request
from sampan.xds.hub import Hub, ProxyStatus
from sampan.xds.types import Snapshot

Query = Mapping[str, list[str]]


@dataclass(frozen=True, slots=True)
class View:
    """What a hub holds at one moment: the hub goes on, this does not change."""

    snapshots: Mapping[str, Snapshot]
    proxies: Sequence[ProxyStatus]

    @classmethod
    def of(cls, hub: Hub) -> View:
        return cls(hub.snapshots(), hub.status())


def one(query: Query, name: str, default: str = "") -> str:
    return query.get(name, [default])[-1]


def number(query: Query, name: str, default: int) -> int:
    """Raises ApiError 400."""
    text = one(query, name)
    if text and not text.isdecimal():
        raise bad_request(f"{name}: {text} is not a number")
    return int(text) if text else default


def of_kind(view: View, query: Query) -> tuple[str, Snapshot]:
    """The kind that is asked for, or the only one. Raises ApiError 400."""
    snapshots = view.snapshots
    kind = one(query, "kind")
    if not kind and len(snapshots) == 1:
        (kind,) = snapshots
    if kind not in snapshots:
        asked = f"no kind of proxy is called {kind}" if kind else "which kind of proxy"
        raise bad_request(f"{asked}: kind is one of {', '.join(sorted(snapshots))}")
    return kind, snapshots[kind]
