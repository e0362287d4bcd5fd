"""When may a pod that is being deleted stop? When nobody sends it new connections: every node's rules, every proxy.

Who sends reads EndpointSlices. So first the slices have to say that the pod ends, then all who read them have to have
got as far as that revision. A process that does not answer is waited for, not left out: the rules it made are in force
while it stands still.

pod's agent ─┬─ its own rules
             ├─ GET /caughtUp?endpointSlices=REVISION ─ agent.sock of every other node ─ rules in force
             └─ the same of the server's socket ─ the host's routes to load balancers, every gateway's Envoy
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from pathlib import Path

from sampan.api import meta, pods
from sampan.api.endpoints import service_of
from sampan.api.meta import Obj
from sampan.base.clock import Clock
from sampan.base.http.client import HttpClient
from sampan.base.http.types import Request, Response
from sampan.client.informer import Informer

PATH, REVISION = "/caughtUp", "endpointSlices"
AGAIN = 0.05  # seconds until one that did not answer is asked again
HOLD = 5.0  # seconds a question is held

# Returns when its owner sends new connections as the EndpointSlices of this revision, or a later one, say.
CaughtUp = Callable[[int], Awaitable[None]]


class Drains:
    """`services` and `slices` are somebody else's to run; `senders` are all who send connections to pods."""

    def __init__(self, services: Informer, slices: Informer, senders: Sequence[CaughtUp]) -> None:
        self._services, self._slices = services, slices
        self._senders = senders
        self._waiting: dict[str, asyncio.Event] = {}  # by the pod's uid
        services.add_handler(self._service_changed)
        slices.add_handler(self._slice_changed)

    async def drained(self, pod: Obj) -> bool:
        """Return when nobody sends new connections to the terminating pod; False when nobody did before either.

        One that is used only because no other is ready counts as drained: nobody can take its place. Give it a timeout.
        """
        revision = await self._withdrawn(pod)
        if revision:
            await asyncio.gather(*(caught_up(revision) for caught_up in self._senders))
        return revision > 0 and pods.is_ready(pod)

    async def _withdrawn(self, pod: Obj) -> int:
        namespace, change = meta.namespace(pod), self._waiting.setdefault(meta.uid(pod), asyncio.Event())
        try:
            while True:
                change.clear()
                revision = withdrawn(pod, self._services.list(namespace), self._slices.list(namespace))
                if revision is not None:
                    return revision
                await change.wait()
        finally:
            self._waiting.pop(meta.uid(pod), None)

    def _service_changed(self, old: Obj | None, new: Obj | None) -> None:
        for change in self._waiting.values():
            change.set()

    def _slice_changed(self, old: Obj | None, new: Obj | None) -> None:
        for entry in (old, new) if self._waiting else ():
            for uid, _ in _listed(entry or {}):
                if change := self._waiting.get(uid):
                    change.set()


def withdrawn(pod: Obj, services: Iterable[Obj], slices: Iterable[Obj]) -> int | None:
    """The revision of the EndpointSlices as of which they say that the pod ends: 0 when they do not know it, None when
    they have yet to say it. Once the controller has said so, it does not take it back."""
    uid, ready = meta.uid(pod), pods.is_ready(pod)
    # A pod that has just become ready may be published as such only now, by a controller that lags behind.
    missing = {meta.key(service) for service in services if ready and _publishes(service, pod)}
    revision = 0
    for entry in slices:
        for conditions in (conditions for listed, conditions in _listed(entry) if listed == uid):
            if not conditions.get("terminating") and (ready or conditions.get("ready") is not False):
                return None
            revision = max(revision, int(entry["metadata"]["resourceVersion"]))
            missing.discard(service_of(entry))
    return None if missing else revision


def _listed(entry: Obj) -> Iterator[tuple[str, Obj]]:
    """The uid of each pod in an EndpointSlice, and its conditions."""
    for endpoint in entry.get("endpoints") or ():
        yield (endpoint.get("targetRef") or {}).get("uid", ""), endpoint.get("conditions") or {}


def _publishes(service: Obj, pod: Obj) -> bool:
    """Will the Service's EndpointSlices have the pod? As controllers.service_endpoints sees it."""
    spec = service["spec"]
    selector, ports = spec.get("selector"), spec.get("ports") or ()
    if not selector or spec.get("type") == "ExternalName" or meta.deleting(service) or not pods.ip(pod):
        return False
    if not selector.items() <= meta.labels(pod).items() or "IPv4" not in (spec.get("ipFamilies") or ("IPv4",)):
        return False
    numbers = [pods.port_number(pod, p.get("targetPort", p["port"]), p.get("protocol", "TCP")) for p in ports]
    return not numbers or any(number is not None for number in numbers)


# ── between processes ────────────────────────────────────────────────────────────────────────────────────────────────


class Elsewhere:
    """The senders of another process, asked through its Unix socket for as long as it takes."""

    def __init__(self, socket: Path, clock: Clock) -> None:
        self._client = HttpClient(f"unix:{socket}")
        self._clock = clock
        self._known = 0  # where they have been they do not fall behind, not even when the process is replaced

    async def caught_up(self, revision: int) -> None:
        while revision > self._known:
            try:
                target = f"{PATH}?{REVISION}={revision}"
                if (await self._client.request("GET", target, timeout=2 * HOLD)).status == 200:
                    self._known = max(self._known, revision)
                    return
            except (OSError, TimeoutError):
                pass  # it is being replaced
            await self._clock.sleep(AGAIN)

    async def close(self) -> None:
        await self._client.close()


async def answer(request: Request, senders: Sequence[CaughtUp]) -> Response:
    """The other end of `Elsewhere`."""
    text = request.query.get(REVISION, [""])[-1]
    if not text.isdecimal():
        return _text(400, f"{REVISION} must be a revision")
    try:
        async with asyncio.timeout(HOLD):
            await asyncio.gather(*(caught_up(int(text)) for caught_up in senders))
    except TimeoutError:
        return _text(504, "not yet")
    return _text(200, "ok")


def _text(status: int, text: str) -> Response:
    return Response(status, text.encode(), [("content-type", "text/plain")])
