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
        self._bytes = bytearray()
        self._messages = bytearray()

    def read(self) -> int:
        """How many responses were completed."""
        self._bytes += self.socket.recv(1 << 20)
        out, count, at, data = b"", 0, 0, self._bytes
        while len(data) - at >= 9:
            size = int.from_bytes(data[at : at + 3], "big")
            if len(data) - at < 9 + size:
                break
            kind, flags, payload = data[at + 3], data[at + 4], data[at + 9 : at + 9 + size]
            at += 9 + size
            if kind == DATA:
                self._messages += payload
            elif kind == SETTINGS and not flags & ACK:
                out += frame(SETTINGS, ACK, 0, b"")
            elif kind == PING and not flags & ACK:
                out += frame(PING, ACK, 0, bytes(payload))
        del data[:at]
        while len(self._messages) >= 5:
            size = int.from_bytes(self._messages[1:5], "big")
            if len(self._messages) < 5 + size:
                break
            out += message(acknowledgement(bytes(self._messages[5 : 5 + size])))
            del self._messages[: 5 + size]
            count += 1
        if out:
            self.socket.sendall(out)
        return count


def acknowledgement(body: bytes) -> discovery_pb2.DeltaDiscoveryRequest:
    """Without parsing half a megabyte: the server writes version and type first and the nonce last."""
    version = 2 + body[1]
    url = body[version + 2 : version + 2 + body[version + 1]].decode()
    nonce = body[body.rindex(b"\x2a", len(body) - 16) + 2 :].decode()
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
