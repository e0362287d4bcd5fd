"""The reading half of the registry: get, list, watch. Nothing here waits but lists of the past."""

from __future__ import annotations

import builtins
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping

import orjson

from sampan.api.meta import Obj
from sampan.api.scheme import Resource, Scheme
from sampan.api.status import ApiError, not_found
from sampan.server import listing, watch
from sampan.server.binding import Binding
from sampan.server.conversion import Conversion, VersionedBinding
from sampan.server.types import Held, Listing
from sampan.server.views import ViewBinding
from sampan.server.webhook_client import WebhookClient
from sampan.store.types import Record, Store


def not_served() -> ApiError:
    return ApiError(404, "NotFound", "the server could not find the requested resource")


class Reader:
    """Resources are strings as kubectl writes them: "pods", "deployments.apps"."""

    def __init__(self, scheme: Scheme, store: Store, chance: random.Random) -> None:
        self.scheme = scheme
        self.store = store
        self.conversion = Conversion(WebhookClient(self.lookup))
        # Resources that are computed when asked for: namespace ("" all) → objects.
        self.computed: dict[str, Callable[[str], Awaitable[builtins.list[Obj]]]] = {}
        self._bindings: dict[str, Binding] = {}
        self._bind()
        scheme.changed.append(self._bind)
        self._watches = watch.Watches(store, chance)

    def _bind(self) -> None:
        """One binding a resource; those of resources that stayed the same stay too."""
        before = {id(b.resource): b for b in self._bindings.values()}
        self._bindings = {r.ref: before.get(id(r)) or self._new(r) for r in self.scheme.resources if r.stored}

    def _new(self, resource: Resource) -> Binding:
        if resource.view is not None:
            return ViewBinding(resource, resource.view)
        if resource.family is None:
            return Binding(resource)
        return VersionedBinding(resource, resource.family, self.conversion)

    def binding(self, resource: str) -> Binding:
        """Raises ApiError 404 for a resource this server does not have."""
        found = self._bindings.get(resource)
        if found is None:
            raise not_served()
        return found

    @property
    def watching(self) -> Mapping[str, int]:
        """How many watches of each resource are open."""
        return self._watches.open

    def prefixes(self) -> Iterator[tuple[str, str]]:
        """(resource, the prefix its objects are kept under) of all."""
        return ((binding.id, binding.prefix) for binding in self._bindings.values())

    def get(self, resource: str, name: str, namespace: str = "") -> Held:
        """Raises ApiError 404."""
        binding = self.binding(resource)
        record = self.store.get(binding.key(namespace, name))
        if record is None:
            raise not_found(binding.id, name)
        return binding.held(record)

    async def read(self, resource: str, name: str, namespace: str = "") -> Held:
        """`get` of what may have to be converted or computed first. Raises ApiError 404, 500, 503."""
        if resource in self.computed:
            for held in (await self._compute(resource, namespace)).items:
                if held.obj["metadata"]["name"] == name:
                    return held
            raise not_found(resource, name)
        binding = self.binding(resource)
        if binding.converts and (record := self.store.get(binding.key(namespace, name))) is not None:
            await binding.ready((record,))
        return self.get(resource, name, namespace)

    def lookup(self, resource: str, name: str, namespace: str = "") -> Obj | None:
        """The object, or None."""
        binding = self.binding(resource)
        record = self.store.get(binding.key(namespace, name))
        return binding.held(record).obj if record else None

    def scan(self, resource: str, namespace: str = "") -> builtins.list[Obj]:
        """All objects, or those of one namespace."""
        binding = self.binding(resource)
        return [binding.held(record).obj for record in self.store.list(binding.under(namespace))]

    async def list(
        self,
        resource: str,
        namespace: str = "",
        *,
        labels: str = "",
        fields: str = "",
        limit: int = 0,
        token: str = "",
        revision: str = "",
        match: str = "",
        initial: bool | None = None,
    ) -> Listing:
        """`token` is a continue token, `match` a resourceVersionMatch. Raises ApiError 400, 410, 504."""
        if resource in self.computed:
            return await self._compute(resource, namespace, labels, fields)
        binding = self.binding(resource)
        listing.check_options(revision, match, token, initial)
        selected = watch.selection(binding.resource, labels, fields)
        prefix, after = binding.under(namespace), ""
        at = self.store.revision
        if token:
            at, after = listing.decode_token(token, prefix)
            at = self.store.revision if at < 0 else at
        elif revision not in ("", "0"):
            asked = listing.parse_revision(revision)
            if asked > at:
                raise listing.too_large(asked, at)
            at = asked if match == "Exact" else at
        if at == self.store.revision:
            records = self.store.list(prefix, after)
        else:
            records = [r for r in await listing.at_revision(self.store, prefix, at, after) if r.key > after]
        if binding.converts:
            await binding.ready(records)
        return _page(binding, records, selected, limit, at)

    async def _compute(self, resource: str, namespace: str, labels: str = "", fields: str = "") -> Listing:
        selected = watch.selection(self.scheme.by_id[resource], labels, fields)
        found = await self.computed[resource](namespace)
        return Listing([Held(orjson.dumps(o), o) for o in found if selected is None or selected(o)], "")

    def watch(self, resource: str, namespace: str = "", asked: watch.Asked | None = None) -> AsyncIterator[watch.Batch]:
        """Batches of (type, Held). Ends at the timeout; raises ApiError 410. Close with `aclose()`."""
        return self._watches.follow(self.binding(resource), namespace, asked or watch.Asked())


def _page(
    binding: Binding, records: list[Record], selected: watch.Selected | None, limit: int, revision: int
) -> Listing:
    """The first `limit` matching records. How many remain is told only when nothing is filtered out."""
    if selected is None:
        page = records[:limit] if limit else records
        items = [binding.held(r) for r in page]
        if len(page) == len(records):
            return Listing(items, str(revision))
        token = listing.encode_token(revision, page[-1].key)
        return Listing(items, str(revision), token, len(records) - len(page))
    items = []
    last = ""
    for record in records:
        held = binding.held(record)
        if not selected(held.obj):
            continue
        if limit and len(items) == limit:
            return Listing(items, str(revision), listing.encode_token(revision, last))
        items.append(held)
        last = record.key
    return Listing(items, str(revision))
