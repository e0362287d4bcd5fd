"""Small makers of the messages that every file here needs."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

from envoy.config.core.v3 import address_pb2, base_pb2, config_source_pb2, extension_pb2
from envoy.type.matcher.v3 import regex_pb2, string_pb2
from envoy.type.v3 import percent_pb2
from google.protobuf import any_pb2, duration_pb2, wrappers_pb2

from sampan import ir
from sampan.xds.types import Resource

# protobuf's classes come without types; the name says what is meant.
Message = Any

METADATA = "sampan"
"""The namespace of our metadata on clusters."""


_OF = " @ "


def route_name(name: str, origin: ir.Origin | None) -> str:
    """Its name for Envoy says whose it is. As metadata that took a third of Envoy's time for a large table."""
    return f"{name}{_OF}{origin}" if origin else name


def split_route_name(text: str) -> tuple[str, str]:
    """The name, and the origin's text ("" when it has none)."""
    name, _, origin = text.partition(_OF)
    return name, origin


def serialized(message: Message) -> bytes:
    body: bytes = message.SerializeToString(deterministic=True)
    return body


def digest(body: bytes) -> bytes:
    return hashlib.blake2b(body, digest_size=8).digest()


def resource(name: str, body: bytes, origins: Iterable[ir.Origin | None] = (), endpoints: str = "") -> Resource:
    """`origins` may repeat and hold None."""
    return Resource(name, digest(body).hex(), body, tuple(dict.fromkeys(o for o in origins if o)), endpoints)


def typed(message: Message) -> Message:
    return any_pb2.Any(type_url=f"type.googleapis.com/{message.DESCRIPTOR.full_name}", value=serialized(message))


def extension(name: str, message: Message) -> Message:
    return extension_pb2.TypedExtensionConfig(name=name, typed_config=typed(message))


def duration(seconds: float) -> Message:
    whole = int(seconds)
    return duration_pb2.Duration(seconds=whole, nanos=round((seconds - whole) * 1e9))


def uint32(value: int) -> Message:
    return wrappers_pb2.UInt32Value(value=value)


def boolean(value: bool) -> Message:
    return wrappers_pb2.BoolValue(value=value)


def ads() -> Message:
    """Where resources refer to each other: over the one stream that brought them."""
    return config_source_pb2.ConfigSource(
        ads=config_source_pb2.AggregatedConfigSource(), resource_api_version=config_source_pb2.V3
    )


def address(ip: str, port: int, udp: bool = False) -> Message:
    socket = address_pb2.SocketAddress(address=ip, port_value=port)
    if udp:
        socket.protocol = address_pb2.SocketAddress.UDP
    return address_pb2.Address(socket_address=socket)


def share(ratio: float) -> Message:
    """A runtime fraction that no runtime key changes."""
    per_million = round(ratio * 1_000_000)
    percent = percent_pb2.FractionalPercent(numerator=per_million, denominator=percent_pb2.FractionalPercent.MILLION)
    return base_pb2.RuntimeFractionalPercent(default_value=percent)


def regex(pattern: str) -> Message:
    return regex_pb2.RegexMatcher(regex=pattern)


def string_match(kind: ir.Kind, value: str) -> Message:
    """All kinds but PRESENT, which is not about a value."""
    match kind:
        case ir.Kind.EXACT:
            return string_pb2.StringMatcher(exact=value)
        case ir.Kind.PREFIX:
            return string_pb2.StringMatcher(prefix=value)
        case ir.Kind.SUFFIX:
            return string_pb2.StringMatcher(suffix=value)
        case _:
            return string_pb2.StringMatcher(safe_regex=regex(value if kind is ir.Kind.REGEX else ".*"))


def cidrs(texts: Iterable[str]) -> list[Message]:
    """ "10.0.0.0/8" or a bare address."""
    made = []
    for text in texts:
        prefix, _, length = text.partition("/")
        bits = int(length) if length else (128 if ":" in prefix else 32)
        made.append(address_pb2.CidrRange(address_prefix=prefix, prefix_len=uint32(bits)))
    return made
