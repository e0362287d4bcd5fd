"""Builds Envoy's configuration of what is newest and serves it over xDS. A changed endpoint does not wait for anything.

gateway.controlplane ─ proxy: Latest ─ xds.build ─ snapshot ─ xds.server ─ Envoys
                     └ endpoints, at once ────────┘        └─ last snapshot on disk
Services, their endpoints ─ xds.grpc_services ─ xds.server ─ gRPC's own clients
xds.server ─ NACK ─ gateway.controlplane ─ event on the object to blame
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import replace

from sampan.api import meta
from sampan.api.meta import Key, Obj
from sampan.app.config import DOMAIN, PROXY_USER, Cluster
from sampan.app.edge_config import XDS_PORT
from sampan.base import log
from sampan.base.clock import Clock
from sampan.base.errors import UserError
from sampan.base.tasks import Tasks
from sampan.gateway.controlplane import ControlPlane
from sampan.gateway.deployment import KIND, SNAPSHOT
from sampan.gateway.endpoints import service_ports
from sampan.ir import Endpoints, Origin, Proxy
from sampan.xds import persist
from sampan.xds.build import Builder
from sampan.xds.grpc_services import GrpcBuilder, GrpcService
from sampan.xds.hub import GRPC
from sampan.xds.server import XdsServer
from sampan.xds.types import ENDPOINTS, Snapshot

GRPC_PORT = 15010  # Istio's number for the same: plain, tells nothing but endpoints
GRPC_SECONDS = 0.05  # between two snapshots for gRPC's clients
LOOK = 0.02  # seconds between two looks at who has caught up

_log = log.get("edge")


class Served:
    """`run` until cancelled, then `stop`. `xds` is what proxies are connected to."""

    def __init__(self, cluster: Cluster, clock: Clock, control: ControlPlane) -> None:
        self._cluster, self._clock, self._control = cluster, clock, control
        self._file = cluster.snapshots / SNAPSHOT
        self._keeper = persist.Keeper(self._file, clock)
        self._builder = Builder()
        self._built: Proxy | None = None
        self._snapshot: Snapshot | None = None
        self._mine: set[str] = set()  # endpoints that the gateway sends requests to
        self._changed: dict[str, Endpoints] = {}
        self._building = False
        self._tasks = Tasks("edge, served")
        self._services = _Services()
        self._grpc: dict[str, Endpoints] = {}  # what changed of all Services since the last snapshot for gRPC
        self._grpc_due = asyncio.Event()
        self.xds = XdsServer(clock, on_nack=self._refused)
        self._grpc_xds = XdsServer(clock)

    async def run(self) -> None:
        pki, plan = self._cluster.pki, self._cluster.plan
        self._publish_last()
        self._keeper.start()
        files = {"cert": pki / "server.crt", "key": pki / "server.key", "client_ca": pki / "ca.crt"}
        await self.xds.start(plan.host_ip, XDS_PORT, users={PROXY_USER}, **files)
        await self._grpc_xds.start_insecure(plan.host_ip, GRPC_PORT)
        self._tasks.start("grpc", self._serve_grpc())
        self._control.on_endpoints = self._endpoints
        reader = self._control.result.reader()
        while True:
            await reader.next()
            await self._build(self._control.proxy.value)

    async def stop(self) -> None:
        await self._tasks.stop()
        await self._grpc_xds.stop()
        await self.xds.stop()
        await self._keeper.stop()

    async def caught_up(self) -> None:
        """Return when every gateway that is ready has taken what is known of endpoints now."""
        while self._snapshot is None or self._building or self._changed:
            await self._clock.sleep(LOOK)
        version = self._snapshot.version
        while not self._control.ready_gateways() <= {proxy.node for proxy in self.xds.status()}:
            await self._clock.sleep(LOOK)  # one that was cut off is back in a moment
        await self.xds.acked(KIND, version)

    async def _build(self, proxy: Proxy) -> None:
        news = self._services.take(self._control.result.value[0].of("services"))
        if proxy is not self._built or news:
            self._mine = {c.endpoints for c in proxy.clusters.values() if c.endpoints} - proxy.endpoints.keys()
            known = self._control.endpoints.use(self._mine | {service.endpoints for service in self._services.all})
            if news:
                self._grpc_endpoints(known)
        if proxy is not self._built:
            whole = replace(proxy, endpoints={**{name: known[name] for name in self._mine}, **proxy.endpoints})
            self._building = True
            try:
                snapshot = await asyncio.to_thread(self._builder.build, whole)
            except Exception:
                _log.exception("what was translated cannot be built: proxies keep what they have until it is another")
            else:
                self._built = proxy
                self._publish(snapshot)
            finally:
                self._building = False
            self._endpoints({})  # what changed meanwhile

    def _endpoints(self, changed: Mapping[str, Endpoints]) -> None:
        if changed:
            self._grpc_endpoints(changed)
        self._changed |= {name: members for name, members in changed.items() if name in self._mine}
        if self._changed and not self._building and self._snapshot is not None:
            changes, self._changed = self._changed, {}
            self._publish(self._builder.update_endpoints(changes))

    def _publish(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        self.xds.publish(KIND, snapshot)
        self._keeper.keep(snapshot)

    def _publish_last(self) -> None:
        """What proxies may have got from a replay while we were away: so we know what to take away from them."""
        try:
            if (last := persist.load(self._file)) is not None:
                self.xds.publish(KIND, last)
        except UserError as error:
            _log.warning("%s", error)

    def _refused(self, kind: str, type_url: str, names: object, origins: Iterable[Origin], message: str) -> None:
        self._control.refused(origins, message)

    # ── gRPC's own xDS clients ───────────────────────────────────────────────────────────────────────────────────────

    def _grpc_endpoints(self, changed: Mapping[str, Endpoints]) -> None:
        self._grpc.update(changed)
        self._grpc_due.set()

    async def _serve_grpc(self) -> None:
        clients, endpoints = GrpcBuilder(), Builder()
        while True:
            await self._grpc_due.wait()
            self._grpc_due.clear()
            changed, self._grpc = self._grpc, {}
            services = self._services.all
            known = endpoints.update_endpoints(changed).of(ENDPOINTS)
            gone = dict.fromkeys(known.keys() - {service.endpoints for service in services})
            known = endpoints.update_endpoints(gone).of(ENDPOINTS) if gone else known
            self._grpc_xds.publish(GRPC, clients.build(services, known))
            await self._clock.sleep(GRPC_SECONDS)


class _Services:
    """What gRPC's clients may ask for; `all` is the same list while the Services are."""

    def __init__(self) -> None:
        self._of: Mapping[Key, Obj] | None = None
        self.all: list[GrpcService] = []

    def take(self, services: Mapping[Key, Obj]) -> bool:
        """Is it another list now?"""
        if services is self._of:
            return False
        self._of = services
        before, self.all = (
            self.all,
            [
                GrpcService(f"{meta.name(service)}.{meta.namespace(service)}.svc.{DOMAIN}", port, endpoints)
                for service, port, endpoints in service_ports(services.values())
            ],
        )
        return before != self.all
