"""Who asks: client certificate, bearer token, or nobody.

Source: https://kubernetes.io/docs/reference/access-authn-authz/authentication/
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Mapping
from functools import lru_cache
from hashlib import sha256

from sampan.api.status import unauthorized
from sampan.base.http.types import Request
from sampan.server.types import User

AUTHENTICATED = "system:authenticated"
ANONYMOUS = User("system:anonymous", ("system:unauthenticated",))
_CREDENTIAL = "authentication.kubernetes.io/credential-id"

# (token, the audiences one of which it must be for) → whose it is and for which of them. Raises ApiError 401.
Judge = Callable[[str, tuple[str, ...]], tuple[User, tuple[str, ...]]]


class Authenticator:
    """`tokens`: bearer token → user. `judge`: knows the tokens of service accounts.

    Certificates were checked by TLS already: subject CN is the name, O the groups.
    """

    def __init__(self, tokens: Mapping[str, User], judge: Judge | None = None) -> None:
        self._tokens = {token.encode(): user for token, user in tokens.items()}
        self._judge = judge

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
        return self.by_token(token.strip())[0]

    def by_token(self, text: str, audiences: tuple[str, ...] = ()) -> tuple[User, tuple[str, ...]]:
        """Whose token it is, and for which of the audiences ("" the API server's own). Raises ApiError 401."""
        found, token = None, text.encode()
        for known, user in self._tokens.items():
            # Compare with all of them, in constant time: how long it takes tells nothing.
            if hmac.compare_digest(known, token):
                found = user
        if found is not None:
            return User(found.name, _with_all(found.groups), found.uid, found.extra), ()
        if self._judge is None or text.count(".") != 2:
            raise unauthorized()
        return self._judge(text, audiences)


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
    credential = (_CREDENTIAL, (f"X509SHA256={sha256(der).hexdigest()}",))
    return User(str(names[0].value), _with_all(groups), extra=(credential,))


def service_account_groups(namespace: str) -> tuple[str, ...]:
    """The groups all service accounts of a namespace are in."""
    return "system:serviceaccounts", f"system:serviceaccounts:{namespace}"


def _with_all(groups: tuple[str, ...]) -> tuple[str, ...]:
    return groups if AUTHENTICATED in groups else (*groups, AUTHENTICATED)
