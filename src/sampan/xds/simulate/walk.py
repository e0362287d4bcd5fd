"""From the listener on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from sampan.ir import Origin
from sampan.xds.messages import Message
from sampan.xds.simulate.clusters import upstream
from sampan.xds.simulate.http import through
from sampan.xds.simulate.listeners import by_port, chain_for, listening, server_name
from sampan.xds.simulate.messages import only_origin, unpacked
from sampan.xds.simulate.types import End, Request, Stage, Step, Walk
from sampan.xds.types import Snapshot

_MANAGER = "HttpConnectionManager"
_TCP_PROXY = "TcpProxy"
_PROXY = "envoy.filters.listener.proxy_protocol"
_CLOSED = End(status=-1)


def simulate(snapshot: Snapshot, request: Request) -> Walk:
    """Raises regex.NotRe2 when the configuration holds a pattern that Envoy would have refused."""
    found = by_port(snapshot, request.port)
    if not found:
        ports = sorted({one.address.socket_address.port_value for _, one in listening(snapshot)})
        has = f"it listens on {', '.join(map(str, ports))}" if ports else "it has no listeners"
        return _closed(Step(Stage.LISTENER, f"nothing listens on port {request.port} of the proxy: {has}", ok=False))
    resource, listener = found
    origin = only_origin(resource)
    before = ", behind a PROXY line" if any(one.name == _PROXY for one in listener.listener_filters) else ""
    text = f"{resource.name} (port {request.port}{before})"
    first = Step(Stage.LISTENER, text, name=resource.name, origin=origin)
    chosen = chain_for(listener, request)
    name = server_name(request)
    if not chosen:
        asked = f"SNI {name}" if name else "plain text" if not request.tls else "no SNI"
        return _closed(first, Step(Stage.CHAIN, f"no chain for {asked}: the connection is closed", ok=False))
    chain, decided = chosen
    steps = [first, *_chain_steps(chain, decided, request, origin)]
    if not steps[-1].ok:
        return _closed(*steps)
    walk = _handled(snapshot, chain, request)
    return replace(walk, steps=(*steps, *walk.steps))


def _closed(*steps: Step) -> Walk:
    return Walk(steps, (_CLOSED,))


def _chain_steps(chain: Message, decided: str, request: Request, origin: Origin | None) -> Iterator[Step]:
    terminates = chain.HasField("transport_socket")
    passes = _handler(chain) == _TCP_PROXY
    if terminates and not request.tls:
        yield Step(Stage.CHAIN, f"{chain.name} wants TLS: plain text is closed", ok=False, name=chain.name)
    elif request.tls and not terminates and not passes:
        yield Step(Stage.CHAIN, f"{chain.name} speaks no TLS: the handshake fails", ok=False, name=chain.name)
    elif terminates:
        context = unpacked(chain.transport_socket.typed_config)
        asks = bool(context is not None and context.require_client_certificate.value)
        text = f"SNI {decided}" if decided else "any SNI"
        text += f", certificate {', '.join(_certificates(context))}" if context is not None else ""
        text += ", a client certificate is required" if asks else ""
        yield Step(Stage.CHAIN, text, request.certificate or not asks, chain.name, origin)
    elif decided:
        yield Step(Stage.CHAIN, f"SNI {decided}, passed on as it is", name=chain.name, origin=origin)


def _certificates(context: Message) -> list[str]:
    return [one.name for one in context.common_tls_context.tls_certificate_sds_secret_configs]


def _handler(chain: Message) -> str:
    return str(chain.filters[-1].typed_config.type_url.rpartition(".")[2]) if chain.filters else ""


def _handled(snapshot: Snapshot, chain: Message, request: Request) -> Walk:
    handler, config = _handler(chain), unpacked(chain.filters[-1].typed_config)
    if handler == _MANAGER:
        return through(snapshot, config, request)
    return Walk((), tuple(_streamed(snapshot, config)))


def _streamed(snapshot: Snapshot, proxy: Message) -> Iterator[End]:
    """Bytes, not requests: nothing in them is looked at."""
    weighted = [(one.name, one.weight) for one in proxy.weighted_clusters.clusters] or [(proxy.cluster, 1)]
    total = sum(weight for _, weight in weighted)
    for name, weight in weighted:
        found = upstream(snapshot, name)
        service = f" (Service {found.service})" if found.service else ""
        steps = [Step(Stage.CLUSTER, f"{name}{service}: the bytes as they are", found.known, name, found.origin)]
        listed = ", ".join(f"{one.address} {one.state}" for one in found.members)
        steps.append(Step(Stage.ENDPOINTS, listed or "none: the connection is closed", found.serves))
        yield End(weight / total, 0 if found.serves else -1, tuple(steps), name, found.members)
