"""Who runs, who feeds whom: the list a newcomer reads. One class a process; `run.py` starts and stops them."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import partial
from ipaddress import IPv4Network

from sampan.api import meta
from sampan.api.kinds import SCHEME
from sampan.api.meta import Obj
from sampan.api.scheme import Scheme
from sampan.app import localca
from sampan.app.config import NODE_PORTS, Cluster
from sampan.app.drains import answer
from sampan.app.edge import EdgePart
from sampan.app.hostpart import HostPart
from sampan.base.clock import SystemClock
from sampan.base.http.server import Server as HttpServer
from sampan.base.http.types import Request, Response
from sampan.client.controller import ControllerManager
from sampan.client.local import LocalClient
from sampan.controllers import TRIMS, certificaterequest, csr_signing, service_account_tokens, table
from sampan.server.answer import JSON
from sampan.server.server import Server, ServerConfig
from sampan.server.types import Deletion, User
from sampan.server.watch import Asked
from sampan.store.recovery import restorations
from sampan.store.sqlite import Keep, SqliteStore


class ServerProcess:
    """API server, its store, the controllers, the edge's control plane, the host's NodePorts and routes to load
    balancers.

    store ─ registry ─ HTTP
               └ LocalClient ─ informers ─ controllers, edge, host ports, load balancer routes
    """

    def __init__(self, cluster: Cluster, sockets: Sequence[socket.socket]) -> None:
        self._cluster = cluster
        self._clock = SystemClock()
        self._sockets = tuple(sockets)

    async def start(self) -> None:
        cluster = self._cluster
        known = restorations(cluster.store)
        self._store = await SqliteStore.open(cluster.store, clock=self._clock, keep=Keep(*cluster.history))
        scheme = SCHEME.live()
        self._server = Server(self._config(), scheme, self._store, self._clock)
        client = LocalClient(self._server.registry, Asked, Deletion)
        root_ca = (cluster.pki / "ca.crt").read_text()
        accounts = service_account_tokens.controller(root_ca, self._server.tokens.legacy)
        rows = table(scheme, root_ca, cluster.directory / "volumes", cluster.plan.lb_cidr)
        signing = csr_signing.controller(self._sign), certificaterequest.controller(self._local_ca)
        rows = (*rows, accounts, *signing)
        self._controllers = ControllerManager(rows, client, self._clock, trims=TRIMS)
        self._edge = EdgePart(cluster, client, self._clock)
        self._host = HostPart(cluster, client, self._clock)
        senders = (self._host.caught_up, self._edge.caught_up)  # who of this process sends connections to pods
        self._inner = HttpServer(lambda request: answer(request, senders), name="inner")
        await self._server.start()
        for report in set(restorations(cluster.store)) - set(known):
            await client.create("events", _restored(report.read_text().strip(), meta.timestamp(self._clock.now())))
        self._controllers.start()
        self._edge.start()
        self._follow(scheme)
        scheme.changed.append(lambda: self._follow(scheme))
        self._host.feed(self._controllers.informers)
        await self._controllers.synced()
        self._host.start()
        await self._inner.listen_unix(cluster.server_socket)

    def _follow(self, scheme: Scheme) -> None:
        """Controllers of all resources see the custom ones too."""
        custom = [r.id for r in scheme.custom if r.storage]
        self._controllers.follow(custom)
        self._edge.follow(custom)

    async def close(self) -> None:
        await self._inner.close(grace=0)
        await self._host.close()
        await self._edge.close()
        await self._controllers.stop()
        await self._server.close()
        await self._store.close()

    async def _proxies_page(self, name: str, request: Request) -> Response:
        return Response(200, await self._edge.page(name, request.query), [JSON])

    def _local_ca(self) -> tuple[bytes, bytes]:
        return localca.ensure(self._cluster.root, self._clock.now())

    def _sign(self, signer: str, pem: bytes, usages: list[str], seconds: int | None, now: datetime) -> bytes:
        """A certificate for a request. Raises ValueError."""
        from sampan.ca import requests  # cryptography is heavy: only when the first one is asked for
        from sampan.ca.authority import Authority

        authority = Authority.open(self._cluster.pki, f"sampan-{self._cluster.name}", now)
        life = requests.LONGEST if seconds is None else timedelta(seconds=seconds)
        return requests.sign(authority, signer, pem, usages, life, now)

    def _config(self) -> ServerConfig:
        cluster = self._cluster
        return ServerConfig(
            listen=(),
            port=cluster.api_port,
            sockets=self._sockets,
            advertise=cluster.plan.host_ip,
            cert=cluster.pki / "server.crt",
            key=cluster.pki / "server.key",
            client_ca=cluster.pki / "ca.crt",
            service_cidr=IPv4Network(cluster.plan.service_cidr),
            node_ports=NODE_PORTS,
            agent_socket=cluster.agent_socket,
            account_key=cluster.pki / "sa.key",
            tokens={cluster.token: User("kubernetes-admin", ("system:masters",))},
            pages={f"/sampan/xds/{name}": partial(self._proxies_page, name) for name in ("status", "config", "route")},
        )


def _restored(report: str, now: str) -> Obj:
    """The Event that tells `kubectl get events` of a restored store."""
    return {
        "metadata": {"namespace": "default", "generateName": "store-restored."},
        "involvedObject": {"apiVersion": "v1", "kind": "Namespace", "name": "default"},
        "type": "Warning",
        "reason": "StoreRestored",
        "message": report[:1024],
        "source": {"component": "sampan-server"},
        "firstTimestamp": now,
        "lastTimestamp": now,
        "count": 1,
    }
