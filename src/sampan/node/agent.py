"""The kubelet of one node: a worker for each of its pods, and the node's own object."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from sampan.api import meta
from sampan.api.meta import Key, Obj
from sampan.base import log
from sampan.base.clock import Clock
from sampan.base.http.server import Server
from sampan.base.http.types import Handler
from sampan.base.tasks import Tasks
from sampan.client.events import EventRecorder
from sampan.client.informer import Informer
from sampan.client.types import Client
from sampan.images.types import Images
from sampan.node.addresses import Addresses
from sampan.node.claims import Claims
from sampan.node.http import Endpoints
from sampan.node.leaving import Drained
from sampan.node.machine import Machine
from sampan.node.objects import Objects
from sampan.node.podfiles import DnsConfig
from sampan.node.registration import Identity, Registration, capacity
from sampan.node.reporter import Reporter
from sampan.node.runtime.types import Runtime
from sampan.node.tokens import TokenManager
from sampan.node.worker import PodWorker, Tools

_log = log.get("node")


@dataclass(frozen=True)
class NodeConfig:
    """`socket`: where the HTTP endpoints listen. `memory_dir`: a directory on tmpfs for emptyDir medium Memory."""

    identity: Identity
    machine: Machine
    dns: DnsConfig
    socket: Path
    memory_dir: Path


@dataclass
class _KnownPods:
    """The endpoints' view: all pods that have a worker, also those that the API has forgotten already."""

    workers: dict[str, PodWorker] = field(default_factory=dict)

    def find(self, key: Key) -> Obj | None:
        return next((w.pod for w in self.workers.values() if meta.key(w.pod) == key), None)

    def all(self) -> list[Obj]:
        return [w.pod for w in self.workers.values()]


class Agent:
    """`start` returns at once; `registered` is set when the API has the Node, `synced` when all pods have a worker.

    `services`: the node's informer of Services (somebody else runs it). `drained(pod)` returns when nothing sends new
    connections to the terminating pod any more. `others`: by path, what else answers on the node's socket.
    """

    def __init__(
        self,
        config: NodeConfig,
        *,
        client: Client,
        runtime: Runtime,
        images: Images,
        clock: Clock,
        services: Informer,
        drained: Drained,
        others: Mapping[str, Handler] = MappingProxyType({}),
    ) -> None:
        identity = config.identity
        self.synced = asyncio.Event()
        self._config = config
        self._runtime = runtime
        self._services = services
        self._tasks = Tasks("node")
        self._registration = Registration(identity, config.machine, client, clock)
        self._pods = Informer(client, "pods", clock=clock, fields=f"spec.nodeName={identity.name}")
        self._events = EventRecorder(client, clock, component="kubelet", host=identity.name)
        self._known = _KnownPods()
        self._server = Server(Endpoints(self._known, runtime, clock, others).handle, name="kubelet")
        self._tools = Tools(
            runtime=runtime,
            images=images,
            clock=clock,
            events=self._events,
            objects=Objects(client, clock, self._tasks),
            claims=Claims(client),
            tokens=TokenManager(client, clock),
            services=services,
            reporter=Reporter(client, clock),
            addresses=Addresses(identity.pod_cidr),
            tasks=self._tasks,
            dns=config.dns,
            node_ip=identity.ip,
            allocatable=capacity(config.machine, identity.max_pods),
            memory_dir=config.memory_dir,
            drained=drained,
        )

    @property
    def registered(self) -> asyncio.Event:
        return self._registration.registered

    async def start(self) -> None:
        """Raises SampanError when the runtime cannot be reached."""
        await self._runtime.start()
        await self._server.listen_unix(self._config.socket)
        for name, work in (
            ("registration", self._registration.run()),
            ("own node", self._registration.watch()),
            ("events", self._events.run()),
            ("statuses", self._tools.reporter.run()),
            ("tokens", self._tools.tokens.run()),
            ("pods", self._pods.run()),
            ("runtime changes", self._follow_runtime()),
            ("adoption", self._adopt()),
        ):
            self._tasks.start(name, work)

    async def close(self) -> None:
        """Let go; pods go on running."""
        await self._server.close(grace=0)
        await self._tasks.stop()
        await self._runtime.close()

    async def _adopt(self) -> None:
        """Take over what runs, once the API has said which pods are meant to."""
        await self._pods.synced.wait()
        await self._services.synced.wait()
        pods = {meta.uid(pod): pod for pod in self._pods.list()}
        for uid, box in self._runtime.sandboxes().items():
            self._tools.addresses.claim(uid, box.ip)
        workers = [self._begin(pod) for pod in pods.values()]  # all have claimed their address before any runs
        for worker in workers:
            self._run(worker)
        self._pods.add_handler(self._changed)
        self.synced.set()
        for uid in self._leftovers(set(pods)):
            _log.info("pod %s no longer exists in the API: removing what is left of it", uid)
            await self._runtime.remove_sandbox(uid)
            await self._runtime.forget(uid)
            self._tools.addresses.release(uid)

    def _leftovers(self, wanted: set[str]) -> set[str]:
        parent = self._runtime.pod_dir("any").parent
        on_disk = {entry.name for entry in parent.iterdir()} if parent.is_dir() else set()
        return (on_disk | set(self._runtime.sandboxes())) - wanted

    async def _follow_runtime(self) -> None:
        async for uid in self._runtime.changes():
            if worker := self._known.workers.get(uid):
                worker.poke()

    def _changed(self, old: Obj | None, new: Obj | None) -> None:
        if (
            old
            and (new is None or meta.uid(new) != meta.uid(old))
            and (worker := self._known.workers.get(meta.uid(old)))
        ):
            worker.update(None)
        if new:
            if worker := self._known.workers.get(meta.uid(new)):
                worker.update(new)
            else:
                self._run(self._begin(new))

    def _begin(self, pod: Obj) -> PodWorker:
        worker = PodWorker(pod, self._tools, self._done)
        self._known.workers[worker.uid] = worker
        worker.load()
        return worker

    def _done(self, uid: str) -> None:
        del self._known.workers[uid]

    def _run(self, worker: PodWorker) -> None:
        self._tasks.start(f"pod {meta.key(worker.pod)}", worker.run())
