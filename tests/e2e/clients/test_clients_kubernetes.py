"""The official Python client, synchronous and asynchronous, as its users use it."""

import asyncio
import base64
import itertools
import threading
import time
import uuid
from pathlib import Path

import pytest
from e2e import until
from kubernetes import client, config, dynamic, watch
from kubernetes.client.rest import ApiException
from kubernetes.leaderelection import electionconfig, leaderelection
from kubernetes.leaderelection.resourcelock.leaselock import LeaseLock
from kubernetes.stream import stream


@pytest.fixture
def api(cluster):
    """The client's ApiClient for the test's cluster."""
    made = config.new_client_from_config(str(cluster.directory / "kubeconfig"))
    yield made
    made.close()


def config_map(name, **data):
    return client.V1ConfigMap(metadata=client.V1ObjectMeta(name=name, labels={"of": "test"}), data=data)


def pod(name, *argv):
    container = client.V1Container(name="c", image="busybox", command=list(argv))
    spec = client.V1PodSpec(containers=[container], termination_grace_period_seconds=0)
    return client.V1Pod(metadata=client.V1ObjectMeta(name=name), spec=spec)


def test_objects_are_created_read_changed_listed_and_deleted(cluster, api):
    core, space = client.CoreV1Api(api), cluster.namespace
    made = core.create_namespaced_config_map(space, config_map("a", k="v"))
    assert made.metadata.uid
    with pytest.raises(ApiException, match="AlreadyExists") as refused:
        core.create_namespaced_config_map(space, config_map("a"))
    assert refused.value.status == 409
    made.data = {"k": "w"}
    replaced = core.replace_namespaced_config_map("a", space, made)
    assert int(replaced.metadata.resource_version) > int(made.metadata.resource_version)
    with pytest.raises(ApiException, match="the object has been modified"):
        core.replace_namespaced_config_map("a", space, made)
    core.patch_namespaced_config_map("a", space, {"data": {"more": "1"}})
    core.patch_namespaced_config_map("a", space, [{"op": "remove", "path": "/data/k"}])
    assert core.read_namespaced_config_map("a", space).data == {"more": "1"}
    for name in "bcd":
        core.create_namespaced_config_map(space, config_map(name))
    first = core.list_namespaced_config_map(space, label_selector="of=test", limit=3)
    rest = core.list_namespaced_config_map(space, label_selector="of=test", limit=3, _continue=first.metadata._continue)
    assert [item.metadata.name for item in first.items + rest.items] == list("abcd")
    assert first.metadata.remaining_item_count in (None, 1)
    core.delete_collection_namespaced_config_map(space, label_selector="of=test")
    with pytest.raises(ApiException, match="NotFound"):
        core.read_namespaced_config_map("a", space)


def test_a_strategic_patch_merges_containers_by_name(cluster, api):
    apps = client.AppsV1Api(api)
    cluster.kubectl("create", "deployment", "d", "--image=one", "--replicas=0")
    patch = {"spec": {"template": {"spec": {"containers": [{"name": "side", "image": "two"}]}}}}
    done = apps.patch_namespaced_deployment("d", cluster.namespace, patch)
    assert sorted(c.image for c in done.spec.template.spec.containers) == ["one", "two"]
    scale = apps.patch_namespaced_deployment_scale("d", cluster.namespace, {"spec": {"replicas": 0}})
    assert scale.status.selector == "app=d"


def test_a_watch_resumes_after_its_end_without_gap_or_repetition(cluster, api):
    core, space = client.CoreV1Api(api), cluster.namespace
    start = core.list_namespaced_config_map(space).metadata.resource_version
    threading.Thread(
        target=lambda: [
            (core.create_namespaced_config_map(space, config_map(f"c{i}")), time.sleep(0.1)) for i in range(15)
        ]
    ).start()
    seen, rounds = [], 0
    while len(seen) < 15:
        rounds += 1
        assert rounds < 20
        # Each watch ends after three events; the next goes on from the last revision seen.
        source = watch.Watch()
        events = source.stream(
            core.list_namespaced_config_map, space, label_selector="of=test", resource_version=start, timeout_seconds=5
        )
        for event in itertools.islice(events, 3):
            seen.append((event["type"], event["object"].metadata.name))
            start = event["object"].metadata.resource_version
        source.stop()
    assert seen == [("ADDED", f"c{i}") for i in range(15)]
    assert rounds >= 5


def test_a_watch_ends_in_time_and_from_an_unknown_past_fails(cluster, api):
    core = client.CoreV1Api(api)
    before = time.monotonic()
    list(watch.Watch().stream(core.list_namespaced_pod, cluster.namespace, timeout_seconds=1))
    assert 0.9 < time.monotonic() - before < 4
    with pytest.raises(ApiException) as refused:
        list(
            watch.Watch().stream(core.list_namespaced_pod, cluster.namespace, resource_version="abc", timeout_seconds=1)
        )
    assert refused.value.status == 400


def test_the_dynamic_client_discovers_and_uses_any_kind(cluster, api):
    found = dynamic.DynamicClient(api)
    maps = found.resources.get(api_version="v1", kind="ConfigMap")
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "dyn"}, "data": {"k": "v"}}
    maps.create(body=body, namespace=cluster.namespace)
    assert maps.get(name="dyn", namespace=cluster.namespace).data.k == "v"
    body["data"] = {"k": "applied"}
    applied = maps.server_side_apply(body=body, namespace=cluster.namespace, field_manager="me", force_conflicts=True)
    assert applied.data.k == "applied"
    maps.patch(
        body={"data": {"k": None}}, name="dyn", namespace=cluster.namespace, content_type="application/merge-patch+json"
    )
    events = maps.watch(namespace=cluster.namespace, field_selector="metadata.name=dyn", timeout=1)
    assert [event["type"] for event in events] == ["ADDED"]
    assert found.resources.get(kind="Deployment", group="apps").namespaced
    with pytest.raises(dynamic.exceptions.ResourceNotFoundError):
        found.resources.get(api_version="v1", kind="Gadget")
    maps.delete(name="dyn", namespace=cluster.namespace)


def test_exec_streams_over_a_web_socket_both_ways(cluster, api):
    core, space = client.CoreV1Api(api), cluster.namespace
    core.create_namespaced_pod(space, pod("p", "sleep", "600"))
    cluster.kubectl("wait", "pod/p", "--for=condition=Ready", "--timeout=30s")
    connect = core.connect_get_namespaced_pod_exec
    whole = stream(connect, "p", space, command=["sh", "-c", "echo out; echo err >&2"], stdout=True, stderr=True,
                   stdin=False, tty=False)  # fmt: skip
    assert sorted(whole.split()) == ["err", "out"]
    shell = stream(connect, "p", space, command=["sh"], stdout=True, stderr=True, stdin=True, tty=False,
                   _preload_content=False)  # fmt: skip
    shell.write_stdin("echo $((6 * 7))\n")
    assert shell.readline_stdout(timeout=5) == "42"
    shell.write_stdin("exit 5\n")
    shell.run_forever(timeout=5)
    assert shell.returncode == 5
    assert core.read_namespaced_pod_log("p", space) == ""
    core.delete_namespaced_pod("p", space, grace_period_seconds=0)


class MortalLock(LeaseLock):
    """A lock whose holder can die: it renews no more."""

    alive = True

    def update(self, *args, **kwargs):
        return self.alive and super().update(*args, **kwargs)


def test_one_leader_is_elected_on_a_lease_and_another_follows_when_it_dies(cluster, api):
    config.load_kube_config(str(cluster.directory / "kubeconfig"))
    led = []

    def elect(who):
        lock = MortalLock("lead", cluster.namespace, who)
        setup = electionconfig.Config(
            lock,
            lease_duration=3,
            renew_deadline=2,
            retry_period=1.1,
            onstarted_leading=lambda: led.append(who),
            onstopped_leading=lambda: led.append(f"{who} stopped"),
        )
        threading.Thread(target=leaderelection.LeaderElection(setup).run, daemon=True).start()
        return lock

    first = elect("first")
    until(lambda: led == ["first"], "the first leader")
    second = elect("second")
    time.sleep(3.5)
    lease = client.CoordinationV1Api(api).read_namespaced_lease("lead", cluster.namespace)
    assert (led, lease.spec.holder_identity, lease.spec.lease_duration_seconds) == (["first"], "first", 3)
    first.alive = False
    until(lambda: "second" in led, "the second leader")
    second.alive = False
    until(lambda: "second stopped" in led, "the end of both")
    assert led == ["first", "first stopped", "second", "second stopped"]


def test_binary_data_dates_and_unknown_fields_survive(cluster, api):
    core, space = client.CoreV1Api(api), cluster.namespace
    payload = base64.b64encode(bytes(range(256))).decode()
    secret = client.V1Secret(metadata=client.V1ObjectMeta(name="s"), data={"k": payload})
    assert core.create_namespaced_secret(space, secret).data == {"k": payload}
    assert abs(core.read_namespaced_secret("s", space).metadata.creation_timestamp.timestamp() - time.time()) < 60
    version = client.VersionApi(api).get_code()
    assert int(version.major) == 1
    nodes = core.list_node().items
    assert all(isinstance(int(node.status.capacity["cpu"]), int) for node in nodes)
    groups = {group.name for group in client.ApisApi(api).get_api_versions().groups}
    assert "apps" in groups


def test_the_asynchronous_client_does_the_same(cluster):
    import kubernetes_asyncio  # heavy: only this test needs it

    async def scenario():
        space, name = cluster.namespace, f"a-{uuid.uuid4().hex[:6]}"
        made = await kubernetes_asyncio.config.new_client_from_config(str(cluster.directory / "kubeconfig"))
        async with made as connection:
            core = kubernetes_asyncio.client.CoreV1Api(connection)
            body = kubernetes_asyncio.client.V1ConfigMap(
                metadata=kubernetes_asyncio.client.V1ObjectMeta(name=name), data={"k": "v"}
            )
            seen = []

            async def follow():
                async with kubernetes_asyncio.watch.Watch().stream(
                    core.list_namespaced_config_map, space, timeout_seconds=10
                ) as events:
                    async for event in events:
                        if event["object"].metadata.name == name:
                            seen.append(event["type"])
                            if event["type"] == "DELETED":
                                return

            following = asyncio.create_task(follow())
            await core.create_namespaced_config_map(space, body)
            await core.patch_namespaced_config_map(name, space, {"data": {"k": "w"}})
            assert (await core.read_namespaced_config_map(name, space)).data == {"k": "w"}
            await asyncio.sleep(0.3)
            await core.delete_namespaced_config_map(name, space)
            await asyncio.wait_for(following, 10)
            assert seen[-1] == "DELETED"
            assert seen[0] == "ADDED"

    asyncio.run(scenario())


def test_asynchronous_exec(cluster):
    import kubernetes_asyncio

    cluster.kubectl("run", "p", "--image=busybox", "--", "sleep", "600")
    cluster.kubectl("wait", "pod/p", "--for=condition=Ready", "--timeout=30s")

    async def scenario():
        await kubernetes_asyncio.config.load_kube_config(str(cluster.directory / "kubeconfig"))
        async with kubernetes_asyncio.stream.WsApiClient() as connection:
            core = kubernetes_asyncio.client.CoreV1Api(connection)
            return await core.connect_get_namespaced_pod_exec(
                "p", cluster.namespace, command=["echo", "hello"], stdout=True, stderr=True
            )

    assert asyncio.run(scenario()) == "hello\n"
    cluster.kubectl("delete", "pod", "p", "--now")


IN_CLUSTER = """
from kubernetes import client, config
config.load_incluster_config()
core = client.CoreV1Api()
print([item.metadata.name for item in core.list_namespaced_config_map(SPACE).items])
try:
    core.delete_namespaced_config_map("kube-root-ca.crt", SPACE)
except client.ApiException as refused:
    print(refused.status, "cannot delete" in refused.body)
"""


def test_a_pod_uses_the_client_with_its_service_account(cluster):
    cluster.kubectl(
        "create", "rolebinding", "see", "--clusterrole=view", f"--serviceaccount={cluster.namespace}:default"
    )
    packages = Path(client.__file__).parents[2]
    said = cluster.kubectl(
        "run", "p", "--image=python", "--restart=Never", f"--env=PYTHONPATH={packages}", "-i", "--rm", "--quiet", "--",
        "python3", "-c", IN_CLUSTER.replace("SPACE", repr(cluster.namespace)),
    )  # fmt: skip
    assert said.splitlines()[:2] == ["['kube-root-ca.crt']", "403 True"]
