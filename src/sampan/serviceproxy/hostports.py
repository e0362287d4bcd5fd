"""Keeps the host's table in step with the Services (table: node.network.host): its NodePorts, and the host ports that
lead to load balancers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from sampan.api import meta
from sampan.api.meta import Key, Obj
from sampan.base.clock import Clock
from sampan.serviceproxy.forwards import Wish, settle, wish_of
from sampan.serviceproxy.hostclaims import HostClaims
from sampan.serviceproxy.rules import is_proxied
from sampan.serviceproxy.transactions import Apply, Transactions
from sampan.serviceproxy.transactions import nft as run_nft

SET, MAP = "nodeports", "hostports"
AGAIN_SECONDS = 5.0  # how soon a port that somebody else had is tried again
Tell = Callable[[Obj, str], None]


@dataclass(frozen=True)
class _Elements:
    """What the set and the map hold, as nft writes it."""

    ports: frozenset[str] = frozenset()
    forwards: frozenset[str] = frozenset()


class HostPorts:
    """Runs in the host's network namespace. `table` is NetworkPlan.host_table; feed and run it as a ServiceProxy.

    `tell(service, text)` hears why a Service does not get the host ports it asks for.
    """

    def __init__(
        self,
        table: str,
        clock: Clock,
        *,
        tell: Tell = lambda service, text: None,
        claims: HostClaims | None = None,
        apply: Apply = run_nft,
    ) -> None:
        self._set, self._map = f"ip {table} {SET}", f"ip {table} {MAP}"
        self._tell = tell
        self._claims = claims or HostClaims()
        self._ports: dict[Key, frozenset[str]] = {}
        self._asking: dict[Key, Obj] = {}
        self._wishes: dict[Key, Wish] = {}
        self._told: dict[Key, frozenset[str]] = {}
        self._applied = _Elements()
        self._next = _Elements()
        self._again: asyncio.TimerHandle | None = None
        self._transactions = Transactions(f"ports in table {table}", self._text, self._in_force, apply, clock)

    def service_changed(self, old: Obj | None, new: Obj | None) -> None:
        """An informer's handler for Services: None for `old` is an addition, for `new` a deletion."""
        key = meta.key(new or old or {})
        ports, wish = (node_ports(new), wish_of(new)) if new else (frozenset(), Wish())
        if (ports, wish) == (self._ports.get(key, frozenset()), self._wishes.get(key, Wish())):
            return
        self._ports[key] = ports
        if not new:
            del self._ports[key]
        if new and wish != Wish():
            self._asking[key], self._wishes[key] = new, wish
        else:
            for memory in (self._asking, self._wishes, self._told):
                memory.pop(key, None)
        self._transactions.changed()

    async def run(self) -> None:
        """Make the table true until cancelled."""
        await self._transactions.run()

    def synced(self) -> bool:
        return self._transactions.synced.is_set()

    def _text(self, whole: bool) -> str:
        self._next = _Elements(frozenset().union(*self._ports.values()), self._forwards())
        head = f"flush set {self._set}\nflush map {self._map}\n" if whole else ""
        before = _Elements() if whole else self._applied
        changes = ((self._set, before.ports, self._next.ports), (self._map, before.forwards, self._next.forwards))
        gone = "".join(_elements("delete", where, was - now) for where, was, now in changes)
        return head + gone + "".join(_elements("add", where, now - was) for where, was, now in changes)

    def _forwards(self) -> frozenset[str]:
        """Those that are had, of all that are wanted."""
        owners, refused = settle(self._wishes)
        held = self._claims.hold(owners)
        missing = owners.keys() - held
        for port in sorted(missing):
            refused.setdefault(owners[port], []).append(
                f"host port {port} is in use by another program of this machine"
            )
        for key, wish in self._wishes.items():
            self._report(key, (*wish.problems, *refused.get(key, ())))
        self._look_again(bool(missing))
        found = [(port, self._wishes[owners[port]].forwards[port]) for port in owners.keys() & held]
        return frozenset(f"{port.protocol} . {port.port} : {to.ip} . {to.port}" for port, to in found)

    def _report(self, key: Key, problems: tuple[str, ...]) -> None:
        """Each once."""
        for text in problems:
            if text not in self._told.get(key, ()):
                self._tell(self._asking[key], text)
        self._told[key] = frozenset(problems)

    def _look_again(self, missing: bool) -> None:
        if self._again:
            self._again.cancel()
        later = asyncio.get_running_loop().call_later
        self._again = later(AGAIN_SECONDS, self._transactions.changed) if missing else None

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
