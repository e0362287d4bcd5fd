"""ADS on one stream, without I/O: requests and snapshots in, responses out. Delta and state-of-the-world.

Source: Envoy's "xDS REST and gRPC protocol" and what Envoy 1.40 makes of it. What it keeps to:

* One response of a type is in flight; meanwhile its changes add up, and the newest is sent after the ACK.
* Make before break: clusters, then what listeners and routes need, then those; listeners and routes wait for the ACK of
  clusters, which Envoy gives when all are warm. What nothing refers to any more goes when all else is done.
* Endpoints wait for nobody.
* With a cluster its endpoints are sent again, when the client had them: the new cluster does not get warm without.
* A NACK of several is taken apart until the one to blame is known. It is not sent again before it changes.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum

from sampan.ir import Origin
from sampan.xds.discovery import Encoder, Request
from sampan.xds.subscription import NOBODY, PATIENCE, WHOLE, Change, Flight, Subscription
from sampan.xds.types import CLUSTER, ENDPOINTS, LISTENER, ROUTES, SECRET, TYPES, Resource, Snapshot

# What refers goes before what is referred to.
REMOVALS = (LISTENER, ROUTES, CLUSTER, ENDPOINTS, SECRET)
AFTER_CLUSTERS = frozenset({LISTENER, ROUTES})


@dataclass(frozen=True, slots=True)
class Send:
    type_url: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Refused:
    """The client keeps what it had of `names`."""

    type_url: str
    names: tuple[str, ...]
    origins: tuple[Origin, ...]
    message: str


class State(StrEnum):
    """As istioctl proxy-status says it, and NACK."""

    SYNCED = "SYNCED"
    STALE = "STALE"
    NOT_SENT = "NOT SENT"
    NACK = "NACK"


@dataclass(frozen=True, slots=True)
class TypeStatus:
    """`sent`, `acked`: versions of the snapshot. `message`: of a NACK."""

    type_url: str
    state: State
    sent: int
    acked: int
    message: str = ""


class Session:
    """`gone`: type → names that snapshots once had."""

    def __init__(self, delta: bool, encoder: Encoder, gone: Mapping[str, Collection[str]]) -> None:
        self._delta = delta
        self._encoder = encoder
        self._gone = gone
        self._snapshot: Snapshot | None = None
        self._subscriptions: dict[str, Subscription] = {}
        # Endpoints that clusters sent anew wait for, while the client has not said yet which it has.
        self._owed: set[str] = set()

    # -- events

    def publish(self, snapshot: Snapshot, changes: Mapping[str, Change]) -> None:
        """`changes`: type → what is other than in the snapshot before."""
        before, self._snapshot = self._snapshot, snapshot
        for url, subscription in self._subscriptions.items():
            if before is None:
                subscription.want(None, snapshot.of(url), self._gone.get(url, ()))
            elif change := changes.get(url):
                subscription.change(change, before.of(url))

    def receive(self, request: Request) -> Refused | None:
        url = request.type_url
        subscription = self._subscriptions.get(url)
        first = subscription is None
        if subscription is None:
            claims = {name: version for name, version in request.versions.items() if name not in self._owed}
            subscription = self._add(Subscription(url, self._delta, claims=claims))
        elif not self._delta and request.nonce != subscription.nonce:
            return None  # it speaks of an older response; what it says now comes again with the answer to the newer
        refused = self._answered(subscription, request)
        if self._delta:
            again = subscription.unsubscribe(request.unsubscribe)
            # An ACK names nobody, which only in the first request asks for everything.
            asks = bool(request.subscribe) or (first and not request.unsubscribe)
            news = subscription.subscribe(request.subscribe) if asks else NOBODY
            news = None if news is None else news | again
        else:
            news = subscription.replace(request.subscribe)
        if self._snapshot and (news is None or news):
            subscription.want(news, self._snapshot.of(url), self._gone.get(url, ()))
        return refused

    def turn(self, now: float) -> list[Send]:
        """What is to be sent now. To be called after events, and at `wake_at`."""
        if self._snapshot is None:
            return []
        sends = []
        for url, subscription in self._subscriptions.items():
            if subscription.settled or subscription.waiting(now):
                continue
            if not (url in AFTER_CLUSTERS and self._waiting(CLUSTER, now)):
                sends += self._update(subscription, self._snapshot, now)
        return sends or self._removal(self._snapshot, now)

    def wake_at(self, now: float) -> float | None:
        """When what waits for an answer goes on without it."""
        subscriptions = self._subscriptions.values()
        if not [s for s in subscriptions if s.pending or s.leaving]:
            return None
        return min((s.flight.since + PATIENCE for s in subscriptions if s.flight and s.waiting(now)), default=None)

    # -- what others want to know

    @property
    def settled(self) -> bool:
        """The client has answered to everything there is for it."""
        # Asked for each of many clients at each change: lists are made sooner than generators.
        return self._snapshot is not None and not [s for s in self._subscriptions.values() if not s.settled]

    def status(self) -> list[TypeStatus]:
        return [_status(url, self._subscriptions.get(url)) for url in TYPES]

    # -- inside

    def _add(self, subscription: Subscription) -> Subscription:
        """Subscriptions are kept in the order in which they are served."""
        found = {**self._subscriptions, subscription.type_url: subscription}
        self._subscriptions = {url: found[url] for url in sorted(found, key=_rank)}
        return subscription

    def _waiting(self, url: str, now: float) -> bool:
        subscription = self._subscriptions.get(url)
        return subscription is not None and subscription.waiting(now)

    def _update(self, subscription: Subscription, snapshot: Snapshot, now: float) -> list[Send]:
        url = subscription.type_url
        resources = snapshot.of(url)
        while subscription.apart:
            names = frozenset(name for name in subscription.apart.pop(0) if name in resources)
            if names:
                subscription.dirty -= names
                return [self._send(subscription, snapshot, names, NOBODY, now)]
        names, subscription.dirty = subscription.dirty, NOBODY
        removed, subscription.absent = subscription.absent, NOBODY
        if url == LISTENER:
            # One that moves to another name would find its port taken by the old one.
            removed = removed.union(subscription.leaving)
            subscription.leaving.clear()
        if not names and not removed:
            return []
        if url == CLUSTER:
            self._warm(names, resources)
        return [self._send(subscription, snapshot, names, removed, now)]

    def _warm(self, clusters: frozenset[str], resources: Mapping[str, Resource]) -> None:
        """Endpoints the client has already are not asked for by another cluster, nor by the same one anew."""
        needed = self._encoder.endpoints(clusters, resources)
        if endpoints := self._subscriptions.get(ENDPOINTS):
            if not needed <= endpoints.dirty:
                endpoints.dirty |= needed if needed <= endpoints.known else needed & endpoints.known
        else:
            self._owed |= needed

    def _removal(self, snapshot: Snapshot, now: float) -> list[Send]:
        """Of one type, when all of those before it have been answered."""
        if any(s.pending or s.waiting(now) for s in self._subscriptions.values()):
            return []
        for url in sorted(self._subscriptions, key=_removal_rank):
            subscription = self._subscriptions[url]
            if subscription.leaving:
                removed = frozenset(subscription.leaving)
                subscription.leaving.clear()
                if self._delta or url in WHOLE:
                    return [self._send(subscription, snapshot, NOBODY, removed, now)]
                subscription.known -= removed  # this dialect has no words for it
        return []

    def _send(
        self,
        subscription: Subscription,
        snapshot: Snapshot,
        names: frozenset[str],
        removed: frozenset[str],
        now: float,
    ) -> Send:
        url = subscription.type_url
        resources = snapshot.of(url)
        if not self._delta and url in WHOLE:
            stays = {name: r for name, r in subscription.leaving.items() if r and name not in resources}
            resources = {**resources, **stays} if stays else resources
            names = frozenset(name for name in resources if subscription.wants(name))
        response = self._encoder.response(
            self._delta, url, snapshot.version, resources, names, removed, subscription.nonce
        )
        subscription.nonce = response.nonce
        subscription.flight = Flight(response.nonce, names, removed, snapshot.version, now)
        subscription.sent = snapshot.version
        subscription.known |= names
        subscription.known -= removed
        return Send(url, response.body)

    def _answered(self, subscription: Subscription, request: Request) -> Refused | None:
        flight = subscription.flight
        if flight is None or request.nonce != flight.nonce:
            return None
        subscription.flight = None
        if request.error is not None:
            return self._nack(subscription, flight, request.error)
        subscription.acked = flight.version
        for name in [name for name in subscription.refused if name in flight.names or name in flight.removed]:
            del subscription.refused[name]
        return None

    def _nack(self, subscription: Subscription, flight: Flight, message: str) -> Refused | None:
        url = subscription.type_url
        suspects = named_in(message, flight.names)
        if len(flight.names) > 1 and (self._delta or url not in WHOLE):
            if suspects and suspects != flight.names:
                groups = [flight.names - suspects, *(frozenset({name}) for name in sorted(suspects))]
            else:
                ordered = sorted(flight.names)
                groups = [frozenset(ordered[: len(ordered) // 2]), frozenset(ordered[len(ordered) // 2 :])]
            subscription.apart += groups
            return None
        names = sorted(suspects or flight.names or flight.removed)
        subscription.refused.update(dict.fromkeys(names, message))
        resources = self._snapshot.of(url) if self._snapshot else {}
        origins = dict.fromkeys(o for name in names if name in resources for o in resources[name].origins)
        return Refused(url, tuple(names), tuple(origins), message)


def named_in(message: str, names: Collection[str]) -> frozenset[str]:
    """The names that stand in a message, as whole words."""
    return frozenset(
        name
        for name in names
        if name in message and re.search(rf"(?<![\w./-]){re.escape(name)}(?![\w/-]|\.\w)", message)
    )


def _rank(url: str) -> int:
    return TYPES.index(url) if url in TYPES else len(TYPES)


def _removal_rank(url: str) -> int:
    return REMOVALS.index(url) if url in REMOVALS else len(REMOVALS)


def _status(url: str, subscription: Subscription | None) -> TypeStatus:
    if subscription is None or not subscription.sent:
        return TypeStatus(url, State.NOT_SENT, 0, 0)
    state, message = State.SYNCED, ""
    if subscription.refused:
        state, message = State.NACK, next(iter(subscription.refused.values()))
    elif not subscription.settled:
        state = State.STALE
    return TypeStatus(url, state, subscription.sent, subscription.acked, message)
