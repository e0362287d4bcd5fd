"""Service write to first answered connection, with 10 and with 1,000 Services there.

Method: one pod answers on port 8080. A Service without selector and its EndpointSlice (the pod's address) are written
over the API; from the start of the first write, connections to the ClusterIP are tried until one is established.
Writes are spaced, each figure is the median of ten.
"""

from __future__ import annotations

import http.client
import itertools
import json
import select
import socket
import ssl
import time
from collections.abc import Iterator
from typing import Any

from common import Row, row
from e2e import APP, Cluster

RUNS = 10


class Api:
    """One kept connection to the API server."""

    def __init__(self, cluster: Cluster) -> None:
        settings = json.loads((cluster.directory / "cluster.json").read_text())
        context = ssl.create_default_context(cafile=str(cluster.directory / "pki/ca.crt"))
        self._connection = http.client.HTTPSConnection("127.0.0.1", settings["apiPort"], context=context)
        token = (cluster.directory / "pki/token").read_text()
        self._headers = {"authorization": f"Bearer {token}", "content-type": "application/json"}

    def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        self._connection.request("POST", path, json.dumps(body), self._headers)
        answer = self._connection.getresponse()
        found: dict[str, Any] = json.loads(answer.read())
        assert answer.status == 201, found
        return found


def measure() -> list[Row]:
    rows = []
    cluster = Cluster("bench")
    try:
        cluster.register()
        cluster.up()
        cluster.kubectl("apply", "-f", str(APP / "cloud-user.yaml"))
        cluster.kubectl("rollout", "status", "deployment/deployment-cloud-user")
        ip = cluster.jsonpath("{.items[0].status.podIP}", "pods")
        api = Api(cluster)
        names = (f"s{i}" for i in range(10_000))
        for count, note in ((10, ""), (1000, "goal 20; kube-proxy 1278 by default, 263 tuned")):
            began = time.monotonic()
            for name in itertools.islice(names, count):
                _write(api, name, ip)
            time.sleep(3)
            samples = list(_latencies(api, names, ip))
            rows.append(row(f"with {count} services: write to first connection", samples, "ms", note))
            rows.append(Row("  (they took)", f"{time.monotonic() - began:.0f}", "s"))
    finally:
        cluster.remove()
    return rows


def _latencies(api: Api, names: Iterator[str], ip: str) -> Iterator[float]:
    for _ in range(RUNS):
        began = time.monotonic()
        _await_connection(_write(api, next(names), ip))
        yield (time.monotonic() - began) * 1000
        time.sleep(0.3)


def _write(api: Api, name: str, ip: str) -> str:
    """Write a Service and its slice; return the ClusterIP."""
    meta = {"name": name}
    ports = [{"name": "http", "port": 80, "targetPort": 8080}]
    service = api.post("/api/v1/namespaces/default/services", {"metadata": meta, "spec": {"ports": ports}})
    labels = {"kubernetes.io/service-name": name}
    slice_ = {
        "metadata": {"name": name, "labels": labels},
        "addressType": "IPv4",
        "ports": [{"name": "http", "port": 8080}],
        "endpoints": [{"addresses": [ip], "conditions": {"ready": True}}],
    }
    api.post("/apis/discovery.k8s.io/v1/namespaces/default/endpointslices", slice_)
    return str(service["spec"]["clusterIP"])


def _await_connection(ip: str) -> None:
    """Start a connection every millisecond until one is established: a first packet that came too early is dropped, and
    TCP would send it again only much later."""
    poll, sockets = select.poll(), []
    try:
        while True:
            sock = socket.socket()
            sock.setblocking(False)
            sock.connect_ex((ip, 80))
            sockets.append(sock)
            poll.register(sock, select.POLLOUT)
            for fd, event in poll.poll(1):
                if event == select.POLLOUT:
                    return
                poll.unregister(fd)  # refused: the Service has no endpoint yet
    finally:
        for sock in sockets:
            sock.close()
