"""Listeners: an address, the filters that look at a connection first, and its chains."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from envoy.config.listener.v3 import listener_components_pb2, listener_pb2, udp_listener_config_pb2
from envoy.extensions.filters.listener.proxy_protocol.v3 import proxy_protocol_pb2
from envoy.extensions.filters.listener.tls_inspector.v3 import tls_inspector_pb2

from sampan import ir
from sampan.xds.build.chains import Surroundings, chain
from sampan.xds.build.udp_proxy import udp_proxy
from sampan.xds.messages import Message, address, resource, serialized, typed, uint32
from sampan.xds.types import Resource

# A connection's bytes in memory, as the best practices say.
BUFFER = 32 * 1024


def listener_resource(wanted: ir.Listener, around: Surroundings) -> Resource | None:
    """None when no chain can serve."""
    udp = wanted.protocol is ir.Protocol.UDP
    made = listener_pb2.Listener(name=wanted.name, address=address(wanted.address, wanted.port, udp))
    if udp:
        _udp(made, wanted)
    else:
        _tcp(made, wanted, around)
        if not (made.filter_chains or made.HasField("default_filter_chain")):
            return None
    return resource(wanted.name, serialized(made), _origins(wanted))


def _udp(made: Message, wanted: ir.Listener) -> None:
    made.udp_listener_config.CopyFrom(udp_listener_config_pb2.UdpListenerConfig())
    handlers = [one.handler for one in wanted.chains if isinstance(one.handler, ir.Tcp)]
    made.listener_filters.append(udp_proxy(handlers[0] if handlers else ir.Tcp(()), wanted.name))


def _tcp(made: Message, wanted: ir.Listener, around: Surroundings) -> None:
    made.per_connection_buffer_limit_bytes.CopyFrom(uint32(BUFFER))
    if wanted.proxy_protocol:
        made.listener_filters.append(_filter("proxy_protocol", proxy_protocol_pb2.ProxyProtocol()))
    for one, names in _distinct(wanted.chains):
        built = chain(one, names, around, wanted.name)
        if built is None:
            continue
        if names:
            made.filter_chains.append(built)
        else:
            made.default_filter_chain.CopyFrom(built)
    # Reading the SNI before anything else costs each connection a look: only where it decides.
    if made.filter_chains:
        made.listener_filters.append(_filter("tls_inspector", tls_inspector_pb2.TlsInspector()))


def _distinct(chains: Iterable[ir.SniChain]) -> Iterator[tuple[ir.SniChain, tuple[str, ...]]]:
    """A name belongs to the first chain that has it: Envoy refuses a listener in which two have the same."""
    taken: set[str] = set()
    for one in chains:
        names = tuple(dict.fromkeys(name.lower() for name in one.names))
        everything = not names or "*" in names
        mine = ("*",) if everything else tuple(name for name in names if name not in taken)
        if mine and not (everything and "*" in taken):
            taken.update(mine)
            yield one, () if everything else mine


def _filter(name: str, config: Message) -> Message:
    return listener_components_pb2.ListenerFilter(name=f"envoy.filters.listener.{name}", typed_config=typed(config))


def _origins(wanted: ir.Listener) -> Iterator[ir.Origin | None]:
    yield wanted.origin
    for one in wanted.chains:
        yield one.origin
        if isinstance(one.handler, ir.Tcp):
            yield one.handler.origin
