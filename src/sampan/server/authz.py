"""Who may do what: members of two groups everything, everybody a few public paths. (RBAC comes here.)"""

from __future__ import annotations

from sampan.api.scheme import Resource
from sampan.api.status import ApiError, forbidden, unauthorized
from sampan.server.authn import ANONYMOUS
from sampan.server.types import User

_ALL_POWERFUL = frozenset({"system:masters", "system:nodes"})
PUBLIC = frozenset({"/healthz", "/livez", "/readyz", "/version"})


def may_all(user: User) -> bool:
    return not _ALL_POWERFUL.isdisjoint(user.groups)


def is_public(path: str) -> bool:
    """May everybody ask for this path, also without credentials?"""
    return path.startswith("/") and "/" + path.split("/")[1] in PUBLIC


def resource_access(user: User, verb: str, resource: Resource, subresource: str, namespace: str, name: str) -> None:
    """Raises ApiError 401 or 403 when the user may not."""
    if may_all(user):
        return
    if user is ANONYMOUS:
        raise unauthorized()
    what = f"{resource.plural}/{subresource}" if subresource else resource.plural
    where = f'in the namespace "{namespace}"' if namespace else "at the cluster scope"
    why = f'User "{user.name}" cannot {verb} resource "{what}" in API group "{resource.group}" {where}'
    full = f"{what}.{resource.group}" if resource.group else what
    raise forbidden(full, name, why)


def path_access(user: User, verb: str, path: str) -> None:
    """A path that is no resource. Raises ApiError 401 or 403."""
    if may_all(user) or is_public(path):
        return
    if user is ANONYMOUS:
        raise unauthorized()
    raise ApiError(403, "Forbidden", f'forbidden: User "{user.name}" cannot {verb} path "{path}"')
