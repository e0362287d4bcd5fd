"""The agent process of one node: kubelet, service proxy and DNS, fed by one set of informers.

services, slices, namespaces ─┬─ service proxy ─ nft        (the kubelet waits for those of all nodes: `drains`)
                              ├─ DNS zone ─ answers
                              └─ kubelet ─ runtime ─ spawner ─ pods
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from pathlib import Path

from sampan import __version__
from sampan.api.kinds import SCHEME
from sampan.app.config import DEFAULT_RUN, DOMAIN, Cluster
from sampan.app.drains import PATH, Drains, Elsewhere, answer
from sampan.app.facts import node_facts
from sampan.base.clock import SystemClock
from sampan.base.netns import inside
from sampan.base.tasks import Tasks
from sampan.client.http import HttpClient
from sampan.client.informer import Informer
from sampan.dns import endpoint
from sampan.dns.plugins.forward import Forward, upstreams
from sampan.dns.plugins.kubernetes import Kubernetes
from sampan.dns.server import Resolver
from sampan.dns.server import Server as DnsServer
from sampan.dns.zone import Zone
from sampan.images.aliases import machine_images, make_tools
from sampan.node.agent import Agent, NodeConfig
from sampan.node.machine import read_machine
from sampan.node.podfiles import DnsConfig
from sampan.node.registration import Identity
from sampan.node.runtime.runtime import LinuxRuntime
from sampan.serviceproxy.sync import ServiceProxy

SLICES = "endpointslices.discovery.k8s.io"
SYNC_PATIENCE = 5.0  # seconds that DNS questions wait in the socket for the zone to be complete


class AgentProcess:
    """`sockets` are the node's DNS sockets, UDP then TCP; `host` is the machine's network namespace."""

    def __init__(self, cluster: Cluster, node: str, sockets: Sequence[socket.socket], host: int) -> None:
        self._cluster, self._node = cluster, node
        self._sockets = sockets
        self._host = f"/proc/self/fd/{host}"
        self._clock = SystemClock()
        self._tasks = Tasks(f"agent {node}")
        pki = cluster.pki
        self._client = HttpClient(
            cluster.lan_url,
            SCHEME,
            ca_file=pki / "ca.crt",
            cert_file=pki / f"agent-{node}.crt",
            key_file=pki / f"agent-{node}.key",
            user_agent=f"sampan-agent/{node}",
        )
        self._informers = {r: Informer(self._client, r, clock=self._clock) for r in ("services", SLICES, "namespaces")}
        self._proxy = ServiceProxy(node_facts(cluster, node), self._clock)
        others = [cluster.agent_socket(name) for name in _running(cluster) if name != node]
        self._elsewhere = [Elsewhere(path, self._clock) for path in (*others, cluster.server_socket)]
        self._agent = self._build_agent()
        self._zone, self._dns = self._build_dns()

    async def start(self) -> None:
        services, slices, namespaces = self._informers.values()
        for informer, handlers in (
            (services, (self._proxy.service_changed, self._zone.on_service)),
            (slices, (self._proxy.slice_changed, self._zone.on_slice)),
            (namespaces, (self._zone.on_namespace,)),
        ):
            for handler in handlers:
                informer.add_handler(handler)
            self._tasks.start(informer.resource, informer.run())
        await self._agent.start()
        self._tasks.start("dns", self._serve_dns())
        self._tasks.start("tools", asyncio.to_thread(make_tools, self._cluster.images / "tools"))
        await services.synced.wait()
        await slices.synced.wait()
        self._tasks.start("service proxy", self._proxy.run())
        await self._agent.registered.wait()
        await self._proxy.wait_synced()

    async def close(self) -> None:
        await self._agent.close()
        await self._dns.close()
        await self._tasks.stop()
        for other in self._elsewhere:
            await other.close()
        await self._client.close()

    def _build_agent(self) -> Agent:
        cluster, node, plan = self._cluster, self._node, self._cluster.plan
        everyone = (self._caught_up, *(other.caught_up for other in self._elsewhere))
        drains = Drains(self._informers["services"], self._informers[SLICES], everyone)
        runtime = LinuxRuntime(
            cluster.name,
            node,
            cluster.node_run(node),
            cluster.node_dir(node),
            plan.node_gateway(node),
            hide=(cluster.root / "clusters", DEFAULT_RUN),
        )
        config = NodeConfig(
            identity=Identity(node, plan.node_ip(node), plan.node_pod_cidr(node), f"v{__version__}"),
            machine=read_machine(cluster.directory),
            dns=DnsConfig(plan.dns_ip, DOMAIN, _text(Path("/etc/resolv.conf"))),
            socket=cluster.agent_socket(node),
            memory_dir=cluster.node_run(node) / "memory",
        )
        return Agent(
            config,
            client=self._client,
            runtime=runtime,
            images=machine_images(cluster.images),
            clock=self._clock,
            services=self._informers["services"],
            drained=drains.drained,
            others={PATH: lambda request: answer(request, [self._caught_up])},
        )

    def _build_dns(self) -> tuple[Zone, DnsServer]:
        plan = self._cluster.plan
        zone = Zone(DOMAIN, (plan.service_cidr, plan.pod_cidr), plan.dns_ip)
        plugins = (Kubernetes(zone, self._synced), Forward(upstreams(), self._host_socket))
        return zone, DnsServer(Resolver(plugins, lambda: zone.version))

    def _synced(self) -> bool:
        return all(informer.synced.is_set() for informer in self._informers.values())

    def _host_socket(self, kind: int) -> socket.socket:
        """A socket of the machine's own network, where its resolvers are (127.0.0.53 is not in ours)."""
        with inside(self._host):
            return socket.socket(socket.AF_INET, kind)

    async def _serve_dns(self) -> None:
        try:
            async with asyncio.timeout(SYNC_PATIENCE):
                await asyncio.gather(*(informer.synced.wait() for informer in self._informers.values()))
        except TimeoutError:
            pass  # from here on unknown names are SERVFAIL
        udp, tcp = self._sockets
        await self._dns.serve(udp, tcp)
        await self._agent.registered.wait()
        await endpoint.publish(self._client, self._node, self._cluster.plan.node_ip(self._node))

    async def _caught_up(self, revision: int) -> None:
        """Return when the rules in force are those of this revision of the EndpointSlices, or newer."""
        await self._informers[SLICES].reached(revision)
        await self._proxy.caught_up()


def _running(cluster: Cluster) -> list[str]:
    """The nodes that have rules: those added to a running cluster have no network until its next start."""
    return [node for node in cluster.plan.nodes if cluster.plan.node_netns(node).exists()]


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
