"""When the replay of a pod gives way, and when a pod that drains has nothing left to lose."""

import asyncio
import json

from xdsclient import Client
from xdsdialogue import snapshot

from sampan.xds.drain import drain, open_connections
from sampan.xds.replay import GRACE, QUIET, give_way


class Replay:
    """`primary`: whether the server answers."""

    def __init__(self, client: Client) -> None:
        self.client, self.clock, self.primary = client, client.clock, False
        self.task = asyncio.ensure_future(give_way(client.hub, "k", client.clock, self._answers))

    async def _answers(self) -> bool:
        return self.primary

    async def after(self, seconds: float) -> bool:
        await self.clock.advance(seconds)
        return self.task.done()


def replayed(work):
    async def main():
        client = Client(delta=True)
        client.publish(snapshot(1, CDS="a@1", EDS="ea@1", LDS="l@1", RDS="r@1"))
        replay = Replay(client)
        await work(replay, client)
        replay.task.cancel()

    asyncio.run(main())


def say_all(client):
    while client.requests:
        client.say()


def test_it_stays_while_the_server_is_away():
    async def work(replay, client):
        say_all(client)
        assert not await replay.after(1000)

    replayed(work)


def test_it_goes_when_the_server_answers_and_envoy_has_taken_all():
    async def work(replay, client):
        client.finish()
        replay.primary = True
        assert await replay.after(QUIET + 0.5)

    replayed(work)


def test_it_lets_envoy_finish_first():
    async def work(replay, client):
        say_all(client)  # asked, and has not answered yet
        replay.primary = True
        assert not await replay.after(QUIET + 1)
        client.finish()
        assert await replay.after(QUIET + 0.5)

    replayed(work)


def test_it_goes_after_a_while_when_nobody_asks_it():
    async def work(replay, client):
        replay.primary = True
        assert not await replay.after(GRACE - 0.5)
        assert await replay.after(1)

    replayed(work)


def test_a_server_that_answers_now_and_then_is_not_back():
    async def work(replay, client):
        for _ in range(5):
            replay.primary = True
            assert not await replay.after(GRACE - 1)
            replay.primary = False
            assert not await replay.after(1)

    replayed(work)


def stats(**gauges):
    return json.dumps({"stats": [{"name": name.replace("__", "."), "value": v} for name, v in gauges.items()]}).encode()


def test_only_users_connections_count():
    found = {"listener__0__0__0__0_8080__downstream_cx_active": 2, "listener__admin__downstream_cx_active": 1}
    found["listener__0__0__0__0_15021__downstream_cx_active"] = 1
    assert open_connections(stats(**found)) == 2
    assert open_connections(b"{}") == 0


class Admin:
    def __init__(self, *counts) -> None:
        self.now, self.counts, self.asked = 0.0, list(counts), []

    def ask(self, method, path):
        self.asked.append(f"{method} {path.partition('?')[0]}")
        if method == "POST":
            return b"OK"
        count = self.counts.pop(0) if len(self.counts) > 1 else self.counts[0]
        if count is None:
            raise ConnectionRefusedError
        return stats(listener__x_80__downstream_cx_active=count)

    def sleep(self, seconds):
        self.now += seconds

    def drain(self, hold, seconds):
        return drain(self.ask, hold, seconds, lambda: self.now, self.sleep)


def test_draining_tells_first_and_waits_for_the_last_connection():
    admin = Admin(3, 1, 0)
    assert admin.drain(5, 30) == 0
    assert admin.asked[:2] == ["POST /healthcheck/fail", "POST /drain_listeners"]
    assert 5 <= admin.now < 6


def test_draining_ends_when_time_is_over():
    admin = Admin(1)
    assert admin.drain(5, 30) == 1
    assert 30 <= admin.now < 31


def test_draining_an_envoy_that_died_is_done():
    assert Admin(None).drain(0, 30) == 0
