"""Events: counting, combining, throttling, and an API that refuses."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from fake_client import FakeClient

from sampan.api import status
from sampan.api.meta import Obj
from sampan.base.clock import FakeClock
from sampan.base.tasks import Tasks
from sampan.client.events import EventRecorder

POD: Obj = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web", "namespace": "ns", "uid": "u1"}}
NODE: Obj = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n0", "uid": "u2"}}


def run(test: Callable[[FakeClock, FakeClient, EventRecorder], Awaitable[None]]) -> None:
    async def main() -> None:
        clock, tasks = FakeClock(), Tasks("test")
        client = FakeClient(clock)
        recorder = EventRecorder(client, clock, component="kubelet", host="n0")
        tasks.start("events", recorder.run())
        try:
            await test(clock, client, recorder)
        finally:
            await tasks.stop()
            await client.close()

    asyncio.run(main())


def test_fields_and_counting() -> None:
    async def test(clock: FakeClock, client: FakeClient, recorder: EventRecorder) -> None:
        for _ in range(3):
            recorder.event(POD, "Normal", "Pulled", "ready")
            await clock.advance(2)
        (event,) = client.all("events")
        assert event["metadata"]["namespace"] == "ns"
        assert event["metadata"]["name"].startswith("web.")
        assert int(event["metadata"]["name"].removeprefix("web."), 16)
        assert event["involvedObject"] == {
            "kind": "Pod", "namespace": "ns", "name": "web", "uid": "u1", "apiVersion": "v1"
        }  # fmt: skip
        assert (event["count"], event["type"], event["reason"], event["message"]) == (3, "Normal", "Pulled", "ready")
        assert event["source"] == {"component": "kubelet", "host": "n0"}
        assert (event["firstTimestamp"], event["lastTimestamp"]) == ("2026-01-01T00:00:00Z", "2026-01-01T00:00:04Z")
        recorder.event(NODE, "Warning", "Down", "x")
        await clock.advance(0)
        assert [e["metadata"]["namespace"] for e in client.all("events")] == ["default", "ns"]

    run(test)


def test_many_similar_ones_are_combined() -> None:
    async def test(clock: FakeClock, client: FakeClient, recorder: EventRecorder) -> None:
        for n in range(15):
            recorder.event(POD, "Warning", "Unhealthy", f"probe {n}")
            await clock.advance(1)
        events = client.all("events")
        assert len(events) == 11
        (combined,) = [e for e in events if e["message"].startswith("(combined from similar events): ")]
        assert combined["count"] == 5
        assert combined["message"].endswith("probe 14")

    run(test)


def test_one_object_cannot_flood() -> None:
    async def test(clock: FakeClock, client: FakeClient, recorder: EventRecorder) -> None:
        for _ in range(40):
            recorder.event(POD, "Normal", "Pulled", "ready")
        recorder.event(NODE, "Normal", "Ready", "x")
        await clock.advance(1)
        assert [e["count"] for e in client.all("events")] == [1, 25]
        await clock.advance(301)
        recorder.event(POD, "Normal", "Pulled", "ready")
        await clock.advance(1)
        assert client.all("events")[1]["count"] == 26

    run(test)


def test_refusals() -> None:
    async def test(clock: FakeClock, client: FakeClient, recorder: EventRecorder) -> None:
        client.fail("create", "events", status.unavailable("down"))
        recorder.event(POD, "Normal", "A", "retried")
        client.fail("create", "events", status.forbidden("events", "", "terminating"))
        await clock.advance(0)
        recorder.event(POD, "Normal", "B", "written")
        await clock.advance(5)
        assert [e["reason"] for e in client.all("events")] == ["B"]
        for event in client.all("events"):
            await client.delete("events", event["metadata"]["name"], "ns")
        recorder.event(POD, "Normal", "B", "written")  # its event expired: it is made anew
        await clock.advance(5)
        assert [(e["reason"], e["count"]) for e in client.all("events")] == [("B", 2)]

    run(test)
