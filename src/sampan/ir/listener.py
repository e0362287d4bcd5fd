"""Where a proxy listens and what it does with a connection."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from sampan.ir.common import Origin


class Protocol(StrEnum):
    """TCP carries HTTP, TLS and plain streams: what follows is said by the chains."""

    TCP = "tcp"
    UDP = "udp"


@dataclass(frozen=True, slots=True)
class Weighted:
    """A share of traffic. `weight` is relative to the others'; 0 gets none.

    The cluster "" is nobody: its share of the connections is closed at once.
    """

    cluster: str
    weight: int = 1


@dataclass(frozen=True, slots=True)
class Http:
    """HTTP/1.1 and HTTP/2 (by ALPN, or prior knowledge without TLS), routed by a table.

    `table` is a key of Proxy.tables. `misdirected`: answer 421 when the Host does not belong to this chain's SNI names.
    `access_log`: a line a request to stdout. `trusted_hops`: proxies in front of this one whose X-Forwarded-For
    counts. `server_name` is the Server header ("" passes the upstream's on).
    """

    table: str
    misdirected: bool = False
    access_log: bool = False
    trusted_hops: int = 0
    server_name: str = ""


@dataclass(frozen=True, slots=True)
class Tcp:
    """Bytes to one of the clusters, chosen anew for each connection (or UDP session). No targets: closed at once."""

    targets: tuple[Weighted, ...]
    idle_timeout: float = 3600.0
    origin: Origin | None = None


@dataclass(frozen=True, slots=True)
class ListenerTls:
    """Terminate TLS. `certificates`, `client_ca` are keys of Proxy.secrets.

    `client_required`: refuse clients without a certificate (only with `client_ca`); `client_insecure`: take any
    certificate, checked or not. `minimum`, `maximum`: "1.2" or "1.3", "" for the proxy's default.
    """

    certificates: tuple[str, ...]
    client_ca: str = ""
    client_required: bool = True
    client_insecure: bool = False
    alpn: tuple[str, ...] = ("h2", "http/1.1")
    minimum: str = ""
    maximum: str = ""
    ciphers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SniChain:
    """What to do with connections whose SNI is one of `names` ("*.example.com" allowed); () takes all others.

    `tls` None with names set is TLS passthrough: the SNI is read, the bytes are passed on as they are.
    """

    name: str
    handler: Http | Tcp
    names: tuple[str, ...] = ()
    tls: ListenerTls | None = None
    origin: Origin | None = None


@dataclass(frozen=True, slots=True)
class Listener:
    """A port of the proxy. The most specific SNI wins, whatever the order of the chains."""

    name: str
    port: int
    chains: tuple[SniChain, ...]
    protocol: Protocol = Protocol.TCP
    address: str = "0.0.0.0"
    proxy_protocol: bool = False
    origin: Origin | None = None
