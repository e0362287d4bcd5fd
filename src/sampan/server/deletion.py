"""What a delete does to an object: a pure decision.

Source: k8s.io/apiserver/pkg/registry/rest/delete.go (BeforeDelete), registry/generic/registry/store.go
(deletionFinalizersForGarbageCollection), kubernetes/pkg/registry/core/pod/strategy.go (CheckGracefulDelete).
"""

from __future__ import annotations

from datetime import datetime, timedelta

from sampan.api import pods
from sampan.api.meta import Obj, parse_time, timestamp
from sampan.api.status import ApiError, conflict
from sampan.server.binding import Binding
from sampan.server.types import Deletion

_FINALIZERS = {"Foreground": "foregroundDeletion", "Orphan": "orphan"}
_PROPAGATIONS = ("Background", "Foreground", "Orphan")


def check(binding: Binding, obj: Obj, asked: Deletion) -> None:
    """Preconditions. Raises ApiError 409, or 422 for a propagation policy that does not exist."""
    metadata = obj["metadata"]
    name = metadata["name"]
    if asked.uid and asked.uid != metadata["uid"]:
        why = f"Precondition failed: UID in precondition: {asked.uid}, UID in object meta: {metadata['uid']}"
        raise conflict(binding.id, name, why)
    if asked.revision and asked.revision != metadata["resourceVersion"]:
        now = metadata["resourceVersion"]
        why = (
            "Precondition failed: ResourceVersion in precondition: "
            f"{asked.revision}, ResourceVersion in object meta: {now}"
        )
        raise conflict(binding.id, name, why)
    if asked.propagation and asked.propagation not in _PROPAGATIONS:
        listed = ", ".join(f'"{p}"' for p in (*_PROPAGATIONS, "nil"))
        raise ApiError(
            422,
            "Invalid",
            f'DeleteOptions.meta.k8s.io "" is invalid: propagationPolicy: Unsupported value: "{asked.propagation}": '
            f"supported values: {listed}",
        )


def mark(binding: Binding, old: Obj, asked: Deletion, now: datetime) -> Obj | None:
    """The object as it is to be kept (marked as deleting), or None when it is to be removed at once."""
    old = binding.resource.strategy.on_delete(old)
    metadata = dict(old["metadata"])
    finalizers = _finalizers(metadata.get("finalizers") or [], asked.propagation, binding.resource.strategy.orphans)
    wait = _grace(binding, old, asked)
    if finalizers:
        metadata["finalizers"] = finalizers
    else:
        metadata.pop("finalizers", None)
    if wait <= 0 and not finalizers and not _namespace_content(binding, old):
        return None
    if "deletionTimestamp" not in metadata:
        metadata["deletionTimestamp"] = timestamp(now + timedelta(seconds=wait))
        metadata["deletionGracePeriodSeconds"] = wait
        if metadata.get("generation"):
            metadata["generation"] += 1
    elif wait < (before := metadata.get("deletionGracePeriodSeconds") or 0):
        start = parse_time(metadata["deletionTimestamp"]) - timedelta(seconds=before)
        metadata["deletionTimestamp"] = timestamp(start + timedelta(seconds=wait))
        metadata["deletionGracePeriodSeconds"] = wait
    new = {**old, "metadata": metadata}
    if binding.id == "namespaces":
        new["status"] = {**(old.get("status") or {}), "phase": "Terminating"}
    return new


def finished(binding: Binding, obj: Obj) -> bool:
    """Does nothing hold a deleting object any longer, so that this update is its end?"""
    metadata = obj["metadata"]
    return (
        "deletionTimestamp" in metadata
        and not metadata.get("finalizers")
        and not metadata.get("deletionGracePeriodSeconds")
        and not _namespace_content(binding, obj)
    )


def _namespace_content(binding: Binding, obj: Obj) -> bool:
    """A namespace stays until its spec.finalizers are gone (the namespace controller empties it first)."""
    return binding.id == "namespaces" and bool((obj.get("spec") or {}).get("finalizers"))


def _finalizers(present: list[str], propagation: str, orphans: bool) -> list[str]:
    """The finalizers of the garbage collector follow the policy asked for; without one they stay as they are, and the
    kind's default (`orphans`) decides when there are none."""
    if not propagation:
        undecided = not any(f in present for f in _FINALIZERS.values())
        return [*present, _FINALIZERS["Orphan"]] if orphans and undecided else present
    wanted = _FINALIZERS.get(propagation)
    kept = [f for f in present if f not in _FINALIZERS.values()]
    return [*kept, wanted] if wanted else kept


def _grace(binding: Binding, obj: Obj, asked: Deletion) -> int:
    """Seconds the object still has; only pods have any."""
    if not binding.graceful:
        return 0
    metadata = obj["metadata"]
    if "deletionTimestamp" not in metadata:
        return pods.deletion_grace_period(obj, asked.grace)
    # Once deletion is under way the time can only get shorter.
    remaining = int(metadata.get("deletionGracePeriodSeconds") or 0)
    return remaining if asked.grace is None else min(remaining, max(asked.grace, 0))
