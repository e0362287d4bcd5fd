"""The registry's verbs over the real scheme and the store in memory."""

import asyncio
import random
from ipaddress import IPv4Network

import orjson
import pytest

from sampan.api.kinds import SCHEME
from sampan.api.status import ApiError
from sampan.base.clock import FakeClock
from sampan.server.allocators import Services
from sampan.server.registry import Registry
from sampan.server.types import Deletion, Options
from sampan.store.memory import MemoryStore


def run(work):
    """Run `work(registry)` over a cluster that has the namespace default."""

    async def main():
        chance = random.Random(1)
        services = Services(IPv4Network("10.96.0.0/16"), (30000, 32767), chance)
        registry = Registry(SCHEME, MemoryStore(), FakeClock(), services, chance)
        await registry.create("namespaces", {"metadata": {"name": "default"}})
        return await work(registry)

    return asyncio.run(main())


def configmap(name="a", **data):
    return {"metadata": {"name": name, "namespace": "default"}, "data": data}


def pod(name="p", **spec):
    spec = {"containers": [{"name": "c", "image": "i"}], **spec}
    return {"metadata": {"name": name, "namespace": "default"}, "spec": spec}


def refused(error):
    return error.value.code, error.value.reason, error.value.message


def test_create_gives_identity_and_bytes_that_equal_the_object():
    async def work(registry):
        held = await registry.create("configmaps", configmap(x="1"))
        return held, registry.get("configmaps", "a", "default")

    made, read = run(work)
    assert made.bytes == read.bytes
    shown = orjson.loads(read.bytes)
    assert shown["metadata"].pop("managedFields") == read.owners
    assert shown == read.obj
    metadata = read.obj["metadata"]
    assert metadata["resourceVersion"] == "2"
    assert metadata["creationTimestamp"] == "2026-01-01T00:00:00Z"
    assert len(metadata["uid"]) == 36
    assert read.bytes.startswith(b'{"apiVersion":"v1","kind":"ConfigMap","metadata":{"resourceVersion":"2",')


def test_create_refuses_what_kubernetes_refuses():
    async def work(registry):
        await registry.create("configmaps", configmap())
        with pytest.raises(ApiError) as again:
            await registry.create("configmaps", configmap())
        with pytest.raises(ApiError) as nowhere:
            await registry.create("configmaps", configmap(), "other")
        lost = configmap()
        lost["metadata"]["namespace"] = "nope"
        with pytest.raises(ApiError) as no_namespace:
            await registry.create("configmaps", lost)
        old = configmap("b")
        old["metadata"]["resourceVersion"] = "7"
        with pytest.raises(ApiError) as revision:
            await registry.create("configmaps", old)
        return [refused(e) for e in (again, nowhere, no_namespace, revision)]

    assert run(work) == [
        (409, "AlreadyExists", 'configmaps "a" already exists'),
        (400, "BadRequest", "the namespace of the provided object does not match the namespace sent on the request"),
        (404, "NotFound", 'namespaces "nope" not found'),
        (400, "BadRequest", "resourceVersion should not be set on objects to be created"),
    ]


def test_generated_names_avoid_taken_ones():
    class Stuck(random.Random):
        """Draws the same suffix twice before another one."""

        drawn = 0

        def choice(self, seq):
            self.drawn += 1
            return seq[self.drawn // 11]

    async def work(registry):
        registry._chance = Stuck(1)
        given = {"metadata": {"generateName": "job-", "namespace": "default"}}
        return [(await registry.create("configmaps", given)).obj["metadata"]["name"] for _ in range(2)]

    first, second = run(work)
    assert first.startswith("job-")
    assert len(first) == len("job-") + 5
    assert first != second


def test_update_compares_revisions():
    async def work(registry):
        first = (await registry.create("configmaps", configmap(x="1"))).obj
        second = (await registry.update("configmaps", {**first, "data": {"x": "2"}})).obj
        with pytest.raises(ApiError) as stale:
            await registry.update("configmaps", {**first, "data": {"x": "3"}})
        free = (await registry.update("configmaps", configmap(x="4"))).obj
        return second, refused(stale), free

    second, stale, free = run(work)
    assert second["metadata"]["resourceVersion"] == "3"
    assert stale[:2] == (409, "Conflict")
    assert stale[2].startswith('Operation cannot be fulfilled on configmaps "a": the object has been modified')
    assert free["data"] == {"x": "4"}
    assert free["metadata"]["uid"] == second["metadata"]["uid"]


def test_writes_without_a_difference_write_nothing():
    async def work(registry):
        first = await registry.create("configmaps", configmap(x="1"))
        same = await registry.patch("configmaps", "a", "default", {"data": {"x": "1"}})
        put = await registry.update("configmaps", configmap(x="1"))
        return first, same, put, registry.store.revision

    first, same, put, revision = run(work)
    assert first is same is put
    assert revision == 2


def test_patch_is_tried_again_when_another_write_came_between():
    async def work(registry):
        await registry.create("configmaps", configmap(n="0"))

        async def add(i):
            await registry.patch("configmaps", "a", "default", {"data": {f"k{i}": "v"}})

        await asyncio.gather(*(add(i) for i in range(10)))
        patch = {"metadata": {"resourceVersion": "2"}, "data": {"z": "z"}}
        with pytest.raises(ApiError) as stale:
            await registry.patch("configmaps", "a", "default", patch)
        return registry.get("configmaps", "a", "default").obj["data"], refused(stale)[1]

    data, reason = run(work)
    assert len(data) == 11
    assert reason == "Conflict"


def test_status_and_spec_do_not_touch_each_other():
    async def work(registry):
        made = (await registry.create("pods", pod())).obj
        changed = {**made, "status": {"phase": "Running"}, "metadata": {**made["metadata"], "labels": {"a": "b"}}}
        main = (await registry.update("pods", changed)).obj
        with_spec = {**main, "status": {"phase": "Running"}, "spec": {**main["spec"], "hostname": "x"}}
        status = (await registry.update_status("pods", with_spec)).obj
        return made, main, status

    made, main, status = run(work)
    assert main["status"] == made["status"]
    assert main["metadata"]["labels"] == {"a": "b"}
    assert status["status"]["phase"] == "Running"
    assert "hostname" not in status["spec"]


def test_generation_follows_the_spec_only():
    deployment = {
        "metadata": {"name": "d", "namespace": "default"},
        "spec": {
            "selector": {"matchLabels": {"a": "b"}},
            "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}},
        },
    }

    async def work(registry):
        await registry.create("deployments.apps", deployment)
        found = []
        for patch in ({"metadata": {"labels": {"x": "y"}}}, {"spec": {"replicas": 3}}):
            held = await registry.patch("deployments.apps", "d", "default", patch)
            found.append(held.obj["metadata"]["generation"])
        held = await registry.patch(
            "deployments.apps", "d", "default", {"status": {"replicas": 1}}, subresource="status"
        )
        return [*found, held.obj["metadata"]["generation"]]

    assert run(work) == [1, 2, 2]


def test_dry_run_leaves_no_trace():
    async def work(registry):
        options = Options(dry_run=True)
        made = await registry.create("configmaps", configmap(), options=options)
        with pytest.raises(ApiError):
            registry.get("configmaps", "a", "default")
        await registry.create("configmaps", configmap(x="1"))
        patched = await registry.patch("configmaps", "a", "default", {"data": {"x": "2"}}, options=options)
        gone = await registry.delete("configmaps", "a", "default", Deletion(dry_run=True))
        return made.obj, patched.obj, gone.gone, registry.get("configmaps", "a", "default").obj

    made, patched, gone, left = run(work)
    assert "resourceVersion" not in made["metadata"]
    assert patched["data"] == {"x": "2"}
    assert gone
    assert left["data"] == {"x": "1"}


def test_pods_get_their_grace_once_scheduled():
    async def work(registry):
        await registry.create("pods", pod("waiting"))
        at_once = await registry.delete("pods", "waiting", "default")
        await registry.create("pods", pod("bound", nodeName="n"))
        marked = await registry.delete("pods", "bound", "default")
        longer = await registry.delete("pods", "bound", "default", Deletion(grace=60))
        shorter = await registry.delete("pods", "bound", "default", Deletion(grace=5))
        forced = await registry.delete("pods", "bound", "default", Deletion(grace=0))
        metadata = [d.held.obj["metadata"] for d in (marked, longer, shorter)]
        return at_once.gone, [(m["deletionTimestamp"], m["deletionGracePeriodSeconds"]) for m in metadata], forced.gone

    at_once, marks, forced = run(work)
    assert at_once
    assert marks == [("2026-01-01T00:00:30Z", 30), ("2026-01-01T00:00:30Z", 30), ("2026-01-01T00:00:05Z", 5)]
    assert forced


def test_finalizers_hold_an_object_until_the_last_is_gone():
    async def work(registry):
        held = configmap()
        held["metadata"]["finalizers"] = ["example.com/a"]
        await registry.create("configmaps", held)
        first = await registry.delete("configmaps", "a", "default")
        patch = {"metadata": {"finalizers": ["example.com/a", "example.com/b"]}}
        with pytest.raises(ApiError) as more:
            await registry.patch("configmaps", "a", "default", patch)
        await registry.patch("configmaps", "a", "default", {"metadata": {"finalizers": None}})
        return first.gone, refused(more)[2], registry.lookup("configmaps", "a", "default")

    gone, more, left = run(work)
    assert not gone
    assert "no new finalizers can be added if the object is being deleted" in more
    assert left is None


@pytest.mark.parametrize(
    ("policy", "finalizers"), [("Foreground", ["foregroundDeletion"]), ("Orphan", ["orphan"]), ("Background", None)]
)
def test_propagation_policies_become_finalizers(policy, finalizers):
    async def work(registry):
        await registry.create("configmaps", configmap())
        return await registry.delete("configmaps", "a", "default", Deletion(propagation=policy))

    done = run(work)
    assert done.gone == (finalizers is None)
    assert done.held.obj["metadata"].get("finalizers") == finalizers


def test_preconditions():
    async def work(registry):
        await registry.create("configmaps", configmap())
        with pytest.raises(ApiError) as uid:
            await registry.delete("configmaps", "a", "default", Deletion(uid="other"))
        with pytest.raises(ApiError) as revision:
            await registry.delete("configmaps", "a", "default", Deletion(revision="1"))
        return refused(uid), refused(revision)

    uid, revision = run(work)
    assert "Precondition failed: UID in precondition: other, UID in object meta: " in uid[2]
    assert revision[0] == 409


def test_a_namespace_ends_when_its_finalizers_do():
    async def work(registry):
        await registry.create("namespaces", {"metadata": {"name": "team"}})
        marked = await registry.delete("namespaces", "team")
        late = configmap()
        late["metadata"]["namespace"] = "team"
        with pytest.raises(ApiError) as ending:
            await registry.create("configmaps", late)
        with pytest.raises(ApiError) as immortal:
            await registry.delete("namespaces", "default")
        await registry.patch("namespaces", "team", "", {"spec": {"finalizers": []}}, subresource="finalize")
        return marked.held.obj["status"], refused(ending), refused(immortal), registry.lookup("namespaces", "team")

    status, ending, immortal, left = run(work)
    assert status == {"phase": "Terminating"}
    assert ending[:2] == (403, "Forbidden")
    assert "unable to create new content in namespace team because it is being terminated" in ending[2]
    assert immortal[2] == 'namespaces "default" is forbidden: this namespace may not be deleted'
    assert left is None


def test_pages_show_one_moment():
    async def work(registry):
        for name in "abcde":
            await registry.create("configmaps", configmap(name, v="old"))
        first = await registry.list("configmaps", "default", limit=2)
        await registry.delete("configmaps", "c", "default")
        await registry.patch("configmaps", "d", "default", {"data": {"v": "new"}})
        await registry.create("configmaps", configmap("cc", v="new"))
        rest = await registry.list("configmaps", "default", token=first.next)
        exact = await registry.list("configmaps", revision=first.revision, match="Exact")
        await registry.store.compact(registry.store.revision)
        with pytest.raises(ApiError) as old:
            await registry.list("configmaps", "default", token=first.next)
        with pytest.raises(ApiError) as junk:
            await registry.list("configmaps", "default", token="!")
        return first, rest, exact, refused(old)[:2], refused(junk)[0]

    first, rest, exact, old, junk = run(work)
    assert (len(first.items), first.remaining) == (2, 3)
    assert [(h.obj["metadata"]["name"], h.obj["data"]["v"]) for h in rest.items] == [
        ("c", "old"),
        ("d", "old"),
        ("e", "old"),
    ]
    assert rest.revision == first.revision
    assert rest.next == ""
    assert len(exact.items) == 5
    assert old == (410, "Expired")
    assert junk == 400


def test_selectors():
    async def work(registry):
        await registry.create(
            "pods", {**pod("a", nodeName="n1"), "metadata": {"name": "a", "namespace": "default", "labels": {"t": "x"}}}
        )
        await registry.create("pods", pod("b", nodeName="n2"))
        by_label = await registry.list("pods", labels="t in (x)")
        by_field = await registry.list("pods", fields="spec.nodeName=n2")
        limited = await registry.list("pods", labels="t!=y", limit=1)
        with pytest.raises(ApiError) as unknown:
            await registry.list("pods", fields="spec.color=red")
        names = [[h.obj["metadata"]["name"] for h in found.items] for found in (by_label, by_field, limited)]
        return names, bool(limited.next), limited.remaining, refused(unknown)[2]

    assert run(work) == ([["a"], ["b"], ["a"]], True, None, "field label not supported: spec.color")


def test_delete_collection_takes_what_the_selector_matches():
    async def work(registry):
        for name in "abc":
            await registry.create("configmaps", configmap(name))
        await registry.delete_collection("configmaps", "default", fields="metadata.name!=b")
        return [h.obj["metadata"]["name"] for h in (await registry.list("configmaps")).items]

    assert run(work) == ["b"]
