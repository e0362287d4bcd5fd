"""What happens to a request besides being sent on: each field of `Policies` is one HTTP filter of the proxy.

Put on a route; a route without a policy pays nothing for it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from sampan.ir.common import HeaderChanges, Kind, ValueMatch


@dataclass(frozen=True, slots=True)
class Cors:
    """Preflights are answered by the proxy. `origins`: matches on the Origin header's value (`name` unused)."""

    origins: tuple[ValueMatch, ...] = (ValueMatch("origin", kind=Kind.PRESENT),)
    methods: tuple[str, ...] = ()
    headers: tuple[str, ...] = ()
    expose: tuple[str, ...] = ()
    credentials: bool = False
    max_age: float | None = None


@dataclass(frozen=True, slots=True)
class BasicAuth:
    """`users`: (name, hash as htpasswd writes it: {SHA}…, $apr1$…, …). 401 with the realm otherwise."""

    users: tuple[tuple[str, str], ...] = field(repr=False)
    realm: str = ""


@dataclass(frozen=True, slots=True)
class ExternalAuth:
    """Ask another service first: 2xx lets pass, anything else is the client's answer.

    `cluster` and `path` (with query; may hold %…% commands) are asked by `method` ("" as the request), with `host` as
    Host. `request_headers`: more headers of the request to hand over ("*" all); `set_headers`: added to the question.
    `response_headers`: those of a 2xx answer that go on to the upstream. `signin`: instead of a 401, a 302 to this URL
    (may hold %…% commands). `grpc`: Envoy's CheckRequest by gRPC. `fail_open`: pass when nobody answers.
    """

    cluster: str
    host: str
    path: str
    method: str = ""
    request_headers: tuple[str, ...] = ("*",)
    set_headers: HeaderChanges = HeaderChanges()
    response_headers: tuple[str, ...] = ()
    signin: str = ""
    timeout: float = 5.0
    grpc: bool = False
    fail_open: bool = False
    body_limit: int = 0


@dataclass(frozen=True, slots=True)
class IpAccess:
    """CIDRs. With `allow`, all others get 403; `deny` is looked at first."""

    allow: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RateLimit:
    """A token bucket: `requests` a `period` seconds, `burst` at once; a client address each when `per_client`.

    `exempt`: CIDRs that are not counted, the same for all limits of a route. `status` is the answer when the bucket is
    empty.
    """

    requests: int
    period: float
    burst: int
    per_client: bool = True
    exempt: tuple[str, ...] = ()
    status: int = 429


@dataclass(frozen=True, slots=True)
class SessionCookie:
    """The same client comes to the same endpoint as long as that endpoint is there. `ttl` 0 is a session cookie."""

    name: str
    path: str = "/"
    ttl: float = 0.0
    same_site: str = ""
    secure: bool = False
    http_only: bool = True
    domain: str = ""


@dataclass(frozen=True, slots=True)
class CustomErrors:
    """Answers of the upstream with one of these codes are replaced by what `cluster` says to GET `path`.

    The code stays; `headers` are added to that request (X-Code, …; %…% commands allowed).
    """

    codes: tuple[int, ...]
    cluster: str
    host: str = ""
    path: str = "/"
    headers: HeaderChanges = HeaderChanges()


@dataclass(frozen=True, slots=True)
class Policies:
    """All of a route. `max_body`: a larger request body gets 413, 0 is no limit.

    `any_auth`: one of `ip_access` and the auth policies is enough (nginx's `satisfy any`); an ExternalAuth by gRPC must
    agree all the same.
    """

    cors: Cors | None = None
    basic_auth: BasicAuth | None = None
    external_auth: ExternalAuth | None = None
    ip_access: IpAccess | None = None
    rate_limits: tuple[RateLimit, ...] = ()
    session: SessionCookie | None = None
    errors: CustomErrors | None = None
    max_body: int = 0
    any_auth: bool = False
