"""Where requests end: clusters, and the endpoints that several clusters may share."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from sampan.ir.common import Origin


class Lb(StrEnum):
    ROUND_ROBIN = "round-robin"
    LEAST_REQUEST = "least-request"
    RANDOM = "random"
    RING_HASH = "ring-hash"
    MAGLEV = "maglev"


@dataclass(frozen=True, slots=True)
class Retry:
    """Try again, elsewhere when there is an elsewhere.

    `on`: Envoy's names of conditions ("connect-failure", "reset", "5xx", …); `codes`: statuses to retry.
    `attempts`: tries beyond the first. `backoff`: 0 is the proxy's default.
    """

    attempts: int
    on: tuple[str, ...]
    codes: tuple[int, ...] = ()
    backoff: float = 0.0


UNSENT = Retry(2, ("connect-failure", "refused-stream", "reset-before-request"))
"""What has not reached anybody may always be sent elsewhere."""


@dataclass(frozen=True, slots=True)
class UpstreamTls:
    """Speak TLS to the endpoints.

    `sni` is sent ("" none); `ca`: key of Proxy.secrets to check the answer's certificate with ("" none, "system" the
    machine's own roots); `names`: DNS or URI SANs of which one must be there; `client_certificate`: key of
    Proxy.secrets.
    """

    sni: str = ""
    ca: str = ""
    names: tuple[str, ...] = ()
    client_certificate: str = ""
    minimum: str = ""
    maximum: str = ""
    ciphers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Cluster:
    """One way of speaking to a set of endpoints.

    `endpoints` is a key of Proxy.endpoints, or `dns` says (host name, port) to be resolved by the proxy. `service` is
    what people are told when nobody answers ("default/gin-demo"). `http2`: speak it to the endpoints, with `http2_auto`
    whatever ALPN finds. `max_requests`, `max_connections`: 0 is no limit; more at once are refused with 503.
    `retry` None: one try.
    """

    name: str
    endpoints: str = ""
    dns: tuple[str, int] | None = None
    service: str = ""
    http2: bool = False
    http2_auto: bool = False
    tls: UpstreamTls | None = None
    lb: Lb = Lb.ROUND_ROBIN
    connect_timeout: float = 5.0
    max_connections: int = 0
    max_requests: int = 0
    retry: Retry | None = UNSENT
    origin: Origin | None = None


@dataclass(frozen=True, slots=True)
class Endpoint:
    """`draining`: finishes what it has begun and gets nothing new unless nobody else is left."""

    ip: str
    port: int
    weight: int = 1
    zone: str = ""
    draining: bool = False


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Who stands behind a port of a Service. `members` are sorted by (ip, port)."""

    name: str
    members: tuple[Endpoint, ...]
