"""Secrets of certificates: read, checked, and which of them is a host's."""

from __future__ import annotations

import base64
import binascii

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from sampan.api.meta import Obj
from sampan.gateway.ingress.annotations import PREFIX
from sampan.gateway.ingress.external import Problem
from sampan.gateway.ingress.look import SECRETS, Look
from sampan.ir import Origin, Secret


def certificate(look: Look, namespace: str, name: str) -> Secret:
    """The certificate and key of a Secret. Raises Problem saying what is wrong with it."""
    where = f"Secret {namespace}/{name}"
    secret = look.secret(namespace, name)
    if secret is None:
        raise Problem(f"{where} does not exist")
    chain, key = _pem(secret, "tls.crt", where), _pem(secret, "tls.key", where)
    _check(chain, key, where)
    return Secret(f"ingress/{namespace}/{name}", chain, key, origin=Origin(SECRETS, namespace, name))


def _check(chain: bytes, key: bytes, where: str) -> None:
    try:
        leaf = x509.load_pem_x509_certificates(chain)[0]
    except ValueError:
        raise Problem(f"{where}: tls.crt is no PEM certificate") from None
    try:
        private = serialization.load_pem_private_key(key, None)
    except (ValueError, TypeError):
        raise Problem(f"{where}: tls.key is no PEM private key without a password") from None
    form = (serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    if private.public_key().public_bytes(*form) != leaf.public_key().public_bytes(*form):
        raise Problem(f"{where}: tls.key does not belong to tls.crt")


def covers(secret: Secret, host: str) -> bool:
    """Is the certificate one for this host?"""
    leaf = x509.load_pem_x509_certificates(secret.chain)[0]
    try:
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return False
    wildcard = "*." + host.partition(".")[2]
    return any(name.lower() in (host, wildcard) for name in names.get_values_for_type(x509.DNSName))


def ca_secret(look: Look, namespace: str, name: str, annotation: str) -> Secret:
    """The roots in a Secret's ca.crt. Raises Problem."""
    where = f"{PREFIX}{annotation}: Secret {namespace}/{name}"
    secret = look.secret(namespace, name)
    if secret is None:
        raise Problem(f"{where} does not exist")
    roots = _pem(secret, "ca.crt", where)
    try:
        x509.load_pem_x509_certificates(roots)
    except ValueError:
        raise Problem(f"{where}: ca.crt is no PEM certificate") from None
    return Secret(f"ingress-ca/{namespace}/{name}", roots=roots, origin=Origin(SECRETS, namespace, name))


def client_pair(look: Look, namespace: str, name: str) -> Secret | None:
    """The certificate to show to backends; None when the Secret has only a ca.crt. Raises Problem."""
    secret = look.secret(namespace, name)
    if secret is not None and "ca.crt" in (secret.get("data") or {}) and "tls.crt" not in secret["data"]:
        return None
    try:
        return certificate(look, namespace, name)
    except Problem as problem:
        raise Problem(f"{PREFIX}proxy-ssl-secret: {problem}") from None


def _pem(secret: Obj, key: str, where: str) -> bytes:
    text = (secret.get("data") or {}).get(key)
    if not text:
        raise Problem(f"{where} has no {key}")
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise Problem(f"{where}: {key} is no base64") from None
