"""How long a Job waits before it replaces failed pods: 10 s, 20 s, 40 s, … up to 10 min, anew after each success.

Only remembered, as in Kubernetes: after a restart of the server a failing Job starts from the shortest wait.
Source: https://kubernetes.io/docs/concepts/workloads/controllers/job/#pod-backoff-failure-policy
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from sampan.api import meta, pods
from sampan.api.meta import Key, Obj
from sampan.controllers import job_pods

_FIRST, _LONGEST = 10.0, 600.0


class Backoff:
    """Failures since the last success, by Job; of a Job with backoffLimitPerIndex by index, too."""

    def __init__(self) -> None:
        self._failures: dict[Key, dict[int | None, tuple[int, datetime]]] = {}

    def note(self, key: Key, job: Obj, ended: Iterable[Obj], now: datetime) -> None:
        per_index = job["spec"].get("backoffLimitPerIndex") is not None
        known = self._failures.setdefault(key, {})
        for pod in sorted(ended, key=job_pods.ended_at):
            number = job_pods.index(pod) if per_index else None
            if pods.phase(pod) == "Succeeded":
                known.pop(number, None)
            else:
                ended_at = job_pods.ended_at(pod)
                count = known.get(number, (0, now))[0] + 1
                known[number] = count, meta.parse_time(ended_at) if ended_at else now

    def left(self, key: Key, job: Obj, number: int | None, now: datetime) -> float:
        """Seconds until the next pod (for this index) may be made; 0 or less: now."""
        per_index = job["spec"].get("backoffLimitPerIndex") is not None
        count, last = self._failures.get(key, {}).get(number if per_index else None, (0, now))
        if not count:
            return 0.0
        return min(_FIRST * 2.0 ** min(count - 1, 32), _LONGEST) - (now - last).total_seconds()

    def forget(self, key: Key) -> None:
        self._failures.pop(key, None)
