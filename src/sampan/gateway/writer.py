"""Writes what a translation found out: statuses onto the objects, events about them. Nothing is written twice."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from sampan.api import meta
from sampan.api.meta import Obj
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

    What was found in order is looked at again only when the object or what is wanted is another one: by identity, as
    there are thousands of them and mostly one changed.
    """

    def __init__(self, client: Client, clock: Clock, recorders: Mapping[str, Recorder]) -> None:
        self._client = client
        self._clock = clock
        self._recorders = recorders
        self._in_order: dict[Ref, tuple[Obj, Obj]] = {}
        self._told: dict[Notice, tuple[Obj, str]] = {}

    async def statuses(self, statuses: Mapping[Ref, Obj], resources: Resources) -> bool:
        """Make each object's status what it shall be; False when some could not be written: try again."""
        done = True
        now = meta.timestamp(self._clock.now())
        before, self._in_order = self._in_order, {}
        for ref, status in statuses.items():
            obj = _object(resources, ref)
            if obj is None:
                continue
            known = before.get(ref)
            if known is None or known[0] is not obj or known[1] is not status:
                old = obj.get("status") or {}
                wanted = stamped(status, old, now)
                if wanted != old:
                    done &= await self._write(ref, old, wanted)
                    continue
                known = (obj, status)
            self._in_order[ref] = known
        return done

    async def _write(self, ref: Ref, old: Obj, wanted: Obj) -> bool:
        patch = {k: v for k, v in wanted.items() if old.get(k) != v} | {k: None for k in old if k not in wanted}
        try:
            await self._client.patch(ref.resource, ref.name, ref.namespace, {"status": patch}, subresource="status")
        except ApiError as error:
            if error.code != 404:
                _log.warning("status of %s %s/%s: %s", *ref, error)
                return False
        return True

    def tell(self, notices: Iterable[Notice], resources: Resources) -> None:
        """Events for what is new since the last time, and again when the object itself was changed."""
        before, self._told = self._told, {}
        for notice in notices:
            obj = _object(resources, notice.about)
            if obj is None:
                continue
            known = before.get(notice)
            if known is None or known[0] is not obj:
                state = _state(obj)
                if known is None or known[1] != state:
                    self._recorders[notice.component].event(obj, notice.type, notice.reason, notice.message)
                known = (obj, state)
            self._told[notice] = known


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
