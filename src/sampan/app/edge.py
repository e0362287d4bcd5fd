"""The edge's control plane in the server process: the gateway's translations, built for Envoy and served over xDS.

    asleep: two informers ─ the first Ingress or Gateway ─ gateway.controlplane (translations, statuses, events)
                                                           edge_served (Envoy's configuration, xDS)

gRPC, Envoy's messages, cryptography: all of it is imported when somebody needs it.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import orjson

from sampan.api.meta import Obj
from sampan.app.config import Cluster
from sampan.base.clock import Clock
from sampan.base.tasks import Tasks
from sampan.client.informer import Informer
from sampan.client.types import Client

if TYPE_CHECKING:
    from sampan.app.edge_served import Served
    from sampan.gateway.controlplane import ControlPlane

GATEWAYS = "gateways.gateway.networking.k8s.io"
TRIGGERS = ("ingresses.networking.k8s.io", GATEWAYS)


class EdgePart:
    """A part of the server process. `start` returns at once; what it begins goes on until `close`."""

    def __init__(self, cluster: Cluster, client: Client, clock: Clock) -> None:
        self._cluster, self._client, self._clock = cluster, client, clock
        self._tasks = Tasks("edge")
        self._asleep = Tasks("edge, asleep")
        self._custom: frozenset[str] = frozenset()
        self._triggers: dict[str, Informer] = {}
        self._wake = asyncio.Event()
        self._up = asyncio.Event()  # it is known whether there is something to serve
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
                if resource not in self._triggers and (resource != GATEWAYS or resource in self._custom):
                    informer = self._triggers[resource] = Informer(self._client, resource, clock=self._clock)
                    informer.add_handler(self._seen)
                    self._asleep.start(resource, informer.run())

    async def close(self) -> None:
        await self._asleep.stop()
        await self._tasks.stop()
        if self._served is not None:
            await self._served.stop()
        if self._control is not None:
            await self._control.stop()

    async def caught_up(self, revision: int) -> None:
        """Return when the gateways send nothing more to endpoints that this revision of the EndpointSlices withdrew."""
        for informer in list(self._triggers.values()):
            await informer.synced.wait()
        if not self._wake.is_set():
            return
        await self._up.wait()
        if self._served is not None and self._control is not None:
            await self._control.reached(revision)
            await self._served.caught_up()

    async def page(self, name: str, query: Mapping[str, list[str]]) -> bytes:
        """What /sampan/xds/NAME shows, as JSON; null as long as nothing is served."""
        if self._served is None:
            return b"null"
        from sampan.xds import pages

        view = pages.View.of(self._served.xds)
        return await asyncio.to_thread(lambda: orjson.dumps(pages.PAGES[name](view, query)))

    def _seen(self, old: Obj | None, new: Obj | None) -> None:
        self._wake.set()

    async def _run(self) -> None:
        await self._wake.wait()
        await asyncio.to_thread(_import)
        from sampan.app.edge_config import default_certificate, edge_config
        from sampan.app.edge_served import Served
        from sampan.gateway.controlplane import ControlPlane

        certificate = await asyncio.to_thread(default_certificate, self._cluster, self._clock)
        self._control = ControlPlane(self._client, self._clock, edge_config(self._cluster), certificate)
        self._control.start(self._custom)
        await self._control.decided.wait()
        if not self._control.needed.is_set():  # Ingresses and Gateways, but none of ours yet
            self._up.set()
            await self._control.needed.wait()
        self._served = Served(self._cluster, self._clock, self._control)
        self._up.set()
        await self._asleep.stop()
        await self._served.run()


def _import() -> None:
    """Takes some 0.3 s, in which the event loop goes on."""
    # Programs that this process runs (nft, ip) are exec'ed at once: gRPC need not care for forks, and not say so.
    os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
    import sampan.app.edge_served  # noqa: F401
