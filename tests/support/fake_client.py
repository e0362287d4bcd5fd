"""A Client over the memory store, for controller and informer tests: the server's rules that controllers lean on.

It has resourceVersion conflicts, uid and generation, the status split, finalizers, graceful pod deletion, propagation
finalizers, generateName, selectors and resumable watches. It has no defaulting, no validation and no garbage collector.
"""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from typing import Any

import jsonpatch
import orjson

from sampan.api import meta, status
from sampan.api.meta import Obj
from sampan.api.selectors import parse_labels
from sampan.base.clock import Clock, FakeClock
from sampan.base.errors import Compacted, Conflict
from sampan.client.types import JSON, MERGE, UNCONDITIONAL, Page, Preconditions, WatchEvent
from sampan.store.memory import MemoryStore
from sampan.store.types import Event, Record

PROPAGATION_FINALIZERS = {"Foreground": "foregroundDeletion", "Orphan": "orphan"}


class FakeClient:
    """`fail(verb, resource, error)` makes the next such call raise; `writes` counts changes that were stored."""

    def __init__(self, clock: Clock | None = None) -> None:
        self.clock = clock or FakeClock()
        self.store = MemoryStore()
        self.logs: dict[tuple[str, str], bytes] = {}
        self._numbers = itertools.count(1)
        self._failures: list[tuple[str, str, Exception]] = []

    # -- for tests

    @property
    def writes(self) -> int:
        return self.store.revision

    def fail(self, verb: str, resource: str, error: Exception, times: int = 1) -> None:
        self._failures += [(verb, resource, error)] * times

    def all(self, resource: str, namespace: str = "") -> list[Obj]:
        """What is stored now, by namespace and name."""
        return [_load(r) for r in self.store.list(_prefix(resource, namespace))]

    def find(self, resource: str, name: str, namespace: str = "") -> Obj | None:
        record = self.store.get(_key(resource, namespace, name))
        return _load(record) if record else None

    # -- Client

    async def get(self, resource: str, name: str, namespace: str = "") -> Obj:
        self._may_fail("get", resource)
        return _load(self._record(resource, namespace, name))

    async def list(self, resource: str, namespace: str = "", *, labels: str = "", fields: str = "") -> Page:
        self._may_fail("list", resource)
        items = [o for o in self.all(resource, namespace) if _selected(o, labels, fields)]
        return Page(items, str(self.store.revision))

    async def watch(
        self, resource: str, namespace: str = "", *, after: str, labels: str = "", fields: str = ""
    ) -> AsyncIterator[WatchEvent]:
        self._may_fail("watch", resource)
        try:
            watch = self.store.watch(_prefix(resource, namespace), int(after))
            try:
                async for batch in watch:
                    for event in batch:
                        found = _watch_event(event, labels, fields)
                        if found:
                            yield found
            finally:
                watch.close()
        except Compacted as error:
            raise status.gone(f"too old resource version: {error.asked} ({error.oldest})") from None

    async def create(self, resource: str, obj: Obj) -> Obj:
        self._may_fail("create", resource)
        new = meta.copy(obj)
        metadata = new["metadata"]
        number = next(self._numbers)
        if not metadata.get("name"):
            metadata["name"] = f"{metadata['generateName']}{number:05d}"
        metadata.setdefault("uid", f"uid-{number}")
        metadata["creationTimestamp"] = metadata.get("creationTimestamp") or meta.timestamp(self.clock.now())
        metadata["generation"] = 1
        metadata.pop("resourceVersion", None)
        try:
            return await self._put(resource, new, 0)
        except Conflict:
            raise status.already_exists(resource, meta.name(new)) from None

    async def update(self, resource: str, obj: Obj) -> Obj:
        self._may_fail("update", resource)
        return await self._replace(resource, obj, subresource="")

    async def update_status(self, resource: str, obj: Obj) -> Obj:
        self._may_fail("update_status", resource)
        return await self._replace(resource, obj, subresource="status")

    async def patch(
        self, resource: str, name: str, namespace: str, patch: Any, *, kind: str = MERGE, subresource: str = ""
    ) -> Obj:
        self._may_fail("patch", resource)
        record = self._record(resource, namespace, name)
        before = _load(record)
        if kind == MERGE:
            new = _merge(before, patch)
        elif kind == JSON:
            new = jsonpatch.apply_patch(before, patch)
        else:
            raise NotImplementedError(f"FakeClient has no {kind}: use MERGE or JSON")
        return await self._replace(resource, new, subresource)

    async def delete(
        self,
        resource: str,
        name: str,
        namespace: str = "",
        *,
        grace: int | None = None,
        propagation: str = "",
        preconditions: Preconditions = UNCONDITIONAL,
    ) -> Obj:
        self._may_fail("delete", resource)
        record = self._record(resource, namespace, name)
        obj = _load(record)
        _check(resource, obj, preconditions.uid, preconditions.revision)
        metadata = obj["metadata"]
        finalizer = PROPAGATION_FINALIZERS.get(propagation)
        if finalizer and finalizer not in metadata.get("finalizers", []):
            metadata.setdefault("finalizers", []).append(finalizer)
        waits = _grace(resource, obj, grace)
        if not waits and not metadata.get("finalizers"):
            return await self._remove(record)
        if "deletionTimestamp" in metadata and metadata.get("deletionGracePeriodSeconds", 0) <= waits:
            return obj
        metadata.setdefault("deletionTimestamp", meta.timestamp(self.clock.now()))
        metadata["deletionGracePeriodSeconds"] = waits
        return await self._put(resource, obj, record.revision)

    async def stream(
        self, resource: str, name: str, namespace: str, subresource: str, query: dict[str, str] | None = None
    ) -> AsyncIterator[bytes]:
        self._record(resource, namespace, name)

        async def chunks() -> AsyncIterator[bytes]:
            yield self.logs.get((namespace, name), b"")

        return chunks()

    async def close(self) -> None:
        await self.store.close()

    # -- inside

    def _may_fail(self, verb: str, resource: str) -> None:
        for failure in self._failures:
            if failure[:2] == (verb, resource):
                self._failures.remove(failure)
                raise failure[2]

    def _record(self, resource: str, namespace: str, name: str) -> Record:
        record = self.store.get(_key(resource, namespace, name))
        if record is None:
            raise status.not_found(resource, name)
        return record

    async def _replace(self, resource: str, obj: Obj, subresource: str) -> Obj:
        """Update `obj`, of which only what the subresource owns is taken."""
        record = self._record(resource, meta.namespace(obj), meta.name(obj))
        before, given = _load(record), meta.copy(obj)
        _check(resource, before, "", given["metadata"].get("resourceVersion", ""))
        if subresource == "status":
            new = before | {"status": given.get("status", {})}
        elif subresource == "scale":
            new = before | {"spec": before["spec"] | {"replicas": given["spec"]["replicas"]}}
        else:
            new = {k: v for k, v in given.items() if k != "status"}
            if "status" in before:
                new["status"] = before["status"]
            for kept in ("uid", "creationTimestamp", "generation", "deletionTimestamp", "deletionGracePeriodSeconds"):
                if kept in before["metadata"]:
                    new["metadata"][kept] = before["metadata"][kept]
        if new.get("spec") != before.get("spec"):
            new["metadata"] = new["metadata"] | {"generation": before["metadata"].get("generation", 0) + 1}
        metadata = new["metadata"]
        if "deletionTimestamp" in metadata and not metadata.get("finalizers") and not _grace(resource, new, None):
            return await self._remove(record)
        if _without_revision(new) == _without_revision(before):
            return before
        return await self._put(resource, new, record.revision)

    async def _put(self, resource: str, obj: Obj, expect: int) -> Obj:
        record = await self.store.put(
            _key(resource, meta.namespace(obj), meta.name(obj)), orjson.dumps(_without_revision(obj)), expect
        )
        return _load(record)

    async def _remove(self, record: Record) -> Obj:
        return _load(await self.store.delete(record.key))


def _prefix(resource: str, namespace: str) -> str:
    return f"/{resource}/{namespace}/" if namespace else f"/{resource}/"


def _key(resource: str, namespace: str, name: str) -> str:
    return f"/{resource}/{namespace}/{name}"


def _load(record: Record) -> Obj:
    obj: Obj = orjson.loads(record.value)
    obj["metadata"]["resourceVersion"] = str(record.revision)
    return obj


def _without_revision(obj: Obj) -> Obj:
    return obj | {"metadata": {k: v for k, v in obj["metadata"].items() if k != "resourceVersion"}}


def _check(resource: str, obj: Obj, uid: str, revision: str) -> None:
    if uid and uid != meta.uid(obj):
        why = f"Precondition failed: UID in precondition: {uid}, UID in object meta: {meta.uid(obj)}"
        raise status.conflict(resource, meta.name(obj), why)
    if revision and revision != obj["metadata"]["resourceVersion"]:
        raise status.conflict(resource, meta.name(obj))


def _grace(resource: str, obj: Obj, asked: int | None) -> int:
    """Seconds a deleted object stays for its node: only pods that are scheduled and not finished have any."""
    if resource != "pods" or not obj["spec"].get("nodeName"):
        return 0
    if obj.get("status", {}).get("phase") in ("Succeeded", "Failed"):
        return 0
    if asked is not None:
        return asked
    present = obj["metadata"].get("deletionGracePeriodSeconds")
    return int(present if present is not None else obj["spec"].get("terminationGracePeriodSeconds", 30))


def _selected(obj: Obj, labels: str, fields: str) -> bool:
    if labels and not parse_labels(labels).matches(meta.labels(obj)):
        return False
    for term in filter(None, fields.split(",")):
        path, _, wanted = term.replace("==", "=").partition("=")
        value: Any = obj
        for part in path.rstrip("!").split("."):
            value = value.get(part, "") if isinstance(value, dict) else ""
        if (str(value) == wanted) == path.endswith("!"):
            return False
    return True


def _watch_event(event: Event, labels: str, fields: str) -> WatchEvent | None:
    """What a watcher with selectors sees: entering the selection is ADDED, leaving it is DELETED."""
    obj = _load(event.record)
    was = event.previous is not None and _selected(_load(event.previous), labels, fields)
    now = not event.deleted and _selected(obj, labels, fields)
    if now:
        return WatchEvent("MODIFIED" if was else "ADDED", obj)
    return WatchEvent("DELETED", obj) if was else None


def _merge(target: Any, patch: Any) -> Any:
    """RFC 7386."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = _merge(result.get(key), value)
    return result
