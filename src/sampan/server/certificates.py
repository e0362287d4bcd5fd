"""What the server adds to CertificateSigningRequests: who asked; and who may approve or sign them.

Source: https://kubernetes.io/docs/reference/access-authn-authz/certificate-signing-requests/
"""

from __future__ import annotations

from collections.abc import Callable

from sampan.api.fields import quote
from sampan.api.kinds.certificatesigningrequest import GROUP, request_pem
from sampan.api.meta import Obj, timestamp
from sampan.api.rbac import Ask
from sampan.api.status import forbidden
from sampan.base.clock import Clock
from sampan.server.admission import Attributes
from sampan.server.authz import Authorizer
from sampan.server.types import User

_CLIENT = "kubernetes.io/kube-apiserver-client"


def guard(authorizer: Authorizer, clock: Clock) -> Callable[[Attributes], None]:
    """The check of creates and approvals, for the registry. Raises ApiError 403."""

    def check(request: Attributes) -> None:
        new = request.obj
        if new is None:
            return
        if request.operation == "CREATE":
            _create(request, new)
        elif request.subresource == "approval":
            signer = new["spec"].get("signerName") or ""
            if not _may(authorizer, request.user, "approve", signer):
                text = f"user not permitted to approve requests with signerName {quote(signer)}"
                raise forbidden(request.resource.id, request.name, text)
            now = timestamp(clock.now())
            for condition in (new.get("status") or {}).get("conditions") or ():
                for moment in ("lastUpdateTime", "lastTransitionTime"):
                    condition[moment] = condition.get(moment) or now

    return check


def _create(request: Attributes, new: Obj) -> None:
    spec, who = new.setdefault("spec", {}), request.user.info()
    for field in ("username", "uid", "groups", "extra"):
        spec.pop(field, None)
    spec |= who
    new.pop("status", None)
    if spec.get("signerName") == _CLIENT and "system:masters" in _organizations(new):
        text = f"use of {_CLIENT} signer with system:masters group is not allowed"
        raise forbidden(request.resource.id, request.name, text)


def _may(authorizer: Authorizer, user: User, verb: str, signer: str) -> bool:
    """For this signer, or for all of its domain."""
    domain = signer.partition("/")[0]
    return any(authorizer.allows(user, Ask(verb, GROUP, "signers", name=name)) for name in (signer, f"{domain}/*"))


def _organizations(obj: Obj) -> list[str]:
    from cryptography import x509  # heavy: only when somebody asks for a certificate
    from cryptography.x509.oid import NameOID

    try:
        subject = x509.load_pem_x509_csr(request_pem(obj)).subject
    except ValueError:
        return []  # validation says what is wrong with it
    return [str(part.value) for part in subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)]
