"""The xDS server: sessions on gRPC streams. Importing this imports grpc, some 40 MB: only when there is a proxy.

Requests and responses are bytes to gRPC: `discovery` makes each body once for all streams.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Set
from contextlib import suppress
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
from google.protobuf.message import DecodeError

from sampan.base.clock import Clock
from sampan.base.tasks import Tasks
from sampan.xds.discovery import parse
from sampan.xds.hub import Hub, OnNack, Stream
from sampan.xds.types import CLUSTER, ENDPOINTS, LISTENER, ROUTES, SECRET

# Service → what its methods are about, and the type when it has only one.
_SERVICES = {
    "envoy.service.discovery.v3.AggregatedDiscoveryService": ("AggregatedResources", ""),
    "envoy.service.cluster.v3.ClusterDiscoveryService": ("Clusters", CLUSTER),
    "envoy.service.endpoint.v3.EndpointDiscoveryService": ("Endpoints", ENDPOINTS),
    "envoy.service.listener.v3.ListenerDiscoveryService": ("Listeners", LISTENER),
    "envoy.service.route.v3.RouteDiscoveryService": ("Routes", ROUTES),
    "envoy.service.secret.v3.SecretDiscoveryService": ("Secrets", SECRET),
}
METHODS: Mapping[str, tuple[bool, str]] = {
    f"/{service}/{dialect}{noun}": (dialect == "Delta", type_url)
    for service, (noun, type_url) in _SERVICES.items()
    for dialect in ("Stream", "Delta")
}
OPTIONS = (
    ("grpc.so_reuseport", 0),  # a port that somebody has is an error
    ("grpc.max_receive_message_length", 16 << 20),  # a reconnecting proxy lists all it has
    ("grpc.keepalive_time_ms", 10_000),  # a proxy that vanished without a word
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
)


class XdsServer(Hub):
    """Build, `publish`, `start`; what is published before a proxy connects is there for it.

    A restarted server should publish the snapshot it saved before its first new one (see `persist`): so it knows what
    to take away from proxies that were served that one meanwhile.
    """

    def __init__(self, clock: Clock, on_nack: OnNack | None = None) -> None:
        super().__init__(clock, on_nack)
        self._server: grpc.aio.Server | None = None

    async def start(
        self, address: str, port: int, *, cert: Path, key: Path, client_ca: Path, users: Set[str] | None = None
    ) -> int:
        """Serve with TLS to clients with a certificate of `client_ca` whose common name is one of `users` (None: any).

        Returns the port. Certificates are read again when the files change. Raises RuntimeError: the port is taken.
        """
        files = _Files(cert, key, client_ca)
        credentials = grpc.dynamic_ssl_server_credentials(files.read(), files.changed, True)
        return await self._serve(lambda server: server.add_secure_port(f"{address}:{port}", credentials), users)

    async def start_insecure(self, address: str, port: int) -> int:
        """Serve without TLS, for one's own pod."""
        return await self._serve(lambda server: server.add_insecure_port(f"{address}:{port}"), None)

    async def stop(self) -> None:
        """Streams are cut at once: proxies keep what they have and come back by themselves."""
        if self._server:
            await self._handler.end()
            await self._server.stop(None)

    async def _serve(self, bind: Any, users: Set[str] | None) -> int:
        server = grpc.aio.server(options=OPTIONS)
        self._handler = _Handler(self, users)
        server.add_generic_rpc_handlers((self._handler,))
        port: int = bind(server)
        await server.start()
        self._server = server
        return port


class _Handler(grpc.GenericRpcHandler):  # type: ignore[misc]
    def __init__(self, hub: Hub, users: Set[str] | None) -> None:
        self._hub = hub
        self._users = users
        self._tasks: set[asyncio.Task[None]] = set()
        self._ending = False

    async def end(self) -> None:
        """End all streams. (Those that gRPC itself cancels it prints a traceback for.)"""
        self._ending = True
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=1)

    def service(self, details: Any) -> Any:
        method = METHODS.get(details.method)
        if method is None:
            return None
        delta, type_url = method

        async def handle(_requests: object, context: Any) -> None:
            if self._users is not None and not self._users & _names(context):
                await context.abort(grpc.StatusCode.PERMISSION_DENIED, "this certificate is not a proxy's")
            task = asyncio.current_task()
            assert task is not None
            self._tasks.add(task)
            try:
                await _talk(self._hub, context, delta, type_url)
            except asyncio.CancelledError:
                if not self._ending:
                    raise
                context.set_code(grpc.StatusCode.UNAVAILABLE)
                context.set_details("the server ends")
            finally:
                self._tasks.discard(task)

        return grpc.stream_stream_rpc_method_handler(handle)


async def _talk(hub: Hub, context: Any, delta: bool, type_url: str) -> None:
    """One stream from its first request to its end."""
    stream: Stream | None = None
    tasks = Tasks("xds-stream")
    try:
        while (data := await context.read()) is not grpc.aio.EOF:
            try:
                request = parse(data, delta, type_url)
            except DecodeError as error:
                await context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"not a discovery request: {error}")
            if stream is None:
                stream = hub.join(delta, request)
                tasks.start(request.node, _write(hub, stream, context))
            hub.receive(stream, request)
    finally:
        if stream:
            hub.leave(stream)
        await tasks.stop()


async def _write(hub: Hub, stream: Stream, context: Any) -> None:
    """Send what the session has; while the client is slow in reading, newer snapshots take the place of older ones."""
    loop = asyncio.get_running_loop()
    with suppress(grpc.aio.UsageError, grpc.aio.InternalError, asyncio.InvalidStateError):
        while True:
            stream.wake.clear()
            for send in hub.turn(stream):
                await context.write(send.body)
            now = hub.clock.monotonic()
            at = stream.session.wake_at(now)
            timer = loop.call_later(at - now, stream.wake.set) if at is not None else None
            await stream.wake.wait()
            if timer:
                timer.cancel()


def _names(context: Any) -> set[str]:
    return {name.decode(errors="replace") for name in context.auth_context().get("x509_common_name", ())}


class _Files:
    """A certificate, its key and the clients' CA, read again when one of them changed."""

    def __init__(self, cert: Path, key: Path, client_ca: Path) -> None:
        self._paths = (cert, key, client_ca)
        self._seen = self._stamps()

    def read(self) -> Any:
        cert, key, ca = (path.read_bytes() for path in self._paths)
        return grpc.ssl_server_certificate_configuration([(key, cert)], ca)

    def changed(self) -> Any:
        """For each handshake, on a thread of gRPC's: None is "as before"."""
        try:
            stamps = self._stamps()
            if stamps == self._seen:
                return None
            made = self.read()
        except OSError:  # between the two writes of a rotation
            return None
        self._seen = stamps
        return made

    def _stamps(self) -> tuple[int, ...]:
        return tuple(path.stat().st_mtime_ns for path in self._paths)
