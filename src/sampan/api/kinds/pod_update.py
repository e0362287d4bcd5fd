"""What may change in a Pod once it exists, in its status and in its ephemeral containers.

Source: k8s.io/kubernetes/pkg/apis/core/validation, Validate{Pod,PodStatus,PodEphemeralContainers}Update (1.32).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson

from sampan.api import fields, meta, objectmeta, pods, validation
from sampan.api.kinds.podspec_validation import validate_pod
from sampan.api.meta import Obj
from sampan.api.status import FieldError

_MAX = 2**31 - 1
_UPDATABLE = ",".join(
    (
        "`spec.containers[*].image`",
        "`spec.initContainers[*].image`",
        "`spec.activeDeadlineSeconds`",
        "`spec.tolerations` (only additions to existing tolerations)",
        "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)",
    )
)


def validate_update(new: Obj, old: Obj) -> list[FieldError]:
    found = objectmeta.validate_update(new["metadata"], old["metadata"])
    now, before = new["spec"], old["spec"]
    if now == before:  # most updates: labels, annotations
        return found + objectmeta.validate_finalizers(new["metadata"])
    found += validate_pod(new)
    for listed in ("containers", "initContainers"):
        if len(now.get(listed) or ()) != len(before.get(listed) or ()):
            return [*found, fields.forbidden(f"spec.{listed}", "pod updates may not add or remove containers")]
    deadline = _deadline(now.get("activeDeadlineSeconds"), before.get("activeDeadlineSeconds"))
    if deadline and now.get("activeDeadlineSeconds") is not None:
        return found + deadline
    found += deadline + _tolerations(now, before) + _gates(now, before)
    allowed = _with_allowed_changes_undone(now, before)
    changes = list(_changes(before, allowed, "spec"))
    if changes:
        text = f"pod updates may not change fields other than {_UPDATABLE}\n" + "\n".join(changes)
        found.append(fields.forbidden("spec", text))
    return found


def _deadline(now: int | None, before: int | None) -> list[FieldError]:
    path = "spec.activeDeadlineSeconds"
    if now is None:
        text = "must not update from a positive integer to nil value"
        return [] if before is None else [fields.invalid(path, None, text)]
    if not 0 <= now <= _MAX:
        return [fields.invalid(path, now, validation.range_text(0, _MAX))]
    if before is not None and before < now:
        return [fields.invalid(path, now, "must be less than or equal to previous value")]
    return []


def _tolerations(now: Obj, before: Obj) -> list[FieldError]:
    def essence(toleration: Obj) -> Obj:
        return {k: v for k, v in toleration.items() if k != "tolerationSeconds" and v}

    kept = [essence(t) for t in now.get("tolerations") or ()]
    if all(essence(t) in kept for t in before.get("tolerations") or ()):
        return []
    return [
        fields.forbidden("spec.tolerations", "existing toleration can not be modified except its tolerationSeconds")
    ]


def _gates(now: Obj, before: Obj) -> list[FieldError]:
    known = {g.get("name") for g in before.get("schedulingGates") or ()}
    return [
        fields.forbidden(
            f"spec.schedulingGates[{i}].name",
            f"only deletion is allowed, but found new scheduling gate '{gate.get('name', '')}'",
        )
        for i, gate in enumerate(now.get("schedulingGates") or ())
        if gate.get("name") not in known
    ]


def _with_allowed_changes_undone(now: Obj, before: Obj) -> Obj:
    """The new spec with the old values wherever a change is allowed: what differs then is not."""
    spec = meta.copy(now)
    for listed in ("containers", "initContainers"):
        for container, previous in zip(spec.get(listed) or (), before.get(listed) or (), strict=True):
            container["image"] = previous.get("image")
    for key in ("activeDeadlineSeconds", "tolerations", "schedulingGates"):
        spec[key] = before.get(key)
    grace = before.get("terminationGracePeriodSeconds")
    if grace is not None and grace < 0 and spec.get("terminationGracePeriodSeconds") == 1:
        spec["terminationGracePeriodSeconds"] = grace
    return spec


def _changes(before: Any, now: Any, path: str) -> Iterator[str]:
    """A line for each removed and added leaf. Absent and empty are the same to the API."""
    if before == now or not (before or now):
        return
    if isinstance(before, dict) and isinstance(now, dict):
        for key in sorted({*before, *now}):
            yield from _changes(before.get(key), now.get(key), f"{path}.{key}")
    elif isinstance(before, list) and isinstance(now, list):
        for i in range(max(len(before), len(now))):
            was, becomes = (values[i] if i < len(values) else None for values in (before, now))
            yield from _changes(was, becomes, f"{path}[{i}]")
    else:
        for sign, value in (("-", before), ("+", now)):
            if value is not None:
                yield f"{sign} {path}: {orjson.dumps(value).decode()}"


def validate_ephemeral(new: Obj, old: Obj) -> list[FieldError]:
    """A change of the ephemeral containers alone: they are added, and stay as they are."""
    path = "spec.ephemeralContainers"
    found = objectmeta.validate_update(new["metadata"], old["metadata"]) + validate_pod(new)
    wanted = {c.get("name"): c for c in new["spec"].get("ephemeralContainers") or ()}
    for container in old["spec"].get("ephemeralContainers") or ():
        name = container["name"]
        if name not in wanted:
            found.append(fields.forbidden(path, f'existing ephemeral containers "{name}" may not be removed\n'))
        elif wanted[name] != container:
            found.append(fields.forbidden(path, f'existing ephemeral containers "{name}" may not be changed\n'))
    return found


def validate_status(new: Obj, old: Obj) -> list[FieldError]:
    """A change of the status alone."""
    found = objectmeta.validate_update(new["metadata"], old["metadata"])
    if pods.node_name(new) != pods.node_name(old):
        found.append(fields.forbidden("status.nodeName", "may not be changed directly"))
    now, before = new.get("status") or {}, old.get("status") or {}
    if now.get("nominatedNodeName") and now["nominatedNodeName"] != before.get("nominatedNodeName"):
        found += validation.each(validation.dns_subdomain, "status.nominatedNodeName", now["nominatedNodeName"])
    if before.get("qosClass") and now.get("qosClass"):
        found += validation.immutable("status.qosClass", now["qosClass"], before["qosClass"])
    policy = old["spec"].get("restartPolicy", "Always")
    sidecars = {c["name"] for c in old["spec"].get("initContainers") or () if pods.is_sidecar(c)}
    for listed, rule, exempt in (
        ("containerStatuses", policy, set()),
        ("initContainerStatuses", policy, sidecars),
        ("ephemeralContainerStatuses", "Never", set()),
    ):
        found += _transitions(now.get(listed) or [], before.get(listed) or [], f"status.{listed}", rule, exempt)
    for i, entry in enumerate(now.get("podIPs") or ()):
        found += validation.ip(f"status.podIPs[{i}]", entry.get("ip", ""))
    return found


def _transitions(now: list[Obj], before: list[Obj], path: str, policy: str, exempt: set[str]) -> list[FieldError]:
    """Containers that ended and will not be restarted must stay ended."""
    if policy == "Always":
        return []
    found: list[FieldError] = []
    running = {entry["name"] for entry in now if not (entry.get("state") or {}).get("terminated")}
    for i, entry in enumerate(before):
        ended = (entry.get("state") or {}).get("terminated")
        may_restart = ended and ended.get("exitCode", 0) != 0 and policy == "OnFailure"
        if ended and not may_restart and entry["name"] in running - exempt:
            found.append(fields.forbidden(f"{path}[{i}].state", "may not be transitioned to non-terminated state"))
    return found
