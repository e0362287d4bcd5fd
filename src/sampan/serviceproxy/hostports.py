"""Keeps the set of NodePorts in the host's table in step with the Services (table: node.network.host)."""

from __future__ import annotations

from sampan.api import meta
from sampan.api.meta import Key, Obj
from sampan.base.clock import Clock
from sampan.serviceproxy.rules import is_proxied
from sampan.serviceproxy.transactions import Apply, Transactions
from sampan.serviceproxy.transactions import nft as run_nft

SET = "nodeports"


class HostPorts:
    """Runs in the host's network namespace. `table` is NetworkPlan.host_table; feed and run it as a ServiceProxy."""

    def __init__(self, table: str, clock: Clock, *, apply: Apply = run_nft) -> None:
        self._set = f"ip {table} {SET}"
        self._ports: dict[Key, frozenset[str]] = {}
        self._applied: frozenset[str] = frozenset()
        self._next: frozenset[str] = frozenset()
        self._transactions = Transactions(f"NodePorts in table {table}", self._text, self._in_force, apply, clock)

    def service_changed(self, old: Obj | None, new: Obj | None) -> None:
        """An informer's handler for Services: None for `old` is an addition, for `new` a deletion."""
        key = meta.key(new or old or {})
        ports = node_ports(new) if new else frozenset()
        if ports != self._ports.get(key, frozenset()):
            self._ports[key] = ports
            self._transactions.changed()

    async def run(self) -> None:
        """Make the set true until cancelled."""
        await self._transactions.run()

    def synced(self) -> bool:
        return self._transactions.synced.is_set()

    def _text(self, whole: bool) -> str:
        self._next = frozenset().union(*self._ports.values())
        if whole:
            return f"flush set {self._set}\n" + _elements("add", self._set, self._next)
        added = _elements("add", self._set, self._next - self._applied)
        return _elements("delete", self._set, self._applied - self._next) + added

    async def _in_force(self) -> None:
        self._applied = self._next


def node_ports(service: Obj) -> frozenset[str]:
    """Its NodePorts as elements of the set: "tcp . 30080"."""
    if not is_proxied(service):
        return frozenset()
    ports = [port for port in service["spec"].get("ports") or () if port.get("nodePort")]
    return frozenset(f"{(port.get('protocol') or 'TCP').lower()} . {port['nodePort']}" for port in ports)


def _elements(verb: str, where: str, elements: frozenset[str]) -> str:
    return f"{verb} element {where} {{ {', '.join(sorted(elements))} }}\n" if elements else ""
