"""Streams of bytes to one of several clusters."""

from __future__ import annotations

from envoy.config.listener.v3 import listener_components_pb2
from envoy.extensions.filters.network.tcp_proxy.v3 import tcp_proxy_pb2

from sampan import ir
from sampan.xds.messages import Message, duration, typed

NOBODY = "none"
"""A cluster that is never there: connections to it are closed at once, requests get 503 or what the route says."""


def tcp_proxy(tcp: ir.Tcp, stat_prefix: str) -> Message:
    made = tcp_proxy_pb2.TcpProxy(stat_prefix=stat_prefix, idle_timeout=duration(tcp.idle_timeout))
    targets = [target for target in tcp.targets if target.weight]
    if len(targets) > 1:
        for target in targets:
            made.weighted_clusters.clusters.add(name=target.cluster or NOBODY, weight=target.weight)
    else:
        made.cluster = (targets[0].cluster if targets else "") or NOBODY
    return listener_components_pb2.Filter(name="envoy.filters.network.tcp_proxy", typed_config=typed(made))
