"""What the simulator is asked and what it answers."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from sampan.ir import Origin


@dataclass(frozen=True, slots=True)
class Request:
    """`port` is the listener's (where the proxy itself listens), `host` what the client writes into Host.

    `sni` None is the host's name. `certificate`: the client shows one that is trusted. `headers` come as they are
    sent, `body` is the length of what follows them.
    """

    method: str = "GET"
    host: str = ""
    path: str = "/"
    port: int = 80
    tls: bool = False
    sni: str | None = None
    certificate: bool = False
    headers: tuple[tuple[str, str], ...] = ()
    body: int = 0
    client: str = "127.0.0.1"

    @property
    def scheme(self) -> str:
        return "https" if self.tls else "http"


class Stage(StrEnum):
    LISTENER = "listener"
    CHAIN = "chain"
    REQUEST = "request"
    HOST = "host"
    ROUTE = "route"
    FILTER = "filter"
    REWRITE = "rewrite"
    HEADERS = "headers"
    CLUSTER = "cluster"
    ENDPOINTS = "endpoints"
    ANSWER = "answer"


@dataclass(frozen=True, slots=True)
class Step:
    """One decision. `name` is of the part of the configuration that made it, `origin` the object behind that part."""

    stage: Stage
    text: str
    ok: bool = True
    name: str = ""
    origin: Origin | None = None


@dataclass(frozen=True, slots=True)
class Member:
    address: str
    weight: int = 1
    state: str = "healthy"


@dataclass(frozen=True, slots=True)
class End:
    """How it ends for a `share` of such requests.

    `status` 0: the upstream answers, `cluster`, `path` and `host` are what it is sent. Otherwise the proxy answers
    by itself (-1: it closes the connection). `headers` of the request that are changed: None is removed.
    `answer_headers`: those that the configuration adds to the answer (None: taken from it). `asks`: filters that may
    answer instead, for reasons that only the moment knows.
    """

    share: float = 1.0
    status: int = 0
    steps: tuple[Step, ...] = ()
    cluster: str = ""
    members: tuple[Member, ...] = ()
    path: str = ""
    host: str = ""
    headers: tuple[tuple[str, str | None], ...] = ()
    answer_headers: tuple[tuple[str, str | None], ...] = ()
    location: str = ""
    body: str = ""
    asks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Walk:
    """`steps` are what all such requests have in common; then chance (weights, fractions) chooses one of `ends`."""

    steps: tuple[Step, ...]
    ends: tuple[End, ...] = field(default=())

    @property
    def refused(self) -> bool:
        """Does the proxy itself answer every such request with an error?"""
        return all(end.status == -1 or end.status >= 400 for end in self.ends)
