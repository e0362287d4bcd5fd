"""Acting as somebody else: the Impersonate-* headers (`kubectl --as`, `--as-group`, `--as-uid`).

Source: https://kubernetes.io/docs/reference/access-authn-authz/authentication/#user-impersonation
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import unquote

from sampan.api.rbac import Ask
from sampan.api.status import internal
from sampan.server.authn import ANONYMOUS, AUTHENTICATED, service_account_groups
from sampan.server.authz import Authorizer
from sampan.server.types import User

USER, _GROUP, _UID, _EXTRA = "impersonate-user", "impersonate-group", "impersonate-uid", "impersonate-extra-"
_GROUPS = "authentication.k8s.io"
_ACCOUNT = "system:serviceaccount:"


def impersonated(headers: Mapping[str, str], user: User, authorizer: Authorizer) -> User:
    """Who the request is to be done as: `user` without such headers. Raises ApiError 403, 500."""
    name = headers.get(USER)
    if name is None:
        if _GROUP in headers or _UID in headers:
            raise internal("requested groups or uid without impersonating a user")
        return user
    asks = [_about_user(name)]
    groups = tuple(group for group in headers.get(_GROUP, "").split(", ") if group)
    asks += [Ask("impersonate", resource="groups", name=group) for group in groups]
    uid = headers.get(_UID, "")
    if uid:
        asks.append(Ask("impersonate", _GROUPS, "uids", name=uid))
    extra = {
        unquote(header.removeprefix(_EXTRA)): tuple(value.split(", "))
        for header, value in headers.items()
        if header.startswith(_EXTRA)
    }
    asks += [Ask("impersonate", _GROUPS, f"userextras/{k}", name=v) for k, values in extra.items() for v in values]
    for ask in asks:
        authorizer.check(user, ask)
    return User(name, _all_groups(name, groups), uid, tuple(sorted(extra.items())))


def _about_user(name: str) -> Ask:
    if name.startswith(_ACCOUNT) and name.count(":") == 3:
        _, _, namespace, account = name.split(":")
        return Ask("impersonate", resource="serviceaccounts", namespace=namespace, name=account)
    return Ask("impersonate", resource="users", name=name)


def _all_groups(name: str, groups: tuple[str, ...]) -> tuple[str, ...]:
    """The groups given, else those of a service account; and whether they are somebody."""
    if not groups and name.startswith(_ACCOUNT) and name.count(":") == 3:
        groups = service_account_groups(name.split(":")[2])
    if name == ANONYMOUS.name:
        return groups if ANONYMOUS.groups[0] in groups else (*groups, *ANONYMOUS.groups)
    return groups if {AUTHENTICATED, ANONYMOUS.groups[0]} & set(groups) else (*groups, AUTHENTICATED)
