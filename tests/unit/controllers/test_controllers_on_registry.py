"""All controllers at once over the real registry: what defaults, validation and subresources do to their writes.

The tests play the user and the kubelet and wait until the state of the world is what it should be.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from ipaddress import IPv4Network
from pathlib import Path

import pytest
from controller_world import node, run

from sampan.api import meta, pods
from sampan.api.kinds import SCHEME
from sampan.api.meta import Obj
from sampan.api.status import ApiError
from sampan.base.clock import SystemClock
from sampan.client.controller import ControllerManager
from sampan.client.local import LocalClient
from sampan.controllers import table
from sampan.server.allocators import Services
from sampan.server.registry import Registry
from sampan.server.types import Deletion
from sampan.server.watch import Asked
from sampan.store.memory import MemoryStore

D, RS, SLICES = "deployments.apps", "replicasets.apps", "endpointslices.discovery.k8s.io"


class Cluster:
    """A server without HTTP; a kubelet that makes every bound pod ready and ends every deleted one."""

    def __init__(self, kubelet: bool = True) -> None:
        clock = SystemClock()
        services = Services(IPv4Network("10.96.0.0/16"), (30000, 32767), random.Random(1))
        self.registry = Registry(SCHEME, MemoryStore(), clock, services, random.Random(1))
        self.client = LocalClient(self.registry, Asked, Deletion)
        rows = table(SCHEME, "PEM", Path("/nonexistent"), "172.30.0.128/25")
        self.manager = ControllerManager(rows, self.client, clock)
        self._kubelet = kubelet
        self._addresses = IPv4Network("10.244.0.0/16").hosts()
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Cluster:
        for name in ("default", "shop", "kube-node-lease"):
            await self.client.create("namespaces", {"metadata": {"name": name}})
        for name in ("n0", "n1", "n2"):
            obj, status = node(name)
            del status["conditions"][0]["lastHeartbeatTime"]
            await self.client.create("nodes", obj)
            await self.client.patch("nodes", name, "", {"status": status}, subresource="status")
        self.manager.start()
        await self.manager.synced()
        if self._kubelet:
            self._tasks.append(asyncio.create_task(self._follow()))
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.manager.stop()

    async def _follow(self) -> None:
        async for kind, pod in self.client.watch("pods", after="0"):
            if kind in ("ADDED", "MODIFIED") and pods.node_name(pod):
                key = meta.key(pod)
                try:
                    if meta.deleting(pod):
                        await self.client.delete("pods", key.name, key.namespace, grace=0)
                    elif not pods.is_ready(pod):
                        await self._ready(pod)
                except ApiError as error:
                    if error.code != 404:
                        raise

    async def _ready(self, pod: Obj) -> None:
        ip = pods.ip(pod) or str(next(self._addresses))
        now = meta.timestamp(SystemClock().now())
        others = [c for c in pod["status"]["conditions"] if c["type"] != "Ready"]
        ready = {"type": "Ready", "status": "True", "lastTransitionTime": now}
        status = {"phase": "Running", "podIP": ip, "podIPs": [{"ip": ip}], "conditions": [*others, ready]}
        key = meta.key(pod)
        await self.client.patch("pods", key.name, key.namespace, {"status": status}, subresource="status")

    def all(self, resource: str, namespace: str = "shop") -> list[Obj]:
        binding = self.registry.binding(resource)
        return [binding.held(r).obj for r in self.registry.store.list(binding.under(namespace))]

    async def until(self, what: Callable[[], bool], seconds: float = 5.0) -> None:
        end = asyncio.get_running_loop().time() + seconds
        while not what():
            assert asyncio.get_running_loop().time() < end, f"not within {seconds} s; {self.manager.stats()}"
            await asyncio.sleep(0.005)

    def is_complete(self, image: str = "x:1", replicas: int = 3) -> bool:
        (deployment,) = self.all(D)
        progressing = meta.condition(deployment, "Progressing") or {}
        running = [p for p in self.all("pods") if p["spec"]["containers"][0]["image"] == image]
        seen = deployment["status"].get("observedGeneration") == deployment["metadata"]["generation"]
        return seen and progressing.get("reason") == "NewReplicaSetAvailable" and len(running) == replicas


def _deployment(replicas: int = 3) -> Obj:
    labels = {"app": "web"}
    container = {"name": "main", "image": "x:1", "ports": [{"containerPort": 80}]}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [container]}}
    return {
        "metadata": {"name": "web", "namespace": "shop"},
        "spec": {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template},
    }


def _service() -> Obj:
    spec = {"selector": {"app": "web"}, "ports": [{"port": 80}]}
    return {"metadata": {"name": "web", "namespace": "shop"}, "spec": spec}


async def _image(cluster: Cluster, image: str) -> None:
    patch = [{"op": "replace", "path": "/spec/template/spec/containers/0/image", "value": image}]
    await cluster.client.patch(D, "web", "shop", patch, kind="application/json-patch+json")


def _addresses(cluster: Cluster) -> set[str]:
    return {a for s in cluster.all(SLICES) for e in s["endpoints"] for a in e["addresses"] if e["conditions"]["ready"]}


def test_the_life_of_a_deployment_behind_a_service():
    async def go() -> None:
        async with Cluster() as cluster:
            await cluster.client.create("services", _service())
            await cluster.client.create(D, _deployment())
            await cluster.until(cluster.is_complete)
            assert {pods.node_name(p) for p in cluster.all("pods")} == {"n0", "n1", "n2"}
            assert all(meta.is_true(p, "PodScheduled") for p in cluster.all("pods"))
            await cluster.until(lambda: _addresses(cluster) == {pods.ip(p) for p in cluster.all("pods")})
            await _image(cluster, "x:2")
            await cluster.until(lambda: cluster.is_complete("x:2"))
            await _image(cluster, "x:1")
            await cluster.until(cluster.is_complete)
            assert len(cluster.all(RS)) == 2
            (deployment,) = cluster.all(D)
            assert meta.annotations(deployment)["deployment.kubernetes.io/revision"] == "3"
            await cluster.client.patch(D, "web", "shop", {"spec": {"replicas": 5}})
            await cluster.until(lambda: cluster.is_complete(replicas=5))
            await cluster.until(lambda: len(_addresses(cluster)) == 5)
            events = {(e["reason"], e["type"]) for e in cluster.all("events")}
            assert {("Scheduled", "Normal"), ("ScalingReplicaSet", "Normal"), ("SuccessfulCreate", "Normal")} <= events

    run(go())


@pytest.mark.parametrize("propagation", ["Background", "Foreground"])
def test_a_deleted_deployment_takes_all_along(propagation: str) -> None:
    async def go() -> None:
        async with Cluster() as cluster:
            await cluster.client.create(D, _deployment())
            await cluster.until(cluster.is_complete)
            await cluster.client.delete(D, "web", "shop", propagation=propagation)
            await cluster.until(lambda: not any(cluster.all(r) for r in (D, RS, "pods")))

    run(go())


def test_an_orphaned_deployment_leaves_its_replicaset() -> None:
    async def go() -> None:
        async with Cluster() as cluster:
            await cluster.client.create(D, _deployment())
            await cluster.until(cluster.is_complete)
            await cluster.client.delete(D, "web", "shop", propagation="Orphan")
            await cluster.until(lambda: not cluster.all(D))
            await cluster.until(lambda: meta.controller_of(cluster.all(RS)[0]) is None)
            assert len(cluster.all("pods")) == 3
            # A new Deployment of the same selector adopts it.
            await cluster.client.create(D, _deployment())
            await cluster.until(lambda: meta.controller_of(cluster.all(RS)[0]) is not None)
            await cluster.until(cluster.is_complete)
            assert len(cluster.all("pods")) == 3

    run(go())


def test_a_namespace_goes_with_everything_in_it() -> None:
    async def go() -> None:
        async with Cluster() as cluster:
            await cluster.client.create("services", _service())
            await cluster.client.create(D, _deployment(10))
            await cluster.until(lambda: cluster.is_complete(replicas=10))
            await cluster.client.delete("namespaces", "shop")
            await cluster.until(lambda: cluster.registry.lookup("namespaces", "shop", "") is None)
            left = {r.id: found for r in SCHEME.resources if r.namespaced and r.stored and (found := cluster.all(r.id))}
            assert left == {}

    run(go())


def test_a_namespace_starts_with_an_account_and_a_certificate() -> None:
    async def go() -> None:
        async with Cluster() as cluster:
            await cluster.until(lambda: bool(cluster.all("serviceaccounts") and cluster.all("configmaps")))

    run(go())


def test_a_pod_that_fits_nowhere_is_told_and_placed_when_it_can_be() -> None:
    async def go() -> None:
        async with Cluster(kubelet=False) as cluster:
            big = {"name": "main", "image": "x", "resources": {"requests": {"cpu": "3"}}}
            pod = {"metadata": {"name": "big", "namespace": "shop"}, "spec": {"containers": [big]}}
            await cluster.client.create("pods", pod)
            await cluster.until(lambda: meta.condition(cluster.all("pods")[0], "PodScheduled") is not None)
            condition = meta.condition(cluster.all("pods")[0], "PodScheduled")
            assert condition is not None
            assert condition["message"] == "0/3 nodes are available: 3 Insufficient cpu."
            status = {"status": {"allocatable": {"cpu": "4", "memory": "4Gi", "pods": "110"}}}
            await cluster.client.patch("nodes", "n1", "", status, subresource="status")
            await cluster.until(lambda: pods.node_name(cluster.all("pods")[0]) == "n1")
            assert meta.is_true(cluster.all("pods")[0], "PodScheduled")

    run(go())


def test_a_load_balancer_comes_and_goes() -> None:
    async def go() -> None:
        async with Cluster(kubelet=False) as cluster:
            await cluster.client.create(
                "services", _service() | {"spec": _service()["spec"] | {"type": "LoadBalancer"}}
            )
            status = lambda: cluster.all("services")[0]["status"]["loadBalancer"]
            await cluster.until(lambda: status() == {"ingress": [{"ip": "172.30.0.129", "ipMode": "VIP"}]})
            messages = lambda: [(e["reason"], e["message"]) for e in cluster.all("events")]
            await cluster.until(lambda: ("IPAllocated", 'Assigned IP ["172.30.0.129"]') in messages())
            patch = [{"op": "replace", "path": "/spec/type", "value": "NodePort"}]
            await cluster.client.patch("services", "web", "shop", patch, kind="application/json-patch+json")
            await cluster.until(lambda: status() == {})

    run(go())
