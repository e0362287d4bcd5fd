"""When a terminating pod may stop: what the slices say, and that all who read them have to have got that far."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from fake_client import FakeClient

from sampan.api.meta import Obj
from sampan.app.drains import PATH, Drains, Elsewhere, answer, withdrawn
from sampan.base.clock import FakeClock, SystemClock
from sampan.base.http.server import Server
from sampan.base.http.types import Request
from sampan.base.tasks import Tasks
from sampan.client.informer import Informer

SLICES = "endpointslices.discovery.k8s.io"


def a_pod(ready: bool = True, **labels: str) -> Obj:
    return {
        "metadata": {"name": "web-1", "namespace": "ns", "uid": "u1", "labels": labels or {"app": "web"}},
        "spec": {"nodeName": "a", "containers": [{"name": "c", "ports": [{"name": "http", "containerPort": 8080}]}]},
        "status": {"podIP": "10.244.0.2", "conditions": [{"type": "Ready", "status": "True" if ready else "False"}]},
    }


def a_service(name: str = "web", **spec: Any) -> Obj:
    base = {"type": "ClusterIP", "selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": "http"}]}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": "ns"}, "spec": base | spec}


def a_slice(revision: int = 7, name: str = "web", uid: str = "u1", **conditions: bool) -> Obj:
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": f"{name}-x",
            "namespace": "ns",
            "resourceVersion": str(revision),
            "labels": {"kubernetes.io/service-name": name},
        },
        "addressType": "IPv4",
        "endpoints": [
            {"addresses": ["10.244.0.2"], "targetRef": {"kind": "Pod", "uid": uid}, "conditions": conditions}
        ],
    }


ENDS = {"ready": False, "serving": True, "terminating": True}


def test_the_slices_say_that_it_ends() -> None:
    services, pod = [a_service()], a_pod()
    assert withdrawn(pod, services, [a_slice(ready=True)]) is None
    assert withdrawn(pod, services, [a_slice(7, **ENDS)]) == 7
    assert withdrawn(pod, services, [a_slice(7, **ENDS), a_slice(9, uid="u2", ready=True)]) == 7
    # in two slices while it is moved from one to the other
    assert withdrawn(pod, services, [a_slice(7, **ENDS), a_slice(6, ready=True)]) is None
    # publishNotReadyAddresses
    assert withdrawn(pod, services, [a_slice(7, ready=True, terminating=True)]) == 7


def test_a_ready_pod_that_is_not_published_yet_will_be() -> None:
    pod = a_pod()
    assert withdrawn(pod, [a_service()], []) is None
    assert withdrawn(pod, [a_service()], [a_slice(ready=False)]) is None
    assert withdrawn(pod, [a_service(), a_service("second")], [a_slice(7, **ENDS)]) is None
    assert withdrawn(pod, [a_service(), a_service("second")], [a_slice(7, **ENDS), a_slice(9, "second", **ENDS)]) == 9
    assert withdrawn(a_pod(ready=False), [a_service()], []) == 0
    assert withdrawn(a_pod(ready=False), [a_service()], [a_slice(7, ready=False)]) == 7
    assert withdrawn(a_pod(ready=False), [a_service()], [a_slice(7, ready=True)]) is None


def test_services_that_will_never_publish_it_are_not_waited_for() -> None:
    for spec in (
        {"selector": {"app": "other"}},
        {"selector": None},
        {"type": "ExternalName"},
        {"ports": [{"port": 80, "targetPort": "grpc"}]},
        {"ipFamilies": ["IPv6"]},
    ):
        assert withdrawn(a_pod(), [a_service(**spec)], []) == 0
    assert withdrawn(a_pod(), [a_service(ports=[])], []) is None
    deleted = a_service()
    deleted["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert withdrawn(a_pod(), [deleted], []) == 0


class World:
    """Informers over a fake API, and a sender that gets as far as it is told."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.client = FakeClient(self.clock)
        self.tasks = Tasks("test")
        services, self.slices = (Informer(self.client, r, clock=self.clock) for r in ("services", SLICES))
        self.tasks.start("services", services.run())
        self.tasks.start("slices", self.slices.run())
        self.slow = asyncio.Event()
        self.asked: list[int] = []
        self.drains = Drains(services, self.slices, [self.slices.reached, self.wait])

    async def wait(self, revision: int) -> None:
        self.asked.append(revision)
        await self.slow.wait()

    async def settle(self) -> None:
        await self.clock.advance(0)


def play(scene: Callable[[World], Awaitable[None]]) -> None:
    async def main() -> None:
        world = World()
        try:
            await asyncio.wait_for(scene(world), 10)
        finally:
            await world.tasks.stop()
            await world.client.close()

    asyncio.run(main())


def test_a_pod_waits_for_the_slices_and_then_for_the_slowest_sender() -> None:
    async def scene(world: World) -> None:
        await world.client.create("services", a_service())
        await world.client.create(SLICES, a_slice(ready=True))
        await world.settle()
        waiting = asyncio.create_task(world.drains.drained(a_pod()))
        await world.settle()
        assert world.asked == []
        await world.client.patch(SLICES, "web-x", "ns", {"endpoints": a_slice(**ENDS)["endpoints"]})
        await world.settle()
        assert world.asked == [int(next(iter(world.slices.list()))["metadata"]["resourceVersion"])]
        assert not waiting.done()
        world.slow.set()
        assert await waiting is True

    play(scene)


def test_a_service_that_goes_is_waited_for_no_longer() -> None:
    async def scene(world: World) -> None:
        await world.client.create("services", a_service())
        await world.settle()
        waiting = asyncio.create_task(world.drains.drained(a_pod()))
        await world.settle()
        assert not waiting.done()
        await world.client.delete("services", "web", "ns")
        assert await waiting is False
        assert world.asked == []

    play(scene)


def test_a_process_is_asked_until_it_answers(tmp_path: Path) -> None:
    """It is not there yet, then it has not got that far, then it dies with the question, then it is back."""
    ready, questions = asyncio.Event(), []

    async def sender(revision: int) -> None:
        questions.append(revision)
        await ready.wait()

    async def main() -> None:
        other = Elsewhere(tmp_path / "s", SystemClock())
        asking = asyncio.create_task(other.caught_up(7))
        await asyncio.sleep(0.01)
        for _ in range(2):
            server = Server(lambda request: answer(request, [sender]), name="test")
            await server.listen_unix(tmp_path / "s")
            while not questions:
                await asyncio.sleep(0.01)
            assert not asking.done()
            questions.clear()
            await server.close(grace=0)
        server = Server(lambda request: answer(request, [sender]), name="test")
        await server.listen_unix(tmp_path / "s")
        ready.set()
        await asking
        assert set(questions) == {7}
        await server.close()
        await other.caught_up(5)  # it does not fall behind where it has been
        await other.close()

    asyncio.run(asyncio.wait_for(main(), 10))


def test_a_question_that_makes_no_sense() -> None:
    async def ask(query: str) -> int:
        return (await answer(Request("GET", f"{PATH}?{query}", PATH, query, {}), [])).status

    assert asyncio.run(ask("")) == 400
    assert asyncio.run(ask("endpointSlices=x")) == 400
    assert asyncio.run(ask("endpointSlices=12")) == 200
