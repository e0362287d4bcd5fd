"""SPDY/3.1 framing, as far as Kubernetes uses it, without I/O: bytes in, events out; calls in, bytes out.

A connection carries streams, numbered by the side that opens them (clients odd, servers even). A stream begins with
headers, carries data both ways and ends for each side with a frame marked FIN, for both with a reset.
SETTINGS, HEADERS, GOAWAY and WINDOW_UPDATE are read over: Kubernetes' own implementation has no flow control beyond
TCP's. Source: https://www.chromium.org/spdy/spdy-protocol/spdy-protocol-draft3-1/
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from sampan.base.errors import SampanError

SYN_STREAM, SYN_REPLY, RST_STREAM, PING, GOAWAY = 1, 2, 3, 6, 7
FIN = 1
# RST_STREAM status codes.
PROTOCOL_ERROR, INVALID_STREAM, REFUSED_STREAM, CANCEL, INTERNAL_ERROR = 1, 2, 3, 5, 6

_VERSION = 3
_FRAME_LIMIT = 1 << 20
_HEADERS_LIMIT = 256 * 1024
# Data is sent in frames of this size at most: other streams may put theirs between.
_CHUNK = 32 * 1024

_WORDS = """
options head post put delete trace accept accept-charset accept-encoding accept-language accept-ranges age allow
authorization cache-control connection content-base content-encoding content-language content-length content-location
content-md5 content-range content-type date etag expect expires from host if-match if-modified-since if-none-match
if-range if-unmodified-since last-modified location max-forwards pragma proxy-authenticate proxy-authorization range
referer retry-after server te trailer transfer-encoding upgrade user-agent vary via warning www-authenticate method
get status 200_OK version HTTP/1.1 url public set-cookie keep-alive origin
"""
_REST = (
    "100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505"
    "203 Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request401 Unauthorized403 Forbidden"
    "404 Not Found500 Internal Server Error501 Not Implemented503 Service Unavailable"
    "Jan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMT"
    "chunked,text/html,image/png,image/jpg,image/gif,application/xml,application/xhtml+xml,text/plain,text/javascript,"
    "publicprivatemax-age=gzip,deflate,sdchcharset=utf-8charset=iso-8859-1,utf-,*,enq=0."
)
# What both sides' compressors know beforehand (section 2.6.10.1 of the protocol; "200 OK" is one word there).
DICTIONARY = b"".join(struct.pack(">I", len(w)) + w.replace("_", " ").encode() for w in _WORDS.split()) + _REST.encode()


class SpdyError(SampanError):
    """The peer does not speak SPDY/3.1; the connection is of no more use."""


@dataclass(frozen=True, slots=True)
class Opened:
    """The peer opened a stream; header names are lower case. `fin`: it will send no data on it."""

    stream: int
    headers: dict[str, str]
    fin: bool


@dataclass(frozen=True, slots=True)
class Replied:
    """The peer accepted a stream of ours."""

    stream: int


@dataclass(frozen=True, slots=True)
class Data:
    """Bytes on a stream (perhaps none, with `fin`, the last)."""

    stream: int
    data: bytes
    fin: bool


@dataclass(frozen=True, slots=True)
class Reset:
    """The peer ended a stream both ways."""

    stream: int
    status: int


@dataclass(frozen=True, slots=True)
class Ping:
    """To be answered with `pong`."""

    number: int


Event = Opened | Replied | Data | Reset | Ping


class Connection:
    """One end. `receive` must see the peer's bytes in order: header blocks share one compression state."""

    def __init__(self, *, client: bool = False) -> None:
        self._parity = 1 if client else 0
        self._next = 1 if client else 2
        self._buffer = bytearray()
        self._inflate = zlib.decompressobj(zdict=DICTIONARY)
        self._deflate = zlib.compressobj(zdict=DICTIONARY)

    def receive(self, data: bytes) -> Iterator[Event]:
        """The events in these bytes and what was left of earlier ones. Raises SpdyError."""
        self._buffer += data
        at = 0
        try:
            while len(self._buffer) - at >= 8:
                first, second = struct.unpack_from(">II", self._buffer, at)
                flags, length = second >> 24, second & 0xFFFFFF
                if length > _FRAME_LIMIT:
                    raise SpdyError(f"a frame of {length} bytes is too large")
                if len(self._buffer) - at < 8 + length:
                    return
                payload = bytes(self._buffer[at + 8 : at + 8 + length])
                at += 8 + length
                event = self._control(first, flags, payload) if first >> 31 else Data(first, payload, bool(flags & FIN))
                if event is not None:
                    yield event
        finally:
            del self._buffer[:at]

    def _control(self, first: int, flags: int, payload: bytes) -> Event | None:
        version, kind = first >> 16 & 0x7FFF, first & 0xFFFF
        if version != _VERSION:
            raise SpdyError(f"SPDY version {version} is not supported")
        try:
            match kind:
                case 1:
                    stream = _number(payload)
                    return Opened(stream, self._headers(payload[10:]), bool(flags & FIN))
                case 2 | 8:  # a reply or later headers: read, because the compressor's state runs through them
                    self._headers(payload[4:])
                    return Replied(_number(payload)) if kind == SYN_REPLY else None
                case 3:
                    stream, status = struct.unpack(">II", payload)
                    return Reset(stream & 0x7FFFFFFF, status)
                case 6:
                    number = struct.unpack(">I", payload)[0]
                    return Ping(number) if number % 2 != self._parity else None  # else the answer to our own
        except struct.error:
            raise SpdyError(f"a frame of type {kind} has the wrong length") from None
        return None

    def _headers(self, block: bytes) -> dict[str, str]:
        try:
            plain = self._inflate.decompress(block, _HEADERS_LIMIT)
        except zlib.error as error:
            raise SpdyError(f"cannot read a header block: {error}") from None
        if self._inflate.unconsumed_tail:
            raise SpdyError("a header block is too large")
        count, at = struct.unpack_from(">I", plain)[0], 4
        words = []
        for _ in range(2 * count):
            (length,) = struct.unpack_from(">I", plain, at)
            words.append(plain[at + 4 : at + 4 + length].decode("latin-1"))
            at += 4 + length
        return {name.lower(): value for name, value in zip(words[::2], words[1::2], strict=True)}

    # -- bytes to send

    def open(self, headers: Mapping[str, str], *, fin: bool = False) -> tuple[int, bytes]:
        """A new stream of ours: its number, and the bytes that open it."""
        number, self._next = self._next, self._next + 2
        payload = struct.pack(">IIH", number, 0, 0) + self._block(headers)
        return number, _frame(SYN_STREAM, payload, FIN if fin else 0)

    def accept(self, stream: int) -> bytes:
        """The answer to `Opened`."""
        return _frame(SYN_REPLY, struct.pack(">I", stream) + self._block({}))

    def send(self, stream: int, data: bytes, *, fin: bool = False) -> bytes:
        """Data; `fin`: the last of our side (`data` may be empty then)."""
        frames = []
        for at in range(0, len(data) or 1, _CHUNK):
            part = data[at : at + _CHUNK]
            last = fin and at + _CHUNK >= len(data)
            frames.append(struct.pack(">II", stream, (FIN << 24 if last else 0) | len(part)) + part)
        return b"".join(frames)

    def reset(self, stream: int, status: int = CANCEL) -> bytes:
        return _frame(RST_STREAM, struct.pack(">II", stream, status))

    def ping(self, number: int) -> bytes:
        """Ours, or the same number back as the answer to `Ping`."""
        return _frame(PING, struct.pack(">I", number))

    def go_away(self, last: int = 0) -> bytes:
        return _frame(GOAWAY, struct.pack(">II", last, 0))

    def _block(self, headers: Mapping[str, str]) -> bytes:
        plain = struct.pack(">I", len(headers))
        for name, value in headers.items():
            for word in (name.lower().encode("latin-1"), value.encode("latin-1")):
                plain += struct.pack(">I", len(word)) + word
        return self._deflate.compress(plain) + self._deflate.flush(zlib.Z_SYNC_FLUSH)


def _number(payload: bytes) -> int:
    return int(struct.unpack_from(">I", payload)[0]) & 0x7FFFFFFF


def _frame(kind: int, payload: bytes, flags: int = 0) -> bytes:
    return struct.pack(">HHI", 0x8000 | _VERSION, kind, flags << 24 | len(payload)) + payload
