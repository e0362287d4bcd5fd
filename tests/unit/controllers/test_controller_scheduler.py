"""Scheduler: each pod gets a node at once or an honest reason why not."""

from __future__ import annotations

from collections import Counter

import pytest
from controller_world import World, node, pod, run

from sampan.api import meta, pods
from sampan.api.status import internal
from sampan.controllers import scheduler
from sampan.controllers.tolerations import seconds_tolerated

OWNER = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web", "uid": "rs", "controller": True}
ZONE = "zone"


async def _world(*names: str, **spec) -> World:
    world = World(scheduler.controller())
    for name in names:
        labels = {"kubernetes.io/hostname": name, ZONE: f"z-{name}"}
        await world.add("nodes", *node(name, labels=labels, **spec))
    return world


def _asking(name: str, cpu: str = "", memory: str = "", labels: dict[str, str] | None = None, **spec):
    requests = {k: v for k, v in {"cpu": cpu, "memory": memory}.items() if v}
    containers = [{"name": "main", "image": "x", "resources": {"requests": requests}}]
    return pod(name, labels, containers=containers, **spec)


def _where(world: World) -> dict[str, str]:
    return {meta.name(p): pods.node_name(p) for p in world.client.all("pods")}


def _why(world: World, name: str) -> str:
    condition = meta.condition(world.client.find("pods", name, "default"), "PodScheduled")
    assert condition is not None
    assert (condition["status"], condition["reason"]) == ("False", "Unschedulable")
    assert condition["message"] in world.events.messages("FailedScheduling")
    return str(condition["message"])


async def _place(world: World, *waiting) -> dict[str, str]:
    for each in waiting:
        await world.add("pods", each)
    await world.settle()
    return _where(world)


def test_a_pod_gets_a_node_and_an_event():
    async def go() -> None:
        world = await _world("n0")
        assert await _place(world, pod("a")) == {"a": "n0"}
        assert world.events.messages("Scheduled") == ["Successfully assigned default/a to n0"]

    run(go())


def test_siblings_are_spread():
    async def go() -> None:
        world = await _world("n0", "n1", "n2")
        await _place(world, _asking("big", cpu="1"))
        replicas = [pod(f"web-{i}") for i in range(7)]
        for each in replicas:
            each["metadata"]["ownerReferences"] = [OWNER]
        where = await _place(world, *replicas)
        counts = Counter(n for name, n in where.items() if name != "big")
        assert sorted(counts.values()) == [2, 2, 3]
        assert counts[where["big"]] == 2

    run(go())


def test_strangers_go_where_there_is_room():
    async def go() -> None:
        world = await _world("n0", "n1")
        where = await _place(world, _asking("a", cpu="1"), _asking("b", cpu="500m"), _asking("c", cpu="100m"))
        assert where["a"] != where["b"] == where["c"]

    run(go())


def test_assumed_pods_count_before_the_cache_shows_them():
    async def go() -> None:
        world = await _world("n0", "n1")
        names = [f"p{i}" for i in range(6)]
        for name in names:
            await world.add("pods", _asking(name, cpu="900m"))
        world.sync()
        await world.step([(0, meta.key(pod(name))) for name in names])
        assert sorted(Counter(_where(world).values()).items()) == [("", 2), ("n0", 2), ("n1", 2)]

    run(go())


def test_room_that_becomes_free_is_used_at_once():
    async def go() -> None:
        world = await _world("n0")
        await _place(world, _asking("first", cpu="1500m"))
        assert (await _place(world, _asking("second", cpu="1")))["second"] == ""
        assert _why(world, "second") == "0/1 nodes are available: 1 Insufficient cpu."
        await world.client.delete("pods", "first", "default", grace=0)
        await world.settle()
        assert _where(world) == {"second": "n0"}

    run(go())


def test_ended_pods_hold_nothing():
    async def go() -> None:
        world = await _world("n0")
        await _place(world, _asking("first", cpu="1500m"))
        await world.status("pods", world.client.find("pods", "first", "default"), {"phase": "Succeeded"})
        assert (await _place(world, _asking("second", cpu="1")))["second"] == "n0"

    run(go())


def test_a_new_node_takes_those_who_wait():
    async def go() -> None:
        world = await _world()
        await _place(world, pod("a"))
        assert _why(world, "a") == "no nodes available to schedule pods"
        obj, status = node("n0", ready="False")
        made = await world.add("nodes", obj, status)
        await world.settle()
        expected = "0/1 nodes are available: 1 node(s) had untolerated taint {node.kubernetes.io/not-ready: }."
        assert _why(world, "a") == expected
        await world.status("nodes", made, node("n0")[1])
        await world.settle()
        assert _where(world) == {"a": "n0"}

    run(go())


def test_an_unschedulable_pod_writes_its_reason_once():
    async def go() -> None:
        world = await _world("n0")
        await _place(world, _asking("a", cpu="9"))
        before = world.client.writes
        for _ in range(3):
            await world.step([(0, meta.key(pod("a")))])
        assert world.client.writes == before
        assert len(world.events.messages("FailedScheduling")) == 1

    run(go())


def test_a_failed_binding_is_tried_again():
    async def go() -> None:
        world = await _world("n0")
        world.client.fail("patch", "pods", internal("disk full"))
        assert await _place(world, pod("a")) == {"a": "n0"}
        assert len(world.errors) == 1

    run(go())


def test_several_reasons_are_counted_and_sorted():
    async def go() -> None:
        world = await _world("n0", "n1")
        await world.add("nodes", *node("n2", unschedulable=True))
        await world.add("nodes", *node("n3", taints=[{"key": "gpu", "value": "yes", "effect": "NoSchedule"}]))
        await _place(world, _asking("a", cpu="9", memory="9Gi"))
        assert _why(world, "a") == (
            "0/4 nodes are available: 1 node(s) had untolerated taint {gpu: yes}, 1 node(s) were unschedulable, "
            "2 Insufficient cpu, 2 Insufficient memory."
        )

    run(go())


NODE_AFFINITY = "requiredDuringSchedulingIgnoredDuringExecution"


def _expression(operator: str, *values: str):
    terms = [{"matchExpressions": [{"key": ZONE, "operator": operator, "values": list(values)}]}]
    return {"affinity": {"nodeAffinity": {NODE_AFFINITY: {"nodeSelectorTerms": terms}}}}


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"nodeSelector": {ZONE: "z-n1"}}, "n1"),
        ({"nodeSelector": {ZONE: "nowhere"}}, ""),
        (_expression("In", "z-n1", "z-n9"), "n1"),
        (_expression("NotIn", "z-n0"), "n1"),
        (_expression("DoesNotExist"), ""),
        ({"schedulerName": "mine"}, ""),
        ({"schedulingGates": [{"name": "wait"}]}, ""),
    ],
)
def test_what_a_pod_asks_of_its_node(spec, expected):
    async def go() -> None:
        world = await _world("n0", "n1")
        assert await _place(world, pod("a", **spec)) == {"a": expected}

    run(go())


@pytest.mark.parametrize(
    ("tolerations", "expected"),
    [
        ([], ""),
        ([{"key": "gpu", "operator": "Exists"}], "n0"),
        ([{"operator": "Exists"}], "n0"),
        ([{"key": "gpu", "value": "yes", "effect": "NoSchedule"}], "n0"),
        ([{"key": "gpu", "value": "no", "effect": "NoSchedule"}], ""),
        ([{"key": "gpu", "value": "yes", "effect": "NoExecute"}], ""),
    ],
)
def test_taints_and_tolerations(tolerations, expected):
    async def go() -> None:
        world = await _world("n0", taints=[{"key": "gpu", "value": "yes", "effect": "NoSchedule"}])
        assert await _place(world, pod("a", tolerations=tolerations)) == {"a": expected}

    run(go())


def test_host_ports_do_not_clash():
    def wants(name: str, port: int, ip: str = ""):
        ports = [{"containerPort": 80, "hostPort": port, "hostIP": ip}]
        return pod(name, containers=[{"name": "main", "ports": ports}])

    async def go() -> None:
        world = await _world("n0")
        where = await _place(world, wants("a", 80, "10.0.0.1"), wants("b", 80, "10.0.0.2"), wants("c", 81))
        assert set(where.values()) == {"n0"}
        assert (await _place(world, wants("d", 80)))["d"] == ""
        assert "didn't have free ports" in _why(world, "d")

    run(go())


def test_too_many_pods():
    async def go() -> None:
        world = World(scheduler.controller())
        obj, status = node("n0")
        await world.add("nodes", obj, {**status, "allocatable": {"pods": "1", "cpu": "1", "memory": "1Gi"}})
        await _place(world, pod("a"))
        await _place(world, pod("b"))
        assert _why(world, "b") == "0/1 nodes are available: 1 Too many pods."

    run(go())


def _near(kind: str, app: str):
    term = {"labelSelector": {"matchLabels": {"app": app}}, "topologyKey": "kubernetes.io/hostname"}
    return {"affinity": {kind: {NODE_AFFINITY: [term]}}}


def test_pod_affinity_and_anti_affinity():
    async def go() -> None:
        world = await _world("n0", "n1")
        where = await _place(world, _asking("db", labels={"app": "db"}, cpu="1"))
        where = await _place(world, pod("web", **_near("podAffinity", "db")))
        assert where["web"] == where["db"]
        where = await _place(world, pod("other", **_near("podAntiAffinity", "db")))
        assert where["other"] != where["db"]
        # A running pod keeps others away, too; with both nodes spoken for there is no place left.
        await _place(world, pod("db2", {"app": "db"}, **_near("podAntiAffinity", "db")))
        assert _where(world)["db2"] == ""
        assert "existing pods anti-affinity" in _why(world, "db2") or "pod anti-affinity" in _why(world, "db2")

    run(go())


def test_the_first_of_a_group_that_wants_its_like():
    async def go() -> None:
        world = await _world("n0", "n1")
        first, second = (pod(n, {"app": "x"}, **_near("podAffinity", "x")) for n in ("a", "b"))
        where = await _place(world, first, second)
        assert where["a"] == where["b"] != ""
        await _place(world, pod("lonely", **_near("podAffinity", "missing")))
        assert "didn't match pod affinity rules" in _why(world, "lonely")

    run(go())


def test_topology_spread():
    async def go() -> None:
        world = await _world("n0", "n1")
        constraint = {
            "maxSkew": 1,
            "topologyKey": ZONE,
            "whenUnsatisfiable": "DoNotSchedule",
            "labelSelector": {"matchLabels": {"app": "x"}},
        }
        spread = {"topologySpreadConstraints": [constraint]}
        await _place(world, *(pod(f"p{i}", {"app": "x"}, **spread) for i in range(4)))
        assert sorted(Counter(_where(world).values()).values()) == [2, 2]
        await world.client.patch("nodes", "n1", "", {"spec": {"unschedulable": True}})
        where = await _place(world, *(pod(f"q{i}", {"app": "x"}, **spread) for i in range(2)))
        assert sorted(where[q] for q in ("q0", "q1")) == ["", "n0"]

    run(go())


def test_preferences_bend_but_do_not_break():
    async def go() -> None:
        world = await _world("n0", "n1")
        preference = {"matchExpressions": [{"key": ZONE, "operator": "In", "values": ["z-n1"]}]}
        wish = {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 1, "preference": preference}]}
        wants = {"affinity": {"nodeAffinity": wish}}
        where = await _place(world, _asking("a", cpu="2", **wants), _asking("b", cpu="2", **wants))
        assert where == {"a": "n1", "b": "n0"}

    run(go())


def test_how_long_a_taint_is_tolerated():
    taint = {"key": "k", "effect": "NoExecute"}
    forever = {"key": "k", "operator": "Exists"}
    for_a_while = {**forever, "tolerationSeconds": 30}
    assert seconds_tolerated(pod("a"), taint) == 0
    assert seconds_tolerated(pod("a", tolerations=[forever]), taint) == float("inf")
    assert seconds_tolerated(pod("a", tolerations=[for_a_while, forever]), taint) == 30
