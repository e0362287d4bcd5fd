"""Node lifecycle: a silent node becomes unreachable after 40 s, its pods leave when they no longer bear it."""

from __future__ import annotations

from controller_world import World, node, pod, run

from sampan.api import meta
from sampan.controllers import nodelifecycle
from sampan.controllers.node_taints import taints

LEASES = nodelifecycle.LEASES
EXECUTE = "NoExecute"


async def _world() -> World:
    world = World(nodelifecycle.controller())
    await world.add("nodes", *node("n1"))
    lease = {"metadata": {"name": "n1", "namespace": "kube-node-lease"}, "spec": {"renewTime": "0"}}
    await world.add(LEASES, lease)
    return world


async def _live(world: World, seconds: int, step: int = 10) -> None:
    """The agent renews its lease while time passes."""
    for i in range(0, seconds, step):
        await world.client.patch(LEASES, "n1", "kube-node-lease", {"spec": {"renewTime": f"{world.clock.now()}-{i}"}})
        await world.advance(step)


def _ready(world: World) -> str:
    return meta.condition(world.client.find("nodes", "n1"), "Ready")["status"]


def _taints(world: World) -> list[str]:
    found = world.client.find("nodes", "n1")["spec"].get("taints", [])
    return [f"{t['key'].split('/')[1]}:{t['effect']}" for t in found]


def test_a_node_that_renews_its_lease_is_left_alone():
    async def go() -> None:
        world = await _world()
        await world.settle()
        node_before = world.client.find("nodes", "n1")
        await _live(world, 200)
        assert world.client.find("nodes", "n1") == node_before

    run(go())


def test_a_silent_node_is_unreachable_and_its_pods_are_not_ready():
    async def go() -> None:
        world = await _world()
        await world.ready(await world.add("pods", pod("a", node="n1")))
        await world.ready(await world.add("pods", pod("elsewhere", node="n2")))
        await _live(world, 60)
        await world.advance(25)
        assert _ready(world) == "True"
        await world.advance(15)
        assert _ready(world) == "Unknown"
        assert _taints(world) == ["unreachable:NoSchedule", "unreachable:NoExecute"]
        assert world.events.messages("NodeNotReady")[0] == "Node n1 status is now: NodeNotReady"
        assert meta.is_true(world.client.find("pods", "elsewhere", "default"), "Ready")

    run(go())


def test_a_node_that_comes_back_is_free_again():
    async def go() -> None:
        world = await _world()
        await world.advance(50)
        assert _ready(world) == "Unknown"
        await _live(world, 10)
        obj, status = node("n1")
        status["conditions"][0]["lastHeartbeatTime"] = "b"
        await world.status("nodes", obj, status)
        await _live(world, 100)
        assert _ready(world) == "True"
        assert _taints(world) == []

    run(go())


def test_the_time_nobody_watched_does_not_count():
    async def go() -> None:
        world = await _world()
        await world.clock.advance(3600)
        await world.settle()
        await world.advance(30)
        assert _ready(world) == "True"

    run(go())


def test_pods_leave_when_their_toleration_ends():
    def tolerating(name: str, seconds: int | None):
        toleration = {"key": "node.kubernetes.io/unreachable", "operator": "Exists", "effect": EXECUTE}
        toleration |= {} if seconds is None else {"tolerationSeconds": seconds}
        return pod(name, node="n1", tolerations=[toleration])

    async def go() -> None:
        world = await _world()
        for name, seconds in (("short", 30), ("long", 300), ("ever", None)):
            await world.add("pods", tolerating(name, seconds))
        await world.add("pods", pod("never", node="n1"))

        def leaving() -> list[str]:
            return [meta.name(p) for p in world.client.all("pods") if meta.deleting(p)]

        await world.advance(46)
        assert leaving() == ["never"]
        await world.advance(30)
        assert leaving() == ["never", "short"]
        await world.advance(300)
        assert leaving() == ["long", "never", "short"]
        assert "Marking for deletion Pod default/long" in world.events.messages("TaintManagerEviction")

    run(go())


def test_taints_follow_the_state():
    obj, status = node("n1", ready="False", unschedulable=True, taints=[{"key": "mine", "effect": EXECUTE}])
    obj["status"] = status
    found = [(t["key"], t["effect"]) for t in taints(obj, "now")]
    assert found == [
        ("mine", EXECUTE),
        ("node.kubernetes.io/not-ready", "NoSchedule"),
        ("node.kubernetes.io/not-ready", EXECUTE),
        ("node.kubernetes.io/unschedulable", "NoSchedule"),
    ]
    obj["spec"] = {"taints": taints(obj, "before")}
    assert all(t["timeAdded"] == "before" for t in taints(obj, "now")[1:3])
    status["conditions"][0]["status"] = "True"
    assert [t["key"] for t in taints(obj, "now")] == ["mine"]
