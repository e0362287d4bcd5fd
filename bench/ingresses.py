"""5,000 Ingresses, each with a host of its own, to 1,000 Services: translation, a change, memory.

First the pure part in this process: all of it anew, then one Ingress changed (the translators and the builder keep what
did not change). Then a running cluster to which the objects are written over the API: from the start of one more
Ingress' write, requests are made to the gateway until the new host answers. That has the time of API server, informers,
translation, xDS and Envoy in it, and so more than the ACK; the same with 10 Ingresses says what the 5,000 cost.
"""

from __future__ import annotations

import gc
import http.client
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import edge
from common import Row, memory_mb, row
from e2e import Cluster, command
from ingresscases import full, made
from services import Api

from sampan.api.meta import Key, Obj, copy
from sampan.app.run import relax_collector
from sampan.gateway.translate import Translator
from sampan.gateway.types import Resources
from sampan.ir import Endpoint, Endpoints, Proxy
from sampan.xds import types
from sampan.xds.build import Builder

INGRESSES, SERVICES, FEW = 5000, 1000, 10
FULL_ROUNDS, ROUNDS = 5, 15
_RESOURCE = "ingresses.networking.k8s.io"


def measure() -> list[Row]:
    return pure() + running()


def ingress(number: int, paths: Iterable[str] = ("/",)) -> dict[str, Any]:
    rules = [f"h{number}.example {path} Prefix s{number % SERVICES}:80" for path in paths]
    return {"kind": "Ingress", "name": f"i{number}", "rules": rules}


# ── translation and building, without I/O ────────────────────────────────────────────────────────────────────────────


def pure() -> list[Row]:
    services = [{"kind": "Service", "name": f"s{number}", "ports": [80]} for number in range(SERVICES)]
    resources = made([*services, *map(ingress, range(INGRESSES))])
    translated, built, again = [], [], []
    relax_collector()  # as the server process does it
    for _ in range(FULL_ROUNDS):
        gc.collect()
        translator, builder = Translator(), Builder()
        began = time.perf_counter()
        result = translator.translate(resources)
        between = time.perf_counter()
        snapshot = builder.build(_proxy(result))
        translated.append(between - began)
        built.append(time.perf_counter() - between)
    for number in range(ROUNDS):
        resources = _changed(resources, number)
        began = time.perf_counter()
        snapshot = builder.build(_proxy(translator.translate(resources)))
        again.append((time.perf_counter() - began) * 1000)
    (table,) = snapshot.of(types.ROUTES).values()
    total = [a + b for a, b in zip(translated, built, strict=True)]
    label = f"{INGRESSES:,} Ingresses"
    return [
        row(f"{label}: translation and building of everything", total, "s", "goal under 2"),
        row("  of it translation", translated, "s"),
        row(f"{label}: one changed, translation and building", again, "ms"),
        Row(f"{label}: bytes of the route table", f"{len(table.body) / 1024:,.0f}", "KB"),
    ]


def _proxy(result: Any) -> Proxy:
    names = {cluster.endpoints for cluster in result.clusters.values()}
    endpoints = {name: Endpoints(name, (Endpoint("10.0.0.1", 8080),)) for name in names}
    return Proxy(result.listeners, result.tables, result.clusters, endpoints, result.secrets)


def _changed(resources: Resources, number: int) -> Resources:
    """One Ingress has one path more; all other objects are the same ones."""
    found: Mapping[Key, Obj] = resources.of(_RESOURCE)
    key = Key("default", f"i{number}")
    changed = copy(found[key])
    more = full([ingress(number, ("/", "/more"))])[0]
    changed["spec"] = more["spec"]
    objects = {**resources.objects, _RESOURCE: {**found, key: changed}}
    return Resources(objects, resources.address, resources.ports, resources.default_certificate)


# ── a running cluster ────────────────────────────────────────────────────────────────────────────────────────────────


def running() -> list[Row]:
    cluster = edge.start("bench")
    try:
        cluster.apply(edge.backend("web"))
        cluster.kubectl("rollout", "status", "deployment/web")
        pod = cluster.jsonpath("{.items[0].status.podIP}", "pods")
        api = Api(cluster)
        rows = []
        for first, last, services in ((0, FEW, range(SERVICES)), (FEW, INGRESSES, range(0))):
            began = time.monotonic()
            for number in services:
                _service(api, number, pod)
            for number in range(first, last):
                _ingress(api, ingress(number))
            wrote = time.monotonic() - began
            gateway = Gateway(edge.address(cluster))
            gateway.until(f"h{last - 1}.example", "/")
            time.sleep(5)
            samples = [_until_answered(api, gateway, f"{last}-{number}") for number in range(ROUNDS)]
            label = f"{last:,} Ingresses"
            note = "goal under 50, the API's write included" if last == INGRESSES else ""
            rows.append(row(f"{label}: write to first answered request", samples, "ms", note))
            server, envoy = cluster.pids("server"), envoys(cluster)
            rows.append(row(f"{label}: memory of the server", [memory_mb(server)], "MB", f"written in {wrote:.0f} s"))
            rows.append(row(f"{label}: memory of the gateway's Envoy", [memory_mb(envoy)], "MB"))
        return rows
    finally:
        cluster.remove()


class Gateway:
    """One kept connection to it."""

    def __init__(self, address: str) -> None:
        self._connection = http.client.HTTPConnection(address, 80, timeout=10)

    def status(self, host: str, path: str) -> int:
        self._connection.request("GET", path, headers={"host": host})
        answer = self._connection.getresponse()
        answer.read()
        return answer.status

    def until(self, host: str, path: str, seconds: float = 60) -> None:
        deadline = time.monotonic() + seconds
        while (status := self.status(host, path)) != 200:
            assert time.monotonic() < deadline, f"{host}{path}: {status} for {seconds} s"
            time.sleep(0.001)


def envoys(cluster: Cluster) -> list[int]:
    """The cluster's Envoys: those in its cgroups."""
    found = []
    for pid in map(int, command("pgrep", "-f", "envoy --config-path /tmp/envoy").split()):
        if f"sampan/{cluster.name}/" in Path(f"/proc/{pid}/cgroup").read_text():
            found.append(pid)
    return found


def _until_answered(api: Api, gateway: Gateway, name: str) -> float:
    """A host that nobody had: 404 until then. ms."""
    rules = [f"new{name}.example / Prefix s0:80"]
    began = time.monotonic()
    _ingress(api, {"kind": "Ingress", "name": f"new{name}", "rules": rules})
    gateway.until(f"new{name}.example", "/")
    took = (time.monotonic() - began) * 1000
    time.sleep(0.5)
    return took


def _ingress(api: Api, short: dict[str, Any]) -> None:
    api.post("/apis/networking.k8s.io/v1/namespaces/default/ingresses", full([short])[0])


def _service(api: Api, number: int, pod: str) -> None:
    """Without a selector; the slice has the one pod."""
    meta: dict[str, Any] = {"name": f"s{number}"}
    api.post(
        "/api/v1/namespaces/default/services",
        {"metadata": meta, "spec": {"ports": [{"name": "http", "port": 80, "targetPort": 8080}]}},
    )
    slice_ = {
        "metadata": {**meta, "labels": {"kubernetes.io/service-name": f"s{number}"}},
        "addressType": "IPv4",
        "ports": [{"name": "http", "port": 8080}],
        "endpoints": [{"addresses": [pod], "conditions": {"ready": True}}],
    }
    api.post("/apis/discovery.k8s.io/v1/namespaces/default/endpointslices", slice_)
