"""One grpc.health.v1 Check over HTTP/2 without encryption: just enough frames for one unary call.

Neither grpcio (it breaks programs that fork) nor an HTTP/2 library is worth a probe: our headers are written as HPACK
literals, and of the answer only the DATA frame matters, so nothing has to be decompressed.
Sources: RFC 9113, RFC 7541, https://github.com/grpc/grpc/blob/master/doc/health-checking.md
"""

from __future__ import annotations

import asyncio
import struct

from sampan.base.errors import SampanError

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY = 0, 1, 3, 4, 6, 7
END_STREAM, END_HEADERS, ACK, PADDED = 1, 4, 1, 8
STATUSES = {0: "UNKNOWN", 1: "SERVING", 2: "NOT_SERVING", 3: "SERVICE_UNKNOWN"}


class NoHealth(SampanError):
    """The server answered, but not with a health status."""


async def check(host: str, port: int, service: str) -> str:
    """The serving status by its name in STATUSES. Raises OSError (no connection) and NoHealth."""
    reader, writer = await asyncio.open_connection(host, port)
    try:
        writer.write(request(f"{host}:{port}", service))
        return await _answer(reader, writer)
    except asyncio.IncompleteReadError:
        raise NoHealth("the server closed the connection without an answer: is it a gRPC port?") from None
    finally:
        writer.close()


def request(authority: str, service: str) -> bytes:
    """Everything the client sends: preface, settings, headers, and the message HealthCheckRequest{service}."""
    headers = {
        ":method": "POST",
        ":scheme": "http",
        ":path": "/grpc.health.v1.Health/Check",
        ":authority": authority,
        "te": "trailers",
        "content-type": "application/grpc",
        "user-agent": "kube-probe/1.32",
    }
    block = b"".join(b"\0" + _text(name) + _text(value) for name, value in headers.items())
    name = service.encode()
    message = b"\x0a" + _length(len(name)) + name if name else b""
    return (
        PREFACE
        + frame(SETTINGS, 0, 0, b"")
        + frame(HEADERS, END_HEADERS, 1, block)
        + frame(DATA, END_STREAM, 1, struct.pack(">BI", 0, len(message)) + message)
    )


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> str:
    body = b""
    while True:
        head = await reader.readexactly(9)
        length = int.from_bytes(head[:3], "big")
        kind, flags, stream = struct.unpack(">BBI", head[3:])
        if length > 1 << 20:
            raise NoHealth("the server does not speak gRPC on this port")
        payload = await reader.readexactly(length)
        if kind == SETTINGS and not flags & ACK:
            writer.write(frame(SETTINGS, ACK, 0, b""))
        elif kind == PING and not flags & ACK:
            writer.write(frame(PING, ACK, 0, payload))
        elif kind == DATA and stream == 1:
            body += payload[1 : -payload[0] or None] if flags & PADDED else payload
        elif kind in (GOAWAY, RST_STREAM):
            raise NoHealth("the server refused the call")
        if kind in (DATA, HEADERS) and stream == 1 and flags & END_STREAM:
            return _status(body)


def _status(body: bytes) -> str:
    """The enum of HealthCheckResponse, field 1; an empty message is the enum's zero."""
    if len(body) < 5:
        raise NoHealth("this server does not implement the grpc health protocol or does not know the service")
    message = body[5:]
    value = message[1] if len(message) > 1 and message[0] == 8 else 0
    return STATUSES.get(value, "UNKNOWN")


def _text(text: str) -> bytes:
    raw = text.encode()
    if len(raw) < 127:
        return bytes([len(raw)]) + raw
    return b"\x7f" + _length(len(raw) - 127) + raw


def _length(number: int) -> bytes:
    """A base-128 number, low bits first: protobuf's varint and the tail of an HPACK integer."""
    out = b""
    while number > 127:
        out += bytes([number & 127 | 128])
        number >>= 7
    return out + bytes([number])
