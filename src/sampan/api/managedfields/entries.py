"""metadata.managedFields: who owns which fields, after an update and after a server-side apply.

An entry is the JSON of a ManagedFieldsEntry. Lists of entries are read-only; a change gives a new list.
Source: https://kubernetes.io/docs/reference/using-api/server-side-apply/, sigs.k8s.io/structured-merge-diff/v4/merge,
k8s.io/apimachinery/pkg/util/managedfields (1.32).
"""

from __future__ import annotations

from typing import Any, NamedTuple

from sampan.api import fields as faults
from sampan.api.managedfields import sets
from sampan.api.managedfields.sets import Fields
from sampan.api.managedfields.types import Type
from sampan.api.meta import Obj
from sampan.api.status import ApiError

Entries = list[dict[str, Any]]
APPLY, UPDATE = "Apply", "Update"
# Older entries of updates beyond these become one of this name.
_MOST_UPDATERS, _ANCIENT = 10, "ancient-changes"
_LONGEST_NAME = 128


class Writer(NamedTuple):
    """Who writes, through which version of the API; `status`: has the kind a status that only its subresource sets?"""

    manager: str
    version: str
    subresource: str = ""
    status: bool = False


def manager_name(asked: str, user_agent: str) -> str:
    """The manager of a request: ?fieldManager=, or what stands before the first slash of its User-Agent."""
    if asked:
        return asked
    name = user_agent.partition("/")[0]
    return "".join(c for c in name if c.isprintable())[:_LONGEST_NAME] or "unknown"


def is_reset(entries: Any) -> bool:
    """Does a client ask to forget all owners ([{}])?"""
    return isinstance(entries, list) and entries == [{}]


def update(kind: Type, entries: Entries, old: Obj, new: Obj, by: Writer, now: str) -> Entries:
    """The owners after `by` made `new` of `old` ({} for a new object). The same list when no field changed."""
    found = kind.diff(old, new)
    changed, removed = _scope(found.changed or {}, by), _scope(found.removed or {}, by)
    if not changed and not removed:
        return entries
    touched = sets.union(changed, removed)
    mine: Entries = []
    others: Entries = []
    for entry in entries:
        left = sets.difference(entry.get("fieldsV1") or {}, touched)
        if _same_writer(entry, UPDATE, by):
            mine.append(_with(entry, left))
        elif left:
            others.append(_with(entry, left))
    if changed:
        before = mine[0]["fieldsV1"] if mine else {}
        mine = [_entry(UPDATE, by, now, sets.union(before, changed))]
    return _sorted(_capped([*others, *(e for e in mine if e["fieldsV1"])]))


class Applied(NamedTuple):
    obj: Obj
    entries: Entries


def apply(kind: Type, entries: Entries, live: Obj, config: Obj, by: Writer, now: str, force: bool) -> Applied:
    """`live` ({} for a new object) with the fields of `config`, which `by` then owns.

    What `by` applied before and no longer says goes, unless another owns it. Raises ApiError 409 for fields of others
    that would change, unless `force`.
    """
    config = _scoped_object(config, by)
    wanted = kind.fields(config, False) or {}
    last: Fields = {}
    others: Entries = []
    for entry in entries:
        if _same_writer(entry, APPLY, by):
            last = entry.get("fieldsV1") or {}
        else:
            others.append(entry)
    owned = wanted
    for entry in others:
        owned = sets.union(owned, entry.get("fieldsV1") or {})
    gone = _keep_metadata(sets.difference(kind.ensure(last), kind.ensure(owned)))
    new: Obj = kind.remove(kind.merge(live, config), gone) or {}
    found = kind.diff(live, new)
    changed, removed = _scope(found.changed or {}, by), _scope(found.removed or {}, by)
    if not force:
        _check_conflicts(others, changed)
    touched = sets.union(changed, removed)
    kept = [_with(e, left) for e in others if (left := sets.difference(e.get("fieldsV1") or {}, touched))]
    wanted = _scope(wanted, by)
    own = [_entry(APPLY, by, now, wanted)] if wanted else []
    if not touched and wanted == last:
        return Applied(new, entries)
    return Applied(new, _sorted([*kept, *own]))


def _check_conflicts(others: Entries, changed: Fields) -> None:
    found = [
        (_shown(entry), path)
        for entry in others
        for path in sets.paths(sets.intersection(entry.get("fieldsV1") or {}, changed))
    ]
    if not found:
        return
    if len(found) == 1:
        text = f"Apply failed with 1 conflict: conflict with {found[0][0]}: {found[0][1]}"
    else:
        lines = []
        for manager in sorted({manager for manager, _ in found}):
            lines.append(f"conflicts with {manager}:")
            lines += [f"- {path}" for other, path in found if other == manager]
        text = f"Apply failed with {len(found)} conflicts: " + "\n".join(lines)
    causes = [{"reason": "FieldManagerConflict", "message": f"conflict with {m}", "field": path} for m, path in found]
    raise ApiError(409, "Conflict", text, {"causes": causes})


def _shown(entry: dict[str, Any]) -> str:
    """A manager as conflicts name it."""
    text = faults.quote(entry.get("manager", ""))
    if sub := entry.get("subresource"):
        text += f" with subresource {faults.quote(sub)}"
    if entry.get("operation") != UPDATE:
        return text
    return f"{text} using {entry.get('apiVersion', '')}"


def _scope(fields: Fields, by: Writer) -> Fields:
    """Of the fields, those that this endpoint can set: the status through its subresource, all else without it."""
    if by.subresource == "status":
        return {key: node for key, node in fields.items() if key == "f:status"}
    if by.status and "f:status" in fields:
        return {key: node for key, node in fields.items() if key != "f:status"}
    return fields


def _scoped_object(config: Obj, by: Writer) -> Obj:
    if by.subresource == "status":
        return {key: value for key, value in config.items() if key in ("apiVersion", "kind", "metadata", "status")}
    return {key: value for key, value in config.items() if not (by.status and key == "status")}


def _keep_metadata(gone: Fields) -> Fields:
    node = gone.get("f:metadata")
    if node is None:
        return gone
    return {**gone, "f:metadata": {key: inner for key, inner in node.items() if key != sets.SELF} or {"f:": {}}}


def _same_writer(entry: dict[str, Any], operation: str, by: Writer) -> bool:
    """An applier stays the same when it changes to another version; an updater does not."""
    return (
        entry.get("manager") == by.manager
        and entry.get("operation") == operation
        and entry.get("subresource", "") == by.subresource
        and (operation == APPLY or entry.get("apiVersion") == by.version)
    )


def _entry(operation: str, by: Writer, now: str, fields: Fields) -> dict[str, Any]:
    entry = {
        "manager": by.manager,
        "operation": operation,
        "apiVersion": by.version,
        "time": now,
        "fieldsType": "FieldsV1",
        "fieldsV1": fields,
    }
    return {**entry, "subresource": by.subresource} if by.subresource else entry


def _with(entry: dict[str, Any], fields: Fields) -> dict[str, Any]:
    return entry if fields is entry.get("fieldsV1") else {**entry, "fieldsV1": fields}


def _sorted(entries: Entries) -> Entries:
    names = ("operation", "time", "manager", "apiVersion", "subresource")
    return sorted(entries, key=lambda entry: [entry.get(name) or "" for name in names])


def _capped(entries: Entries) -> Entries:
    """At most so many updaters: the oldest become one a version, so that the object cannot grow without end."""
    updates = sorted((e for e in entries if e.get("operation") == UPDATE), key=lambda e: e.get("time") or "")
    if len(updates) <= _MOST_UPDATERS:
        return entries
    ancient: dict[str, dict[str, Any]] = {}
    for entry in updates[: len(updates) - _MOST_UPDATERS + 1]:
        version = entry.get("apiVersion", "")
        before = ancient.get(version)
        fields = sets.union(before["fieldsV1"] if before else {}, entry.get("fieldsV1") or {})
        ancient[version] = {**entry, "manager": _ANCIENT, "fieldsV1": fields}
        ancient[version].pop("subresource", None)
    recent = updates[len(updates) - _MOST_UPDATERS + 1 :]
    return [*(e for e in entries if e.get("operation") != UPDATE), *ancient.values(), *recent]
