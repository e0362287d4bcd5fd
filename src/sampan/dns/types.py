"""What flows through the plugin chain.

Names are tuples of lower-case labels without the root, most specific first: ("www", "example", "com").
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Protocol

Name = tuple[str, ...]

NOERROR, SERVFAIL, NXDOMAIN = 0, 2, 3


class Rr(NamedTuple):
    """One record; `data` is its presentation form ("10.0.0.1", "0 100 80 web.default.svc.cluster.local.")."""

    name: Name
    type: str
    ttl: int
    data: str


@dataclass(frozen=True)
class Query:
    """One question. `wire` is the whole message as it came, for forwarding; `tcp` how it came."""

    name: Name
    type: str
    wire: bytes
    tcp: bool = False


@dataclass(frozen=True)
class Answer:
    """A plugin's answer. `chase` names a CNAME's target that the chain resolves on the client's behalf.

    `wire` is set instead of records when an upstream server's message is passed on. `keep` says for how many seconds
    the encoded answer may be served again, 0 not at all.
    """

    rcode: int = NOERROR
    records: tuple[Rr, ...] = ()
    authority: tuple[Rr, ...] = ()
    chase: Name | None = None
    wire: bytes = b""
    keep: float = 0.0


class Plugin(Protocol):
    async def answer(self, query: Query) -> Answer | None:
        """The answer, or None: not mine, ask the next."""
        ...


def text(name: Name) -> str:
    return ".".join(name) + "."


def parse(text: str) -> Name:
    """Labels of a presentation-form name; the trailing dot does not matter."""
    return tuple(label for label in text.lower().rstrip(".").split(".") if label)
