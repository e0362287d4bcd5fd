"""Who asks: client certificate, bearer token, or nobody.

Source: https://kubernetes.io/docs/reference/access-authn-authz/authentication/
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from functools import lru_cache

from sampan.api.status import unauthorized
from sampan.base.http.types import Request
from sampan.server.types import User

AUTHENTICATED = "system:authenticated"
ANONYMOUS = User("system:anonymous", ("system:unauthenticated",))


class Authenticator:
    """`tokens`: bearer token → user. Certificates were checked by TLS already: subject CN is the name, O the groups."""

    def __init__(self, tokens: Mapping[str, User]) -> None:
        self._tokens = {token.encode(): user for token, user in tokens.items()}

    def user(self, request: Request) -> User:
        """ANONYMOUS without any credentials. Raises ApiError 401 for wrong ones."""
        if request.certificate is not None:
            return from_certificate(request.certificate)
        header = request.headers.get("authorization")
        if header is None:
            return ANONYMOUS
        scheme, _, token = header.partition(" ")
        if scheme.lower() != "bearer":
            raise unauthorized()
        return self._by_token(token.strip().encode())

    def _by_token(self, token: bytes) -> User:
        found = None
        for known, user in self._tokens.items():
            # Compare with all of them, in constant time: how long it takes tells nothing.
            if hmac.compare_digest(known, token):
                found = user
        if found is None:
            raise unauthorized()
        return User(found.name, _with_all(found.groups), found.uid)


@lru_cache(maxsize=1024)
def from_certificate(der: bytes) -> User:
    """The user a certificate names. Raises ApiError 401 for one without a common name."""
    from cryptography import x509  # heavy: only when a certificate is presented
    from cryptography.x509.oid import NameOID

    subject = x509.load_der_x509_certificate(der).subject
    names = subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    if not names:
        raise unauthorized()
    groups = tuple(str(g.value) for g in subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME))
    return User(str(names[0].value), _with_all(groups))


def _with_all(groups: tuple[str, ...]) -> tuple[str, ...]:
    return groups if AUTHENTICATED in groups else (*groups, AUTHENTICATED)
