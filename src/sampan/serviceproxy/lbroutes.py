"""Which node the host sends a load balancer's address to.

Any node will do, and the static route of the whole range leads to the first one; but with externalTrafficPolicy Local
a node without an endpoint of the Service drops what it gets. Such a Service's addresses have a route each, to one node
that has an endpoint: connections are in that node's conntrack, so the route moves only when it must.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterable, Mapping

from sampan.api import meta
from sampan.api.endpoints import endpoints_of, service_of
from sampan.api.meta import Key, Obj
from sampan.base.clock import Clock
from sampan.base.proc import run
from sampan.serviceproxy.model import NodeFacts, within
from sampan.serviceproxy.rules import eligible, ingress_ips, is_proxied
from sampan.serviceproxy.transactions import Apply, Transactions

PROTOCOL = "83"  # marks our routes in the kernel, as zebra or dhcp mark theirs
Routes = dict[str, str]  # address → the node's address
Read = Callable[[str], Awaitable[Routes]]


async def ip_batch(text: str) -> None:
    """Runs in the network namespace of this process. Raises ProcessError, UserError."""
    await run(["ip", "-batch", "-"], text.encode())


async def routes_of(link: str) -> Routes:
    """Those that are there. Raises ProcessError (no such link), UserError."""
    found = json.loads(await run(["ip", "-4", "-json", "route", "show", "dev", link, "proto", PROTOCOL]) or b"[]")
    return {route["dst"]: route.get("gateway", "") for route in found}


class LbRoutes:
    """Runs in the host's network namespace; `link` is NetworkPlan.host_link. Feed and run it as a ServiceProxy."""

    def __init__(
        self,
        link: str,
        nodes: Mapping[str, NodeFacts],
        clock: Clock,
        *,
        apply: Apply = ip_batch,
        read: Read = routes_of,
    ) -> None:
        self._link = link
        self._nodes = dict(nodes)
        self._read = read
        self._services: dict[Key, Obj] = {}  # the Local ones
        self._slices: dict[Key, dict[Key, Obj]] = {}
        self._there: Routes = {}
        self._next: Routes = {}
        name = f"load balancer routes of {link}"
        self._transactions = Transactions(name, self._text, self._in_force, apply, clock, before_all=self._learn)

    def service_changed(self, old: Obj | None, new: Obj | None) -> None:
        """An informer's handler for Services."""
        key = meta.key(new or old or {})
        before = self._services.pop(key, None)
        if new and _is_local(new):
            self._services[key] = new
        if before or key in self._services:
            self._transactions.changed()

    def slice_changed(self, old: Obj | None, new: Obj | None) -> None:
        """An informer's handler for EndpointSlices."""
        if old:
            owner = service_of(old)
            self._slices.get(owner, {}).pop(meta.key(old), None)
            self._touch(owner)
        if new:
            owner = service_of(new)
            self._slices.setdefault(owner, {})[meta.key(new)] = new
            self._touch(owner)

    async def run(self) -> None:
        """Make the routes true until cancelled. They stay when it ends."""
        await self._transactions.run()

    def synced(self) -> bool:
        return self._transactions.synced.is_set()

    async def caught_up(self) -> None:
        """Return when all that the handlers have been told by now is in force."""
        await self._transactions.caught_up()

    def _touch(self, owner: Key) -> None:
        if not self._slices.get(owner):
            self._slices.pop(owner, None)
        if owner in self._services:
            self._transactions.changed()

    async def _learn(self) -> None:
        self._there = await self._read(self._link)

    def _text(self, whole: bool) -> str:
        self._next = self._wanted()
        lines = [f"route del {ip}/32 dev {self._link} proto {PROTOCOL}" for ip in self._there if ip not in self._next]
        lines += [
            f"route replace {ip}/32 via {node} dev {self._link} proto {PROTOCOL}"
            for ip, node in self._next.items()
            if self._there.get(ip) != node
        ]
        return "".join(f"{line}\n" for line in lines)

    def _wanted(self) -> Routes:
        found: Routes = {}
        by_ip = {facts.ip: name for name, facts in self._nodes.items()}
        for key in sorted(self._services, reverse=True):  # of those that share an address the first by name decides
            service, slices = self._services[key], self._slices.get(key, {}).values()
            for ip in ingress_ips(service):
                node = node_for(service, slices, self._nodes, by_ip.get(self._there.get(ip, ""), ""))
                if node and within(ip, self._nodes[node].lb_cidr):
                    found[ip] = self._nodes[node].ip
        return found

    async def _in_force(self) -> None:
        self._there = self._next


def node_for(service: Obj, slices: Iterable[Obj], nodes: Mapping[str, NodeFacts], now: str = "") -> str:
    """The node that its addresses have to lead to: `now` if that still will do. "" when any will, or none."""
    if not _is_local(service):
        return ""
    ports = [endpoints_of(port, slices) for port in service["spec"].get("ports") or ()]

    def worth(node: str) -> tuple[int, int, bool]:
        """Ports it can serve; those only with pods that are terminating."""
        chosen = [targets for each in ports if (targets := eligible(each, nodes[node], local=True))]
        draining = sum(targets[0].draining for targets in chosen)
        return len(chosen) - draining, draining, node == now

    best = max(nodes, key=worth)
    return best if worth(best)[:2] != (0, 0) else ""


def _is_local(service: Obj) -> bool:
    spec = service["spec"]
    local = spec.get("externalTrafficPolicy") == "Local"
    return local and bool(ingress_ips(service)) and is_proxied(service)
