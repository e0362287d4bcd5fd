"""The loop around the translators: informers in; what the proxies shall do, statuses and events out.

informers ─ Resources ─ translate (pure, off the event loop) ─┬─ proxy: Latest[ir.Proxy]   read by xds
                                                              └─ writer: statuses, events
services, slices ─ EndpointIndex ─ on_endpoints                                            the fast path
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType

from sampan.api import meta
from sampan.api.meta import Key, Obj
from sampan.base import log
from sampan.base.clock import Clock
from sampan.base.errors import SampanError
from sampan.base.latest import Latest
from sampan.base.tasks import Tasks
from sampan.client.events import EventRecorder
from sampan.client.informer import Handler, Informer
from sampan.client.types import Client
from sampan.gateway import deployment, ports
from sampan.gateway.endpoints import EndpointIndex
from sampan.gateway.ingress.streams import stream_ports
from sampan.gateway.translate import COMPONENTS, Translator, wanted
from sampan.gateway.types import Notice, Ref, Resources, Result
from sampan.gateway.upkeep import ensure
from sampan.gateway.writer import Writer
from sampan.ir import Endpoints, Origin, Proxy, Secret

# Read by the translators; the custom ones as long as they are served.
CORE = (
    "ingresses.networking.k8s.io",
    "ingressclasses.networking.k8s.io",
    "services",
    "secrets",
    "configmaps",
    "namespaces",
)
CUSTOM = frozenset(
    f"{plural}.gateway.networking.k8s.io"
    for plural in (
        "gatewayclasses",
        "gateways",
        "listenersets",
        "httproutes",
        "grpcroutes",
        "tlsroutes",
        "tcproutes",
        "udproutes",
        "referencegrants",
        "backendtlspolicies",
    )
)
SLICES = "endpointslices.discovery.k8s.io"
RETRY_SECONDS = 1.0
# Traffic goes before what is said of it, and one look of the writer is for all changes of that time.
WRITE_AFTER_SECONDS = 0.03
# After as much work the loops rest as long, but not longer: whoever writes thousands of objects gets his share.
REST_SECONDS = 0.2

_log = log.get("gateway")


class ControlPlane:
    """`proxy` has only endpoints that never change: `endpoints.use` gives the others to whoever builds. `needed` is set
    once somebody has an Ingress or a Gateway of ours; until then nothing but watching happens. `on_endpoints` is told
    what changed, at once. `default_certificate`: see `Resources`."""

    def __init__(self, client: Client, clock: Clock, edge: deployment.Edge, default_certificate: Secret) -> None:
        self._client, self._clock = client, clock
        self._edge = edge
        self._default_certificate = default_certificate
        self._translator = Translator()
        self._tasks = Tasks("gateway")
        self._informers = {r: Informer(client, r, clock=clock) for r in (*CORE, SLICES)}
        labels = ",".join(f"{k}={v}" for k, v in deployment.LABELS.items())
        self._pods = Informer(client, "pods", deployment.NAMESPACE, clock=clock, labels=labels)
        self._own = Informer(client, "deployments.apps", deployment.NAMESPACE, clock=clock)
        self._following: dict[str, asyncio.Task[None]] = {}
        self._dirty = asyncio.Event()  # something to translate
        self._due = asyncio.Event()  # something to write
        self._recorders = {name: EventRecorder(client, clock, component=name) for name in COMPONENTS}
        self._writer = Writer(client, clock, self._recorders)
        self._refused: set[Notice] = set()
        self._touched: set[Ref] = set()  # objects that changed since the last look at the cluster
        self._unwritten: set[Ref] = set()  # … and up to it, since the writer's last look
        self.needed = asyncio.Event()
        self.decided = asyncio.Event()  # `needed` was looked at once
        self.result: Latest[tuple[Resources, Result]] = Latest((Resources({}), Result()))
        self.proxy: Latest[Proxy] = Latest(Proxy())
        self.endpoints = EndpointIndex()
        self.on_endpoints: Callable[[Mapping[str, Endpoints]], None] = lambda changed: None

    def start(self, custom: Iterable[str]) -> None:
        """Begin to watch; `custom` are the custom resources that are served now."""
        for resource in CORE:
            self._informers[resource].add_handler(self._changes(resource))
        for own in (self._pods, self._own):
            own.add_handler(lambda old, new: self._due.set())
        self._informers["services"].add_handler(lambda old, new: self._told(self.endpoints.service_changed(old, new)))
        self._informers[SLICES].add_handler(lambda old, new: self._told(self.endpoints.slice_changed(old, new)))
        for informer in (*self._informers.values(), self._pods, self._own):
            self._tasks.start(f"informer/{informer.resource}", informer.run())
        for name, recorder in self._recorders.items():
            self._tasks.start(f"events/{name}", recorder.run())
        self.follow(custom)
        self._tasks.start("translate", self._translate())

    def follow(self, custom: Iterable[str]) -> None:
        """These custom resources are served now."""
        served = CUSTOM.intersection(custom)
        for resource in self._following.keys() - served:
            self._following.pop(resource).cancel()
            del self._informers[resource]
            self._dirty.set()
        for resource in sorted(served - self._following.keys()):
            informer = self._informers[resource] = Informer(self._client, resource, clock=self._clock)
            informer.add_handler(self._changes(resource))
            self._following[resource] = self._tasks.start(f"informer/{resource}", informer.run())

    async def stop(self) -> None:
        await self._tasks.stop()

    async def reached(self, revision: int) -> None:
        """Return when `endpoints` has got as far as this revision of the EndpointSlices."""
        await self._informers[SLICES].reached(revision)

    def ready_gateways(self) -> set[str]:
        """The names of the gateway's pods that take requests."""
        return {key.name for key, pod in self._pods.snapshot().items() if meta.is_true(pod, "Ready")}

    def refused(self, origins: Iterable[Origin], message: str) -> None:
        """A proxy keeps what it had because it cannot take what was made of these objects: said on each of them."""
        for origin in origins:
            text = f"Envoy refuses what is made of this and keeps what it had before: {message}"
            self._refused.add(Notice(Ref(origin.resource, origin.namespace, origin.name), "Refused", text))
        self._due.set()

    # ── the loops ────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _translate(self) -> None:
        for informer in list(self._informers.values()):
            await informer.synced.wait()
        self._dirty.set()
        while True:
            await self._dirty.wait()
            self._dirty.clear()
            began = self._clock.monotonic()
            resources = self._resources()
            touched, self._touched = self._touched, set()
            if not self.needed.is_set() and wanted(resources):
                self.needed.set()
                self._tasks.start("write", self._write())
            self.decided.set()
            if not self.needed.is_set():
                continue
            self._unwritten |= touched
            try:
                # Pure, over a frozen look at the cluster: it may take its time without keeping anybody waiting.
                result = await asyncio.to_thread(self._translator.translate, resources)
            except Exception:
                _log.exception("a translator failed: the proxies keep what they have")
                self._translator = Translator()  # what this one remembers is half of a translation
                continue
            self.result.set((resources, result))
            if self.proxy.set(
                Proxy(result.listeners, result.tables, result.clusters, result.endpoints, result.secrets)
            ):
                self._refused.clear()  # what is still wrong will be refused again
            self._due.set()
            await self._rest(began)

    async def _write(self) -> None:
        """Statuses, events, and the objects of our own, from the newest translation."""
        while True:
            await self._due.wait()
            await self._clock.sleep(WRITE_AFTER_SECONDS)
            self._due.clear()
            began = self._clock.monotonic()
            resources, result = self.result.value
            touched, self._unwritten = self._unwritten, set()
            self._writer.tell((*result.notices, *self._refused), resources, touched)
            done = await self._writer.statuses(result.statuses, resources, touched)
            try:
                await ensure(self._client, deployment.manifests(self._edge, stream_ports(resources)))
                await ensure(self._client, ports.objects(resources, list(self._pods.snapshot().values())))
            except SampanError as error:
                _log.warning("the gateway's own objects: %s", error)
                done = False
            if not done:
                await self._clock.sleep(RETRY_SECONDS)
                self._due.set()
            await self._rest(began)

    async def _rest(self, began: float) -> None:
        await self._clock.sleep(min(self._clock.monotonic() - began, REST_SECONDS))

    def _resources(self) -> Resources:
        objects = {r: i.snapshot() for r, i in self._informers.items() if r != SLICES}
        services = objects["services"]
        return Resources(
            MappingProxyType(objects),
            address=_address(services.get(Key(deployment.NAMESPACE, deployment.NAME))),
            ports={(Key("", ""), n): n for n in (deployment.HTTP, deployment.HTTPS)} | ports.allocated(services),
            default_certificate=self._default_certificate,
            outside=self._edge.host_ports,
        )

    def _changes(self, resource: str) -> Handler:
        def changed(old: Obj | None, new: Obj | None) -> None:
            self._touched.add(Ref(resource, *meta.key(new or old or {})))
            self._dirty.set()

        return changed

    def _told(self, changed: Mapping[str, Endpoints]) -> None:
        if changed:
            self.on_endpoints(changed)


def _address(service: Obj | None) -> str:
    entries = (((service or {}).get("status") or {}).get("loadBalancer") or {}).get("ingress") or ()
    return next((str(entry["ip"]) for entry in entries if entry.get("ip")), "")
