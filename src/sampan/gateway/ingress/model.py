"""What one Ingress says, understood but not yet merged with the others of its hosts."""

from __future__ import annotations

from dataclasses import dataclass, field

from sampan.gateway.types import Notice, Ref
from sampan.ir import (
    UNSENT,
    Cluster,
    Forward,
    HeaderChanges,
    Lb,
    ListenerTls,
    Origin,
    Policies,
    Redirect,
    Respond,
    Retry,
    Secret,
    Tcp,
    UpstreamTls,
)

TABLE = "ingress"  # of routes
CATCH_ALL = ""  # the host of rules that name none


@dataclass(frozen=True, slots=True)
class Backend:
    """A port of a Service that is there. `dns`: of an ExternalName Service. `vip`: its cluster IP."""

    namespace: str
    service: str
    port: int
    dns: tuple[str, int] | None = None
    vip: str = ""
    http2: bool = False

    def __str__(self) -> str:
        return f"{self.namespace}/{self.service}/{self.port}"


@dataclass(frozen=True, slots=True)
class Upstream:
    """How an Ingress wants to speak to its backends: what clusters differ in besides their endpoints."""

    protocol: str = "HTTP"
    connect_timeout: float = 5.0
    lb: Lb = Lb.ROUND_ROBIN
    max_requests: int = 0
    by_vip: bool = False
    tls: UpstreamTls = UpstreamTls()
    retry: Retry | None = UNSENT


@dataclass(frozen=True, slots=True)
class Canary:
    """`weight` of `total`; conditions in this order: header, cookie, weight. `pattern`: RE2, a part of the value."""

    header: str = ""
    value: str = ""
    pattern: str = ""
    cookie: str = ""
    weight: int = 0
    total: int = 100


@dataclass(frozen=True, slots=True)
class Behavior:
    """What an Ingress's annotations ask for on each of its paths.

    `forward` is without targets and rewrite. `host`: the Host header for the backend. `redirect`: the paths do not
    go to a backend. `ssl_redirect` counts when the host has a certificate, `force_ssl` always. `denied`: the answer
    instead of everything else.
    """

    forward: Forward = Forward(())
    policies: Policies = Policies()
    request_headers: HeaderChanges = HeaderChanges()
    response_headers: HeaderChanges = HeaderChanges()
    upstream: Upstream = Upstream()
    rewrite: str = ""
    use_regex: bool = False
    redirect: Redirect | None = None
    ssl_redirect: bool = True
    force_ssl: bool = False
    session_path: str = ""
    host: str = ""
    denied: Respond | None = None


@dataclass(frozen=True, slots=True)
class Location:
    """One path. `kind` is its pathType. `backend` a Respond when there is none to send to."""

    path: str
    kind: str
    backend: Backend | Respond
    behavior: Behavior
    origin: Origin
    ref: Ref

    @property
    def rewrites(self) -> bool:
        return bool(self.behavior.rewrite) and self.behavior.rewrite != self.path

    @property
    def regex(self) -> bool:
        return self.rewrites or self.behavior.use_regex


@dataclass(frozen=True, slots=True)
class Certificate:
    """What a host's TLS needs. `secret`: key of the representation's secrets, "" for the default certificate."""

    secret: str = ""


@dataclass(frozen=True, slots=True)
class HostPart:
    """What one Ingress says about one host. `default`: what takes the paths that no rule has."""

    host: str
    locations: tuple[Location, ...]
    default: Location | None = None
    certificate: Certificate | None = None
    client_auth: ListenerTls | None = None
    aliases: tuple[str, ...] = ()
    app_root: str = ""
    www_redirect: bool = False
    passthrough: bool = False


@dataclass(frozen=True, slots=True)
class Compiled:
    """One Ingress. `age` orders them, the oldest first. `canary` None: it has routes of its own.

    `clusters`: those that its policies ask (authentication, mirrors, error pages); its backends' come with the hosts.
    """

    ref: Ref
    age: tuple[str, str, str]
    parts: tuple[HostPart, ...] = ()
    canary: Canary | None = None
    clusters: tuple[Cluster, ...] = ()
    secrets: tuple[Secret, ...] = ()
    notices: tuple[Notice, ...] = ()


@dataclass(frozen=True, slots=True)
class Chain:
    """A host that wants a chain of its own at the HTTPS listener: terminated, or passed through to `tcp`."""

    host: str
    certificate: str = ""
    client_auth: ListenerTls | None = None
    tcp: Tcp | None = None
    origin: Origin | None = field(default=None, compare=False)

    @property
    def table(self) -> str:
        """Of routes: one of its own when clients need a certificate."""
        auth = self.client_auth
        return f"{TABLE} {auth.client_ca}" if auth and auth.client_required else TABLE


@dataclass(slots=True)
class Extras:
    """What the behaviour refers to."""

    clusters: list[Cluster] = field(default_factory=list)
    secrets: list[Secret] = field(default_factory=list)
