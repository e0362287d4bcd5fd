"""Admission that looks at more than the object: quotas, limit ranges, classes; eviction and its budgets."""

import asyncio
import random
from functools import partial
from ipaddress import IPv4Network

import pytest

from sampan.api.kinds import SCHEME
from sampan.api.status import ApiError
from sampan.base.clock import FakeClock
from sampan.server import bootstrap, eviction
from sampan.server.allocators import Services
from sampan.server.registry import Registry
from sampan.server.types import Options
from sampan.store.memory import MemoryStore


def run(work):
    async def main():
        chance = random.Random(1)
        services = Services(IPv4Network("10.96.0.0/16"), (30000, 32767), chance)
        registry = Registry(SCHEME, MemoryStore(), FakeClock(), services, chance)
        await registry.create("namespaces", {"metadata": {"name": "d"}})
        return await work(registry)

    return asyncio.run(main())


def obj(name="x", **fields):
    return {"metadata": {"name": name, "namespace": "d"}, **fields}


def pod(name="p", resources=None, labels=None, **spec):
    container = {"name": "c", "image": "i"} | ({"resources": resources} if resources else {})
    made = obj(name, spec={"containers": [container], **spec})
    made["metadata"]["labels"] = labels or {}
    return made


async def refused(work):
    with pytest.raises(ApiError) as caught:
        await work
    return caught.value


def test_a_quota_counts_pods_that_are_there():
    async def work(registry):
        await registry.create("resourcequotas", obj("q", spec={"hard": {"pods": "1"}}))
        await registry.create("pods", pod("a"))
        error = await refused(registry.create("pods", pod("b")))
        assert (error.code, error.reason) == (403, "Forbidden")
        why = "exceeded quota: q, requested: pods=1, used: pods=1, limited: pods=1"
        assert error.message == f'pods "b" is forbidden: {why}'
        await registry.delete("pods", "a", "d")
        await registry.create("pods", pod("b"))

    run(work)


def test_of_many_at_once_only_as_many_get_in_as_there_is_room():
    async def work(registry):
        await registry.create("resourcequotas", obj("q", spec={"hard": {"pods": "3"}}))
        made = await asyncio.gather(*(registry.create("pods", pod(f"p{i}")) for i in range(9)), return_exceptions=True)
        assert sum(not isinstance(one, Exception) for one in made) == 3
        assert len((await registry.list("pods", "d")).items) == 3

    run(work)


def test_what_failed_after_admission_gives_its_place_back():
    async def work(registry):
        await registry.create("resourcequotas", obj("q", spec={"hard": {"pods": "1"}}))
        assert (await refused(registry.create("pods", obj("bad", spec={"containers": []})))).code == 422
        await registry.clock.advance(10)
        await registry.create("pods", pod("good"))

    run(work)


def test_a_quota_of_limits_wants_every_container_to_say_its_own():
    async def work(registry):
        await registry.create("resourcequotas", obj("q", spec={"hard": {"limits.cpu": "1", "requests.memory": "1Gi"}}))
        error = await refused(registry.create("pods", pod()))
        assert error.message.endswith("failed quota: q: must specify limits.cpu for: c; requests.memory for: c")
        await registry.create("pods", pod("a", {"limits": {"cpu": "700m", "memory": "1Mi"}}))
        error = await refused(registry.create("pods", pod("b", {"limits": {"cpu": "700m", "memory": "1Mi"}})))
        assert error.message.endswith("requested: limits.cpu=700m, used: limits.cpu=700m, limited: limits.cpu=1")

    run(work)


def test_scopes_say_which_pods_count():
    async def work(registry):
        spec = {"hard": {"pods": "0"}, "scopes": ["BestEffort"]}
        await registry.create("resourcequotas", obj("q", spec=spec))
        assert "exceeded quota" in (await refused(registry.create("pods", pod("a")))).message
        await registry.create("pods", pod("b", {"requests": {"cpu": "1m"}}))

    run(work)


def test_any_kind_can_be_counted():
    async def work(registry):
        await registry.create(
            "resourcequotas", obj("q", spec={"hard": {"count/secrets": "0", "services.nodeports": "0"}})
        )
        assert "count/secrets=1" in (await refused(registry.create("secrets", obj("s")))).message
        service = obj("w", spec={"type": "NodePort", "ports": [{"port": 80}]})
        assert "services.nodeports=1" in (await refused(registry.create("services", service))).message

    run(work)


def test_limit_ranges_give_defaults_and_bounds():
    async def work(registry):
        item = {"type": "Container", "default": {"cpu": "200m"}, "defaultRequest": {"cpu": "100m"}, "max": {"cpu": "1"}}
        await registry.create("limitranges", obj("l", spec={"limits": [item]}))
        made = (await registry.create("pods", pod("a"))).obj
        assert made["spec"]["containers"][0]["resources"] == {"requests": {"cpu": "100m"}, "limits": {"cpu": "200m"}}
        note = made["metadata"]["annotations"]["kubernetes.io/limit-ranger"]
        assert note == "LimitRanger plugin set: cpu request for container c; cpu limit for container c"
        error = await refused(registry.create("pods", pod("b", {"limits": {"cpu": "2"}})))
        assert "maximum cpu usage per Container is 1, but limit is 2" in error.message

    run(work)


def test_priorities():
    async def work(registry):
        error = await refused(registry.create("pods", pod("a", priorityClassName="none")))
        assert error.message == 'pods "a" is forbidden: no PriorityClass with name none was found'
        made = (await registry.create("pods", pod("b", priorityClassName="system-node-critical"))).obj
        assert made["spec"]["priority"] == 2_000_001_000
        await registry.create(
            "priorityclasses.scheduling.k8s.io", {"metadata": {"name": "usual"}, "value": 7, "globalDefault": True}
        )
        made = (await registry.create("pods", pod("c"))).obj
        assert (made["spec"]["priorityClassName"], made["spec"]["priority"]) == ("usual", 7)
        second = {"metadata": {"name": "other"}, "value": 8, "globalDefault": True}
        assert (await refused(registry.create("priorityclasses.scheduling.k8s.io", second))).code == 403

    run(work)


def test_claims_get_the_default_class_and_protection():
    async def work(registry):
        annotations = {"storageclass.kubernetes.io/is-default-class": "true"}
        metadata = {"name": "usual", "annotations": annotations}
        await registry.create("storageclasses.storage.k8s.io", {"metadata": metadata, "provisioner": "a/b"})
        spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
        claim = (await registry.create("persistentvolumeclaims", obj("c", spec=spec))).obj
        assert claim["spec"]["storageClassName"] == "usual"
        assert claim["metadata"]["finalizers"] == ["kubernetes.io/pvc-protection"]
        plain = (await registry.create("persistentvolumeclaims", obj("e", spec=spec | {"storageClassName": ""}))).obj
        assert plain["spec"]["storageClassName"] == ""

    run(work)


def test_ingresses_get_the_default_class_unless_they_name_one():
    async def work(registry):
        await bootstrap.classes(registry)
        create = partial(registry.create, "ingresses.networking.k8s.io")
        backend = {"service": {"name": "web", "port": {"number": 80}}}
        plain = (await create(obj("plain", spec={"defaultBackend": backend}))).obj
        assert plain["spec"]["ingressClassName"] == "nginx"
        named = (await create(obj("named", spec={"defaultBackend": backend, "ingressClassName": "other"}))).obj
        assert named["spec"]["ingressClassName"] == "other"
        legacy = obj("legacy", spec={"defaultBackend": backend})
        legacy["metadata"]["annotations"] = {"kubernetes.io/ingress.class": "nginx"}
        assert "ingressClassName" not in (await create(legacy)).obj["spec"]  # kubectl shows <none>

    run(work)


def budget(allowed):
    status = {"disruptionsAllowed": allowed, "desiredHealthy": 1, "currentHealthy": 1 + allowed, "expectedPods": 2}
    return status | {"observedGeneration": 1}


async def ready(registry, name):
    await registry.create("pods", pod(name, labels={"app": "a"}))
    status = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
    await registry.patch("pods", name, "d", {"status": status}, subresource="status")


def test_evictions_spend_the_budget():
    async def work(registry):
        for name in ("a", "b"):
            await ready(registry, name)
        spec = {"minAvailable": 1, "selector": {"matchLabels": {"app": "a"}}}
        await registry.create("poddisruptionbudgets.policy", obj("w", spec=spec))
        error = await refused(eviction.evict(registry, "d", "a", {}, Options()))
        assert (error.code, error.reason) == (429, "TooManyRequests")
        assert "still being processed" in error.details["causes"][0]["message"]
        await registry.patch("poddisruptionbudgets.policy", "w", "d", {"status": budget(1)}, subresource="status")
        await eviction.evict(registry, "d", "a", {}, Options())
        assert registry.lookup("pods", "a", "d") is None
        told = registry.lookup("poddisruptionbudgets.policy", "w", "d")["status"]
        assert (told["disruptionsAllowed"], list(told["disruptedPods"])) == (0, ["a"])
        error = await refused(eviction.evict(registry, "d", "b", {}, Options()))
        assert error.message == "Cannot evict pod as it would violate the pod's disruption budget."
        why = "The disruption budget w needs 1 healthy pods and has 2 currently"
        assert error.details["causes"] == [{"reason": "DisruptionBudget", "message": why}]

    run(work)
