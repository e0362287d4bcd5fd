"""Keeps one APIService for each group and version that is served.

Source: k8s.io/kube-aggregator/pkg/controllers/autoregister
"""

from __future__ import annotations

import asyncio

from sampan.api import meta
from sampan.api.kinds import apiservice
from sampan.api.meta import Obj
from sampan.api.status import ApiError
from sampan.base import log
from sampan.base.errors import StoreError
from sampan.server.registry import Registry

_log = log.get("apiservices")
_ID = apiservice.RESOURCE.id


class ApiServices:
    """`run` as a task."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._changed = asyncio.Event()
        registry.scheme.changed.append(self._changed.set)

    async def run(self) -> None:
        """Follow the scheme."""
        while True:
            self._changed.clear()
            try:
                await self.sync()
            except (ApiError, StoreError) as error:
                _log.warning("cannot keep the APIServices: %s", error)
            await self._changed.wait()

    async def sync(self) -> None:
        """Make what is missing, remove what is of no group any more. Raises ApiError, StoreError."""
        served = dict.fromkeys((r.group, r.version) for r in self._registry.scheme.resources)
        now = meta.timestamp(self._registry.clock.now())
        wanted = {meta.name(obj): obj for obj in (apiservice.local(*place, now) for place in served)}
        present = {meta.name(obj): obj for obj in self._registry.scan(_ID)}
        extra = [n for n, obj in present.items() if n not in wanted and apiservice.AUTOMANAGED in meta.labels(obj)]
        missing = (obj for name, obj in wanted.items() if name not in present)
        await asyncio.gather(*map(self._create, missing), *(self._registry.delete(_ID, name) for name in extra))

    async def _create(self, obj: Obj) -> None:
        try:
            await self._registry.create(_ID, obj)
        except ApiError as error:
            if error.reason != "AlreadyExists":
                raise
