"""Watch semantics: store events become what a client with selectors, bookmarks and a timeout sees.

Source: https://kubernetes.io/docs/reference/using-api/api-concepts/#efficient-detection-of-changes
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import orjson

from sampan.api import fields, selectors
from sampan.api.meta import Obj, labels
from sampan.api.scheme import Resource
from sampan.api.status import ApiError, gone
from sampan.base.errors import Compacted
from sampan.server import listing
from sampan.server.binding import Binding
from sampan.server.types import Held
from sampan.store.types import Event, Store

# (ADDED | MODIFIED | DELETED | BOOKMARK, object)
Batch = list[tuple[str, Held]]
Selected = Callable[[Obj], bool]

INITIAL_END = "k8s.io/initial-events-end"
_FRESH = "NotOlderThan"
_PART = 500
_BOOKMARK_SECONDS = 60.0
# A client that names no timeout is sent away after this long, give or take, to come back (as kube-apiserver does).
_DEFAULT_TIMEOUT = 1800.0


@dataclass(frozen=True, slots=True)
class Asked:
    """The query of a watch. `after` "" or "0": first ADDED for all that exists. `timeout` 0: the server's choice."""

    after: str = ""
    labels: str = ""
    fields: str = ""
    timeout: float = 0.0
    bookmarks: bool = False
    send_initial: bool | None = None
    match: str = ""
    token: str = ""


def selection(resource: Resource, label_text: str, field_text: str) -> Selected | None:
    """The test that both selectors make, None when they select everything. Raises ApiError 400."""
    by_label = selectors.parse_labels(label_text) if label_text else selectors.EVERYTHING
    by_field = selectors.parse_fields(field_text, resource) if field_text else None
    if by_field is None or by_field.empty:
        return None if by_label.empty else lambda obj: by_label.matches(labels(obj))
    chosen = by_field
    if by_label.empty:
        return chosen.matches
    return lambda obj: chosen.matches(obj) and by_label.matches(labels(obj))


class Watches:
    """Makes the streams. `bookmark_seconds`: how often a watch that wants bookmarks gets one."""

    def __init__(self, store: Store, chance: random.Random, bookmark_seconds: float = _BOOKMARK_SECONDS) -> None:
        self._store = store
        self._chance = chance
        self._bookmark_seconds = bookmark_seconds
        # Open watches by resource.
        self.open: Counter[str] = Counter()

    def follow(self, binding: Binding, namespace: str, asked: Asked) -> AsyncIterator[Batch]:
        """Raises ApiError 400 and 410 at once, 410 also later when the client falls too far behind."""
        _check(asked)
        prefix = binding.under(namespace)
        selected = selection(binding.resource, asked.labels, asked.fields)
        now = self._store.revision
        asked_for = listing.parse_revision(asked.after or "0")
        if asked_for > now:
            raise listing.too_large(asked_for, now)
        initial = asked.send_initial if asked.send_initial is not None else asked_for == 0
        after = asked_for if asked_for and not initial else now
        try:
            self._store.watch(prefix, after).close()
        except Compacted as lost:
            raise _too_old(after, lost) from None
        return self._follow(binding, prefix, selected, initial, after, asked)

    async def _follow(
        self, binding: Binding, prefix: str, selected: Selected | None, initial: bool, after: int, asked: Asked
    ) -> AsyncIterator[Batch]:
        with self._counted(binding.id):
            loop = asyncio.get_running_loop()
            end = loop.time() + (asked.timeout or _DEFAULT_TIMEOUT * (1 + self._chance.random()))
            if initial:
                after = self._store.revision
                if binding.converts:
                    await binding.ready(self._store.list(prefix))
                for batch in self._existing(binding, prefix, selected, after, asked):
                    yield batch
            while True:
                source = self._store.watch(prefix, after)
                due = min(end, loop.time() + self._bookmark_seconds) if asked.bookmarks else end
                timer = loop.call_at(due, source.close)
                try:
                    async for events in source:
                        after = events[-1].record.revision
                        if binding.converts:
                            await binding.ready(r for e in events for r in (e.record, e.previous) if r is not None)
                        if batch := _translate(binding, events, selected):
                            yield batch
                except Compacted as lost:
                    raise _too_old(after, lost) from None
                finally:
                    timer.cancel()
                    source.close()
                if loop.time() < due - 0.01 or (due == end and not asked.bookmarks):
                    return  # the store closed, or the time is up
                # Closing may have dropped undelivered events; only when there were none the present is reached.
                reached = self._store.revision
                if not await self._store.history(prefix, after, reached, 1):
                    after = reached
                    yield [_bookmark(binding, after)]
                if due == end:
                    return

    @contextmanager
    def _counted(self, resource: str) -> Iterator[None]:
        self.open[resource] += 1
        try:
            yield
        finally:
            self.open[resource] -= 1

    def _existing(
        self, binding: Binding, prefix: str, selected: Selected | None, revision: int, asked: Asked
    ) -> Iterator[Batch]:
        """In parts: a client that reads slowly is waited for with a part in hand, not with all there is."""
        records = self._store.list(prefix)
        for low in range(0, len(records) or 1, _PART):
            every = [binding.held(record) for record in records[low : low + _PART]]
            batch = [("ADDED", held) for held in every if selected is None or selected(held.obj)]
            if asked.send_initial and asked.bookmarks and low + _PART >= len(records):
                batch.append(_bookmark(binding, revision, {INITIAL_END: "true"}))
            if batch:
                yield batch


def _translate(binding: Binding, events: list[Event], selected: Selected | None) -> Batch:
    """An object that starts to match is ADDED, one that stops is DELETED (as it was, at the new revision)."""
    batch: Batch = []
    for event in events:
        record, before = event.record, event.previous
        if selected is None:
            kind = "DELETED" if event.deleted else "MODIFIED" if before else "ADDED"
            batch.append((kind, binding.held(record)))
            continue
        was = before is not None and selected(binding.held(before).obj)
        if not event.deleted and selected(binding.held(record).obj):
            batch.append(("MODIFIED" if was else "ADDED", binding.held(record)))
        elif was and before is not None:
            gone_now = binding.held(record) if event.deleted else binding.again(before, record.revision)
            batch.append(("DELETED", gone_now))
    return batch


def _bookmark(binding: Binding, revision: int, annotations: dict[str, str] | None = None) -> tuple[str, Held]:
    resource = binding.resource
    metadata: Obj = {"resourceVersion": str(revision), "creationTimestamp": None}
    if annotations:
        metadata["annotations"] = annotations
    obj = {"kind": resource.kind, "apiVersion": resource.api_version, "metadata": metadata}
    return "BOOKMARK", Held(orjson.dumps(obj), obj)


def line(kind: str, data: bytes) -> bytes:
    """One event on the wire."""
    return b'{"type":"%b","object":%b}\n' % (kind.encode(), data)


def _check(asked: Asked) -> None:
    found = []
    if asked.send_initial is not None and asked.match != _FRESH:
        text = f"sendInitialEvents requires setting resourceVersionMatch to {_FRESH}"
        found.append(fields.forbidden("resourceVersionMatch", text))
    if asked.match:
        if asked.send_initial is None:
            text = "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided"
            found.append(fields.forbidden("resourceVersionMatch", text))
        if asked.match != _FRESH:
            found.append(fields.not_supported("resourceVersionMatch", asked.match, (_FRESH,)))
        if asked.token:
            text = "resourceVersionMatch is forbidden when continue is provided"
            found.append(fields.forbidden("resourceVersionMatch", text))
    listing.refuse(found)


def _too_old(revision: int, lost: Compacted) -> ApiError:
    return gone(f"too old resource version: {revision} ({lost.oldest})")
