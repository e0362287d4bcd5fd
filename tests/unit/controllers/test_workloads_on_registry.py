"""StatefulSet, DaemonSet, Job and ReplicationController over the real registry: defaults, validation, finalizers, ends."""

from __future__ import annotations

import pytest
from controller_world import run
from test_controllers_on_registry import Cluster

from sampan.api import meta, pods
from sampan.api.meta import Obj

STS, DS, JOBS, RC = "statefulsets.apps", "daemonsets.apps", "jobs.batch", "replicationcontrollers"
REVISIONS = "controllerrevisions.apps"
TEMPLATE = {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "main", "image": "x:1"}]}}


def workload(**spec) -> Obj:
    selector = {"selector": {"matchLabels": {"app": "web"}}}
    return {"metadata": {"name": "web", "namespace": "shop"}, "spec": {**selector, "template": TEMPLATE, **spec}}


def a_job(**spec) -> Obj:
    template = {"spec": {**TEMPLATE["spec"], "restartPolicy": "Never"}}
    return {"metadata": {"name": "pi", "namespace": "shop"}, "spec": {"template": template, **spec}}


async def end_pods(cluster: Cluster, phase: str = "Succeeded") -> None:
    for pod in cluster.all("pods"):
        if pods.is_active(pod) and pods.is_ready(pod):
            await cluster.client.patch(
                "pods", meta.name(pod), "shop", {"status": {"phase": phase}}, subresource="status"
            )


def ready(cluster: Cluster, resource: str, field: str) -> int:
    return int((cluster.all(resource)[0].get("status") or {}).get(field, 0))


def test_the_life_of_a_statefulset_and_its_undo():
    async def go() -> None:
        async with Cluster() as cluster:
            await cluster.client.create(STS, workload(replicas=3, serviceName="web"))
            await cluster.until(lambda: ready(cluster, STS, "readyReplicas") == 3)
            assert [meta.name(p) for p in cluster.all("pods")] == ["web-0", "web-1", "web-2"]
            first = cluster.all(REVISIONS)[0]
            image = [{"op": "replace", "path": "/spec/template/spec/containers/0/image", "value": "x:2"}]
            await cluster.client.patch(STS, "web", "shop", image, kind="application/json-patch+json")

            def rolled() -> bool:
                status = cluster.all(STS)[0]["status"]
                seen = status["observedGeneration"] == cluster.all(STS)[0]["metadata"]["generation"]
                return seen and status["currentRevision"] == status["updateRevision"] and status["readyReplicas"] == 3

            await cluster.until(rolled)
            assert {p["spec"]["containers"][0]["image"] for p in cluster.all("pods")} == {"x:2"}
            # What `kubectl rollout undo` sends is what the revision keeps.
            undo = first["data"]
            await cluster.client.patch(STS, "web", "shop", undo, kind="application/strategic-merge-patch+json")
            await cluster.until(rolled)
            assert {p["spec"]["containers"][0]["image"] for p in cluster.all("pods")} == {"x:1"}
            assert sorted(r["revision"] for r in cluster.all(REVISIONS)) == [2, 3]

    run(go())


def test_a_daemonset_fills_the_nodes():
    async def go() -> None:
        async with Cluster() as cluster:
            await cluster.client.create(DS, workload())
            await cluster.until(lambda: ready(cluster, DS, "numberAvailable") == 3)
            assert sorted(pods.node_name(p) for p in cluster.all("pods")) == ["n0", "n1", "n2"]

    run(go())


def test_a_job_counts_what_its_pods_do():
    async def go() -> None:
        async with Cluster() as cluster:
            await cluster.client.create(JOBS, a_job(completions=3, parallelism=2))
            for done in (2, 3):
                await cluster.until(lambda: any(pods.is_ready(p) and pods.is_active(p) for p in cluster.all("pods")))
                await cluster.until(lambda: all(pods.is_ready(p) for p in cluster.all("pods")))
                await end_pods(cluster)
                await cluster.until(lambda done=done: ready(cluster, JOBS, "succeeded") == done)
            await cluster.until(lambda: meta.is_true(cluster.all(JOBS)[0], "Complete"))
            assert len(cluster.all("pods")) == 3
            assert not any(p["metadata"].get("finalizers") for p in cluster.all("pods"))
            await cluster.client.delete(JOBS, "pi", "shop", propagation="Background")
            await cluster.until(lambda: not cluster.all("pods"))

    run(go())


@pytest.mark.parametrize("propagation", ["Background", "Foreground"])
def test_a_running_job_goes_with_its_pods(propagation):
    async def go() -> None:
        async with Cluster() as cluster:
            await cluster.client.create(JOBS, a_job(parallelism=3))
            await cluster.until(lambda: ready(cluster, JOBS, "ready") == 3)
            await cluster.client.delete(JOBS, "pi", "shop", propagation=propagation)
            await cluster.until(lambda: not (cluster.all(JOBS) or cluster.all("pods")))

    run(go())


def test_a_namespace_goes_with_running_jobs_and_sets():
    async def go() -> None:
        async with Cluster() as cluster:
            await cluster.client.create(JOBS, a_job(parallelism=2))
            await cluster.client.create(STS, workload(replicas=2, serviceName="web"))
            await cluster.until(lambda: len(cluster.all("pods")) == 4)
            await cluster.client.delete("namespaces", "shop")
            await cluster.until(lambda: cluster.registry.lookup("namespaces", "shop", "") is None)

    run(go())


def test_a_plain_delete_leaves_the_pods_of_the_oldest_kinds():
    async def go() -> None:
        async with Cluster() as cluster:
            made = workload(replicas=2) | {"apiVersion": "v1", "kind": "ReplicationController"}
            made["spec"]["selector"] = {"app": "web"}
            await cluster.client.create(RC, made)
            await cluster.until(lambda: ready(cluster, RC, "readyReplicas") == 2)
            await cluster.client.delete(RC, "web", "shop")
            await cluster.until(lambda: not cluster.all(RC))
            assert [meta.controller_of(p) for p in cluster.all("pods")] == [None, None]

    run(go())
