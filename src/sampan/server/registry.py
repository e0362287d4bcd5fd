"""The registry: kind + store = all verbs. HTTP and the in-process client both end here.

Resources are strings as kubectl writes them ("pods", "deployments.apps"). All verbs raise ApiError. What they return is
read-only; what they are given is copied before it is changed.
Source of the semantics: k8s.io/apiserver/pkg/registry/generic/registry/store.go
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from typing import Any, Protocol
from uuid import UUID

import orjson

from sampan.api import patch as patches
from sampan.api.fields import quote
from sampan.api.meta import Obj, copy
from sampan.api.scheme import Resource, Scheme
from sampan.api.status import ApiError, already_exists, bad_request, invalid, method_not_allowed, not_found
from sampan.base.clock import Clock
from sampan.base.errors import Conflict, SampanError
from sampan.server import audit, deletion, metadata, owners
from sampan.server.admission import Attributes, chain
from sampan.server.allocators import Services
from sampan.server.binding import Binding
from sampan.server.reader import Reader
from sampan.server.types import Deleted, Deletion, Held, Listing, Options, User
from sampan.store.types import Record, Store

# Tries for a generated name that turns out to be taken.
_NAME_TRIES = 8
# What etcd takes in one write: clients know its limit and its words.
_LARGEST = 1536 * 1024
Change = Callable[[Obj], Obj]


class Hooks(Protocol):
    """`hooks.hooks.Hooks`: webhooks and policies. A plan names those that care for a sort of write, None: nobody."""

    def plan(self, resource: Resource, subresource: str, operation: str) -> Any | None: ...

    async def mutate(self, plan: Any, request: Attributes, warnings: list[str]) -> Obj | None: ...

    async def validate(self, plan: Any, request: Attributes, warnings: list[str]) -> None: ...


class Registry(Reader):
    """All verbs over one store. `services` hands out ClusterIPs and node ports."""

    def __init__(
        self, scheme: Scheme, store: Store, clock: Clock, services: Services, chance: random.Random | None = None
    ) -> None:
        self._chance = chance or random.SystemRandom()
        super().__init__(scheme, store, self._chance)
        self.clock = clock
        self._chain = chain(clock)
        self.hooks: Hooks | None = None
        # May (user, verb, resource, subresource, namespace, name)? Raises ApiError 403.
        self.check: Callable[[User, str, Resource, str, str, str], None] = lambda *asked: None
        # Resource → a check of its creates and updates that needs to know who asks.
        self.guards: Mapping[str, Callable[[Attributes], None]] = {}
        self._services = services

    # -- create

    async def create(self, resource: str, obj: Obj, namespace: str = "", options: Options | None = None) -> Held:
        """`namespace` "" takes the object's own."""
        binding = self.binding(resource)
        if "create" not in binding.resource.verbs:
            raise method_not_allowed(f"create is not supported on resources of kind {quote(binding.id)}")
        given = copy(obj)
        metadata.place(binding.resource, given, namespace)
        if given["metadata"].get("name"):
            return await self._create(binding, given, options or Options())
        for attempt in range(_NAME_TRIES):
            try:
                return await self._create(binding, copy(given), options or Options())
            except ApiError as error:
                if error.reason != "AlreadyExists" or attempt == _NAME_TRIES - 1:
                    raise
        raise AssertionError("the last try returns or raises")

    async def _create(self, binding: Binding, new: Obj, options: Options) -> Held:
        resource, strategy, meta = binding.resource, binding.resource.strategy, new["metadata"]
        sent = meta.pop("managedFields", None)
        uid = UUID(int=self._chance.getrandbits(128), version=4)
        metadata.stamp(resource, meta, uid, self.clock.now(), self._chance.choice)
        name, namespace = meta.get("name", ""), meta.get("namespace", "")
        strategy.default(new)
        managed = owners.created(binding, new, sent, options, self.clock.now())
        request = Attributes(
            "CREATE", resource, namespace, name, new, None, self.lookup, "", options.user, options.dry_run
        )
        self._admit(request)
        plan = self.hooks and self.hooks.plan(resource, "", "CREATE")
        if self.hooks and plan:
            changed = await self.hooks.mutate(plan, request, options.warnings) or new
            if changed is not new:
                new = request.obj = changed
                meta = new["metadata"]
                strategy.default(new)
                self._admit(request)  # a container that was added wants its token too
        strategy.prepare_create(new)
        if errors := strategy.validate(new):
            raise invalid(resource.group, resource.kind, name, errors)
        options.warnings += strategy.warnings(new)
        if self.hooks and plan:
            request.obj = new
            await self.hooks.validate(plan, request, options.warnings)
        if self.store.get(binding.key(namespace, name)) is not None:
            raise already_exists(binding.id, name)
        try:
            return await self._put(binding, new, None, managed, options)
        except Conflict:
            raise already_exists(binding.id, name) from None

    # -- update and patch

    async def update(
        self,
        resource: str,
        obj: Obj,
        namespace: str = "",
        name: str = "",
        options: Options | None = None,
        subresource: str = "",
    ) -> Held:
        """Replace. Without metadata.resourceVersion it is written over whatever is there."""
        binding = self.binding(resource)
        given = copy(obj)
        metadata.place(binding.resource, given, namespace)
        if refusal := metadata.lacks_revision(binding.resource, given):
            raise refusal
        where = namespace or given["metadata"].get("namespace", "")
        who = name or given["metadata"].get("name", "")
        return await self.modify(resource, who, where, lambda old: copy(given), options, subresource)

    async def update_status(self, resource: str, obj: Obj, options: Options | None = None) -> Held:
        """Replace the status and nothing else."""
        return await self.update(resource, obj, options=options, subresource="status")

    async def patch(
        self,
        resource: str,
        name: str,
        namespace: str,
        patch: Any,
        *,
        kind: str = patches.MERGE,
        subresource: str = "",
        options: Options | None = None,
    ) -> Held:
        """`patch` is JSON, as bytes or decoded. Tried again on conflict unless it names a resourceVersion itself."""
        options, target = options or Options(), self.binding(resource).resource
        body = patch if isinstance(patch, bytes) else orjson.dumps(patch)
        warnings: list[str] = []

        def change(old: Obj) -> Obj:
            if b"managedFields" in body:
                old = {
                    **old,
                    "metadata": {**old["metadata"], "managedFields": self.get(resource, name, namespace).owners},
                }
            new, warnings[:] = patches.apply(target, old, body, kind, options.validation)
            return new

        held = await self.modify(resource, name, namespace, change, options, subresource)
        options.warnings += warnings
        return held

    async def apply(
        self, resource: str, name: str, namespace: str, config: Obj, options: Options, subresource: str = ""
    ) -> tuple[Held, bool]:
        """Server-side apply: (the object, was it created?). Raises ApiError 409 for conflicts with other managers."""
        binding, options.applies = self.binding(resource), True
        metadata.place(binding.resource, config, namespace)
        if config["metadata"].setdefault("name", name) != name:
            got = config["metadata"]["name"]
            raise bad_request(f"the name of the object ({got}) does not match the name on the URL ({name})")
        now = self.clock.now()

        def change(old: Obj) -> Obj:
            live = self.get(resource, name, namespace)
            return copy(owners.applied(binding, live, copy(config), options, subresource, now))

        while True:
            if subresource or self.store.get(binding.key(namespace, name)) is not None:
                return await self.modify(resource, name, namespace, change, options, subresource), False
            self.check(options.user, "create", binding.resource, "", namespace, name)
            new = owners.applied(binding, None, copy(config), options, subresource, now)
            try:
                return await self.create(resource, new, namespace, options), True
            except ApiError as error:
                if error.reason != "AlreadyExists":
                    raise

    async def modify(
        self,
        resource: str,
        name: str,
        namespace: str,
        change: Change,
        options: Options | None = None,
        subresource: str = "",
    ) -> Held:
        """Read, change, write; again when the write is lost to another one.

        `change` is given the present object, read-only, and returns the new one, which is then changed further.

        An object that comes out with another resourceVersion than the present one is a 409. Without a difference
        nothing is written and the object keeps its revision.
        """
        binding, options = self.binding(resource), options or Options()
        key = binding.key(namespace, name)
        plan = self.hooks and self.hooks.plan(binding.resource, subresource, "UPDATE")
        while True:
            record = self.store.get(key)
            if record is None:
                raise not_found(binding.id, name)
            if binding.converts:
                await binding.ready((record,))
            old = binding.held(record)
            changed = change(old.obj)
            sent = (changed.get("metadata") or {}).pop("managedFields", None)
            new = self._prepare(binding, changed, old.obj, subresource, options.user)
            managed = owners.updated(binding, old, new, sent, options, subresource, self.clock.now())
            if self.hooks and plan:
                request = Attributes("UPDATE", binding.resource, namespace, name, new, old.obj, self.lookup)
                request.subresource, request.user, request.dry_run = subresource, options.user, options.dry_run
                changed = await self.hooks.mutate(plan, request, options.warnings) or new
                if changed is not new:
                    new = self._prepare(binding, changed, old.obj, subresource, options.user)
            if new == old.obj and managed == old.managed:
                return old
            self._validate(binding, new, old.obj, subresource, options)
            if self.hooks and plan:
                request.obj = new
                await self.hooks.validate(plan, request, options.warnings)
            try:
                if deletion.finished(binding, new) and not options.dry_run:
                    await self._remove(binding, record)
                    return binding.hold(binding.encode(new, managed), record.revision, new, managed)
                return await self._put(binding, new, record, managed, options)
            except Conflict:
                continue

    def _prepare(self, binding: Binding, new: Obj, old: Obj, subresource: str, user: User) -> Obj:
        """The object as it will be: identity and the other half (status or all but status) from the present one."""
        resource = binding.resource
        metadata.place(resource, new, old["metadata"].get("namespace", ""))
        metadata.carry_over(resource, new, old)
        if subresource == "status":
            new = _with(old, "status", new)
            resource.strategy.default(new)
            return new
        if subresource == "approval":
            new = _with(old, "status", new)
            name = old["metadata"]["name"]
            self._admit(Attributes("UPDATE", resource, "", name, new, old, self.lookup, subresource, user))
            return new
        if subresource == "finalize":
            return _with(old, "spec", new)
        if subresource == "binding":
            return new
        if subresource == "ephemeralcontainers":
            new = {**old, "spec": _with(old["spec"], "ephemeralContainers", new.get("spec") or {})}
        if any(new.get(key) != old.get(key) for key in (new.keys() | old.keys()) - {"metadata"}):
            resource.strategy.default(new)
        if binding.id == "services":
            self._services.inherit(new, old)
        namespace, name = new["metadata"].get("namespace", ""), old["metadata"]["name"]
        self._admit(Attributes("UPDATE", resource, namespace, name, new, old, self.lookup, subresource, user))
        resource.strategy.prepare_update(new, old)
        if resource.status:
            new = _with(new, "status", old)
        metadata.raise_generation(resource, new, old)
        return new

    def _validate(self, binding: Binding, new: Obj, old: Obj, subresource: str, options: Options) -> None:
        resource, strategy = binding.resource, binding.resource.strategy
        if subresource == "binding":
            return
        checks = {
            **dict.fromkeys(("status", "approval"), strategy.validate_status),
            "ephemeralcontainers": strategy.validate_ephemeral,
        }
        check = checks.get(subresource, strategy.validate_update)
        if errors := check(new, old):
            raise invalid(resource.group, resource.kind, old["metadata"]["name"], errors)
        # A change that people did not make to what the kind is about needs no advice; pods are changed by machines.
        same = resource.generation and new["metadata"].get("generation") == old["metadata"].get("generation")
        if not same and binding.id != "pods":
            options.warnings += strategy.warnings(new)

    # -- delete

    async def delete(self, resource: str, name: str, namespace: str = "", asked: Deletion | None = None) -> Deleted:
        """Delete, or mark as deleting when finalizers, a pod's grace period or a namespace's content hold it."""
        binding, asked = self.binding(resource), asked or Deletion()
        key = binding.key(namespace, name)
        while True:
            record = self.store.get(key)
            if record is None:
                raise not_found(binding.id, name)
            if binding.converts:
                await binding.ready((record,))
            held = binding.held(record)
            deletion.check(binding, held.obj, asked)
            request = Attributes(
                "DELETE", binding.resource, namespace, name, None, held.obj, self.lookup, "", asked.user, asked.dry_run
            )
            self._admit(request)
            if self.hooks and (plan := self.hooks.plan(binding.resource, "", "DELETE")):
                warnings: list[str] = []
                await self.hooks.mutate(plan, request, warnings)
                await self.hooks.validate(plan, request, warnings)
            marked = deletion.mark(binding, held.obj, asked, self.clock.now())
            try:
                if marked is None:
                    return await self._delete_now(binding, record, held, asked)
                if marked != held.obj:
                    held = await self._put(binding, marked, record, held.managed, Options(dry_run=asked.dry_run))
                return Deleted(held, gone=False)
            except Conflict:
                continue

    async def _delete_now(self, binding: Binding, record: Record, held: Held, asked: Deletion) -> Deleted:
        if asked.dry_run:
            return Deleted(held, gone=True)
        last = await self._remove(binding, record)
        return Deleted(last, gone=True)

    async def delete_collection(
        self, resource: str, namespace: str = "", asked: Deletion | None = None, **query: Any
    ) -> Listing:
        """Delete all that `query` (that of `list`) finds, one after the other; what is gone already is no error."""
        binding = self.binding(resource)
        found = await self.list(resource, namespace, **query)
        for held in found.items:
            meta = held.obj["metadata"]
            try:
                await self.delete(binding.id, meta["name"], meta.get("namespace", ""), asked)
            except ApiError as error:
                if error.code != 404:
                    raise
        return found

    def _admit(self, request: Attributes) -> None:
        request.scan = self.scan
        for _, plugin in self._chain:
            plugin(request)
        if guard := self.guards.get(request.resource.id):
            guard(request)

    # -- the store

    async def _put(self, binding: Binding, new: Obj, old: Record | None, managed: bytes, options: Options) -> Held:
        """Write over `old`. Raises store.Conflict."""
        meta = new["metadata"]
        revision = old.revision if old else 0
        before = binding.held(old).obj if old else None
        lease = self._services.reserve(new, before) if binding.id == "services" else None
        try:
            value = binding.encode(new, managed)
            if len(value) > _LARGEST:
                raise ApiError(500, "", "etcdserver: request is too large")
            if options.dry_run:
                if lease:
                    lease.cancel()
                return binding.hold(value, revision, new, managed) if old else Held(value)
            record = await self.store.put(
                binding.key(meta.get("namespace", ""), meta["name"]),
                await binding.stored(value) if binding.converts or not binding.resource.storage else value,
                revision,
                lambda number: binding.keep(value, number, new, managed),
                audit.author(),
            )
        except SampanError:
            # Not on cancellation: then the write may have gone through, and what it holds must not be given away.
            if lease:
                lease.cancel()
            raise
        binding.writes += 1
        if lease:
            lease.commit()
        return binding.held(record)

    async def _remove(self, binding: Binding, record: Record) -> Held:
        last = await self.store.delete(record.key, record.revision, audit.author())
        binding.writes += 1
        if binding.converts:
            await binding.ready((last,))
        held = binding.held(last)
        if binding.id == "services":
            self._services.release(held.obj)
        return held


def _with(base: Obj, field: str, source: Obj) -> Obj:
    """`base` with this one field of `source` (absent when it is absent there)."""
    result = {k: v for k, v in base.items() if k != field}
    if field in source:
        result[field] = source[field]
    return result
