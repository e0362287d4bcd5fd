"""RoleBinding and ClusterRoleBinding (rbac.authorization.k8s.io/v1).

Source: kubernetes/pkg/apis/rbac/validation/validation.go (1.32)
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from sampan.api import fields, meta, objectmeta, validation
from sampan.api.kinds.role import segment
from sampan.api.meta import Obj
from sampan.api.rbac import GROUP
from sampan.api.scheme import Column, Resource, Strategy
from sampan.api.status import FieldError
from sampan.api.table import AGE, NAME, age

_ROLES = {True: ("ClusterRole", "Role"), False: ("ClusterRole",)}
_PEOPLE = ("User", "Group")


def _default(obj: Obj) -> None:
    role = obj.get("roleRef")
    if isinstance(role, dict) and not role.get("apiGroup"):
        role["apiGroup"] = GROUP
    for subject in obj.get("subjects") or ():
        if subject.get("kind") in _PEOPLE and not subject.get("apiGroup"):
            subject["apiGroup"] = GROUP


def _role_ref(role: Obj, namespaced: bool) -> list[FieldError]:
    found: list[FieldError] = []
    if role.get("apiGroup") != GROUP:
        found.append(fields.not_supported("roleRef.apiGroup", role.get("apiGroup") or "", (GROUP,)))
    if role.get("kind") not in _ROLES[namespaced]:
        found.append(fields.not_supported("roleRef.kind", role.get("kind") or "", _ROLES[namespaced]))
    if not role.get("name"):
        return [*found, fields.required("roleRef.name")]
    return found + validation.each(segment, "roleRef.name", role["name"])


def _subject(subject: Obj, path: str, namespaced: bool) -> list[FieldError]:
    name, group, kind = subject.get("name") or "", subject.get("apiGroup") or "", subject.get("kind") or ""
    found: list[FieldError] = [] if name else [fields.required(f"{path}.name")]
    if kind == "ServiceAccount":
        if name:
            found += validation.each(validation.dns_subdomain, f"{path}.name", name)
        if group:
            found.append(fields.not_supported(f"{path}.apiGroup", group, ("",)))
        if not namespaced and not subject.get("namespace"):
            found.append(fields.required(f"{path}.namespace"))
    elif kind in _PEOPLE:
        if group != GROUP:
            found.append(fields.not_supported(f"{path}.apiGroup", group, (GROUP,)))
    else:
        found.append(fields.not_supported(f"{path}.kind", kind, ("Group", "ServiceAccount", "User")))
    return found


def _content(obj: Obj, namespaced: bool) -> list[FieldError]:
    found = _role_ref(obj.get("roleRef") or {}, namespaced)
    for i, subject in enumerate(obj.get("subjects") or ()):
        found += _subject(subject, f"subjects[{i}]", namespaced)
    return found


def _validate(namespaced: bool) -> Callable[[Obj], list[FieldError]]:
    return lambda obj: objectmeta.validate(obj["metadata"], namespaced, segment) + _content(obj, namespaced)


def _validate_update(namespaced: bool) -> Callable[[Obj, Obj], list[FieldError]]:
    def check(new: Obj, old: Obj) -> list[FieldError]:
        found = objectmeta.validate_update(new["metadata"], old["metadata"]) + _content(new, namespaced)
        if new["roleRef"] != old["roleRef"]:
            found.append(fields.invalid("roleRef", _shown(new["roleRef"]), "cannot change roleRef"))
        return found

    return check


def _shown(role: Obj) -> fields.Raw:
    group, kind, name = (fields.quote(role.get(field) or "") for field in ("apiGroup", "kind", "name"))
    return fields.Raw(f"rbac.RoleRef{{APIGroup:{group}, Kind:{kind}, Name:{name}}}")


def _row(obj: Obj, now: datetime) -> list[Any]:
    role = obj["roleRef"]
    named: dict[str, list[str]] = {"User": [], "Group": [], "ServiceAccount": []}
    for subject in obj.get("subjects") or ():
        where = subject.get("namespace")
        named[subject["kind"]].append(f"{where}/{subject['name']}" if where else subject["name"])
    return [meta.name(obj), f"{role['kind']}/{role['name']}", age(obj, now), *(", ".join(v) for v in named.values())]


def _resource(kind: str, namespaced: bool) -> Resource:
    wide = tuple(
        Column(name, description=f"{name} in the roleBinding", priority=1)
        for name in ("Users", "Groups", "ServiceAccounts")
    )
    return Resource(
        group=GROUP,
        version="v1",
        kind=kind,
        plural=f"{kind.lower()}s",
        definition=f"io.k8s.api.rbac.v1.{kind}",
        singular=kind.lower(),
        namespaced=namespaced,
        strategy=Strategy(
            columns=(NAME, Column("Role", description="Role in the roleBinding"), AGE, *wide),
            row=_row,
            default=_default,
            validate=_validate(namespaced),
            validate_update=_validate_update(namespaced),
        ),
    )


ROLE_BINDING = _resource("RoleBinding", namespaced=True)
CLUSTER_ROLE_BINDING = _resource("ClusterRoleBinding", namespaced=False)
