"""Nobody grants what he does not have: checks of the writes of roles and bindings.

Source: https://kubernetes.io/docs/reference/access-authn-authz/rbac/#privilege-escalation-prevention-and-bootstrapping
"""

from __future__ import annotations

from collections.abc import Callable

from sampan.api import rbac
from sampan.api.fields import quote
from sampan.api.meta import Obj
from sampan.api.rbac import GROUP, Ask
from sampan.api.status import forbidden, not_found
from sampan.server.admission import Attributes
from sampan.server.authz import BINDINGS, CLUSTER_BINDINGS, CLUSTER_ROLES, MASTERS, ROLES, Authorizer
from sampan.server.types import User

Guard = Callable[[Attributes], None]
_EVERYTHING = [
    {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]},
    {"verbs": ["*"], "nonResourceURLs": ["*"]},
]


def guards(authorizer: Authorizer) -> dict[str, Guard]:
    """resource → check of a create or update, for the registry. They raise ApiError 403."""

    def role(request: Attributes) -> None:
        new = request.obj
        if new is None or MASTERS in request.user.groups or not _changed(request, "rules", "aggregationRule"):
            return
        plural = request.resource.plural
        if authorizer.allows(request.user, Ask("escalate", GROUP, plural, request.namespace, request.name)):
            return
        _confirm(authorizer, request, new.get("rules") or [])
        if new.get("aggregationRule"):  # it may come to hold anything
            _confirm(authorizer, request, _EVERYTHING)

    def binding(request: Attributes) -> None:
        new = request.obj
        if new is None or MASTERS in request.user.groups or not _changed(request, "roleRef", "subjects"):
            return
        target = new.get("roleRef") or {}
        kind, name = target.get("kind"), target.get("name") or ""
        if kind not in ("Role", "ClusterRole"):
            return  # validation says what is wrong with it
        plural = f"{kind.lower()}s"
        if authorizer.allows(request.user, Ask("bind", GROUP, plural, request.namespace, name)):
            return
        rules = authorizer.role_rules(target, request.namespace)
        if rules is None:
            raise not_found(f"{plural}.{GROUP}", name)
        _confirm(authorizer, request, rules)

    return {ROLES: role, CLUSTER_ROLES: role, BINDINGS: binding, CLUSTER_BINDINGS: binding}


def _changed(request: Attributes, *fields: str) -> bool:
    old, new = request.old, request.obj
    return old is None or new is None or any(old.get(field) != new.get(field) for field in fields)


def _confirm(authorizer: Authorizer, request: Attributes, wanted: list[Obj]) -> None:
    held, unknown = authorizer.rules(request.user, request.namespace)
    if lacking := rbac.compact(rbac.missing(held, wanted)):
        raise forbidden(request.resource.id, request.name, _text(request.user, lacking, unknown))


def _text(user: User, lacking: list[Obj], unknown: list[str]) -> str:
    listed = "\n".join(sorted({rbac.shown(rule) for rule in lacking}))
    text = (
        f"user {quote(user.name)} (groups={rbac.quoted(user.groups)}) is attempting to grant RBAC permissions "
        f"not currently held:\n{listed}"
    )
    return f"{text}; resolution errors: [{', '.join(f'{role} not found' for role in unknown)}]" if unknown else text
