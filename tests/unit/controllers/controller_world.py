"""A cluster in virtual time for controller tests: FakeClient below, caches that follow it, rows that reconcile.

Tests put objects in, let the world settle, and look at what is there then. A cache can be frozen to let it lag.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable
from typing import Any

from fake_client import FakeClient

from sampan.api import meta
from sampan.api.meta import Key, Obj
from sampan.api.status import ApiError
from sampan.base.clock import FakeClock
from sampan.client.env import Controller, Env


def run(test: Coroutine[Any, Any, None]) -> None:
    asyncio.run(test)


class WorldCache:
    """Shows what the store had at the last sync."""

    def __init__(self) -> None:
        self.objects: dict[Key, Obj] = {}
        self.frozen = False

    def get(self, key: Key) -> Obj | None:
        return self.objects.get(key)

    def list(self, namespace: str = "") -> Iterable[Obj]:
        return [o for k, o in self.objects.items() if namespace in ("", k.namespace)]

    def owned_by(self, uid: str) -> Iterable[Obj]:
        return [
            o for o in self.objects.values() if any(r["uid"] == uid for r in o["metadata"].get("ownerReferences") or ())
        ]


class Events:
    def __init__(self) -> None:
        self.seen: list[tuple[str, str, str, str]] = []

    def event(self, about: Obj, type: str, reason: str, message: str) -> None:
        self.seen.append((meta.name(about), type, reason, message))

    def messages(self, reason: str) -> list[str]:
        return [m for _, _, r, m in self.seen if r == reason]


class World:
    def __init__(self, *rows: Controller) -> None:
        self.clock = FakeClock()
        self.client = FakeClient(self.clock)
        self.events = Events()
        self.rows = rows
        self.caches = {resource: WorldCache() for row in rows for resource in row.watches}
        self.later: list[tuple[float, int, Key]] = []
        self.errors: list[ApiError] = []

    def sync(self) -> list[tuple[int, Key]]:
        """Bring the caches up to the store; returns (row, key) that the changes concern."""
        changes: list[tuple[str, Obj]] = []
        for resource, cache in self.caches.items():
            if cache.frozen:
                continue
            old, new = cache.objects, {meta.key(o): o for o in self.client.all(resource)}
            cache.objects = new
            for key in [*old, *(k for k in new if k not in old)]:
                if old.get(key) != new.get(key):
                    changes += [(resource, o) for o in (old.get(key), new.get(key)) if o is not None]
        work: dict[tuple[int, Key], None] = {}
        for i, row in enumerate(self.rows):
            seen = {r: self.caches[r] for r in row.watches}
            for resource, obj in changes:
                if resource in row.watches:
                    work |= {(i, key): None for key in row.watches[resource](obj, seen)}
        return list(work)

    async def step(self, work: Iterable[tuple[int, Key]]) -> list[tuple[int, Key]]:
        """Reconcile each once; returns those that failed."""
        failed = []
        for i, key in work:
            row = self.rows[i]
            env = Env(self.client, {r: self.caches[r] for r in row.watches}, self.clock, self.events)
            try:
                after = await row.reconcile(key, env)
            except ApiError as error:
                self.errors.append(error)
                failed.append((i, key))
                continue
            if after is not None:
                self.later.append((self.clock.monotonic() + after.seconds, i, key))
        return failed

    async def settle(self, rounds: int = 100) -> None:
        """Until nothing changes any more."""
        failed: list[tuple[int, Key]] = []
        for _ in range(rounds):
            work = [*failed, *(w for w in self.sync() if w not in failed)]
            if not work:
                return
            failed = await self.step(work)
        raise AssertionError(f"still not settled after {rounds} rounds; last: {work}, errors {self.errors[-3:]}")

    async def advance(self, seconds: float) -> None:
        """Let time pass: what asked to be looked at again is, in order."""
        end = self.clock.monotonic() + seconds
        await self.settle()
        while due := sorted(entry for entry in self.later if entry[0] <= end):
            moment, i, key = due[0]
            self.later = [e for e in self.later if e[1:] != (i, key) or e[0] > moment]
            await self.clock.advance(max(0.0, moment - self.clock.monotonic()))
            await self.step([(i, key)])
            await self.settle()
        await self.clock.advance(end - self.clock.monotonic())

    # -- shortcuts

    async def add(self, resource: str, obj: Obj, status: Obj | None = None) -> Obj:
        made = await self.client.create(resource, obj)
        return await self.status(resource, made, status) if status else made

    async def status(self, resource: str, obj: Obj, status: Obj) -> Obj:
        return await self.client.patch(
            resource, meta.name(obj), meta.namespace(obj), {"status": status}, subresource="status"
        )

    async def ready(self, obj: Obj, ready: bool = True, ip: str = "") -> Obj:
        """What a kubelet says of a pod."""
        condition = {
            "type": "Ready",
            "status": str(ready),
            "lastTransitionTime": meta.timestamp(self.clock.now()),
        }
        status: Obj = {"phase": "Running", "conditions": [condition]}
        if ip:
            status |= {"podIP": ip, "podIPs": [{"ip": ip}]}
        return await self.status("pods", obj, status)


def pod(name: str, labels: dict[str, str] | None = None, node: str = "", **spec: Any) -> Obj:
    made: Obj = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "default", "labels": labels or {}},
        "spec": {"containers": [{"name": "main", "image": "x"}], **spec},
    }
    if node:
        made["spec"]["nodeName"] = node
    return made


def node(name: str, ready: str = "True", labels: dict[str, str] | None = None, **spec: Any) -> tuple[Obj, Obj]:
    """(object, status)."""
    obj = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels or {}}, "spec": spec}
    status = {
        "allocatable": {"cpu": "2", "memory": "4Gi", "pods": "110"},
        "conditions": [
            {"type": "Ready", "status": ready, "lastTransitionTime": "2026-01-01T00:00:00Z", "lastHeartbeatTime": "a"}
        ],
    }
    return obj, status


def workload(kind: str, name: str, replicas: int = 3, **spec: Any) -> Obj:
    """A Deployment or ReplicaSet of pods labelled app=NAME."""
    labels = {"app": name}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "main", "image": "x:1"}]}}
    return {
        "apiVersion": "apps/v1",
        "kind": kind,
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template, **spec},
    }
