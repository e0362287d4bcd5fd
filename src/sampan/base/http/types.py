"""What a handler sees and answers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Protocol
from urllib.parse import parse_qsl


@dataclass(slots=True)
class Request:
    """One request with its whole body. Header names are lower case; repeated headers are joined with ", ".

    `path` is percent-decoded, `target` is the request target as it came. `certificate` is the client's certificate
    (DER) when it sent one that our CA signed.
    """

    method: str
    target: str
    path: str
    query_string: str
    headers: dict[str, str]
    body: bytes = b""
    peer: str = ""
    certificate: bytes | None = None

    @property
    def query(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for key, value in parse_qsl(self.query_string, keep_blank_values=True):
            found.setdefault(key, []).append(value)
        return found

    @property
    def upgrade(self) -> str:
        """The protocol asked for ("websocket", "spdy/3.1"), lower case, or ""."""
        if "upgrade" not in self.headers.get("connection", "").lower():
            return ""
        return self.headers.get("upgrade", "").lower()


class Raw(Protocol):
    """A connection after an upgrade: bytes both ways."""

    async def read(self) -> bytes:
        """The next bytes, b"" at the end."""
        ...

    async def write(self, data: bytes) -> None:
        """Send; waits while the peer reads too slowly."""
        ...

    def close(self) -> None: ...


@dataclass(slots=True)
class Response:
    """A whole answer. `headers` beyond content-length and date, which the server adds."""

    status: int
    body: bytes = b""
    headers: list[tuple[str, str]] = field(default_factory=list)


@dataclass(slots=True)
class Stream:
    """An answer of unknown length, sent chunked. The iterator is closed (`aclose`) when the client goes away.

    A client that does not read for `stall` seconds while data waits is cut off.
    """

    status: int
    chunks: AsyncIterator[bytes]
    headers: list[tuple[str, str]] = field(default_factory=list)
    stall: float = 30.0


@dataclass(slots=True)
class Upgrade:
    """`101 Switching Protocols` with these headers (when `status` is 101), then `run` owns the connection.

    With status 0 nothing is sent: `run` writes the whole answer itself (proxying an upgrade).
    """

    run: Callable[[Raw], Awaitable[None]]
    headers: list[tuple[str, str]] = field(default_factory=list)
    status: int = 101


Handler = Callable[[Request], Awaitable[Response | Stream | Upgrade]]
