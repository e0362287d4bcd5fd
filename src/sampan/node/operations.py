"""The long steps in a pod's life, of which one is under way at a time: volumes, sandbox, starting, tearing down.

A failure becomes an event, a waiting reason and a time to try again; never an end of the worker.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import TYPE_CHECKING

from sampan.api import meta
from sampan.api.meta import Key, Obj
from sampan.base import log
from sampan.base.errors import SampanError
from sampan.images.names import InvalidImageName
from sampan.images.types import ImageConfig, ImageNotFound
from sampan.node import env, leaving, podfiles, service_env
from sampan.node.container import TERMINATION_LOG, container_spec, pod_resources, termination_log
from sampan.node.fields import ConfigError
from sampan.node.memory import Trouble
from sampan.node.pod import FIRST_BACKOFF, LAST_BACKOFF, Command, containers, latest
from sampan.node.runtime.types import ContainerSpec, Mount, SandboxSpec
from sampan.node.volume_content import token_references, volume_references

if TYPE_CHECKING:
    from sampan.node.worker import PodWorker

_log = log.get("node")
CONFIG_RETRY = 10.0  # seconds; a change of the missing object ends the wait
FIRST_RETRY, LAST_RETRY = 0.5, 120.0  # for volumes, sandboxes, tearing down


class Failure(SampanError):
    """An operation failed. `reason` is the container's waiting reason."""

    def __init__(
        self, reason: str, message: str, *, event: str = "Failed", text: str = "", images: bool = False
    ) -> None:
        super().__init__(message)
        self.reason, self.event, self.images = reason, event, images
        self.text = text or f"Error: {message}"


class Operations:
    """The operations of one pod's worker."""

    def __init__(self, worker: PodWorker) -> None:
        self._worker = worker
        self._tools = worker.tools
        self._task: asyncio.Task[None] | None = None
        self._cancellable = True
        self.outdated = False  # did something a start may wait for change since the present operation began?
        self._verbs = {
            "prepare": self._prepare,
            "sandbox": self._sandbox,
            "start": self._start_container,
            "tear-down": self._tear_down,
        }

    def start(self, command: Command) -> None:
        name = f"pod {meta.key(self._worker.pod)} {command.verb} {command.name}"
        self._cancellable = True
        self.outdated = False
        self._task = self._tools.tasks.start(name, self._run(command))

    def cancel(self) -> None:
        """Give up an operation that still waits for something; one that the runtime works on is let finish."""
        if self._task and self._cancellable:
            self._task.cancel()

    async def _run(self, command: Command) -> None:
        key = command.name or ("" if command.verb != "tear-down" else "/tear-down")
        try:
            await self._verbs[command.verb](command)
            self._worker.memory.troubles.pop(key, None)
        except Failure as failure:
            self._failed(key, failure)
        except (SampanError, OSError) as error:
            _log.warning("%s of pod %s failed: %s", command.verb, meta.key(self._worker.pod), error)
            self._failed(key, Failure("RunContainerError", str(error)))
        finally:
            self._worker.memory.busy = ""
            self._worker.poke()

    def _failed(self, key: str, failure: Failure) -> None:
        worker, now = self._worker, self._tools.now()
        worker.event("Warning", failure.event, failure.text)
        if failure.reason == "ErrImagePull":
            worker.event("Warning", "Failed", "Error: ErrImagePull")
        before = worker.memory.troubles.get(key)
        first, last = (FIRST_BACKOFF, LAST_BACKOFF) if key in _names(worker.pod) else (FIRST_RETRY, LAST_RETRY)
        delay = min(before.delay * 2, last) if before else first
        if failure.reason == "CreateContainerConfigError":
            delay = CONFIG_RETRY
        version = self._tools.images.version() if failure.images else None
        again = now if self.outdated else now + delay  # what it failed for may have changed while it ran
        worker.memory.troubles[key] = Trouble(failure.reason, str(failure), now, again, delay, version)

    # -- volumes ----------------------------------------------------------------------------------------------------

    async def _prepare(self, command: Command) -> None:
        worker = self._worker
        worker.directory.mkdir(parents=True, exist_ok=True, mode=0o711)
        refs = volume_references(worker.pod)
        every = refs.union(*(env.references(c) for c in containers(worker.pod)))
        self._tools.objects.follow(worker.uid, meta.namespace(worker.pod), every, worker.retry)
        try:
            context = await self._context(refs, token_references(worker.pod))
            if worker.sandbox:  # adopted: it has its volumes, whatever became of the objects meanwhile
                worker.volumes.refresh(worker.pod, context, self._tools.clock.now())
            else:
                claimed = await self._tools.claims.places(worker.pod)
                worker.volumes.make(worker.pod, context, self._tools.clock.now(), claimed)
        except (ConfigError, OSError) as error:
            raise Failure("FailedMount", str(error), event="FailedMount", text=str(error)) from None
        worker.memory.prepared = True

    def refresh(self) -> None:
        """Bring the content of volumes up to date, beside whatever else goes on."""
        self._tools.tasks.start(f"pod {meta.key(self._worker.pod)} refresh", self._refresh())

    async def _refresh(self) -> None:
        worker = self._worker
        context = await self._context(volume_references(worker.pod), token_references(worker.pod))
        worker.volumes.refresh(worker.pod, context, self._tools.clock.now())

    async def _context(self, refs: set[env.Ref], tokens: Iterable[env.TokenRef] = ()) -> env.Context:
        worker, tools = self._worker, self._tools
        namespace = meta.namespace(worker.pod)
        links = worker.pod["spec"].get("enableServiceLinks") is not False
        objects, issued = await asyncio.gather(
            tools.objects.get(namespace, refs), tools.tokens.get(worker.pod, tokens, self.refresh)
        )
        return env.Context(
            pod=worker.pod,
            pod_ip=worker.ip,
            host_ip=tools.node_ip,
            objects=objects,
            services=service_env.service_env(self._services(namespace), namespace, links),
            allocatable=tools.allocatable,
            tokens=issued,
        )

    def _services(self, namespace: str) -> list[Obj]:
        """Those that environment variables may name: the namespace's, and the API's own."""
        api = self._tools.services.get(Key("default", "kubernetes"))
        found = list(self._tools.services.list(namespace))
        return [*found, api] if api and namespace != "default" else found

    # -- sandbox ----------------------------------------------------------------------------------------------------

    async def _sandbox(self, command: Command) -> None:
        worker, tools, memory = self._worker, self._tools, self._worker.memory
        spec = worker.pod["spec"]
        if worker.states:
            text = "Pod sandbox changed, it will be killed and re-created."
            worker.event("Normal", "SandboxChanged", text)
        try:
            if not spec.get("hostNetwork"):
                memory.ip = tools.addresses.allocate(worker.uid, memory.ip)
            once = {c["name"] for c in spec.get("ephemeralContainers") or ()}  # they are not started again
            memory.floor = {n: s.attempt + 1 for n, s in latest(worker.states).items() if n not in once}
            worker.save()
            self._cancellable = False
            await tools.runtime.create_sandbox(self._sandbox_spec())
        except SampanError as error:
            text = f"Failed to create pod sandbox: {error}"
            raise Failure("CreatePodSandboxError", text, event="FailedCreatePodSandBox", text=text) from None

    def _sandbox_spec(self) -> SandboxSpec:
        worker, dns = self._worker, self._tools.dns
        spec = worker.pod["spec"]
        security = spec.get("securityContext") or {}
        host_network = bool(spec.get("hostNetwork"))
        return SandboxSpec(
            uid=worker.uid,
            namespace=meta.namespace(worker.pod),
            name=meta.name(worker.pod),
            hostname=podfiles.kernel_hostname(worker.pod, dns.domain),
            ip="" if host_network else worker.ip,
            hosts=podfiles.hosts(worker.pod, worker.ip, dns.domain),
            resolv_conf=podfiles.resolv_conf(worker.pod, dns),
            host_network=host_network,
            host_pid=bool(spec.get("hostPID")),
            host_ipc=bool(spec.get("hostIPC")),
            share_processes=bool(spec.get("shareProcessNamespace")),
            sysctls=tuple((s["name"], s["value"]) for s in security.get("sysctls") or ()),
            resources=pod_resources(worker.pod),
        )

    async def _tear_down(self, command: Command) -> None:
        self._cancellable = False
        if self._worker.sandbox:
            await leaving.delivered(self._worker.uid, self._tools.runtime, self._tools.clock)
            await self._tools.runtime.remove_sandbox(self._worker.uid)
        self._tools.addresses.release(self._worker.uid)
        self._tools.objects.unfollow(self._worker.uid)
        self._tools.tokens.forget(self._worker.uid)
        self._worker.volumes.remove()
        self._worker.memory.torn_down = True

    async def forget(self) -> None:
        """Remove the last traces on disk."""
        self._tools.reporter.forget(self._worker.uid)
        await self._tools.runtime.forget(self._worker.uid)

    # -- containers -------------------------------------------------------------------------------------------------

    async def _start_container(self, command: Command) -> None:
        worker, name, attempt = self._worker, command.name, command.attempt
        container = next(c for c in containers(worker.pod) if c["name"] == name)
        image = self._image(container)
        spec = await self._container_spec(container, attempt, image)
        reference = container.get("image", "")
        worker.memory.image_ids[name], worker.memory.images[name] = image.id, reference
        worker.event("Normal", "Pulled", f'Container image "{reference}" already present on machine')
        self._cancellable = False
        try:
            state = await self._tools.runtime.start_container(worker.uid, spec)
        except SampanError as error:
            raise Failure("RunContainerError", str(error)) from None
        worker.event("Normal", "Created", f"Created container: {name}")
        if state.reason == "StartError":
            worker.event("Warning", "Failed", f"Error: {state.message}")
        else:
            worker.event("Normal", "Started", f"Started container {name}")
        for old in worker.states:
            if old.name == name and old.attempt < attempt - 1:
                await self._tools.runtime.remove_container(worker.uid, name, old.attempt)

    def _image(self, container: Obj) -> ImageConfig:
        name = container.get("image", "")
        try:
            return self._tools.images.resolve(name)
        except ImageNotFound as error:
            if container.get("imagePullPolicy") == "Never":
                text = f'Container image "{name}" is not present with pull policy of Never: {error.message}'
                reason = "ErrImageNeverPull"
                raise Failure(reason, text, event=reason, text=text, images=True) from None
            text = f'Failed to pull image "{name}": {error.message}'
            raise Failure("ErrImagePull", error.message, text=text, images=True) from None
        except InvalidImageName as error:
            text = f'Failed to apply default image tag "{name}": {error.message}'
            raise Failure("InvalidImageName", text, event="InspectFailed", text=text) from None

    async def _container_spec(self, container: Obj, attempt: int, image: ImageConfig) -> ContainerSpec:
        worker = self._worker
        try:
            context = await self._context(env.references(container))
            variables = env.environment(container, context)
            mounts = worker.volumes.mounts(worker.pod, container, variables)
            last_words = termination_log(worker.directory, container["name"], attempt)
            mounts.append(Mount(str(last_words), container.get("terminationMessagePath") or TERMINATION_LOG))
            return container_spec(
                worker.pod,
                container,
                attempt,
                image=image,
                env=variables,
                mounts=mounts,
                hostname=podfiles.kernel_hostname(worker.pod, self._tools.dns.domain),
                directory=worker.directory,
            )
        except ConfigError as error:
            raise Failure("CreateContainerConfigError", str(error)) from None


def _names(pod: Obj) -> set[str]:
    return {c["name"] for c in containers(pod)}
