"""When a ready pod counts as available: after it has been ready for its owner's minReadySeconds. Pure."""

from __future__ import annotations

from datetime import datetime, timedelta

from sampan.api import meta, pods
from sampan.api.meta import Obj


def until_available(pod: Obj, owner: Obj, now: datetime) -> float | None:
    """Seconds until the pod is available if it stays ready: 0 or less when it is, None when it is not even ready."""
    if not pods.is_ready(pod):
        return None
    grace = owner["spec"].get("minReadySeconds") or 0
    if not grace:
        return 0.0
    ready = meta.condition(pod, "Ready")
    assert ready is not None
    since = meta.parse_time(ready["lastTransitionTime"])
    return (since + timedelta(seconds=grace) - now).total_seconds()


def is_available(pod: Obj, owner: Obj, now: datetime) -> bool:
    wait = until_available(pod, owner, now)
    return wait is not None and wait <= 0
