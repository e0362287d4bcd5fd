"""Keeps a node's rules in step with the API's Services and EndpointSlices."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from sampan.api import meta
from sampan.api.endpoints import service_of
from sampan.api.meta import Key, Obj
from sampan.base.clock import Clock
from sampan.serviceproxy import conntrack, nft
from sampan.serviceproxy.model import NodeFacts, Ruleset
from sampan.serviceproxy.rules import compile_service
from sampan.serviceproxy.transactions import Apply, Transactions
from sampan.serviceproxy.transactions import nft as run_nft

Forget = Callable[[conntrack.Flows], Awaitable[None]]


class ServiceProxy:
    """Add its two handlers to informers, start `run()` once those are synced.

    `apply` and `forget` are the outside world: an nft transaction, and the removal of stale UDP flows.
    """

    def __init__(
        self, facts: NodeFacts, clock: Clock, *, apply: Apply = run_nft, forget: Forget = conntrack.forget
    ) -> None:
        self._services: dict[Key, Obj] = {}
        self._slices: dict[Key, dict[Key, Obj]] = {}
        self._owner: dict[Key, Key] = {}  # slice → the Service it was filed under
        self._dirty: set[Key] = set()
        self._applied = Ruleset(facts)
        self._next = Ruleset(facts)
        self._forget = forget
        self._waiting: dict[asyncio.Future[None], str] = {}
        self._transactions = Transactions(f"rules of node {facts.name}", self._text, self._in_force, apply, clock)

    @property
    def rules(self) -> Ruleset:
        """What the kernel has."""
        return self._applied

    def service_changed(self, old: Obj | None, new: Obj | None) -> None:
        """An informer's handler for Services: None for `old` is an addition, for `new` a deletion."""
        key = meta.key(new or old or {})
        if new is None:
            self._services.pop(key, None)
        else:
            self._services[key] = new
        if old is None and key not in self._slices:
            self._dirty.add(key)
            self._transactions.changed_soon()
        else:
            self._touch(key)

    def slice_changed(self, old: Obj | None, new: Obj | None) -> None:
        """An informer's handler for EndpointSlices. A slice may move to another Service."""
        key = meta.key(new or old or {})
        before = self._owner.pop(key, None)
        if before is not None:
            self._slices[before].pop(key)
            if not self._slices[before]:
                del self._slices[before]
            self._touch(before)
        if new is not None:
            owner = service_of(new)
            self._owner[key] = owner
            self._slices.setdefault(owner, {})[key] = new
            self._touch(owner)

    async def run(self) -> None:
        """Make the rules true until cancelled. The rules stay when it ends."""
        await self._transactions.run()

    def synced(self) -> bool:
        """Were all rules in force once?"""
        return self._transactions.synced.is_set()

    async def wait_synced(self) -> None:
        await self._transactions.synced.wait()

    async def drained(self, ip: str) -> None:
        """Return when this node's rules send no new connection to `ip`.

        A terminating endpoint that is used only because no other is ready counts as drained: nobody can take its
        place. Other nodes follow within a transaction's time. Give it a timeout: the endpoint may never leave.
        """
        if self.synced() and ip not in self._applied.targets() and not self._dirty:
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[future] = ip
        try:
            self._transactions.changed()
            await future
        finally:
            del self._waiting[future]

    # ── the two ends of a transaction ────────────────────────────────────────────────────────────────────────────────

    def _touch(self, key: Key) -> None:
        self._dirty.add(key)
        self._transactions.changed()

    def _text(self, whole: bool) -> str:
        facts = self._applied.facts
        services = dict(self._next.services)
        for key in self._dirty:
            service = self._services.get(key)
            if service is None:
                services.pop(key, None)
            else:
                services[key] = compile_service(service, self._slices.get(key, {}).values(), facts)
        self._dirty.clear()
        self._next = Ruleset(facts, services)
        return nft.full(self._next) if whole else nft.diff(self._applied, self._next)

    async def _in_force(self) -> None:
        before, self._applied = self._applied, self._next
        if self._waiting:
            targets = self._applied.targets()
            for future, ip in self._waiting.items():
                if ip not in targets and not future.done():
                    future.set_result(None)
        flows = conntrack.changed_flows(before, self._applied)
        if flows:
            await self._forget(flows)
