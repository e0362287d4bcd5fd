"""events.k8s.io/v1 and core/v1 are two names of the same events."""

from __future__ import annotations

import asyncio
import random
from ipaddress import IPv4Network
from typing import Any

import orjson
import pytest

from sampan.api.kinds import SCHEME
from sampan.api.status import ApiError
from sampan.base.clock import FakeClock
from sampan.server.allocators import Services
from sampan.server.registry import Registry
from sampan.server.watch import Asked
from sampan.store.memory import MemoryStore

CORE, NEW = "events", "events.events.k8s.io"
ABOUT = {"kind": "Pod", "apiVersion": "v1", "name": "p", "namespace": "default"}
EVENT: dict[str, Any] = {
    "apiVersion": "events.k8s.io/v1",
    "kind": "Event",
    "metadata": {"name": "e", "namespace": "default"},
    "eventTime": "2026-01-01T00:00:00.000000Z",
    "type": "Normal",
    "reason": "Tested",
    "action": "Testing",
    "note": "hello",
    "reportingController": "example.com/me",
    "reportingInstance": "me-1",
    "regarding": ABOUT,
}


def play(work: Any) -> Any:
    async def main() -> Any:
        chance = random.Random(1)
        services = Services(IPv4Network("10.96.0.0/16"), (30000, 32767), chance)
        registry = Registry(SCHEME, MemoryStore(), FakeClock(), services, chance)
        await registry.create("namespaces", {"metadata": {"name": "default"}})
        return await work(registry)

    return asyncio.run(main())


def test_what_is_written_under_one_name_is_read_under_both() -> None:
    async def work(registry: Registry) -> None:
        made = await registry.create(NEW, EVENT)
        core = registry.get(CORE, "e", "default")
        assert (core.obj["message"], core.obj["involvedObject"]) == ("hello", ABOUT)
        assert core.obj["metadata"]["resourceVersion"] == made.obj["metadata"]["resourceVersion"]
        assert orjson.loads(core.bytes)["apiVersion"] == "v1"
        again = orjson.loads(registry.get(NEW, "e", "default").bytes)
        assert (again["apiVersion"], again["note"], again["regarding"]) == ("events.k8s.io/v1", "hello", ABOUT)
        await registry.patch(NEW, "e", "default", {"series": {"count": 2, "lastObservedTime": EVENT["eventTime"]}})
        assert registry.get(CORE, "e", "default").obj["series"]["count"] == 2
        await registry.delete(CORE, "e", "default")
        with pytest.raises(ApiError):
            registry.get(NEW, "e", "default")

    play(work)


def test_lists_selectors_and_watches_speak_the_form_asked_for() -> None:
    async def work(registry: Registry) -> None:
        stream = registry.watch(NEW, "default", Asked(after=str(registry.store.revision)))
        await registry.create(NEW, EVENT)
        ((kind, held),) = await anext(aiter(stream))
        assert (kind, held.obj["note"]) == ("ADDED", "hello")
        found = await registry.list(NEW, "default", fields="regarding.name=p")
        assert [h.obj["kind"] for h in found.items] == ["Event"]
        assert (await registry.list(CORE, "default", fields="involvedObject.name=q")).items == []

    play(work)


def test_the_newer_api_wants_what_the_older_leaves_free() -> None:
    async def work(registry: Registry) -> str:
        with pytest.raises(ApiError) as error:
            await registry.create(NEW, {k: v for k, v in EVENT.items() if k != "eventTime"} | {"deprecatedCount": 3})
        return error.value.message

    message = play(work)
    assert "eventTime: Required value" in message
    assert "deprecatedCount: Invalid value" in message
