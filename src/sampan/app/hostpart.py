"""What the server process keeps true in the host's namespace: NodePorts, host ports, routes to load balancers."""

from __future__ import annotations

from collections.abc import Mapping

from sampan.api.meta import Obj
from sampan.app.config import Cluster
from sampan.app.facts import node_facts
from sampan.base.clock import Clock
from sampan.base.tasks import Tasks
from sampan.client.events import EventRecorder
from sampan.client.informer import Informer
from sampan.client.types import Client
from sampan.serviceproxy.hostports import HostPorts
from sampan.serviceproxy.lbroutes import LbRoutes

SLICES = "endpointslices.discovery.k8s.io"


class HostPart:
    """`feed` once, then `start` when the informers are synced."""

    def __init__(self, cluster: Cluster, client: Client, clock: Clock) -> None:
        plan = cluster.plan
        self._tasks = Tasks("host")
        self._events = EventRecorder(client, clock, component="host-ports")
        self._ports = HostPorts(plan.host_table, clock, tell=self._tell)
        self._routes = LbRoutes(plan.host_link, {node: node_facts(cluster, node) for node in plan.nodes}, clock)

    def feed(self, informers: Mapping[str, Informer]) -> None:
        self._slices = informers[SLICES]
        informers["services"].add_handler(self._ports.service_changed)
        informers["services"].add_handler(self._routes.service_changed)
        self._slices.add_handler(self._routes.slice_changed)

    def start(self) -> None:
        self._tasks.start("ports", self._ports.run())
        self._tasks.start("ports/events", self._events.run())
        self._tasks.start("routes", self._routes.run())

    async def caught_up(self, revision: int) -> None:
        """Return when the routes are as this revision of the EndpointSlices, or a newer one, wants them."""
        await self._slices.reached(revision)
        await self._routes.caught_up()

    async def close(self) -> None:
        """What is in force stays."""
        await self._tasks.stop()

    def _tell(self, service: Obj, text: str) -> None:
        self._events.event(service, "Warning", "HostPortUnavailable", text)
