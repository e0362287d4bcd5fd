"""Secrets of certificates: read, checked, and which of them is a host's."""

from __future__ import annotations

from sampan.gateway import pem
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
    try:
        chain, key = pem.pair(secret)
    except pem.Unusable as error:
        raise Problem(f"{where}: {error}") from None
    return Secret(f"ingress/{namespace}/{name}", chain, key, origin=Origin(SECRETS, namespace, name))


def covers(secret: Secret, host: str) -> bool:
    """Is the certificate one for this host?"""
    wildcard = "*." + host.partition(".")[2]
    return any(name.lower() in (host, wildcard) for name in pem.names(secret.chain))


def ca_secret(look: Look, namespace: str, name: str, annotation: str) -> Secret:
    """The roots in a Secret's ca.crt. Raises Problem."""
    where = f"{PREFIX}{annotation}: Secret {namespace}/{name}"
    secret = look.secret(namespace, name)
    if secret is None:
        raise Problem(f"{where} does not exist")
    try:
        roots = pem.roots(pem.entry(secret, "ca.crt"))
    except pem.Unusable as error:
        raise Problem(f"{where}: {error}") from None
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
