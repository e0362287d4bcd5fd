"""The life of pods, played with a fake runtime in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from fake_client import FakeClient
from fake_runtime import FakeProcess, FakeRuntime

from sampan.api import meta
from sampan.base.clock import FakeClock
from sampan.base.tasks import Tasks
from sampan.images.aliases import machine_images
from sampan.images.registry import Registry
from sampan.node.addresses import Addresses
from sampan.node.claims import Claims
from sampan.node.objects import Objects
from sampan.node.podfiles import DnsConfig
from sampan.node.reporter import Reporter
from sampan.node.tokens import TokenManager
from sampan.node.worker import PodWorker, Tools

Obj = dict[str, Any]


class NoServices:
    def get(self, key: object) -> None: ...
    def list(self, namespace: str = "") -> list[Obj]:
        return []

    def owned_by(self, uid: str) -> list[Obj]:
        return []


class Play:
    """One node with a fake runtime, a fake API and a clock that only `pass_time` moves."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.clock = FakeClock()
        self.client = FakeClient(self.clock)
        self.runtime = FakeRuntime(directory, self.clock)
        self.events: list[tuple[str, str]] = []
        self.drains = 0
        self.agent_starts()

    def agent_starts(self) -> None:
        """A new agent process: nothing in memory."""
        self.tasks = Tasks("test")
        self.reporter = Reporter(self.client, self.clock)
        self.workers: dict[str, PodWorker] = {}
        self.tools = Tools(
            runtime=self.runtime,
            images=machine_images(self.directory / "images"),
            clock=self.clock,
            events=self,
            objects=Objects(self.client, self.clock, self.tasks),
            claims=Claims(self.client),
            tokens=TokenManager(self.client, self.clock),
            services=NoServices(),
            reporter=self.reporter,
            addresses=Addresses("10.244.0.0/24"),
            tasks=self.tasks,
            dns=DnsConfig("10.96.0.10"),
            node_ip="172.30.0.2",
            allocatable={"cpu": "2"},
            memory_dir=self.directory / "memory",
            drained=self.drained,
        )
        self._pumping = False

    async def agent_dies(self) -> None:
        await self.tasks.stop()

    def event(self, about: Obj, type: str, reason: str, message: str) -> None:
        self.events.append((reason, message))

    def reasons(self) -> list[str]:
        return [reason for reason, _ in self.events]

    async def drained(self, pod: Obj) -> bool:
        self.drains += 1
        self.runtime.calls.append(("drained",))
        return True

    async def create(self, **spec: Any) -> Obj:
        spec = {"containers": [{"name": "app", "image": "busybox"}], "nodeName": "n"} | spec
        pod = await self.client.create(
            "pods",
            {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {"name": "web", "namespace": "ns"},
                "spec": spec,
                "status": {},
            },
        )
        self.follow(pod)
        await self.pass_time(1)
        return pod

    def follow(self, pod: Obj) -> PodWorker:
        worker = PodWorker(pod, self.tools, lambda uid: self.workers.pop(uid, None))
        self.workers[worker.uid] = worker
        worker.load()
        if not self._pumping:
            self._pumping = True
            self.tasks.start("reporter", self.reporter.run())
            self.tasks.start("changes", self._changes())
            self.tasks.start("pods", self._pods())
        self.tasks.start("worker", worker.run())
        return worker

    async def _changes(self) -> None:
        async for uid in self.runtime.changes():
            if uid in self.workers:
                self.workers[uid].poke()

    async def _pods(self) -> None:
        async for event in self.client.watch("pods", after="0"):
            worker = self.workers.get(meta.uid(event.object))
            if worker:
                worker.update(None if event.type == "DELETED" else event.object)

    async def pass_time(self, seconds: float) -> None:
        for _ in range(5):
            await self.clock.advance(0)
        await self.clock.advance(seconds)
        for _ in range(5):
            await self.clock.advance(0)

    @property
    def pod(self) -> Obj:
        found = self.client.find("pods", "web", "ns")
        assert found is not None
        return found

    @property
    def status(self) -> Obj:
        return dict(self.pod["status"])

    def container(self, index: int = 0, kind: str = "containerStatuses") -> Obj:
        return dict(self.status[kind][index])

    def ready(self) -> bool:
        return meta.is_true(self.pod, "Ready")


def play(tmp_path: Path, story: Callable[[Play], Awaitable[None]]) -> None:
    async def main() -> None:
        stage = Play(tmp_path)
        try:
            await story(stage)
        finally:
            await stage.agent_dies()

    asyncio.run(main())


def test_a_pod_runs(tmp_path: Path) -> None:
    async def story(p: Play) -> None:
        pod = await p.create()
        status = p.status
        assert (status["phase"], status["podIP"], status["hostIP"]) == ("Running", "10.244.0.2", "172.30.0.2")
        container = p.container()
        assert container["state"]["running"]
        assert (container["ready"], container["started"], container["restartCount"]) == (True, True, 0)
        assert container["containerID"] == f"sampan://{pod['metadata']['uid']}-app-0"
        assert {c["type"]: c["status"] for c in status["conditions"]} == dict.fromkeys(
            ("PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled"), "True"
        )
        assert p.reasons() == ["Pulled", "Created", "Started"]
        box = p.runtime.boxes[pod["metadata"]["uid"]]
        assert (box.hostname, box.ip) == ("web", "10.244.0.2")
        writes = p.client.writes
        await p.pass_time(600)
        assert p.client.writes == writes  # a quiet pod costs nothing

    play(tmp_path, story)


def test_crash_back_off_grows_and_is_forgiven(tmp_path: Path) -> None:
    async def story(p: Play) -> None:
        uid = (await p.create())["metadata"]["uid"]
        p.runtime.finish(uid, "app", 1)
        await p.pass_time(1)
        assert p.runtime.started() == ["app.0", "app.1"]  # the first restart is at once
        p.runtime.finish(uid, "app", 1)
        await p.pass_time(5)
        container = p.container()
        assert container["state"]["waiting"] == {
            "reason": "CrashLoopBackOff",
            "message": f"back-off 10s restarting failed container=app pod=web_ns({uid})",
        }
        assert (container["lastState"]["terminated"]["exitCode"], container["restartCount"]) == (1, 1)
        assert p.events[-1] == ("BackOff", f"Back-off restarting failed container app in pod web_ns({uid})")
        assert not p.ready()
        await p.pass_time(6)
        assert p.runtime.started()[-1] == "app.2"
        p.runtime.finish(uid, "app", 1)
        await p.pass_time(19)
        assert p.runtime.started()[-1] == "app.2"
        await p.pass_time(2)
        assert p.runtime.started()[-1] == "app.3"
        assert ("remove", uid, "app", "1") in p.runtime.calls
        await p.pass_time(700)
        p.runtime.finish(uid, "app", 1)
        await p.pass_time(1)
        assert p.runtime.started()[-1] == "app.4"

    play(tmp_path, story)


def test_restart_policies_end_pods(tmp_path: Path) -> None:
    async def story(p: Play) -> None:
        uid = (await p.create(restartPolicy="Never"))["metadata"]["uid"]
        p.runtime.finish(uid, "app", 3, reason="Error")
        await p.pass_time(1)
        assert p.status["phase"] == "Failed"
        assert p.container()["state"]["terminated"]["exitCode"] == 3
        assert p.runtime.calls[-1] == ("remove-sandbox", uid)
        assert meta.condition(p.pod, "Ready")["reason"] == "PodFailed"  # type: ignore[index]
        await p.client.delete("pods", "web", "ns")
        await p.pass_time(1)
        assert p.runtime.calls[-1] == ("forget", uid)
        assert not p.workers

    play(tmp_path, story)


def test_on_failure_restarts_until_it_succeeds(tmp_path: Path) -> None:
    async def story(p: Play) -> None:
        uid = (await p.create(restartPolicy="OnFailure"))["metadata"]["uid"]
        p.runtime.finish(uid, "app", 1)
        await p.pass_time(1)
        p.runtime.finish(uid, "app", 0)
        await p.pass_time(1)
        assert p.runtime.started() == ["app.0", "app.1"]
        assert p.status["phase"] == "Succeeded"
        assert meta.condition(p.pod, "Initialized")["reason"] == "PodCompleted"  # type: ignore[index]

    play(tmp_path, story)


INIT = [
    {"name": "first", "image": "busybox"},
    {"name": "side", "image": "busybox", "restartPolicy": "Always"},
    {"name": "second", "image": "busybox"},
]


def test_init_containers_and_sidecars_in_order(tmp_path: Path) -> None:
    async def story(p: Play) -> None:
        uid = (await p.create(initContainers=INIT))["metadata"]["uid"]
        assert p.runtime.started() == ["first.0"]
        assert p.status["phase"] == "Pending"
        assert p.container()["state"]["waiting"]["reason"] == "PodInitializing"
        initialized = meta.condition(p.pod, "Initialized")
        assert initialized is not None
        assert initialized["message"] == "containers with incomplete status: [first side second]"
        p.runtime.finish(uid, "first", 0)
        await p.pass_time(1)
        assert p.runtime.started() == ["first.0", "side.0", "second.0"]
        p.runtime.finish(uid, "second", 0)
        await p.pass_time(1)
        assert p.runtime.started()[-1] == "app.0"
        assert p.ready()
        p.runtime.finish(uid, "side", 1)
        await p.pass_time(1)
        assert p.runtime.started()[-1] == "side.1"
        await p.client.delete("pods", "web", "ns")
        await p.pass_time(1)
        signals = [c[2] for c in p.runtime.calls if c[0] == "signal"]
        assert signals == ["app", "side"]

    play(tmp_path, story)


def test_a_failed_init_container_fails_a_never_pod(tmp_path: Path) -> None:
    async def story(p: Play) -> None:
        uid = (await p.create(initContainers=INIT, restartPolicy="Never"))["metadata"]["uid"]
        p.runtime.finish(uid, "first", 1)
        await p.pass_time(1)
        assert p.status["phase"] == "Failed"
        assert p.runtime.started() == ["first.0"]

    play(tmp_path, story)


def test_termination_in_the_right_order(tmp_path: Path) -> None:
    async def story(p: Play) -> None:
        p.runtime.stubborn.add("app")
        app = {"name": "app", "image": "busybox", "lifecycle": {"preStop": {"exec": {"command": ["bye"]}}}}
        uid = (await p.create(containers=[app], terminationGracePeriodSeconds=5))["metadata"]["uid"]
        before = len(p.runtime.calls)
        await p.client.delete("pods", "web", "ns")
        await p.pass_time(4)
        assert p.runtime.calls[before:] == [("drained",), ("exec", uid, "app", "bye"), ("signal", uid, "app", "15")]
        assert p.pod["metadata"]["deletionTimestamp"]
        assert ("Killing", "Stopping container app") in p.events
        await p.pass_time(3)
        assert p.runtime.calls[before + 3 :] == [("signal", uid, "app", "9"), ("remove-sandbox", uid), ("forget", uid)]
        assert p.client.find("pods", "web", "ns") is None
        assert not p.workers
        assert p.tools.addresses.allocate("other", "10.244.0.2") == "10.244.0.2"

    play(tmp_path, story)


def test_force_deletion_kills_soon(tmp_path: Path) -> None:
    async def story(p: Play) -> None:
        p.runtime.stubborn.add("app")
        uid = (await p.create())["metadata"]["uid"]
        await p.client.delete("pods", "web", "ns", grace=0)
        await p.pass_time(2)
        assert p.runtime.calls[-1] == ("forget", uid)

    play(tmp_path, story)


def test_liveness_restarts_and_readiness_hides(tmp_path: Path) -> None:
    async def story(p: Play) -> None:
        app = {
            "name": "app",
            "image": "busybox",
            "livenessProbe": {"exec": {"command": ["alive"]}, "periodSeconds": 10, "failureThreshold": 2},
            "readinessProbe": {"exec": {"command": ["ready"]}, "periodSeconds": 5, "failureThreshold": 1},
        }
        p.runtime.answers = {("alive",): FakeProcess(0), ("ready",): FakeProcess(0)}

        def answer(name: str, code: int) -> None:
            p.runtime.answers[(name,)] = FakeProcess(code)

        class Fresh(dict):  # type: ignore[type-arg]
            def get(self, argv: tuple[str, ...], default: object = None) -> FakeProcess:
                return FakeProcess(codes.get(argv[0], 0), b"oops" if codes.get(argv[0]) else b"")

        codes = {"ready": 1}
        p.runtime.answers = Fresh()
        uid = (await p.create(containers=[app]))["metadata"]["uid"]
        assert (p.ready(), p.container()["started"]) == (False, True)
        codes["ready"] = 0
        await p.pass_time(10)
        assert p.ready()
        codes["ready"] = 1
        await p.pass_time(6)
        assert not p.ready()
        assert ("Unhealthy", "Readiness probe failed: oops") in p.events
        codes |= {"ready": 0, "alive": 1}
        await p.pass_time(25)
        assert ("Killing", "Container app failed liveness probe, will be restarted") in p.events
        assert p.runtime.started() == ["app.0", "app.1"]
        assert ("signal", uid, "app", "15") in p.runtime.calls

    play(tmp_path, story)


def test_an_adopted_pod_is_left_alone(tmp_path: Path) -> None:
    async def story(p: Play) -> None:
        app = {"name": "app", "image": "busybox", "readinessProbe": {"exec": {"command": ["ready"]}}}
        await p.create(containers=[app])
        assert p.ready()
        before, calls = p.pod, len(p.runtime.calls)
        await p.agent_dies()
        p.agent_starts()
        p.follow(p.pod)
        await p.pass_time(1)
        assert p.runtime.started() == ["app.0"]
        assert [c for c in p.runtime.calls[calls:] if c[0] != "exec"] == []
        assert p.pod == before  # not one write: Ready did not flap

    play(tmp_path, story)


def test_after_a_reboot_the_same_pod_starts_again(tmp_path: Path) -> None:
    async def story(p: Play) -> None:
        await p.create(initContainers=[{"name": "init", "image": "busybox"}])
        uid = p.pod["metadata"]["uid"]
        p.runtime.finish(uid, "init", 0)
        await p.pass_time(1)
        p.tools.addresses.allocate("x")
        await p.agent_dies()
        p.runtime.reboot()
        p.agent_starts()
        p.follow(p.pod)
        await p.pass_time(1)
        p.runtime.finish(uid, "init", 0)
        await p.pass_time(1)
        assert p.runtime.started() == ["init.0", "app.0", "init.1", "app.1"]
        assert p.container()["restartCount"] == 1
        assert p.container()["lastState"]["terminated"]["exitCode"] == 255
        assert p.status["podIP"] == "10.244.0.2"
        assert "SandboxChanged" in p.reasons()
        assert p.ready()

    play(tmp_path, story)


def test_unknown_image_and_its_cure(tmp_path: Path) -> None:
    async def story(p: Play) -> None:
        await p.create(containers=[{"name": "app", "image": "gin-demo:v1"}])
        await p.pass_time(3)
        waiting = p.container()["state"]["waiting"]
        assert waiting["reason"] == "ImagePullBackOff"
        assert "sampan image register gin-demo:v1 --workdir DIR -- COMMAND" in waiting["message"]
        assert p.status["phase"] == "Pending"
        assert ("Failed", "Error: ErrImagePull") in p.events
        assert ("BackOff", 'Back-off pulling image "gin-demo:v1"') in p.events
        assert any(reason == "Failed" and "sampan image register" in text for reason, text in p.events)
        Registry(tmp_path / "images").register("gin-demo", ["./gin"], workdir=tmp_path, environ={})
        await p.pass_time(2)
        assert p.ready()

    play(tmp_path, story)


def test_missing_config_map_and_its_cure(tmp_path: Path) -> None:
    async def story(p: Play) -> None:
        app = {"name": "app", "image": "busybox", "envFrom": [{"configMapRef": {"name": "cfg"}}]}
        await p.create(containers=[app])
        assert p.container()["state"]["waiting"] == {
            "reason": "CreateContainerConfigError",
            "message": 'configmap "cfg" not found',
        }
        assert ("Failed", 'Error: configmap "cfg" not found') in p.events
        config = {"kind": "ConfigMap", "metadata": {"name": "cfg", "namespace": "ns"}, "data": {"A": "1"}}
        await p.client.create("configmaps", config)
        await p.pass_time(0.5)
        assert p.ready()
        uid = p.pod["metadata"]["uid"]
        assert dict(p.runtime.specs[(uid, "app")].env)["A"] == "1"

    play(tmp_path, story)


def test_volumes_wait_for_their_objects_and_follow_them(tmp_path: Path) -> None:
    async def story(p: Play) -> None:
        app = {"name": "app", "image": "busybox", "volumeMounts": [{"name": "c", "mountPath": "/c"}]}
        await p.create(containers=[app], volumes=[{"name": "c", "configMap": {"name": "cfg"}}])
        assert ("FailedMount", 'MountVolume.SetUp failed for volume "c" : configmap "cfg" not found') in p.events
        assert p.container()["state"]["waiting"]["reason"] == "ContainerCreating"
        config = {"kind": "ConfigMap", "metadata": {"name": "cfg", "namespace": "ns"}, "data": {"k": "one"}}
        made = await p.client.create("configmaps", config)
        await p.pass_time(0.5)
        assert p.ready()
        mount = p.runtime.specs[(p.pod["metadata"]["uid"], "app")].mounts[0]
        assert (Path(mount.source) / "k").read_text() == "one"
        await p.client.update("configmaps", made | {"data": {"k": "two"}})
        await p.pass_time(0.5)
        assert (Path(mount.source) / "k").read_text() == "two"

    play(tmp_path, story)


def test_a_server_that_is_away_changes_nothing(tmp_path: Path) -> None:
    async def story(p: Play) -> None:
        uid = (await p.create())["metadata"]["uid"]
        p.client.fail("update_status", "pods", OSError("away"), times=4)
        p.runtime.finish(uid, "app", 1)
        await p.pass_time(0.5)
        assert p.runtime.started() == ["app.0", "app.1"]
        assert p.container()["restartCount"] == 0
        await p.pass_time(10)
        assert p.container()["restartCount"] == 1

    play(tmp_path, story)


def test_deadline_and_post_start_failure(tmp_path: Path) -> None:
    async def story(p: Play) -> None:
        await p.create(activeDeadlineSeconds=30)
        await p.pass_time(31)
        status = p.status
        assert (status["phase"], status["reason"]) == ("Failed", "DeadlineExceeded")

    play(tmp_path, story)


def test_post_start_failure_restarts(tmp_path: Path) -> None:
    async def story(p: Play) -> None:
        p.runtime.answers[("hello",)] = FakeProcess(1, b"no")
        app = {"name": "app", "image": "busybox", "lifecycle": {"postStart": {"exec": {"command": ["hello"]}}}}
        await p.create(containers=[app])
        assert ("FailedPostStartHook", "PostStartHook failed: no") in p.events
        assert ("Killing", "FailedPostStartHook") in p.events
        assert p.runtime.started()[:2] == ["app.0", "app.1"]

    play(tmp_path, story)


def test_termination_message(tmp_path: Path) -> None:
    async def story(p: Play) -> None:
        uid = (await p.create(restartPolicy="Never"))["metadata"]["uid"]
        spec = p.runtime.specs[(uid, "app")]
        Path(spec.termination_log).write_text("disk full")
        p.runtime.finish(uid, "app", 1)
        await p.pass_time(1)
        assert p.container()["state"]["terminated"]["message"] == "disk full"

    play(tmp_path, story)


def test_a_new_image_restarts_the_container(tmp_path: Path) -> None:
    async def story(p: Play) -> None:
        pod = await p.create()
        spec = pod["spec"] | {"containers": [{"name": "app", "image": "alpine"}]}
        changed = meta.copy(p.pod) | {"spec": spec}
        await p.client.update("pods", changed)
        await p.pass_time(1)
        assert ("Killing", "Container app definition changed, will be restarted") in p.events
        assert p.runtime.started() == ["app.0", "app.1"]
        assert (p.container()["image"], p.ready()) == ("alpine", True)

    play(tmp_path, story)


def test_a_sandbox_that_fails_is_tried_again(tmp_path: Path) -> None:
    async def story(p: Play) -> None:
        p.runtime.failures["sandbox"] = "no room"
        await p.create()
        assert ("FailedCreatePodSandBox", "Failed to create pod sandbox: no room") in p.events
        assert p.container()["state"]["waiting"]["reason"] == "ContainerCreating"
        del p.runtime.failures["sandbox"]
        await p.pass_time(2)
        assert p.ready()

    play(tmp_path, story)


def test_a_pod_deleted_while_it_waits_goes_at_once(tmp_path: Path) -> None:
    async def story(p: Play) -> None:
        await p.create(containers=[{"name": "app", "image": "nowhere"}])
        await p.client.delete("pods", "web", "ns")
        await p.pass_time(1)
        assert p.client.find("pods", "web", "ns") is None
        assert p.runtime.started() == []
        assert not p.workers

    play(tmp_path, story)


def test_readiness_gates_of_others(tmp_path: Path) -> None:
    async def story(p: Play) -> None:
        uid = (await p.create(readinessGates=[{"conditionType": "example.com/lb"}]))["metadata"]["uid"]
        ready = meta.condition(p.pod, "Ready")
        assert ready is not None
        assert (ready["status"], ready["reason"]) == ("False", "ReadinessGatesNotReady")
        assert meta.is_true(p.pod, "ContainersReady")
        gate = {"type": "example.com/lb", "status": "True"}
        conditions = {"status": {"conditions": [*p.status["conditions"], gate]}}
        await p.client.patch("pods", "web", "ns", conditions, subresource="status")
        await p.pass_time(1)
        assert p.ready()
        p.runtime.finish(uid, "app", 1)
        await p.pass_time(1)
        assert meta.is_true(p.pod, "example.com/lb")  # our writes leave it alone

    play(tmp_path, story)


def test_a_killed_agent_ends_what_it_began(tmp_path: Path) -> None:
    """The agent dies while a pod terminates: the next one finishes it, and starts nothing."""

    async def story(p: Play) -> None:
        p.runtime.stubborn.add("app")
        uid = (await p.create(terminationGracePeriodSeconds=20))["metadata"]["uid"]
        await p.client.delete("pods", "web", "ns")
        await p.pass_time(5)
        await p.agent_dies()
        p.agent_starts()
        p.follow(p.pod)
        await p.pass_time(25)
        assert p.client.find("pods", "web", "ns") is None
        assert p.runtime.started() == ["app.0"]
        assert p.runtime.calls[-1] == ("forget", uid)

    play(tmp_path, story)
