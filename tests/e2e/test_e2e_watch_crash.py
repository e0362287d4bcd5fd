"""Writers and watchers through the real API while its server is killed with -9, again and again.

Promised: what was acknowledged stays; each watcher, resuming from the last revision it saw, hears every write once and
in order.
"""

from __future__ import annotations

import os
import signal
import ssl
import threading
import time
from collections.abc import Iterator
from http.client import HTTPException, HTTPSConnection
from typing import Any

import orjson
from e2e import Cluster, until

CM = "/api/v1/namespaces/default/configmaps"
WRITERS, WATCHERS, KILLS = 4, 3, 4


class Api:
    """One client over plain http.client; a broken connection is the caller's business."""

    def __init__(self, cluster: Cluster) -> None:
        pki = cluster.directory / "pki"
        url = cluster.kubectl("config", "view", "-o", "jsonpath={.clusters[0].cluster.server}")
        self._port = int(url.rpartition(":")[2])
        self._context = ssl.create_default_context(cafile=pki / "ca.crt")
        self._headers = {"Authorization": f"Bearer {(pki / 'token').read_text().strip()}"}

    def connect(self, timeout: float = 20) -> HTTPSConnection:
        return HTTPSConnection("127.0.0.1", self._port, context=self._context, timeout=timeout)

    def call(self, connection: HTTPSConnection, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        headers = self._headers | {"Content-Type": "application/json"}
        connection.request(method, path, orjson.dumps(body) if body else None, headers)
        answer = connection.getresponse()
        return answer.status, orjson.loads(answer.read())

    def watch(self, since: str) -> Iterator[dict[str, Any]]:
        connection = self.connect(timeout=3)
        try:
            connection.request("GET", f"{CM}?watch=1&resourceVersion={since}", headers=self._headers)
            answer = connection.getresponse()
            while line := answer.readline():
                yield orjson.loads(line)
        finally:
            connection.close()


class Writer(threading.Thread):
    """Creates, updates and deletes one object after the other; `acknowledged` has (revision, type, name)."""

    def __init__(self, api: Api, number: int, stop: threading.Event) -> None:
        super().__init__()
        self.acknowledged: list[tuple[int, str, str]] = []
        self.faults: list[str] = []
        self._api, self._number, self._end = api, number, stop

    def run(self) -> None:
        connection, count = self._api.connect(), 0
        while not self._end.is_set():
            count += 1
            name = f"w{self._number}-{count}"
            body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"n": "0"}}
            try:
                self._note("ADDED", name, *self._api.call(connection, "POST", CM, body))
                self._note(
                    "MODIFIED", name, *self._api.call(connection, "PUT", f"{CM}/{name}", body | {"data": {"n": "1"}})
                )
                if count % 3 == 0:
                    self._note("DELETED", name, *self._api.call(connection, "DELETE", f"{CM}/{name}"))
            except (OSError, HTTPException):  # killed under us: this write may or may not have happened
                connection.close()
                connection = self._api.connect()
                time.sleep(0.05)
        connection.close()

    def _note(self, kind: str, name: str, code: int, answer: dict[str, Any]) -> None:
        if code == 503:
            raise OSError("the server starts")
        if code not in (200, 201):
            self.faults.append(f"{kind} {name}: {code} {answer.get('message')}")
        elif kind == "DELETED":
            self.acknowledged.append((0, kind, name))
        else:
            self.acknowledged.append((int(answer["metadata"]["resourceVersion"]), kind, name))


class Watcher(threading.Thread):
    """`seen`: (revision, type, name) of every event, over all its reconnections."""

    def __init__(self, api: Api, since: str) -> None:
        super().__init__()
        self.seen: list[tuple[int, str, str]] = []
        self.faults: list[str] = []
        self.resumed = 0
        self.until = ""
        self._api, self._since = api, since

    def run(self) -> None:
        deadline = time.monotonic() + 60
        while not any(name == self.until for _, _, name in self.seen[-50:]) and time.monotonic() < deadline:
            try:
                for event in self._api.watch(self._since):
                    if event["type"] == "ERROR":
                        self.faults.append(str(event["object"]))
                        return
                    metadata = event["object"]["metadata"]
                    self._since = metadata["resourceVersion"]
                    self.seen.append((int(self._since), event["type"], metadata["name"]))
                    if metadata["name"] == self.until:
                        return
            except (OSError, HTTPException, orjson.JSONDecodeError):
                time.sleep(0.05)
            self.resumed += 1


def test_no_write_is_lost_and_no_event_missed_or_doubled(own_cluster: Cluster) -> None:
    api, stop = Api(own_cluster), threading.Event()
    connection = api.connect()
    _, listed = api.call(connection, "GET", CM)
    since = listed["metadata"]["resourceVersion"]
    connection.close()
    watchers = [Watcher(api, since) for _ in range(WATCHERS)]
    writers = [Writer(api, n, stop) for n in range(WRITERS)]
    for thread in (*watchers, *writers):
        thread.start()
    for _ in range(KILLS):
        time.sleep(1.0)
        (pid,) = own_cluster.pids("server")
        os.kill(pid, signal.SIGKILL)
        until(lambda pid=pid: [p for p in own_cluster.pids("server") if p != pid], "a new server")
        own_cluster.kubectl("get", "--raw", "/readyz")
    time.sleep(0.5)
    stop.set()
    for writer in writers:
        writer.join()
    for watcher in watchers:
        watcher.until = "the-end"
    own_cluster.kubectl("create", "configmap", "the-end")
    for watcher in watchers:
        watcher.join()

    acknowledged = [one for writer in writers for one in writer.acknowledged]
    assert len(acknowledged) > 100
    assert [f for thread in (*writers, *watchers) for f in thread.faults] == []
    for watcher in watchers:
        assert watcher.resumed >= KILLS
        revisions = [revision for revision, _, _ in watcher.seen]
        assert revisions == sorted(set(revisions))  # ordered, each once
        assert watcher.seen == watchers[0].seen  # all hear the same
    events = watchers[0].seen
    missing = {o for o in acknowledged if o[0]} - set(events)
    assert not missing
    deleted = {name for _, kind, name in events if kind == "DELETED"}
    assert {name for _, kind, name in acknowledged if kind == "DELETED"} <= deleted
    # No gap: what the events add up to is what a list shows.
    world: dict[str, int] = {}
    for revision, kind, name in events:
        if kind == "DELETED":
            del world[name]
        else:
            assert (name in world) == (kind == "MODIFIED")
            world[name] = revision
    connection = api.connect()
    _, listed = api.call(connection, "GET", CM)
    connection.close()
    found = {i["metadata"]["name"]: int(i["metadata"]["resourceVersion"]) for i in listed["items"]}
    assert {n: r for n, r in found.items() if n in world or n.startswith("w")} == world
