"""Records events about objects, as `kubectl describe` and `kubectl get events` show them.

The same event again raises its count; many that differ only in their message are combined; an object that makes too
many is throttled. Source: k8s.io/client-go/tools/record (correlation defaults), API reference Event v1.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from dataclasses import dataclass
from typing import Any

from sampan.api import meta
from sampan.api.meta import Obj
from sampan.api.status import ApiError
from sampan.base import log
from sampan.base.clock import Clock
from sampan.client.types import Client

_log = log.get("events")

_REMEMBERED = 4096
_QUEUED = 1000
# More similar events than this within the window become one whose message says so.
_SIMILAR, _WINDOW = 10, 600.0
# Per object: events at once, and seconds until one more is allowed.
_BURST, _REFILL = 25, 300.0
_TRIES = 3
_COMBINED = "(combined from similar events): "


@dataclass(slots=True)
class _Event:
    """An event that was or will be written; `made`: it is in the API. Its count and time may rise again."""

    body: Obj
    made: bool = False
    queued: bool = False


@dataclass(slots=True)
class _Similar:
    """How many different messages of one kind of event an object has had."""

    messages: set[str]
    since: float


@dataclass(slots=True)
class _Bucket:
    tokens: float
    at: float


class EventRecorder:
    """Implements `Recorder`. `run()` is a task's body that writes what is queued."""

    def __init__(self, client: Client, clock: Clock, *, component: str, host: str = "") -> None:
        self._client = client
        self._clock = clock
        self._component, self._host = component, host
        self._events: OrderedDict[Any, _Event] = OrderedDict()
        self._similar: OrderedDict[Any, _Similar] = OrderedDict()
        self._buckets: OrderedDict[Any, _Bucket] = OrderedDict()
        self._queue: deque[_Event] = deque()
        self._arrived = asyncio.Event()

    def event(self, about: Obj, type: str, reason: str, message: str) -> None:
        if not self._allowed(about):
            return
        similar = (about["kind"], meta.key(about), meta.uid(about), type, reason)
        identity: Any = (*similar, message)
        if self._too_many(similar, message):
            identity, message = similar, _COMBINED + message
        event = _remember(self._events, identity, lambda: _Event(self._body(about, type, reason)))
        event.body["message"] = message
        event.body["count"] += 1
        event.body["lastTimestamp"] = meta.timestamp(self._clock.now())
        if not event.queued and len(self._queue) < _QUEUED:
            event.queued = True
            self._queue.append(event)
            self._arrived.set()

    async def run(self) -> None:
        """Write queued events until cancelled."""
        while True:
            while not self._queue:
                self._arrived.clear()
                await self._arrived.wait()
            event = self._queue.popleft()
            event.queued = False
            await self._write(event)

    def _allowed(self, about: Obj) -> bool:
        now = self._clock.monotonic()
        key = (about["kind"], meta.key(about), meta.uid(about))
        bucket = _remember(self._buckets, key, lambda: _Bucket(_BURST, now))
        bucket.tokens = min(_BURST, bucket.tokens + (now - bucket.at) / _REFILL)
        bucket.at = now
        if bucket.tokens < 1:
            return False
        bucket.tokens -= 1
        return True

    def _too_many(self, key: Any, message: str) -> bool:
        now = self._clock.monotonic()
        seen = _remember(self._similar, key, lambda: _Similar(set(), now))
        if now - seen.since > _WINDOW:
            seen.messages.clear()
        seen.since = now
        if len(seen.messages) < _SIMILAR:
            seen.messages.add(message)
        return message not in seen.messages

    def _body(self, about: Obj, type: str, reason: str) -> Obj:
        now = self._clock.now()
        namespace = meta.namespace(about)
        involved = {
            "kind": about["kind"],
            "namespace": namespace,
            "name": meta.name(about),
            "uid": meta.uid(about),
            "apiVersion": about["apiVersion"],
            "resourceVersion": about["metadata"].get("resourceVersion", ""),
        }
        name = f"{meta.name(about)}.{int(now.timestamp() * 1e9) + len(self._events):x}"
        return {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": name, "namespace": namespace or "default"},
            "involvedObject": {k: v for k, v in involved.items() if v},
            "type": type,
            "reason": reason,
            "source": {"component": self._component} | ({"host": self._host} if self._host else {}),
            "firstTimestamp": meta.timestamp(now),
            "count": 0,
            "reportingComponent": self._component,
            "reportingInstance": self._host,
        }

    async def _write(self, event: _Event) -> None:
        """Create or raise; give up after a few tries, for an event is not worth more."""
        for attempt in range(_TRIES):
            try:
                if event.made:
                    await self._raise(event)
                else:
                    await self._client.create("events", event.body)
                    event.made = True
                return
            except ApiError as error:
                if error.code == 404 and event.made:
                    event.made = False  # it expired: make it anew
                elif error.code < 500 and error.code != 429:
                    _log.debug("event dropped: %s", error)
                    return
                else:
                    await self._clock.sleep(1.0 + attempt)
        _log.warning("event dropped: %s %s", event.body["reason"], event.body["metadata"]["name"])

    async def _raise(self, event: _Event) -> None:
        body = event.body
        change = {k: body[k] for k in ("count", "lastTimestamp", "message")}
        await self._client.patch("events", body["metadata"]["name"], body["metadata"]["namespace"], change)


def _remember(memory: OrderedDict[Any, Any], key: Any, make: Any) -> Any:
    """The entry of a least-recently-used memory, made when it is not there."""
    entry = memory.get(key)
    if entry is None:
        entry = memory[key] = make()
        if len(memory) > _REMEMBERED:
            memory.popitem(last=False)
    else:
        memory.move_to_end(key)
    return entry
