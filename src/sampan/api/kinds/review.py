"""Questions to the API server: who am I, who may do what (authentication.k8s.io/v1, authorization.k8s.io/v1).

They are created, answered in their status and never stored.
"""

from __future__ import annotations

from sampan.api.scheme import Resource, Strategy

_STRATEGY = Strategy(columns=(), row=lambda obj, now: [])
AUTHENTICATION, AUTHORIZATION = "authentication.k8s.io", "authorization.k8s.io"


def _review(group: str, kind: str, namespaced: bool = False) -> Resource:
    return Resource(
        group=group,
        version="v1",
        kind=kind,
        plural=f"{kind.lower()}s",
        definition=f"io.k8s.api.{group.partition('.')[0]}.v1.{kind}",
        singular=kind.lower(),
        namespaced=namespaced,
        strategy=_STRATEGY,
        verbs=("create",),
    )


# The body of serviceaccounts/NAME/token.
TOKEN_REQUEST = _review(AUTHENTICATION, "TokenRequest")
REVIEWS = (
    _review(AUTHENTICATION, "SelfSubjectReview"),
    _review(AUTHENTICATION, "TokenReview"),
    _review(AUTHORIZATION, "LocalSubjectAccessReview", namespaced=True),
    _review(AUTHORIZATION, "SelfSubjectAccessReview"),
    _review(AUTHORIZATION, "SelfSubjectRulesReview"),
    _review(AUTHORIZATION, "SubjectAccessReview"),
)
