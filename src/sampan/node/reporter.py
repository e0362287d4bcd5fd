"""Sends pod statuses to the API: only changes, only the newest, again until the server takes them."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from sampan.api import meta
from sampan.api.meta import Obj
from sampan.api.status import ApiError
from sampan.base import log
from sampan.base.clock import Clock, either
from sampan.base.errors import SampanError
from sampan.client.types import Client, Preconditions

_log = log.get("node")
FIRST_RETRY, LAST_RETRY = 0.2, 5.0  # seconds
# Seconds that a request is left alone when a newer status has come. A server that is there has answered by then; of one
# that is not, the socket is kept for the next server process, which would be told what was true long ago.
PATIENCE = 0.2

# What is ours alone: absent from a new status, it goes. All else there (qosClass, ...) stays.
_OWN = {"phase", "reason", "message", "hostIP", "hostIPs", "podIP", "podIPs", "startTime", "conditions"}
_OWN |= {"containerStatuses", "initContainerStatuses"}


@dataclass
class _Entry:
    pod: Obj  # the newest API object known
    status: Obj | None = None
    sent: Obj | None = None  # None also while nobody knows whether the server took the last one
    delete: bool = False
    due: float = 0.0  # not before this monotonic time
    retry: float = FIRST_RETRY
    newer: asyncio.Event = field(default_factory=asyncio.Event)  # than the status that is being sent


class Reporter:
    """One task (`run`) that works off what is dirty. While the server is away, statuses replace each other."""

    def __init__(self, client: Client, clock: Clock) -> None:
        self._client = client
        self._clock = clock
        self._entries: dict[str, _Entry] = {}
        self._dirty: dict[str, None] = {}
        self._wake = asyncio.Event()

    def report(self, pod: Obj, status: Obj) -> None:
        """`status` is the pod's; conditions of other parts are kept when it is sent."""
        entry = self._entry(pod)
        if status != (entry.status or pod.get("status")):
            entry.status = status
            entry.newer.set()
            self._mark(meta.uid(pod))

    def delete(self, pod: Obj) -> None:
        """All that ran is gone: remove the API object, after its last status."""
        entry = self._entry(pod)
        if not entry.delete:
            entry.delete = True
            self._mark(meta.uid(pod))

    def forget(self, uid: str) -> None:
        self._entries.pop(uid, None)
        self._dirty.pop(uid, None)

    async def run(self) -> None:
        """Send for ever. A pod whose status is refused waits by itself: the others go on."""
        while True:
            await self._something_due()
            now = self._clock.monotonic()
            for uid in [uid for uid in self._dirty if self._entries[uid].due <= now]:
                if uid not in self._dirty:
                    continue
                del self._dirty[uid]
                try:
                    await self._send(uid)
                except (SampanError, OSError) as error:
                    _log.warning("the status of pod %s is not written yet: %s", uid, error)
                    if entry := self._entries.get(uid):
                        self._dirty[uid] = None
                        entry.due = self._clock.monotonic() + entry.retry
                        entry.retry = min(entry.retry * 2, LAST_RETRY)
                else:
                    if entry := self._entries.get(uid):
                        entry.retry = FIRST_RETRY

    async def _something_due(self) -> None:
        """A mark, or the end of the shortest wait."""
        if self._dirty:
            due = min(self._entries[uid].due for uid in self._dirty)
            await either(self._clock, self._wake, due - self._clock.monotonic())
        else:
            await self._wake.wait()
        self._wake.clear()

    def _entry(self, pod: Obj) -> _Entry:
        entry = self._entries.setdefault(meta.uid(pod), _Entry(pod))
        if int(pod["metadata"].get("resourceVersion") or 0) >= int(entry.pod["metadata"].get("resourceVersion") or 0):
            entry.pod = pod
        return entry

    def _mark(self, uid: str) -> None:
        self._dirty[uid] = None
        self._wake.set()

    async def _send(self, uid: str) -> None:
        entry = self._entries[uid]
        try:
            while entry.status is not None and entry.status != entry.sent:
                await self._send_status(entry, entry.status)
            if entry.delete:
                name, namespace = meta.name(entry.pod), meta.namespace(entry.pod)
                await self._client.delete("pods", name, namespace, grace=0, preconditions=Preconditions(uid=uid))
        except ApiError as error:
            if error.code != 404 and not (error.code == 409 and entry.delete):
                raise
            self.forget(uid)  # the object is gone, or another pod has its name: nobody is interested any more

    async def _send_status(self, entry: _Entry, status: Obj) -> None:
        mine = {c["type"] for c in status["conditions"]}
        present = entry.pod.get("status") or {}
        others = [c for c in present.get("conditions") or () if c["type"] not in mine]
        whole = {k: v for k, v in present.items() if k not in _OWN} | status
        whole["conditions"] = status["conditions"] + others
        entry.sent = None
        entry.newer.clear()
        try:
            if pod := await self._put(entry, entry.pod | {"status": whole}):
                entry.pod, entry.sent = pod, status
        except ApiError as error:
            if error.code != 409:
                raise
            uid = meta.uid(entry.pod)
            entry.pod = await self._client.get("pods", meta.name(entry.pod), meta.namespace(entry.pod))
            if meta.uid(entry.pod) != uid:
                raise ApiError(404, "NotFound", "another pod has the name now") from None

    async def _put(self, entry: _Entry, pod: Obj) -> Obj | None:
        """The pod as the server has it then. None: given up, as the server is silent and there is a newer status."""

        async def outdated() -> None:
            await self._clock.sleep(PATIENCE)
            await entry.newer.wait()

        request = asyncio.ensure_future(self._client.update_status("pods", pod))
        limit = asyncio.ensure_future(outdated())
        try:
            await asyncio.wait((request, limit), return_when=asyncio.FIRST_COMPLETED)
            return request.result() if request.done() else None
        finally:
            limit.cancel()
            request.cancel()
            await asyncio.gather(request, limit, return_exceptions=True)  # what was given up is not sent any more
