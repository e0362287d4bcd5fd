"""All that one kind of proxy (the replicas of one gateway, one sidecar) is told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

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

    listeners: Mapping[str, Listener] = MappingProxyType({})
    tables: Mapping[str, RouteTable] = MappingProxyType({})
    clusters: Mapping[str, Cluster] = MappingProxyType({})
    endpoints: Mapping[str, Endpoints] = MappingProxyType({})
    secrets: Mapping[str, Secret] = MappingProxyType({})
