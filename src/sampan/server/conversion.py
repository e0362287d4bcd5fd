"""Custom resources in several versions: kept in one, read and written in any that is served.

Source: https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definition-versioning/
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import replace
from typing import Any
from uuid import uuid4

import orjson

from sampan.api.crd.resource import Family
from sampan.api.meta import Obj, copy
from sampan.api.scheme import Resource
from sampan.api.status import ApiError
from sampan.server.binding import Binding
from sampan.server.types import Held
from sampan.server.webhook_client import WebhookClient, WebhookError
from sampan.store.types import Record

# (family, objects, apiVersion wanted) → the objects in it. Raises ApiError 500.
Converter = Callable[[Family, list[Obj], str], Awaitable[list[Obj]]]
_SECONDS = 30.0


class Forms(dict[str, Held]):
    """What is kept with a record: its object in each version somebody has read. Made for one state of a definition."""

    __slots__ = ("family",)

    def __init__(self, family: Family) -> None:
        super().__init__()
        self.family = family


class VersionedBinding(Binding):
    """One served version of a custom resource. What is read is pruned and defaulted by today's schema.

    `converts`: reading may have to wait for a webhook; await `ready` for the records before `held`.
    """

    __slots__ = ("_convert", "_family", "_stored", "converts")

    def __init__(self, resource: Resource, family: Family, convert: Converter) -> None:
        super().__init__(resource)
        self._family = family
        self._convert = convert
        self._stored = self if resource.storage else Binding(replace(resource, version=family.storage))
        self.converts = family.webhook is not None

    def held(self, record: Record) -> Held:
        forms = self._forms(record)
        found = forms.get(self.resource.version)
        if found is None:
            found = forms[self.resource.version] = self._read(record, orjson.loads(record.value))
        return found

    async def ready(self, records: Iterable[Record]) -> None:
        foreign = [r for r in records if self.resource.version not in self._forms(r) and not self._own(r)]
        if not foreign:
            return
        objects = [orjson.loads(record.value) for record in foreign]
        for record, obj in zip(foreign, await self._converted(objects, self.resource.api_version), strict=True):
            self._forms(record)[self.resource.version] = self._read(record, obj)

    def keep(self, value: bytes, revision: int, obj: Obj, managed: bytes) -> Any:
        forms = Forms(self._family)
        forms[self.resource.version] = self.hold(value, revision, obj, managed)
        return forms

    async def stored(self, value: bytes) -> bytes:
        if self._stored is self:
            return value
        if not self.converts:
            return self._stored._head + value[len(self._head) :]
        (obj,) = await self._converted([orjson.loads(value)], self._stored.resource.api_version)
        managed = obj["metadata"].pop("managedFields", None)
        return self._stored.encode(obj, orjson.dumps(managed, option=orjson.OPT_SORT_KEYS) if managed else b"")

    def again(self, record: Record, revision: int) -> Held:
        held = self.held(record)
        return self.hold(self.encode(held.obj, held.managed), revision, held.obj, held.managed)

    def _forms(self, record: Record) -> Forms:
        forms = record.held
        if not isinstance(forms, Forms) or forms.family is not self._family:
            forms = record.held = Forms(self._family)
        return forms

    def _own(self, record: Record) -> bool:
        return record.value.startswith(self._head)

    def _read(self, record: Record, obj: Obj) -> Held:
        """A decoded object as this version shows it."""
        owners = obj["metadata"].pop("managedFields", None)
        obj = {**obj, **self._lead}
        settled = copy(obj)
        if self.resource.clean is not None:
            self.resource.clean(settled)
        self.resource.strategy.default(settled)
        if settled == obj and self._own(record):
            return self.hold(record.value, record.revision)
        managed = orjson.dumps(owners, option=orjson.OPT_SORT_KEYS) if owners else b""
        return self.hold(self.encode(settled, managed), record.revision, settled, managed)

    async def _converted(self, objects: list[Obj], version: str) -> list[Obj]:
        """Metadata but labels and annotations is not the webhook's to change."""
        found = await self._convert(self._family, objects, version)
        for old, new in zip(objects, found, strict=True):
            changed = new.get("metadata") or {}
            kept = {k: v for k, v in old["metadata"].items() if k not in ("labels", "annotations")}
            free = {k: changed[k] for k in ("labels", "annotations") if changed.get(k)}
            new["metadata"] = {**kept, **free}
        return found


class Conversion:
    """Asks conversion webhooks."""

    def __init__(self, client: WebhookClient) -> None:
        self._client = client

    async def __call__(self, family: Family, objects: list[Obj], version: str) -> list[Obj]:
        """Raises ApiError 500."""
        if family.webhook is None:
            return [{**obj, "apiVersion": version} for obj in objects]
        from_version = objects[0]["apiVersion"] if objects else ""
        try:
            return await self._ask(family.webhook, objects, version)
        except WebhookError as error:
            text = f"conversion webhook for {from_version}, Kind={family.kind} failed: {error}"
            raise ApiError(500, "InternalError", text) from None

    async def close(self) -> None:
        await self._client.close()

    async def _ask(self, webhook: Obj, objects: list[Obj], version: str) -> list[Obj]:
        known = webhook.get("conversionReviewVersions") or ["v1"]
        review = {
            "kind": "ConversionReview",
            "apiVersion": f"apiextensions.k8s.io/{next(v for v in known if v in ('v1', 'v1beta1'))}",
            "request": {"uid": str(uuid4()), "desiredAPIVersion": version, "objects": objects},
        }
        answer = await self._client.post(webhook["clientConfig"], review, _SECONDS)
        response = answer.get("response") or {}
        result = response.get("result") or {}
        if result.get("status") != "Success":
            raise WebhookError(str(result.get("message") or "no message"))
        found = response.get("convertedObjects") or []
        if len(found) != len(objects):
            raise WebhookError(f"it returned {len(found)} objects, expected {len(objects)}")
        for obj in found:
            if obj.get("apiVersion") != version:
                raise WebhookError(f"it returned an object of {obj.get('apiVersion')}, expected {version}")
        return list(found)
