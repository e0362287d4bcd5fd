"""Datagrams: a client's address and port are a session, which stays with its endpoint until it is idle."""

from __future__ import annotations

from envoy.config.listener.v3 import listener_components_pb2
from envoy.extensions.filters.udp.udp_proxy.v3 import route_pb2, udp_proxy_pb2
from envoy.extensions.matching.common_inputs.network.v3 import network_inputs_pb2
from envoy.extensions.matching.input_matchers.consistent_hashing.v3 import consistent_hashing_pb2
from xds.type.matcher.v3 import matcher_pb2

from sampan import ir
from sampan.xds.build.tcp_proxy import NOBODY
from sampan.xds.messages import Message, duration, extension, typed


def udp_proxy(udp: ir.Tcp, stat_prefix: str) -> Message:
    made = udp_proxy_pb2.UdpProxyConfig(stat_prefix=stat_prefix, idle_timeout=duration(udp.idle_timeout))
    made.matcher.CopyFrom(_choice([target for target in udp.targets if target.weight]))
    return listener_components_pb2.ListenerFilter(name="envoy.filters.udp_listener.udp_proxy", typed_config=typed(made))


def _choice(targets: list[ir.Weighted]) -> Message:
    """By a hash of the client's port, which is another for each session."""
    made = matcher_pb2.Matcher()
    left = sum(target.weight for target in targets)
    for target in targets[:-1]:
        # Of those that came here, the upper `weight` parts of `left` are this target's.
        hashing = consistent_hashing_pb2.ConsistentHashing(threshold=left - target.weight, modulo=left, seed=left)
        one = made.matcher_list.matchers.add()
        source_port = extension("source_port", network_inputs_pb2.SourcePortInput())
        one.predicate.single_predicate.input.name = source_port.name
        one.predicate.single_predicate.input.typed_config.CopyFrom(source_port.typed_config)
        one.predicate.single_predicate.custom_match.name = "share"
        one.predicate.single_predicate.custom_match.typed_config.CopyFrom(typed(hashing))
        _route(one.on_match, target.cluster or NOBODY)
        left -= target.weight
    _route(made.on_no_match, (targets[-1].cluster if targets else "") or NOBODY)
    return made


def _route(made: Message, cluster: str) -> None:
    made.action.name = "route"
    made.action.typed_config.CopyFrom(typed(route_pb2.Route(cluster=cluster)))
