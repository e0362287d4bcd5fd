"""Which request goes where."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from sampan.ir.common import HeaderChanges, Origin, ValueMatch
from sampan.ir.policy import Policies


class PathKind(StrEnum):
    """PREFIX compares characters, SEGMENTS whole path elements (/a matches /a and /a/b, not /ab).

    REGEX is RE2 and matches the whole path. The query is never part of it.
    """

    EXACT = "exact"
    PREFIX = "prefix"
    SEGMENTS = "segments"
    REGEX = "regex"


@dataclass(frozen=True, slots=True)
class PathMatch:
    """`ignore_case` holds for all kinds."""

    value: str = "/"
    kind: PathKind = PathKind.PREFIX
    ignore_case: bool = False


@dataclass(frozen=True, slots=True)
class Match:
    """All conditions must hold. `method` "" is any.

    `share` of the requests: the dice are thrown once a request, so that successive routes with 0.2, 0.5 and 1.0 take
    20, 30 and 50 %.
    """

    path: PathMatch = PathMatch()
    method: str = ""
    headers: tuple[ValueMatch, ...] = ()
    query: tuple[ValueMatch, ...] = ()
    cookies: tuple[ValueMatch, ...] = ()
    share: float = 1.0


@dataclass(frozen=True, slots=True)
class Rewrite:
    r"""What becomes of the path and Host before the request is sent on. At most one of the path fields is set.

    `full`: the whole path. `prefix`: replaces what a PREFIX or SEGMENTS match took. `regex`: (RE2 pattern,
    substitution with \1 …) over the path. `host`: the new Host header, "" keeps it.
    """

    full: str | None = None
    prefix: str | None = None
    regex: tuple[str, str] | None = None
    host: str = ""


@dataclass(frozen=True, slots=True)
class Target:
    """A cluster with its share. The header changes are only for requests that go there, and their answers.

    The cluster "" is nobody: its share of the requests gets 500.
    """

    cluster: str
    weight: int = 1
    request_headers: HeaderChanges = HeaderChanges()
    response_headers: HeaderChanges = HeaderChanges()


@dataclass(frozen=True, slots=True)
class Mirror:
    """A copy of a `share` of the requests goes there; its answer is thrown away."""

    cluster: str
    share: float = 1.0
    host: str = ""


@dataclass(frozen=True, slots=True)
class Forward:
    """Send the request to one of `targets`, chosen by weight for each request.

    `timeout`: until the whole answer is there, 0 is for ever; `idle_timeout`: without a byte in either direction, 0 is
    for ever; `try_timeout`: of a single try, where the cluster has retries, 0 is for ever. `upgrades`: protocols a
    connection may be upgraded to ("websocket").
    `hash_on`: what consistent hashing looks at: "header:NAME", "cookie:NAME", "source-ip", "path", "query:NAME".
    """

    targets: tuple[Target, ...]
    rewrite: Rewrite | None = None
    timeout: float = 0.0
    idle_timeout: float = 300.0
    try_timeout: float = 0.0
    mirrors: tuple[Mirror, ...] = ()
    upgrades: tuple[str, ...] = ("websocket",)
    hash_on: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Redirect:
    """`scheme`, `host` "" and `port` 0 keep the request's (with another host, port 0 is the scheme's own). `path` is as
    in a Rewrite; its host is unused. Codes: 301, 302, 303, 307, 308.

    `keep_query` False drops the query.
    """

    code: int = 302
    scheme: str = ""
    host: str = ""
    port: int = 0
    path: Rewrite | None = None
    keep_query: bool = True


@dataclass(frozen=True, slots=True)
class Respond:
    """The proxy answers by itself."""

    status: int
    body: str = ""
    content_type: str = "text/plain"


@dataclass(frozen=True, slots=True)
class Route:
    """`name` is unique in its virtual host and shown to people."""

    name: str
    match: Match
    action: Forward | Redirect | Respond
    policies: Policies = Policies()
    request_headers: HeaderChanges = HeaderChanges()
    response_headers: HeaderChanges = HeaderChanges()
    origin: Origin | None = None


@dataclass(frozen=True, slots=True)
class VirtualHost:
    """`domains`: "a.example.com", "*.example.com" (one or more labels), "*"; unique over the table, the most specific
    wins. Ports in the Host header do not count. The first route that matches is taken; none: 404."""

    name: str
    domains: tuple[str, ...]
    routes: tuple[Route, ...]


@dataclass(frozen=True, slots=True)
class RouteTable:
    """`not_found` answers for hosts and paths that nobody has; it belongs to the dialect. So do `request_headers`,
    which every request gets that is sent on, after those of its route."""

    name: str
    hosts: tuple[VirtualHost, ...]
    not_found: Respond = Respond(404)
    request_headers: HeaderChanges = HeaderChanges()
