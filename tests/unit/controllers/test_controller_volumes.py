"""Claims get volumes, pods wait for them, and what nobody needs any more goes."""

from controller_world import World, node, pod, run, workload

from sampan.api import meta
from sampan.controllers import disruption, scheduler, volumebinder, volumeprotection

CLAIMS, VOLUMES, CLASSES = "persistentvolumeclaims", "persistentvolumes", "storageclasses.storage.k8s.io"


def world(path):
    binder = volumebinder.controller(volumebinder.Directories(path))
    return World(scheduler.controller(), binder, *volumeprotection.controllers())


def storage(mode="WaitForFirstConsumer", name="standard", provisioner="sampan.io/local-directory"):
    fields = {"provisioner": provisioner, "reclaimPolicy": "Delete", "volumeBindingMode": mode}
    return {"metadata": {"name": name}, **fields}


def claim(name="data", storage_class="standard", size="1Gi", **spec):
    wanted = {"accessModes": ["ReadWriteOnce"], "volumeMode": "Filesystem", **spec}
    wanted |= {"resources": {"requests": {"storage": size}}, "storageClassName": storage_class}
    metadata = {"name": name, "namespace": "default", "finalizers": ["kubernetes.io/pvc-protection"]}
    return {"metadata": metadata, "spec": wanted}


def volume(name, size="1Gi", storage_class="", **spec):
    fields = {"accessModes": ["ReadWriteOnce"], "volumeMode": "Filesystem", "hostPath": {"path": "/x"}, **spec}
    fields |= {"capacity": {"storage": size}, "storageClassName": storage_class}
    fields.setdefault("persistentVolumeReclaimPolicy", "Retain")
    return {"metadata": {"name": name}, "spec": fields}


def user(name="p"):
    return pod(name, volumes=[{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}])


def phase(obj):
    return (obj.get("status") or {}).get("phase")


def test_a_claim_waits_for_its_first_pod_which_waits_for_its_volume(tmp_path):
    async def main():
        w = world(tmp_path)
        await w.add("nodes", *node("n0"))
        await w.add(CLASSES, storage())
        await w.add(CLAIMS, claim())
        await w.settle()
        assert phase(await w.client.get(CLAIMS, "data", "default")) == "Pending"
        assert w.events.messages("WaitForFirstConsumer")
        await w.add("pods", user())
        await w.settle()
        bound = await w.client.get(CLAIMS, "data", "default")
        assert phase(bound) == "Bound"
        assert bound["metadata"]["annotations"]["volume.kubernetes.io/selected-node"] == "n0"
        (made,) = w.client.all(VOLUMES)
        assert phase(made) == "Bound"
        assert (tmp_path / meta.name(made)).is_dir()
        assert (await w.client.get("pods", "p", "default"))["spec"]["nodeName"] == "n0"

    run(main())


def test_a_claim_in_use_stays_and_its_directory_goes_with_it(tmp_path):
    async def main():
        w = world(tmp_path)
        await w.add("nodes", *node("n0"))
        await w.add(CLASSES, storage("Immediate"))
        await w.add(CLAIMS, claim())
        await w.add("pods", user())
        await w.settle()
        await w.client.delete(CLAIMS, "data", "default")
        await w.settle()
        assert w.client.all(CLAIMS)
        assert list(tmp_path.iterdir())
        await w.client.delete("pods", "p", "default", grace=0)
        await w.settle()
        assert not w.client.all(CLAIMS)
        assert not w.client.all(VOLUMES)
        assert not list(tmp_path.iterdir())

    run(main())


def test_the_smallest_volume_that_fits_is_taken_and_only_once(tmp_path):
    async def main():
        w = world(tmp_path)
        for name, size in (("big", "9Gi"), ("small", "100Mi"), ("right", "2Gi")):
            await w.add(VOLUMES, volume(name, size))
        await w.settle()
        await w.add(CLAIMS, claim(storage_class=""))
        await w.add(CLAIMS, claim("more", storage_class=""))
        await w.settle()
        taken = {meta.name(c): c["spec"].get("volumeName") for c in w.client.all(CLAIMS)}
        assert taken == {"data": "right", "more": "big"} or taken == {"data": "big", "more": "right"}
        await w.add(CLAIMS, claim("third", storage_class=""))
        await w.settle()
        assert w.events.messages("FailedBinding")

    run(main())


def test_a_kept_volume_is_released_and_not_given_to_another(tmp_path):
    async def main():
        w = world(tmp_path)
        await w.add(VOLUMES, volume("v"))
        await w.add(CLAIMS, claim(storage_class=""))
        await w.settle()
        await w.client.delete(CLAIMS, "data", "default")
        await w.settle()
        assert phase(await w.client.get(VOLUMES, "v")) == "Released"
        await w.add(CLAIMS, claim(storage_class=""))
        await w.settle()
        assert phase(await w.client.get(CLAIMS, "data", "default")) == "Pending"

    run(main())


def test_a_claim_whose_volume_vanished_is_lost(tmp_path):
    async def main():
        w = world(tmp_path)
        await w.add(VOLUMES, volume("v"))
        await w.add(CLAIMS, claim(storage_class=""))
        await w.settle()
        await w.client.delete(VOLUMES, "v")
        await w.settle()
        assert phase(await w.client.get(CLAIMS, "data", "default")) == "Lost"

    run(main())


def test_pods_say_what_their_claims_lack(tmp_path):
    async def main():
        w = world(tmp_path)
        await w.add("nodes", *node("n0"))
        await w.add("pods", user())
        await w.settle()
        waiting = 'persistentvolumeclaim "data" not found'
        assert w.events.messages("FailedScheduling") == [f"0/1 nodes are available: {waiting}."]
        await w.add(CLASSES, storage("Immediate", provisioner="example.com/other"))
        await w.add(CLAIMS, claim())
        await w.settle()
        assert "pod has unbound immediate PersistentVolumeClaims" in w.events.messages("FailedScheduling")[-1]
        assert w.events.messages("ExternalProvisioning")

    run(main())


def test_local_volumes_draw_pods_to_their_node(tmp_path):
    async def main():
        w = world(tmp_path)
        for name in ("n0", "n1"):
            await w.add("nodes", *node(name, labels={"kubernetes.io/hostname": name}))
        await w.add(CLASSES, storage(provisioner="kubernetes.io/no-provisioner"))
        on = [{"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": ["n1"]}]}]
        affinity = {"required": {"nodeSelectorTerms": on}}
        await w.add(VOLUMES, volume("v", storage_class="standard", nodeAffinity=affinity))
        await w.add(CLAIMS, claim())
        await w.add("pods", user())
        await w.settle()
        assert (await w.client.get("pods", "p", "default"))["spec"]["nodeName"] == "n1"

    run(main())


def test_a_budget_counts_against_what_controllers_want():
    async def main():
        w = World(disruption.controller())
        owner = await w.add("replicasets.apps", workload("ReplicaSet", "web", 4))
        for i in range(4):
            made = pod(f"p{i}", {"app": "web"})
            made["metadata"]["ownerReferences"] = [meta.owner_reference(owner)]
            await w.ready(await w.add("pods", made), ready=i != 3)
        spec = {"maxUnavailable": "50%", "selector": {"matchLabels": {"app": "web"}}}
        budget = {"metadata": {"name": "b", "namespace": "default"}, "spec": spec}
        await w.add("poddisruptionbudgets.policy", budget)
        await w.settle()
        status = (await w.client.get("poddisruptionbudgets.policy", "b", "default"))["status"]
        counts = [status[k] for k in ("expectedPods", "desiredHealthy", "currentHealthy", "disruptionsAllowed")]
        assert counts == [4, 2, 3, 1]
        assert status["conditions"][0]["reason"] == "SufficientPods"

    run(main())
