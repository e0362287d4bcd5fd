"""Many light ADS clients in one process: HTTP/2 by hand, so that what is measured is the server.

Each subscribes to what an Envoy would and acknowledges every response at once. After a line on stdin "N" it waits until
N responses in all have come since the line before, and prints the monotonic time of the last one's last byte.
"""

from __future__ import annotations

import selectors
import socket
import struct
import sys
import time

from envoy.service.discovery.v3 import discovery_pb2

from sampan.xds.types import CLUSTER, ENDPOINTS, LISTENER, ROUTES

METHOD = "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources"
DATA, HEADERS, SETTINGS, PING, WINDOW_UPDATE = 0, 1, 4, 6, 8
ACK = 1
WIDE = 0x7FFFFFFF
BUFFER = bytearray(1 << 20)
KEPT = 200


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return struct.pack(">I", len(payload))[1:] + bytes((kind, flags)) + struct.pack(">I", stream) + payload


def message(request: discovery_pb2.DeltaDiscoveryRequest) -> bytes:
    body = request.SerializeToString()
    return frame(DATA, 0, 1, b"\0" + struct.pack(">I", len(body)) + body)


def opening(kind: str, node: str, endpoints: list[str], tables: list[str]) -> bytes:
    def literal(name: str, value: str) -> bytes:
        return b"\0" + bytes((len(name),)) + name.encode() + bytes((len(value),)) + value.encode()

    headers = {":method": "POST", ":scheme": "http", ":path": METHOD, ":authority": "xds", "te": "trailers"}
    headers["content-type"] = "application/grpc"
    settings = struct.pack(">HI", 4, WIDE) + struct.pack(">HI", 5, (1 << 24) - 1)
    out = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(SETTINGS, 0, 0, settings)
    out += frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", WIDE - 65535))
    out += frame(HEADERS, 4, 1, b"".join(literal(*header) for header in headers.items()))
    for url, names in ((CLUSTER, ["*"]), (ENDPOINTS, endpoints), (LISTENER, ["*"]), (ROUTES, tables)):
        request = discovery_pb2.DeltaDiscoveryRequest(type_url=url, resource_names_subscribe=names)
        request.node.id, request.node.cluster = node, kind
        out += message(request)
    return out


class Reader:
    def __init__(self, port: int, first: bytes) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.sendall(first)
        self._responses = Responses()
        self._rest = b""
        self._payload = 0  # bytes of a DATA frame that are still to come

    def read(self) -> int:
        """How many responses were completed."""
        got = self.socket.recv_into(BUFFER)
        data = memoryview(self._rest + BUFFER[:got]) if self._rest else memoryview(BUFFER)[:got]
        self._rest = b""
        out, acks = b"", []
        while data:
            if self._payload:
                acks += self._responses.feed(data[: self._payload])
                taken = min(self._payload, len(data))
                self._payload -= taken
                data = data[taken:]
                continue
            size = int.from_bytes(data[:3], "big")
            is_data = len(data) >= 9 and data[3] == DATA
            if len(data) < 9 + (0 if is_data else size):
                self._rest = bytes(data)
                break
            if is_data:
                self._payload, data = size, data[9:]
                continue
            kind, flags, payload = data[3], data[4], bytes(data[9 : 9 + size])
            if kind in (SETTINGS, PING) and not flags & ACK:
                out += frame(kind, ACK, 0, payload if kind == PING else b"")
            data = data[9 + size :]
        out += b"".join(acks)
        if out:
            self.socket.sendall(out)
        return len(acks)


class Responses:
    """The responses in the payloads of DATA frames. Half a megabyte is not parsed for its nonce: the server writes
    version and type first and the nonce last, so head and tail are kept and the bytes between are only counted."""

    def __init__(self) -> None:
        self._start()

    def _start(self) -> None:
        self._prefix, self._left, self._head, self._tail = b"", 0, b"", b""

    def feed(self, data: memoryview) -> list[bytes]:
        """The acknowledgements of those that are complete."""
        acks = []
        while data:
            if len(self._prefix) < 5:
                part = bytes(data[: 5 - len(self._prefix)])
                self._prefix, data = self._prefix + part, data[len(part) :]
                self._left = int.from_bytes(self._prefix[1:], "big") if len(self._prefix) == 5 else 0
                continue
            part, data = data[: self._left], data[self._left :]
            self._left -= len(part)
            if len(self._head) < KEPT:
                self._head += part[:KEPT]
            self._tail = (self._tail + bytes(part[-KEPT:]))[-KEPT:]
            if not self._left:
                acks.append(message(acknowledgement(self._head, self._tail)))
                self._start()
        return acks


def acknowledgement(head: bytes, tail: bytes) -> discovery_pb2.DeltaDiscoveryRequest:
    version = 2 + head[1]
    url = head[version + 2 : version + 2 + head[version + 1]].decode()
    nonce = tail[tail.rindex(b"\x2a", len(tail) - 16) + 2 :].decode()
    return discovery_pb2.DeltaDiscoveryRequest(type_url=url, response_nonce=nonce)


def main(port: int, kind: str, count: int, services: int) -> None:
    endpoints = [f"e{n}" for n in range(services)]
    readers = [Reader(port, opening(kind, f"reader-{n}", endpoints, ["t"])) for n in range(count)]
    selector = selectors.DefaultSelector()
    for reader in readers:
        selector.register(reader.socket, selectors.EVENT_READ, reader)
    selector.register(sys.stdin, selectors.EVENT_READ)
    wanted, came, last = 0, 0, 0.0
    while True:
        for key, _ in selector.select():
            if key.data is None:
                line = sys.stdin.readline()
                if not line:
                    return
                wanted = int(line)
                continue
            if answered := key.data.read():
                came += answered
                last = time.monotonic()
        if wanted and came >= wanted:
            print(last, flush=True)
            wanted, came = 0, 0


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
