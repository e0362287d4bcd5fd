"""Questions about oneself: `kubectl auth can-i` and `kubectl auth whoami`. They are answered and never stored.

Source: https://kubernetes.io/docs/reference/access-authn-authz/authorization/#checking-api-access
"""

from __future__ import annotations

from collections.abc import Callable

from sampan.api.meta import Obj
from sampan.server import authz
from sampan.server.types import User


def access(user: User, body: Obj) -> Obj:
    """The status of a SelfSubjectAccessReview."""
    if authz.may_all(user):
        return {"allowed": True}
    spec = body.get("spec") or {}
    path = (spec.get("nonResourceAttributes") or {}).get("path", "")
    return {"allowed": authz.is_public(path) if path else False}


def subject(user: User, body: Obj) -> Obj:
    """The status of a SelfSubjectReview."""
    info = {"username": user.name, "groups": list(user.groups)}
    return {"userInfo": info | ({"uid": user.uid} if user.uid else {})}


# path → (definition of the body, what makes the status)
REVIEWS: dict[str, tuple[str, Callable[[User, Obj], Obj]]] = {
    "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews": (
        "io.k8s.api.authorization.v1.SelfSubjectAccessReview",
        access,
    ),
    "/apis/authentication.k8s.io/v1/selfsubjectreviews": ("io.k8s.api.authentication.v1.SelfSubjectReview", subject),
}
