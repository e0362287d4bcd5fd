"""kr8s and lightkube: two clients that are not generated from the API's description."""

import asyncio
import os

import kr8s
import lightkube
import pytest
from e2e import until
from kr8s.objects import ConfigMap, Deployment, Pod
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.apps_v1 import Deployment as LightDeployment
from lightkube.resources.core_v1 import ConfigMap as LightMap
from lightkube.resources.core_v1 import Pod as LightPod
from lightkube.types import PatchType


@pytest.fixture
def small(cluster):
    return kr8s.api(kubeconfig=str(cluster.directory / "kubeconfig"), namespace=cluster.namespace)


def test_kr8s_objects_are_created_patched_labelled_and_deleted(cluster, small):
    made = ConfigMap({"metadata": {"name": "c", "namespace": cluster.namespace}, "data": {"k": "v"}}, api=small)
    made.create()
    made.patch({"data": {"k": "w"}})
    made.label(of="test")
    assert ConfigMap.get("c", namespace=cluster.namespace, api=small).data == {"k": "w"}
    found = list(small.get("configmaps", namespace=cluster.namespace, label_selector={"of": "test"}))
    assert [item.name for item in found] == ["c"]
    made.delete()
    until(lambda: not made.exists(), "it is deleted")
    assert small.version()["major"] == "1"
    assert any(kind["name"] == "deployments" for kind in small.api_resources())


def test_kr8s_pods_are_run_and_a_deployment_scales(cluster, small):
    spec = {"containers": [{"name": "c", "image": "busybox", "command": ["sh", "-c", "echo said; sleep 600"]}],
            "terminationGracePeriodSeconds": 0}  # fmt: skip
    pod = Pod({"metadata": {"name": "p", "namespace": cluster.namespace}, "spec": spec}, api=small)
    pod.create()
    pod.wait("condition=Ready", timeout=30)
    assert pod.exec(["echo", "hi"]).stdout == b"hi\n"
    assert list(pod.logs()) == ["said"]
    pod.delete()
    cluster.kubectl("create", "deployment", "d", "--image=busybox", "--replicas=0")
    deployment = Deployment.get("d", namespace=cluster.namespace, api=small)
    deployment.scale(1)
    until(lambda: cluster.kubectl("get", "pods", "-l", "app=d", "-o", "name"), "a pod of the deployment")
    deployment.scale(0)


@pytest.fixture
def light(cluster):
    os.environ["KUBECONFIG"] = str(cluster.directory / "kubeconfig")
    try:
        yield lightkube.Client(namespace=cluster.namespace, field_manager="test")
    finally:
        del os.environ["KUBECONFIG"]


def test_lightkube_creates_applies_patches_lists_and_deletes(cluster, light):
    light.create(LightMap(metadata=ObjectMeta(name="c"), data={"k": "v"}))
    light.patch(LightMap, "c", {"data": {"k": "w"}}, patch_type=PatchType.MERGE)
    applied = light.apply(LightMap(metadata=ObjectMeta(name="c"), data={"mine": "1"}))
    assert applied.data == {"k": "w", "mine": "1"}
    assert [item.metadata.name for item in light.list(LightMap, fields={"metadata.name": "c"})] == ["c"]
    light.delete(LightMap, "c")
    with pytest.raises(lightkube.ApiError, match='configmaps "c" not found'):
        light.get(LightMap, "c")
    cluster.kubectl("create", "deployment", "d", "--image=busybox", "--replicas=0")
    light.patch(LightDeployment.Scale, "d", {"spec": {"replicas": 0}})
    light.wait(LightDeployment, "d", for_conditions=["Available"])


def test_an_informer_lists_watches_and_lists_again_when_its_place_is_lost(cluster, light):
    """The loop every controller has: list, watch from there, list again when the server does not know the place."""
    light.create(LightMap(metadata=ObjectMeta(name="a", labels={"of": "test"})))
    cache, relists = {}, 0

    def relist():
        nonlocal relists
        relists += 1
        listed = light.list(LightMap, labels={"of": "test"})
        cache.clear()
        cache.update({item.metadata.name: item for item in listed})
        return listed.resourceVersion

    def follow(revision, until_name):
        for kind, obj in light.watch(LightMap, labels={"of": "test"}, resource_version=revision, server_timeout=5):
            if kind == "DELETED":
                cache.pop(obj.metadata.name)
            else:
                cache[obj.metadata.name] = obj
            if obj.metadata.name == until_name:
                return

    start = relist()
    light.create(LightMap(metadata=ObjectMeta(name="b", labels={"of": "test"})))
    follow(start, "b")
    assert set(cache) == {"a", "b"}
    with pytest.raises(Exception, match=r"410|504"):
        list(light.watch(LightMap, labels={"of": "test"}, resource_version=str(10**9), server_timeout=2))
    light.delete(LightMap, "a")
    assert set(cache) == {"a", "b"}, "it has not heard of it"
    relist()
    assert (set(cache), relists) == ({"b"}, 2)


def test_lightkube_is_asynchronous_too(cluster, light):
    async def scenario():
        client = lightkube.AsyncClient(namespace=cluster.namespace)
        await client.create(LightMap(metadata=ObjectMeta(name="c"), data={"k": "v"}))
        names = [item.metadata.name async for item in client.list(LightMap)]
        assert "c" in names
        lines = []
        cluster.kubectl("run", "p", "--image=busybox", "--restart=Never", "--", "echo", "said")
        await client.wait(LightPod, "p", for_conditions=["PodReadyToStartContainers"])
        await asyncio.sleep(1)
        async for line in client.log("p"):
            lines.append(line)
        assert lines == ["said\n"]

    asyncio.run(scenario())
    cluster.kubectl("delete", "pod", "p", "--now")
