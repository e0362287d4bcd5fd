"""CustomResourceDefinitions: names are accepted or refused, objects go with their definition.

Source: k8s.io/apiextensions-apiserver/pkg/controller/{status,establish,finalizer,apiapproval}
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping

from sampan.api import meta
from sampan.api.kinds.customresourcedefinition import APPROVED, FINALIZER, ID
from sampan.api.meta import Key, Obj
from sampan.api.status import ApiError
from sampan.client.env import After, Cache, Controller, Env
from sampan.controllers.writes import remove

RESOURCE = ID
# Objects that do not vanish at once (finalizers) are looked at again after so many seconds.
AGAIN = 0.5


def controller() -> Controller:
    return Controller("customresourcedefinition-controller", {ID: _concerns}, reconcile, workers=2)


def trim(crd: Obj) -> Obj:
    """A definition without its schemas: all that controllers need of it, a hundredth of its size."""
    versions = [{k: v for k, v in version.items() if k != "schema"} for version in crd["spec"].get("versions") or ()]
    return {**crd, "spec": {**crd["spec"], "versions": versions}}


def _concerns(crd: Obj, caches: Mapping[str, Cache]) -> Iterator[Key]:
    """Itself, and those of its group that wait for a name."""
    yield meta.key(crd)
    for other in caches[ID].list():
        if other["spec"]["group"] == crd["spec"]["group"] and not meta.is_true(other, "NamesAccepted"):
            yield meta.key(other)


async def reconcile(key: Key, env: Env) -> After | None:
    crd = env.caches[ID].get(key)
    if crd is None:
        return None
    if meta.deleting(crd) and FINALIZER in (crd["metadata"].get("finalizers") or ()):
        return await _clean(crd, env)
    others = [o for o in env.caches[ID].list() if meta.uid(o) != meta.uid(crd)]
    status = _status(crd, others, meta.timestamp(env.clock.now()))
    if status != crd.get("status"):
        await _write(crd, status, env)
    return None


# -- names


def _status(crd: Obj, others: Iterable[Obj], now: str) -> Obj:
    old = crd.get("status") or {}
    names, conflicts = _accept(crd["spec"]["names"], old.get("acceptedNames") or {}, crd["spec"]["group"], others)
    wanted = [_approval(crd)] if APPROVED in meta.annotations(crd) else []
    if conflicts:
        reason = conflicts[0][0] if len(conflicts) == 1 else "MultipleConflicts"
        wanted.append(("NamesAccepted", "False", reason, ", ".join(text for _, text in conflicts)))
    else:
        wanted.append(("NamesAccepted", "True", "NoConflicts", "no conflicts found"))
    if not conflicts or meta.is_true(crd, "Established"):
        wanted.append(("Established", "True", "InitialNamesAccepted", "the initial names have been accepted"))
    else:
        wanted.append(("Established", "False", "NotAccepted", "not all names are accepted"))
    storage = [v["name"] for v in crd["spec"]["versions"] if v.get("storage")]
    stored = list(old.get("storedVersions") or ())
    return {
        "conditions": _conditions(old.get("conditions") or [], wanted, now),
        "acceptedNames": names,
        "storedVersions": stored + [name for name in storage if name not in stored],
    }


def _accept(wanted: Obj, accepted: Obj, group: str, others: Iterable[Obj]) -> tuple[Obj, list[tuple[str, str]]]:
    """The names that nobody else in the group has; for the others those accepted before stay."""
    taken: set[str] = set()
    kinds: set[str] = set()
    for other in others:
        if other["spec"]["group"] == group:
            theirs = (other.get("status") or {}).get("acceptedNames") or {}
            taken |= {theirs.get("plural", ""), theirs.get("singular", ""), *(theirs.get("shortNames") or ())}
            kinds |= {theirs.get("kind", ""), theirs.get("listKind", "")}
    names: Obj = {"plural": "", "kind": ""}
    conflicts = []
    for key, used in (("plural", taken), ("singular", taken), ("kind", kinds), ("listKind", kinds)):
        if wanted.get(key) and wanted[key] in used:
            conflicts.append((f"{key[0].upper()}{key[1:]}Conflict", f'"{wanted[key]}" is already in use'))
            names |= {key: accepted[key]} if accepted.get(key) else {}
        elif wanted.get(key):
            names[key] = wanted[key]
    short = wanted.get("shortNames") or []
    if clashing := [name for name in short if name in taken]:
        conflicts += [("ShortNamesConflict", f'"{name}" is already in use') for name in clashing]
        short = accepted.get("shortNames") or []
    if short:
        names["shortNames"] = short
    if wanted.get("categories"):
        names["categories"] = wanted["categories"]
    return names, conflicts


def _approval(crd: Obj) -> tuple[str, str, str, str]:
    text = meta.annotations(crd)[APPROVED]
    kind = "KubernetesAPIApprovalPolicyConformant"
    if text.startswith("unapproved"):
        return kind, "False", "UnapprovedAnnotation", f'not approved: "{text}"'
    return kind, "True", "ApprovedAnnotation", f"approved in {text}"


def _conditions(old: list[Obj], wanted: list[tuple[str, str, str, str]], now: str) -> list[Obj]:
    before = {c["type"]: c for c in old}
    found = []
    for kind, status, reason, message in wanted:
        same = before.get(kind, {}).get("status") == status
        since = before[kind]["lastTransitionTime"] if same else now
        found.append(
            {"type": kind, "status": status, "lastTransitionTime": since, "reason": reason, "message": message}
        )
    return found


async def _write(crd: Obj, status: Obj, env: Env) -> None:
    patch = {
        "metadata": {"uid": meta.uid(crd), "resourceVersion": crd["metadata"]["resourceVersion"]},
        "status": status,
    }
    try:
        await env.client.patch(ID, meta.name(crd), "", patch, subresource="status")
    except ApiError as error:
        if error.code != 404:
            raise


# -- the end


async def _clean(crd: Obj, env: Env) -> After | None:
    """Delete all objects, then let the definition go."""
    left = await _objects(crd, env)
    await asyncio.gather(*(remove(env, meta.name(crd), obj) for obj in left if not meta.deleting(obj)))
    if left and await _objects(crd, env):
        await _terminating(crd, env)
        return After(AGAIN)
    kept = [f for f in crd["metadata"]["finalizers"] if f != FINALIZER]
    try:
        await env.client.patch(ID, meta.name(crd), "", {"metadata": {"finalizers": kept or None}})
    except ApiError as error:
        if error.code != 404:
            raise
    return None


async def _objects(crd: Obj, env: Env) -> list[Obj]:
    """What there is of the definition's kind; nothing when it was never served."""
    try:
        return list((await env.client.list(meta.name(crd))).items)
    except ApiError as error:
        if error.code != 404:
            raise
        return []


async def _terminating(crd: Obj, env: Env) -> None:
    if meta.is_true(crd, "Terminating"):
        return
    condition = {
        "type": "Terminating",
        "status": "True",
        "lastTransitionTime": meta.timestamp(env.clock.now()),
        "reason": "InstanceDeletionInProgress",
        "message": "CustomResource deletion is in progress",
    }
    old = crd.get("status") or {}
    await _write(crd, {**old, "conditions": [*(old.get("conditions") or ()), condition]}, env)
