"""Keeps a node's rules in step with the API's Services and EndpointSlices."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from sampan.api import meta
from sampan.api.endpoints import service_of
from sampan.api.meta import Key, Obj
from sampan.base.clock import Clock
from sampan.serviceproxy import conntrack, nft, there
from sampan.serviceproxy.model import NodeFacts, Ruleset
from sampan.serviceproxy.rules import compile_service
from sampan.serviceproxy.transactions import Apply, Transactions
from sampan.serviceproxy.transactions import nft as run_nft

Forget = Callable[[conntrack.Flows], Awaitable[None]]


class ServiceProxy:
    """Add its two handlers to informers, start `run()` once those are synced.

    `apply`, `read` and `forget` are the outside world: an nft transaction, what there is before the first, and the
    removal of stale UDP flows.
    """

    def __init__(
        self,
        facts: NodeFacts,
        clock: Clock,
        *,
        apply: Apply = run_nft,
        read: there.Read = there.names,
        forget: Forget = conntrack.forget,
    ) -> None:
        self._services: dict[Key, Obj] = {}
        self._slices: dict[Key, dict[Key, Obj]] = {}
        self._owner: dict[Key, Key] = {}  # slice → the Service it was filed under
        self._dirty: set[Key] = set()
        self._applied = Ruleset(facts)
        self._next = Ruleset(facts)
        self._read = read
        self._there: nft.Names | None = None
        self._renewing = False
        self._forget = forget
        name = f"rules of node {facts.name}"
        self._transactions = Transactions(name, self._text, self._in_force, apply, clock, before_all=self._learn)

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

    async def caught_up(self) -> None:
        """Return when all that the handlers have been told by now is in force."""
        await self._transactions.caught_up()

    # ── the two ends of a transaction ────────────────────────────────────────────────────────────────────────────────

    def _touch(self, key: Key) -> None:
        self._dirty.add(key)
        self._transactions.changed()

    async def _learn(self) -> None:
        """A table that could not be renewed is made anew."""
        self._there = None if self._renewing else await self._read()
        self._renewing = self._there is not None

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
        if not whole:
            return nft.diff(self._applied, self._next)
        return nft.full(self._next) if self._there is None else nft.renewed(self._next, self._there)

    async def _in_force(self) -> None:
        before, self._applied, self._renewing = self._applied, self._next, False
        flows = conntrack.changed_flows(before, self._applied)
        if flows:
            await self._forget(flows)
