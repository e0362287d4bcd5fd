"""Which listener, and which of its filter chains: by port, then by SNI.

Source: Envoy's filter_chain_manager_impl.cc
"""

from __future__ import annotations

from collections.abc import Iterator

from sampan.xds import types
from sampan.xds.messages import Message
from sampan.xds.simulate.messages import parsed
from sampan.xds.simulate.types import Request
from sampan.xds.types import Resource, Snapshot

_TLS_INSPECTOR = "envoy.filters.listener.tls_inspector"


def listening(snapshot: Snapshot) -> Iterator[tuple[Resource, Message]]:
    for resource in snapshot.of(types.LISTENER).values():
        yield resource, parsed(types.LISTENER, resource.body)


def by_port(snapshot: Snapshot, port: int) -> tuple[Resource, Message] | None:
    """A TCP listener."""
    for resource, listener in listening(snapshot):
        socket = listener.address.socket_address
        if socket.port_value == port and socket.protocol == socket.TCP:
            return resource, listener
    return None


def server_name(request: Request) -> str:
    """What the client says in its TLS hello: never a port, never an address."""
    if not request.tls:
        return ""
    name = request.sni if request.sni is not None else request.host.rpartition("]")[2].partition(":")[0]
    return "" if name.replace(".", "").isdigit() else name.lower()


def chain_for(listener: Message, request: Request) -> tuple[Message, str] | None:
    """The chain and the server name that decided ("" none did)."""
    inspected = any(one.name == _TLS_INSPECTOR for one in listener.listener_filters)
    name = server_name(request) if inspected else ""
    transport = ("tls" if request.tls else "raw_buffer") if inspected else "raw_buffer"
    for wanted in _names(name):
        here = [chain for chain in listener.filter_chains if _has(chain, wanted)]
        if here:
            found = _by_transport(here, transport)
            return (found, wanted) if found is not None else _default(listener)
    return _default(listener)


def _names(name: str) -> Iterator[str]:
    """From the most specific on: itself, *.parent, *.grandparent, …, none."""
    if name:
        yield name
        labels = name.split(".")
        for count in range(1, len(labels)):
            yield f"*.{'.'.join(labels[count:])}"
    yield ""


def _has(chain: Message, name: str) -> bool:
    names = [one.lower() for one in chain.filter_chain_match.server_names]
    return name in names if name else not names


def _by_transport(chains: list[Message], transport: str) -> Message | None:
    for wanted in (transport, ""):
        for chain in chains:
            if chain.filter_chain_match.transport_protocol == wanted:
                return chain
    return None


def _default(listener: Message) -> tuple[Message, str] | None:
    return (listener.default_filter_chain, "") if listener.HasField("default_filter_chain") else None
