"""Certificates for requests of others (PKCS #10), signed by the cluster's authority.

Source: RFC 2986, RFC 5280; what each Kubernetes signer signs:
https://kubernetes.io/docs/reference/access-authn-authz/certificate-signing-requests/#kubernetes-signers
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.oid import NameOID

from sampan.ca.authority import Authority
from sampan.ca.usages import extensions

LONGEST = timedelta(days=365)
_CLIENT_USAGES = frozenset({"digital signature", "key encipherment", "client auth"})
_SERVING_USAGES = frozenset({"digital signature", "key encipherment", "server auth"})

# signer → (usages it signs, one that must be asked for); None: any.
SIGNERS: dict[str, tuple[frozenset[str], str] | None] = {
    "kubernetes.io/kube-apiserver-client": (_CLIENT_USAGES, "client auth"),
    "kubernetes.io/kube-apiserver-client-kubelet": (_CLIENT_USAGES, "client auth"),
    "kubernetes.io/kubelet-serving": (_SERVING_USAGES, "server auth"),
    "kubernetes.io/legacy-unknown": None,
}


def sign(authority: Authority, signer: str, pem: bytes, usages: Iterable[str], life: timedelta, now: datetime) -> bytes:
    """The certificate, PEM. Raises ValueError: why this signer does not sign it."""
    asked = frozenset(usages)
    request = x509.load_pem_x509_csr(pem)
    if not request.is_signature_valid:
        raise ValueError("the request is not signed with its own key")
    _check(signer, asked, request)
    until = now + min(life, LONGEST)
    builder = (
        x509.CertificateBuilder()
        .subject_name(request.subject)
        .issuer_name(authority.certificate.subject)
        .public_key(request.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(until)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key()), critical=False)
    )
    for extension, critical in extensions(asked):
        builder = builder.add_extension(extension, critical)
    if names := _alternative_names(request):
        builder = builder.add_extension(names, critical=False)
    return builder.sign(authority.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def _check(signer: str, asked: frozenset[str], request: x509.CertificateSigningRequest) -> None:
    rule = SIGNERS[signer]
    if rule is None:
        return
    allowed, needed = rule
    if not asked <= allowed or needed not in asked:
        raise ValueError(f"usages did not match {sorted(allowed)}")
    if signer.endswith(("kubelet-serving", "client-kubelet")):
        names = [str(n.value) for n in request.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
        groups = [str(n.value) for n in request.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)]
        if groups != ["system:nodes"]:
            raise ValueError("subject organization is not system:nodes")
        if not names or not names[0].startswith("system:node:"):
            raise ValueError("subject common name does not begin with system:node:")


def _alternative_names(request: x509.CertificateSigningRequest) -> x509.SubjectAlternativeName | None:
    try:
        return request.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return None
