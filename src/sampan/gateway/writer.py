"""Writes what a translation found out: statuses onto the objects, events about them. Nothing is written twice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from typing import Any

from sampan.api import meta
from sampan.api.meta import Obj
from sampan.api.patch import merge
from sampan.api.status import ApiError
from sampan.base import log
from sampan.base.clock import Clock
from sampan.client.env import Recorder
from sampan.client.types import Client
from sampan.gateway.types import Notice, Ref, Resources

_log = log.get("gateway")
# What tells entries of a list apart; a Gateway API parent by its reference and controller.
_IDENTITIES = (("type",), ("name",), ("parentRef", "controllerName"), ("ancestorRef", "controllerName"))


class Writer:
    """`recorders`: component → who writes its events.

    There are thousands of objects and mostly one of them changed: looked at are those that the caller names as touched,
    and those about which something else is wanted than before.
    """

    def __init__(self, client: Client, clock: Clock, recorders: Mapping[str, Recorder]) -> None:
        self._client = client
        self._clock = clock
        self._recorders = recorders
        self._wanted: Mapping[Ref, Obj] = {}
        self._again: set[Ref] = set()
        self._told: dict[Notice, str] = {}

    async def statuses(self, statuses: Mapping[Ref, Obj], resources: Resources, touched: Set[Ref]) -> bool:
        """Make each object's status what it shall be; False when some could not be written: try again.

        `touched`: objects that are others in `resources` than they were in the last one.
        """
        now = meta.timestamp(self._clock.now())
        before, self._wanted = self._wanted, statuses
        look = [ref for ref, status in statuses.items() if before.get(ref) is not status]
        look += [ref for ref in touched | self._again if ref in statuses]
        self._again = set()
        for ref in dict.fromkeys(look):
            obj = _object(resources, ref)
            if obj is None:
                continue
            old = obj.get("status") or {}
            wanted = stamped(statuses[ref], old, now)
            if wanted != old and not await self._write(ref, old, wanted):
                self._again.add(ref)
        return not self._again

    async def _write(self, ref: Ref, old: Obj, wanted: Obj) -> bool:
        patch = {"status": merge.difference(old, wanted)}
        try:
            await self._client.patch(ref.resource, ref.name, ref.namespace, patch, subresource="status")
        except ApiError as error:
            if error.code != 404:
                _log.warning("status of %s %s/%s: %s", *ref, error)
                return False
        return True

    def tell(self, notices: Sequence[Notice], resources: Resources, touched: Set[Ref]) -> None:
        """Events for what is new since the last time, and again when the object itself was changed."""
        told = self._told
        for notice in [notice for notice in notices if notice not in told or notice.about in touched]:
            obj = _object(resources, notice.about)
            if obj is None:
                continue
            state = _state(obj)
            if told.get(notice) != state:
                told[notice] = state
                self._recorders[notice.component].event(obj, notice.type, notice.reason, notice.message)
        if len(told) > len(notices):
            self._told = {notice: told[notice] for notice in notices if notice in told}


def _object(resources: Resources, ref: Ref) -> Obj | None:
    return resources.of(ref.resource).get(meta.Key(ref.namespace, ref.name))


def stamped(wanted: Any, old: Any, now: str) -> Any:
    """`wanted` with a lastTransitionTime in each condition: the old one while its status is the same. Pure."""
    if isinstance(wanted, dict):
        old = old if isinstance(old, dict) else {}
        made = {k: stamped(v, old.get(k), now) for k, v in wanted.items()}
        if {"type", "status", "reason"} <= wanted.keys() and "lastTransitionTime" not in wanted:
            same = old.get("status") == wanted["status"] and "lastTransitionTime" in old
            made["lastTransitionTime"] = old["lastTransitionTime"] if same else now
        return made
    if isinstance(wanted, list):
        old = old if isinstance(old, list) else []
        return [stamped(entry, _counterpart(entry, old), now) for entry in wanted]
    return wanted


def _counterpart(entry: Any, old: list[Any]) -> Any:
    if not isinstance(entry, dict):
        return None
    for fields in _IDENTITIES:
        if all(field in entry for field in fields):
            return next((o for o in old if isinstance(o, dict) and all(o.get(f) == entry[f] for f in fields)), None)
    return None


def _state(obj: Obj) -> str:
    """Changes when the user changes the object, not when its status is written."""
    metadata = obj["metadata"]
    parts = (metadata.get("uid"), metadata.get("generation"), metadata.get("annotations"))
    return repr(parts if "generation" in metadata else (*parts, obj.get("spec"), obj.get("data")))
