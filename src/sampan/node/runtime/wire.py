"""The talk between agent and spawner: length-prefixed JSON over a unix stream, file descriptors beside it.

    request   {"id": n, "do": "start", …}
    reply     {"id": n, "result": …} or {"id": n, "error": text}
    push      {"state": {…}} a container changed; {"exec": id, "code": n} an exec'd process ended

"fds": n in a frame says how many descriptors travel with it. Standard library only.
"""

from __future__ import annotations

import json
import socket
import struct
from collections.abc import Iterator
from typing import Any

Message = dict[str, Any]

_LENGTH = struct.Struct("!I")
MAX_FDS = 64
MAX_FRAME = 64 << 20


def frame(message: Message) -> bytes:
    body = json.dumps(message, separators=(",", ":")).encode()
    return _LENGTH.pack(len(body)) + body


class Reader:
    """Bytes in, messages out. Descriptors arrive no later than the frame they belong to, and in order."""

    def __init__(self) -> None:
        self._data = bytearray()
        self._fds: list[int] = []

    def receive(self, sock: socket.socket) -> Iterator[tuple[Message, list[int]]]:
        """Read once from a socket with data. Raises ConnectionError at its end, BlockingIOError when there is none."""
        data, fds, _, _ = socket.recv_fds(sock, 1 << 18, MAX_FDS)
        if not data:
            raise ConnectionError("the other side closed the connection")
        self._fds += fds
        self._data += data
        return self._messages()

    def _messages(self) -> Iterator[tuple[Message, list[int]]]:
        while len(self._data) >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._data)
            if length > MAX_FRAME:
                raise ConnectionError(f"a frame of {length} bytes")
            end = _LENGTH.size + length
            if len(self._data) < end:
                return
            message = json.loads(self._data[_LENGTH.size : end])
            del self._data[:end]
            count = message.pop("fds", 0)
            fds, self._fds = self._fds[:count], self._fds[count:]
            yield message, fds
