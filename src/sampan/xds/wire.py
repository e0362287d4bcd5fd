"""Protobuf's wire format by hand, for the few messages there are thousands of.

Messages concatenate: the bytes of a message followed by the bytes of one more field are a message that has both, a
repeated field grows and a sub-message is merged. So what thousands of resources share is serialised once.
"""

from __future__ import annotations

LENGTH_DELIMITED = 2


_SMALL = tuple(bytes((value,)) for value in range(0x80))


def varint(value: int) -> bytes:
    if value < 0x80:
        return _SMALL[value]
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def number(field: int, value: int) -> bytes:
    """A varint field; the default, 0, is not written."""
    return varint(field << 3) + varint(value) if value else b""


def nested(field: int, payload: bytes) -> bytes:
    """A string, bytes or message field, written even when empty."""
    size = len(payload)
    if field < 16 and size < 0x80:
        return b"%c%c%b" % (field << 3 | LENGTH_DELIMITED, size, payload)
    return varint(field << 3 | LENGTH_DELIMITED) + varint(size) + payload


def text(field: int, value: str) -> bytes:
    return nested(field, value.encode()) if value else b""
