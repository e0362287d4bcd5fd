"""The edge's control plane in the server process: the gateway's translations, built for Envoy and served over xDS.

    gateway.controlplane ─ proxy: Latest ─ xds.build ─ snapshot ─ xds.server ─ Envoys
                         └ endpoints, at once ────────┘        └─ last snapshot on disk
    xds.server ─ NACK ─ gateway.controlplane ─ event on the object to blame

All of it is imported when somebody needs it: the first Ingress or Gateway.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from sampan.api.meta import Obj
from sampan.app.config import Cluster
from sampan.base import fs, log
from sampan.base.clock import Clock
from sampan.base.errors import UserError
from sampan.base.tasks import Tasks
from sampan.client.informer import Informer
from sampan.client.types import Client
from sampan.ir import Endpoints, Origin, Secret

if TYPE_CHECKING:
    from sampan.gateway.controlplane import ControlPlane
    from sampan.xds.types import Snapshot

XDS_PORT = 15012
LEAF = "gateway"  # in the cluster's pki: the proxies' client certificate
USER = "sampan:proxy:sampan-system/gateway"  # … and whom it names
GATEWAYS = "gateways.gateway.networking.k8s.io"
TRIGGERS = ("ingresses.networking.k8s.io", GATEWAYS)
DEFAULT_CERTIFICATE = "ingress-default"  # in the cluster's pki
DEFAULT_CERTIFICATE_NAME = "Kubernetes Ingress Controller Fake Certificate"  # what users know from ingress-nginx
DEFAULT_CERTIFICATE_DAYS = 3650

_log = log.get("edge")


class EdgePart:
    """A part of the server process. `start` returns at once; what it begins goes on until `close`."""

    def __init__(self, cluster: Cluster, client: Client, clock: Clock) -> None:
        self._cluster, self._client, self._clock = cluster, client, clock
        self._tasks = Tasks("edge")
        self._asleep = Tasks("edge, asleep")
        self._custom: frozenset[str] = frozenset()
        self._watched: set[str] = set()
        self._wake = asyncio.Event()
        self._control: ControlPlane | None = None
        self._served: Served | None = None

    def start(self) -> None:
        self._tasks.start("run", self._run())

    def follow(self, custom: Iterable[str]) -> None:
        """These custom resources are served now."""
        self._custom = frozenset(custom)
        if self._control is not None:
            self._control.follow(self._custom)
        elif not self._wake.is_set():
            for resource in TRIGGERS:
                if resource not in self._watched and (resource != GATEWAYS or resource in self._custom):
                    self._watched.add(resource)
                    informer = Informer(self._client, resource, clock=self._clock)
                    informer.add_handler(self._seen)
                    self._asleep.start(resource, informer.run())

    async def close(self) -> None:
        await self._asleep.stop()
        await self._tasks.stop()
        if self._served is not None:
            await self._served.stop()
        if self._control is not None:
            await self._control.stop()

    def page(self, name: str, query: Mapping[str, list[str]]) -> Any:
        """What /sampan/xds/NAME shows, JSON; None as long as nothing is served."""
        if self._served is None:
            return None
        from sampan.xds import pages

        return pages.PAGES[name](self._served.xds, query)

    def _seen(self, old: Obj | None, new: Obj | None) -> None:
        self._wake.set()

    async def _run(self) -> None:
        await self._wake.wait()
        await self._asleep.stop()
        certificate = await asyncio.to_thread(default_certificate, self._cluster, self._clock)
        from sampan.gateway.controlplane import ControlPlane

        self._control = ControlPlane(self._client, self._clock, edge_config(self._cluster), certificate)
        self._control.start(self._custom)
        await self._control.needed.wait()
        self._served = Served(self._cluster, self._clock, self._control)
        await self._served.run()


class Served:
    """Builds what is newest and publishes it; a changed endpoint does not wait for anything."""

    def __init__(self, cluster: Cluster, clock: Clock, control: ControlPlane) -> None:
        # Programs that this process runs (nft, ip) are exec'ed at once: gRPC need not care for forks, and not say so.
        os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
        from sampan.gateway.deployment import KIND, SNAPSHOT
        from sampan.xds.build import Builder
        from sampan.xds.persist import Keeper
        from sampan.xds.server import XdsServer

        self._cluster = cluster
        self._control = control
        self._kind = KIND
        self._file = cluster.snapshots / SNAPSHOT
        self._keeper = Keeper(self._file, clock)
        self._builder = Builder()
        self._changed: dict[str, Endpoints] = {}
        self._building = False
        self.xds = XdsServer(clock, on_nack=self._refused)

    async def run(self) -> None:
        """Until cancelled."""
        pki, plan = self._cluster.pki, self._cluster.plan
        self._publish_last()
        self._keeper.start()
        files = {"cert": pki / "server.crt", "key": pki / "server.key", "client_ca": pki / "ca.crt"}
        await self.xds.start(plan.host_ip, XDS_PORT, users={USER}, **files)
        self._control.on_endpoints = self._endpoints
        reader = self._control.proxy.reader()
        while True:
            proxy = await reader.next()
            used = self._control.endpoints.use(c.endpoints for c in proxy.clusters.values() if c.endpoints)
            self._building = True
            try:
                snapshot = await asyncio.to_thread(self._builder.build, replace(proxy, endpoints=used))
            finally:
                self._building = False
            self._publish(snapshot)
            self._endpoints({})  # what changed meanwhile

    async def stop(self) -> None:
        await self.xds.stop()
        await self._keeper.stop()

    def _publish_last(self) -> None:
        """What proxies may have got from a replay while we were away: so we know what to take away from them."""
        from sampan.xds import persist

        try:
            if (last := persist.load(self._file)) is not None:
                self.xds.publish(self._kind, last)
        except UserError as error:
            _log.warning("%s", error)

    def _publish(self, snapshot: Snapshot) -> None:
        self.xds.publish(self._kind, snapshot)
        self._keeper.keep(snapshot)

    def _endpoints(self, changed: Mapping[str, Endpoints]) -> None:
        self._changed |= changed
        if self._changed and not self._building:
            changes, self._changed = self._changed, {}
            self._publish(self._builder.update_endpoints(changes))

    def _refused(self, kind: str, type_url: str, names: object, origins: Iterable[Origin], message: str) -> None:
        self._control.refused(origins, message)


def edge_config(cluster: Cluster) -> Any:
    """What the gateway's own objects are made of (`gateway.deployment.Edge`)."""
    from sampan.gateway.deployment import Edge

    pki, plan = cluster.pki, cluster.plan
    return Edge(
        xds=f"{plan.host_ip}:{XDS_PORT}",
        certificate=(pki / f"{LEAF}.crt").read_bytes(),
        key=(pki / f"{LEAF}.key").read_bytes(),
        ca=(pki / "ca.crt").read_bytes(),
        snapshots=str(cluster.snapshots),
        host_ports=cluster.edge_ports,
        first_node=plan.nodes[0],
        python=sys.executable,
    )


def default_certificate(cluster: Cluster, clock: Clock) -> Secret:
    """For hosts whose Ingress brings none: self-signed, made once a cluster."""
    from sampan.ca import issuing, keys

    crt, key_file = cluster.pki / f"{DEFAULT_CERTIFICATE}.crt", cluster.pki / f"{DEFAULT_CERTIFICATE}.key"
    if not (crt.exists() and key_file.exists()):
        key = keys.generate("ECDSA")
        names = issuing.Wanted(
            DEFAULT_CERTIFICATE_NAME, subject={"organizations": ("Acme Co",)}, dns=("ingress.local",)
        )
        terms = issuing.Terms(clock.now(), timedelta(days=DEFAULT_CERTIFICATE_DAYS), usages=("server auth",))
        made = issuing.self_sign(issuing.request(names, key), key, terms)
        fs.write_atomic(key_file, keys.encode(key), 0o600)
        fs.write_atomic(crt, made.chain)
    return Secret("ingress/default-certificate", crt.read_bytes(), key_file.read_bytes())
