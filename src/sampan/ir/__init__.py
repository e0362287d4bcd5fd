"""The intermediate representation: what a proxy shall do, between users' objects and Envoy's messages.

Translators (`gateway`, later `mesh`) produce it, `xds` consumes it. Frozen dataclasses of plain values: equal means
nothing to do, and parts that did not change stay the same objects, so a builder may keep what it made of them.
It knows neither Kubernetes kinds nor Envoy's messages. Durations are seconds, sizes are bytes, ratios are 0 to 1.
"""

from sampan.ir.cluster import UNSENT, Cluster, Endpoint, Endpoints, Lb, Retry, UpstreamTls
from sampan.ir.common import HeaderChanges, Kind, Origin, ValueMatch
from sampan.ir.listener import Http, Listener, ListenerTls, Protocol, SniChain, Tcp, Weighted
from sampan.ir.passwords import SUPPORTED_HASHES, supported_hash
from sampan.ir.policy import (
    BasicAuth,
    Cors,
    CustomErrors,
    ExternalAuth,
    IpAccess,
    Policies,
    RateLimit,
    SessionCookie,
)
from sampan.ir.proxy import Proxy, Secret
from sampan.ir.route import (
    Forward,
    Match,
    Mirror,
    PathKind,
    PathMatch,
    Redirect,
    Respond,
    Rewrite,
    Route,
    RouteTable,
    Target,
    VirtualHost,
)

__all__ = [
    "SUPPORTED_HASHES",
    "UNSENT",
    "BasicAuth",
    "Cluster",
    "Cors",
    "CustomErrors",
    "Endpoint",
    "Endpoints",
    "ExternalAuth",
    "Forward",
    "HeaderChanges",
    "Http",
    "IpAccess",
    "Kind",
    "Lb",
    "Listener",
    "ListenerTls",
    "Match",
    "Mirror",
    "Origin",
    "PathKind",
    "PathMatch",
    "Policies",
    "Protocol",
    "Proxy",
    "RateLimit",
    "Redirect",
    "Respond",
    "Retry",
    "Rewrite",
    "Route",
    "RouteTable",
    "Secret",
    "SessionCookie",
    "SniChain",
    "Target",
    "Tcp",
    "UpstreamTls",
    "ValueMatch",
    "VirtualHost",
    "Weighted",
    "supported_hash",
]
