"""Who is connected and what each kind of proxy shall have: snapshots in, sessions woken. Knows nothing of gRPC."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from sampan.base import log
from sampan.base.clock import Clock
from sampan.ir import Origin
from sampan.xds.discovery import Encoder, Request
from sampan.xds.session import Send, Session, TypeStatus
from sampan.xds.subscription import Change
from sampan.xds.types import Snapshot

_log = log.get("xds")

# gRPC's own clients name no kind unless their bootstrap does.
GRPC = "grpc"
# Names that snapshots once had, kept for clients that come over from a server with an older one.
GONE = 10_000

# kind, type URL, names, origins, message
OnNack = Callable[[str, str, tuple[str, ...], tuple[Origin, ...], str], None]


@dataclass(frozen=True, slots=True)
class ProxyStatus:
    """A connected proxy: `types` in the order of types.TYPES."""

    node: str
    kind: str
    since: datetime
    types: tuple[TypeStatus, ...]


@dataclass(slots=True, eq=False)
class Kind:
    """What the proxies of one node.cluster share."""

    name: str
    snapshot: Snapshot | None = None
    encoder: Encoder = field(default_factory=Encoder)
    gone: dict[str, dict[str, None]] = field(default_factory=dict)
    streams: set[Stream] = field(default_factory=set)
    unsettled: set[Stream] = field(default_factory=set)


@dataclass(slots=True, eq=False)
class Stream:
    """`wake` is set when the session may have something to send."""

    session: Session
    kind: Kind
    node: str
    since: datetime
    wake: asyncio.Event = field(default_factory=asyncio.Event)


class Hub:
    """`on_nack(kind, type_url, names, origins, message)`: a proxy refused these and keeps what it had of them."""

    def __init__(self, clock: Clock, on_nack: OnNack | None = None) -> None:
        self.clock = clock
        self._on_nack = on_nack
        self._kinds: dict[str, Kind] = {}
        self._waiters: list[tuple[str, int, asyncio.Future[None]]] = []

    def publish(self, kind: str, snapshot: Snapshot) -> None:
        """The newest for all proxies of a kind; silent when it is the one they have."""
        shared = self._kind(kind)
        before, shared.snapshot = shared.snapshot, snapshot
        changes = differences(before or Snapshot(), snapshot)
        if before is not None and not changes:
            return
        shared.encoder.reset()
        for url, change in changes.items():
            _remember(shared.gone.setdefault(url, {}), change)
        for stream in shared.streams:
            stream.session.publish(snapshot, changes)
            self._look(stream)

    def join(self, delta: bool, first: Request) -> Stream:
        """A stream that begins with this request, which is still to be given to `receive`."""
        name = first.kind or (GRPC if first.agent.startswith("gRPC") else "")
        shared = self._kind(name)
        session = Session(delta, shared.encoder, shared.gone)
        if shared.snapshot is not None:
            session.publish(shared.snapshot, {})
        stream = Stream(session, shared, first.node, self.clock.now())
        shared.streams.add(stream)
        return stream

    def leave(self, stream: Stream) -> None:
        stream.kind.streams.discard(stream)
        stream.kind.unsettled.discard(stream)
        if stream.kind.snapshot is None and not stream.kind.streams:
            self._kinds.pop(stream.kind.name, None)
        self._tell_waiters()

    def receive(self, stream: Stream, request: Request) -> None:
        refused = stream.session.receive(request)
        self._look(stream)
        if refused:
            _log.warning("%s refused %s %s: %s", stream.node, refused.type_url, refused.names, refused.message)
            if self._on_nack:
                self._on_nack(stream.kind.name, refused.type_url, refused.names, refused.origins, refused.message)
        if self._waiters and stream not in stream.kind.unsettled:
            self._tell_waiters()

    def _look(self, stream: Stream) -> None:
        if stream.session.settled:
            stream.kind.unsettled.discard(stream)
        else:
            stream.kind.unsettled.add(stream)
            stream.wake.set()

    def turn(self, stream: Stream) -> list[Send]:
        return stream.session.turn(self.clock.monotonic())

    def status(self) -> list[ProxyStatus]:
        streams = [stream for kind in self._kinds.values() for stream in kind.streams]
        streams.sort(key=lambda stream: (stream.kind.name, stream.node, stream.since))
        return [ProxyStatus(s.node, s.kind.name, s.since, tuple(s.session.status())) for s in streams]

    def snapshots(self) -> dict[str, Snapshot]:
        """Kind → what its proxies shall have, of the kinds that have something."""
        return {name: kind.snapshot for name, kind in self._kinds.items() if kind.snapshot is not None}

    def settled(self, kind: str, version: int = 0) -> bool:
        """Every connected proxy of the kind has answered to all of a snapshot as new as `version`."""
        shared = self._kinds.get(kind)
        if shared is None or shared.snapshot is None or shared.snapshot.version < version:
            return False
        return not shared.unsettled

    async def acked(self, kind: str, version: int) -> None:
        """Wait until `settled`."""
        if not self.settled(kind, version):
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiters.append((kind, version, future))
            await future

    def _tell_waiters(self) -> None:
        for waiter in list(self._waiters):
            kind, version, future = waiter
            if future.done() or self.settled(kind, version):
                self._waiters.remove(waiter)
                if not future.done():
                    future.set_result(None)

    def _kind(self, name: str) -> Kind:
        return self._kinds.setdefault(name, Kind(name))


def differences(before: Snapshot, now: Snapshot) -> dict[str, Change]:
    """Type URL → what is other."""
    found = {}
    for url in before.resources.keys() | now.resources.keys():
        was, has = before.of(url), now.of(url)
        if was is not has:
            others = [name for name, resource in has.items() if was.get(name) is not resource]
            there = frozenset(name for name in others if name not in was or was[name].version != has[name].version)
            gone = frozenset(was.keys() - has.keys())
            if there or gone:
                found[url] = Change(there, gone)
    return found


def _remember(gone: dict[str, None], change: Change) -> None:
    if gone:
        for name in change.there:
            gone.pop(name, None)
    gone.update(dict.fromkeys(change.gone))
    while len(gone) > GONE:
        del gone[next(iter(gone))]
