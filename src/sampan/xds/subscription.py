"""What one stream knows of one type: what the client asked for, what it has, what it is still to get."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from sampan.xds.types import CLUSTER, LISTENER, Resource

# Types of which a client may ask for everything, and of which a state-of-the-world response is complete.
WHOLE = frozenset({LISTENER, CLUSTER})
NOBODY: frozenset[str] = frozenset()

# Seconds that an answer is waited for: then a client that is stuck on one thing gets the others. Envoy keeps back the
# ACK of clusters until all are warm, which is what is waited for; one that never gets warm must not harm the rest.
PATIENCE = 2.0


class Change(NamedTuple):
    """Of one type, from one snapshot to the next: the names that are new or other, and those that are no more."""

    there: frozenset[str] = NOBODY
    gone: frozenset[str] = NOBODY


@dataclass(frozen=True, slots=True)
class Flight:
    """A response whose ACK or NACK is not there yet."""

    nonce: str
    names: frozenset[str]
    removed: frozenset[str]
    version: int
    since: float


@dataclass(slots=True)
class Subscription:
    """`known`: names the client has some version of. `dirty`: to be sent. `absent`: asked for and not there.

    `leaving`: what the client has and nobody has any more, to be taken away when nothing refers to it; with the last
    resource of that name, if we had it. `apart`: after a NACK, parts of it to be tried alone. `refused`: name → why.
    `claims`: versions the client says it has, until they have been looked at. `sent`, `acked` are snapshots' versions.
    """

    type_url: str
    delta: bool
    wildcard: bool = False
    named: bool = False
    names: set[str] = field(default_factory=set)
    claims: dict[str, str] = field(default_factory=dict)
    known: set[str] = field(default_factory=set)
    dirty: frozenset[str] = NOBODY
    absent: frozenset[str] = NOBODY
    leaving: dict[str, Resource | None] = field(default_factory=dict)
    apart: list[frozenset[str]] = field(default_factory=list)
    flight: Flight | None = None
    nonce: str = ""
    refused: dict[str, str] = field(default_factory=dict)
    sent: int = 0
    acked: int = 0

    def wants(self, name: str) -> bool:
        return self.wildcard or name in self.names

    def of(self, names: frozenset[str]) -> frozenset[str]:
        """Those of `names` it wants: the same object when it wants all, so that what it leads to is made once."""
        return names if self.wildcard or not names or names <= self.names else names & self.names

    def waiting(self, now: float) -> bool:
        return self.flight is not None and now < self.flight.since + PATIENCE

    @property
    def pending(self) -> bool:
        return bool(self.dirty or self.absent or self.apart)

    @property
    def settled(self) -> bool:
        return not (self.dirty or self.flight or self.absent or self.apart or self.leaving)

    # -- what the client asks for: each returns the names that are news to it, None for everything

    def subscribe(self, names: Collection[str]) -> frozenset[str] | None:
        first = not self.named and not self.wildcard
        if not names:
            # The legacy form of "*": only while no name was ever said.
            self.wildcard = self.wildcard or (first and self.type_url in WHOLE)
            return None if first and self.wildcard else NOBODY
        self.named = True
        news = frozenset(names)
        if "*" in news and self.type_url in WHOLE:
            already, self.wildcard = self.wildcard, True
            self.names |= news - {"*"}
            return news - {"*"} if already else None
        self.names |= news
        return news

    def unsubscribe(self, names: Iterable[str]) -> frozenset[str]:
        """The names the client is to hear of again: it cannot know whether "*" still brings them."""
        gone = frozenset(names)
        if not gone:
            return NOBODY
        self.named = True
        if "*" in gone and self.type_url in WHOLE:
            self.wildcard = False
        doubtful = gone & self.names if self.wildcard else NOBODY
        self.names -= gone
        if not self.wildcard:
            self._forget()
        return doubtful

    def replace(self, names: Collection[str]) -> frozenset[str] | None:
        """State of the world: the whole list."""
        if not names and not self.named:
            return self.subscribe(())
        self.named = True
        was, had = self.wildcard, frozenset(self.names)
        self.wildcard = "*" in names and self.type_url in WHOLE
        self.names = set(names) - ({"*"} if self.wildcard else NOBODY)
        self._forget()
        return None if self.wildcard and not was else frozenset(self.names - had)

    def _forget(self) -> None:
        if self.wildcard:
            return
        self.known &= self.names
        self.dirty &= self.names
        self.absent &= self.names
        self.apart = [part for group in self.apart if (part := group & self.names)]
        self.leaving = {name: resource for name, resource in self.leaving.items() if name in self.names}

    # -- what there is

    def want(self, news: frozenset[str] | None, resources: Mapping[str, Resource], gone: Collection[str]) -> None:
        """`news` (None: all it subscribed to) are to be sent, but for those it claims to have.

        `gone`: names that once were. A client that asks for all and claims nothing may have them from another server.
        """
        claims, self.claims = self.claims, {}
        asked = (resources.keys() | self.names if self.wildcard else self.names) if news is None else news
        there = frozenset(name for name in asked if name in resources)
        self.known.update(name for name in claims if self.wants(name))
        self.leaving.update((name, None) for name in claims if name not in resources and self.wants(name))
        if news is None and self.wildcard and self.delta and not claims:
            self.leaving.update((name, None) for name in gone if name not in resources)
        self.dirty |= {name for name in there if claims.get(name) != resources[name].version}
        self.absent |= frozenset(asked).difference(there, self.leaving) if self.delta else NOBODY

    def change(self, change: Change, before: Mapping[str, Resource]) -> None:
        there, gone = self.of(change.there), self.of(change.gone)
        if there:
            self.dirty = self.dirty | there if self.dirty else there
            self.absent -= there
            for name in self.leaving.keys() & there if self.leaving else ():
                del self.leaving[name]
                self.known.add(name)  # or may have it, from another server: it is to be taken away again
        if gone:
            self.dirty -= gone
            self.leaving.update((name, before.get(name)) for name in gone if name in self.known)
            for name in self.refused.keys() & gone:
                del self.refused[name]
