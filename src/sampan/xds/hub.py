"""Who is connected and what each kind of proxy shall have: snapshots in, sessions woken. Knows nothing of gRPC."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from sampan.base import log
from sampan.base.clock import Clock
from sampan.ir import Origin
from sampan.xds.discovery import Encoder, Request
from sampan.xds.session import Send, Session, TypeStatus
from sampan.xds.types import Resource, Snapshot

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
        before = shared.snapshot
        if before is snapshot:
            return
        changed = differences(before or Snapshot(), snapshot)
        if before is not None and not changed:
            return
        shared.snapshot = snapshot
        for url, names in changed.items():
            _remember(shared.gone.setdefault(url, {}), names, snapshot.of(url))
        for stream in shared.streams:
            stream.session.publish(snapshot, changed)
            stream.wake.set()

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
        if stream.kind.snapshot is None and not stream.kind.streams:
            self._kinds.pop(stream.kind.name, None)
        self._tell_waiters()

    def receive(self, stream: Stream, request: Request) -> None:
        refused = stream.session.receive(request)
        stream.wake.set()
        if refused:
            _log.warning("%s refused %s %s: %s", stream.node, refused.type_url, refused.names, refused.message)
            if self._on_nack:
                self._on_nack(stream.kind.name, refused.type_url, refused.names, refused.origins, refused.message)
        if self._waiters:
            self._tell_waiters()

    def turn(self, stream: Stream) -> list[Send]:
        return stream.session.turn(self.clock.monotonic())

    def status(self) -> list[ProxyStatus]:
        streams = [stream for kind in self._kinds.values() for stream in kind.streams]
        streams.sort(key=lambda stream: (stream.kind.name, stream.node, stream.since))
        return [ProxyStatus(s.node, s.kind.name, s.since, tuple(s.session.status())) for s in streams]

    def settled(self, kind: str, version: int = 0) -> bool:
        """Every connected proxy of the kind has answered to all of a snapshot as new as `version`."""
        shared = self._kinds.get(kind)
        if shared is None or shared.snapshot is None:
            return False
        return all(s.session.settled and s.session.version >= version for s in shared.streams)

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


def differences(before: Snapshot, now: Snapshot) -> dict[str, frozenset[str]]:
    """Type URL → names that are new, other or gone."""
    found = {}
    for url in before.resources.keys() | now.resources.keys():
        was, has = before.of(url), now.of(url)
        if was is not has:
            names = {name for name, resource in has.items() if not _same(was.get(name), resource)}
            names.update(was.keys() - has.keys())
            if names:
                found[url] = frozenset(names)
    return found


def _same(one: Resource | None, other: Resource) -> bool:
    return one is other or (one is not None and one.version == other.version)


def _remember(gone: dict[str, None], changed: frozenset[str], resources: Mapping[str, Resource]) -> None:
    for name in changed:
        if name in resources:
            gone.pop(name, None)
        else:
            gone[name] = None
    while len(gone) > GONE:
        del gone[next(iter(gone))]
