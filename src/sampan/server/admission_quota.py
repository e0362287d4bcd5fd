"""ResourceQuota: refuses what would use more of a namespace than its quotas allow.

What is used is counted from the store itself, plus the writes that are admitted but not stored yet: two requests at
the same moment cannot both take the last place.
Source: https://kubernetes.io/docs/concepts/policy/resource-quotas/ (texts of the resourcequota admission plugin)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sampan.api import meta, quota
from sampan.api.meta import Obj
from sampan.api.quantity import Quantity
from sampan.api.status import forbidden
from sampan.base.clock import Clock

if TYPE_CHECKING:
    from sampan.server.admission import Attributes

QUOTAS = "resourcequotas"
# A write that was admitted is stored within this time or has failed.
_PATIENCE = 2.0
_MOST_KNOWN = 20_000


class QuotaAdmission:
    """`__call__` is the plugin. Remembers the writes on their way, by namespace, and what objects count for."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._known: dict[str, tuple[str, quota.Amounts]] = {}
        self._coming: dict[str, dict[str, tuple[float, str, Obj]]] = {}

    def __call__(self, request: Attributes) -> None:
        obj = request.obj
        if obj is None or not request.resource.namespaced or request.subresource:
            return
        if request.operation not in ("CREATE", "UPDATE") or not request.resource.stored:
            return
        quotas = request.scan(QUOTAS, request.namespace)
        if not quotas:
            return
        resource = request.resource.id
        for one in quotas:
            self._check(one, resource, obj, request)
        if request.operation == "CREATE" and not request.dry_run:
            coming = self._coming.setdefault(request.namespace, {})
            coming[meta.uid(obj)] = self._clock.monotonic() + _PATIENCE, resource, obj

    def _check(self, one: Obj, resource: str, obj: Obj, request: Attributes) -> None:
        names = {n for n in one["spec"].get("hard") or () if quota.resource_of(n) == resource}
        if not names or not quota.in_scope(one, resource, obj):
            return
        if resource == "pods" and request.operation == "CREATE" and (lacking := quota.unstated(names, obj)):
            listed = "; ".join(f"{name} for: {','.join(containers)}" for name, containers in lacking.items())
            raise forbidden(resource, request.name, f"failed quota: {meta.name(one)}: must specify {listed}")
        added = {n: q for n, q in quota.usage(resource, obj).items() if n in names}
        if request.old is not None:
            before = quota.usage(resource, request.old)
            added = {n: q - before.get(n, Quantity.ZERO) for n, q in added.items()}
        added = {n: q for n, q in added.items() if q > Quantity.ZERO}
        if not added:
            return
        used = quota.total(one, resource, self._present(resource, request), self._usage)
        hard = {n: Quantity.parse(text) for n, text in one["spec"]["hard"].items() if n in added}
        over = sorted(n for n, q in added.items() if used[n] + q > hard[n])
        if over:
            parts = (("requested", added), ("used", used), ("limited", hard))
            shown = ", ".join(f"{word}: {','.join(f'{n}={amounts[n]}' for n in over)}" for word, amounts in parts)
            raise forbidden(resource, request.name, f"exceeded quota: {meta.name(one)}, {shown}")

    def _usage(self, resource: str, obj: Obj) -> quota.Amounts:
        """Computed once for each state of an object: parsing amounts is dear."""
        uid, revision = meta.uid(obj), obj["metadata"].get("resourceVersion", "")
        known = self._known.get(uid)
        if known is not None and known[0] == revision:
            return known[1]
        if len(self._known) >= _MOST_KNOWN:
            self._known.clear()
        found = quota.usage(resource, obj)
        self._known[uid] = revision, found
        return found

    def _present(self, resource: str, request: Attributes) -> list[Obj]:
        """The stored objects of the namespace, and those on their way there."""
        stored = request.scan(resource, request.namespace)
        coming = self._coming.get(request.namespace)
        if not coming:
            return stored
        known = {meta.key(obj) for obj in stored}
        own = meta.uid(request.obj) if request.obj else ""
        now = self._clock.monotonic()
        for uid, (until, kind, obj) in list(coming.items()):
            if until < now or (kind == resource and meta.key(obj) in known):
                del coming[uid]
        return stored + [obj for uid, (_, kind, obj) in coming.items() if kind == resource and uid != own]
