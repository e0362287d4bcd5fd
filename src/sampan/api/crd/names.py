"""Which names a CustomResourceDefinition gets, and its conditions: what others of its group have is refused.

Source: k8s.io/apiextensions-apiserver/pkg/controller/{status,establish,apiapproval}
"""

from __future__ import annotations

from collections.abc import Iterable

from sampan.api import meta
from sampan.api.kinds.customresourcedefinition import APPROVED
from sampan.api.meta import Obj


def status_of(crd: Obj, others: Iterable[Obj], now: str) -> Obj:
    """The status a definition should have; `others`: all other definitions."""
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
