"""The messages of discovery: requests parsed, responses joined from bytes, once for all streams that need the same.

Source: envoy/service/discovery/v3/discovery.proto, the field numbers below are its.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import count

from envoy.service.discovery.v3 import discovery_pb2

from sampan.xds.types import Resource
from sampan.xds.wire import nested, text, varint

# Responses kept for other streams: more than there are types and usual subscriptions.
KEPT = 256


@dataclass(frozen=True, slots=True)
class Request:
    """A DeltaDiscoveryRequest or a DiscoveryRequest, whose `subscribe` is the whole list of names.

    `error`: why the response `nonce` was refused, None when it was not. `versions`: what the client has from an
    earlier stream. `node`, `kind` (node.cluster) and `agent` are only sure to be in the first of a stream.
    """

    type_url: str
    subscribe: tuple[str, ...] = ()
    unsubscribe: tuple[str, ...] = ()
    versions: Mapping[str, str] = field(default_factory=dict)
    nonce: str = ""
    error: str | None = None
    node: str = ""
    kind: str = ""
    agent: str = ""


def parse(data: bytes, delta: bool, type_url: str = "") -> Request:
    """`type_url`: of a service that has only one, where requests may leave it out. Raises DecodeError."""
    message = (discovery_pb2.DeltaDiscoveryRequest if delta else discovery_pb2.DiscoveryRequest).FromString(data)
    return Request(
        type_url=message.type_url or type_url,
        subscribe=tuple(message.resource_names_subscribe if delta else message.resource_names),
        unsubscribe=tuple(message.resource_names_unsubscribe) if delta else (),
        versions=dict(message.initial_resource_versions) if delta else {},
        nonce=message.response_nonce,
        error=message.error_detail.message if message.HasField("error_detail") else None,
        node=message.node.id,
        kind=message.node.cluster,
        agent=message.node.user_agent_name,
    )


@dataclass(frozen=True, slots=True)
class Response:
    nonce: str
    body: bytes = field(repr=False)


@dataclass(slots=True)
class Encoder:
    """What the sessions of one kind of proxy need of the present snapshot, made for the first and kept for the others.

    `reset` is called with every new snapshot: versions alone do not tell, another process may have counted them.
    """

    _nonces: count[int] = field(default_factory=lambda: count(1))
    _kept: dict[object, Response] = field(default_factory=dict)
    _needed: dict[frozenset[str], frozenset[str]] = field(default_factory=dict)

    def reset(self) -> None:
        self._kept.clear()
        self._needed.clear()

    def response(
        self,
        delta: bool,
        type_url: str,
        version: int,
        resources: Mapping[str, Resource],
        names: frozenset[str],
        removed: frozenset[str] = frozenset(),
        before: str = "",
    ) -> Response:
        """`names` of `resources`, and those `removed`. `before`: the nonce that the stream had last."""
        key = (delta, type_url, names, removed)
        known = self._kept.get(key)
        if known and known.nonce != before:
            return known
        nonce = str(next(self._nonces))
        chosen = (resources[name] for name in sorted(names))
        body = delta_body(type_url, version, chosen, removed) if delta else sotw_body(type_url, version, chosen)
        if len(self._kept) >= KEPT:
            self._kept.clear()
        made = self._kept[key] = Response(nonce, body + text(5, nonce))
        return made

    def endpoints(self, names: frozenset[str], clusters: Mapping[str, Resource]) -> frozenset[str]:
        """What `names` of `clusters` wait for."""
        found = self._needed.get(names)
        if found is None:
            found = self._needed[names] = frozenset(clusters[name].endpoints for name in names)
        return found


def delta_body(type_url: str, version: int, resources: Iterable[Resource], removed: Iterable[str]) -> bytes:
    """A DeltaDiscoveryResponse without nonce."""
    parts = [text(1, str(version)), text(4, type_url)]
    kind = any_head(type_url)
    for resource in resources:
        parts += entry(kind, resource)
    parts += [nested(6, name.encode()) for name in sorted(removed)]
    return b"".join(parts)


def sotw_body(type_url: str, version: int, resources: Iterable[Resource]) -> bytes:
    """A DiscoveryResponse without nonce."""
    parts = [text(1, str(version)), text(4, type_url)]
    kind = any_head(type_url)
    for resource in resources:
        head = kind + varint(len(resource.body))
        parts += (b"\x12", varint(len(head) + len(resource.body)), head, resource.body)
    return b"".join(parts)


def any_head(type_url: str) -> bytes:
    """An Any up to the length of its value."""
    return text(1, type_url) + b"\x12"


def entry(kind: bytes, resource: Resource, more: bytes = b"") -> tuple[bytes, ...]:
    """Field 2 of a DeltaDiscoveryResponse, a Resource around an Any, in parts: bodies are copied once, when joined.

    `kind` is its `any_head`, `more` other fields of the Resource.
    """
    size = len(resource.body)
    value = kind + varint(size)
    own = text(3, resource.name) + text(1, resource.version) + more
    length = varint(len(value) + size)
    return b"\x12", varint(len(own) + 1 + len(length) + len(value) + size), own, b"\x12", length, value, resource.body
