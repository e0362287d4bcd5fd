"""Names of the cluster (CoreDNS' kubernetes plugin)."""

from __future__ import annotations

from collections.abc import Callable

from sampan.dns.types import SERVFAIL, Answer, Query
from sampan.dns.zone import Zone


class Kubernetes:
    """Answers from the zone. A name not known before the caches are complete is SERVFAIL, never a false NXDOMAIN."""

    def __init__(self, zone: Zone, synced: Callable[[], bool]) -> None:
        self._zone = zone
        self._synced = synced

    async def answer(self, query: Query) -> Answer | None:
        found = self._zone.lookup(query.name, query.type)
        if found is not None and not found.records and not self._synced():
            return Answer(SERVFAIL)
        return found
