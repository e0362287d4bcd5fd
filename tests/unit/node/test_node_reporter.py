"""What the API hears of a pod: the newest status only, also of a server that was away for a while."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from fake_client import FakeClient

from sampan.api import meta
from sampan.api.status import unavailable
from sampan.base.clock import FakeClock
from sampan.base.tasks import Tasks
from sampan.node.reporter import LAST_RETRY, Reporter

Obj = dict[str, Any]
ANSWER_LIMIT = 30.0  # seconds that the HTTP client waits for an answer


class AwayClient(FakeClient):
    """A server whose process is gone while the socket it listens on is kept for the next one.

    Connections are made and requests wait in them: whoever is not gone by the time the server is back is answered.
    """

    def __init__(self, clock: FakeClock) -> None:
        super().__init__(clock)
        self.here = asyncio.Event()
        self.here.set()
        self.loses_answers = False
        self.refuses = ""
        self.taken: list[str] = []

    async def update_status(self, resource: str, obj: Obj) -> Obj:
        limit = asyncio.ensure_future(self.clock.sleep(ANSWER_LIMIT))
        here = asyncio.ensure_future(self.here.wait())
        try:
            await asyncio.wait((limit, here), return_when=asyncio.FIRST_COMPLETED)
        finally:
            limit.cancel()
            here.cancel()
        if not self.here.is_set():
            raise unavailable("did not answer in time")
        if self.refuses == meta.name(obj):
            raise unavailable("not this one")
        answer = await super().update_status(resource, obj)
        self.taken.append(readiness(obj))
        if self.loses_answers:
            raise unavailable("the server closed the connection")
        return answer


def readiness(pod: Obj) -> str:
    return meta.condition(pod, "Ready")["status"]


def status(ready: str, restarts: int = 0) -> Obj:
    return {
        "phase": "Running",
        "conditions": [{"type": "Ready", "status": ready}],
        "containerStatuses": [{"name": "app", "restartCount": restarts}],
    }


def play(story: Callable[[AwayClient, Reporter, FakeClock, Obj], Awaitable[None]]) -> None:
    """Run `story` with a pod that the server knows as ready."""

    async def main() -> None:
        clock, tasks = FakeClock(), Tasks("test")
        client = AwayClient(clock)
        reporter = Reporter(client, clock)
        tasks.start("reporter", reporter.run())
        pod = {"metadata": {"name": "web", "namespace": "ns"}, "spec": {}, "status": {}}
        pod = await client.create("pods", pod)
        reporter.report(pod, status("True"))
        await clock.advance(0)
        assert client.taken == ["True"]
        client.taken.clear()
        try:
            await story(client, reporter, clock, pod)
        finally:
            await tasks.stop()

    asyncio.run(main())


@pytest.mark.parametrize("seconds_down", [0.5, 3, 40])
def test_a_pod_that_is_ready_again_is_not_reported_unready_after_an_outage(seconds_down):
    async def story(client, reporter, clock, pod):
        client.here.clear()
        reporter.report(pod, status("False"))
        await clock.advance(seconds_down)
        reporter.report(pod, status("True", restarts=1))
        await clock.advance(1)
        client.here.set()
        await clock.advance(10)
        assert client.taken == ["True"]
        assert client.find("pods", "web", "ns")["status"]["containerStatuses"][0]["restartCount"] == 1

    play(story)


def test_of_many_states_during_an_outage_the_last_is_sent_once():
    async def story(client, reporter, clock, pod):
        client.here.clear()
        for restarts in range(1, 6):
            reporter.report(pod, status("False", restarts))
            await clock.advance(1)
            reporter.report(pod, status("True", restarts))
            await clock.advance(1)
        reporter.report(pod, status("False", 6))
        await clock.advance(1)
        client.here.set()
        await clock.advance(10)
        assert client.taken == ["False"]

    play(story)


def test_a_slow_server_is_not_given_up_while_nothing_changes():
    async def story(client, reporter, clock, pod):
        client.here.clear()
        reporter.report(pod, status("False"))
        await clock.advance(ANSWER_LIMIT - 1)
        client.here.set()
        await clock.advance(0)
        assert client.taken == ["False"]

    play(story)


def test_quick_changes_do_not_break_off_a_request_that_was_just_sent():
    """Else statuses that change faster than the server answers would never be written."""

    async def story(client, reporter, clock, pod):
        client.here.clear()
        reporter.report(pod, status("False"))
        await clock.advance(0)
        reporter.report(pod, status("True", restarts=1))
        await clock.advance(0)
        client.here.set()
        await clock.advance(0)
        assert client.taken == ["False", "True"]

    play(story)


def test_a_status_whose_answer_was_lost_is_not_believed_away():
    """The server took "not ready", nobody heard so; that the pod is ready as before must be said again."""

    async def story(client, reporter, clock, pod):
        client.loses_answers = True
        reporter.report(pod, status("False"))
        await clock.advance(0)
        client.loses_answers = False
        reporter.report(pod, status("True"))
        await clock.advance(10)
        assert readiness(client.find("pods", "web", "ns")) == "True"

    play(story)


def test_a_pod_whose_status_is_refused_does_not_hold_up_the_others():
    async def story(client, reporter, clock, pod):
        other = await client.create(
            "pods", {"metadata": {"name": "other", "namespace": "ns"}, "spec": {}, "status": {}}
        )
        client.refuses = "web"
        reporter.report(pod, status("False"))
        await clock.advance(60)
        reporter.report(other, status("True"))
        await clock.advance(0)
        assert readiness(client.find("pods", "other", "ns")) == "True"
        client.refuses = ""
        await clock.advance(LAST_RETRY)
        assert readiness(client.find("pods", "web", "ns")) == "False"

    play(story)
