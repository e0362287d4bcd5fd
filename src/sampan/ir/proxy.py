"""All that one kind of proxy (the replicas of one gateway, one sidecar) is told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from sampan.ir.cluster import Cluster, Endpoints
from sampan.ir.common import Origin
from sampan.ir.listener import Listener
from sampan.ir.route import RouteTable


@dataclass(frozen=True, slots=True)
class Secret:
    """A certificate chain with its key, or (without them) the roots to check others with. PEM."""

    name: str
    chain: bytes = b""
    key: bytes = field(default=b"", repr=False)
    roots: bytes = b""
    origin: Origin | None = None


@dataclass(frozen=True, slots=True)
class Proxy:
    """Keyed by the part's own name. `endpoints` change alone and at once: readers take them from here only at first."""

    listeners: Mapping[str, Listener] = field(default_factory=dict)
    tables: Mapping[str, RouteTable] = field(default_factory=dict)
    clusters: Mapping[str, Cluster] = field(default_factory=dict)
    endpoints: Mapping[str, Endpoints] = field(default_factory=dict)
    secrets: Mapping[str, Secret] = field(default_factory=dict)
