"""Certificates: a key and a signed certificate in a Secret, issued when something is not as it should be, then renewed.

Every step is in the API before the next one begins, so that another process can go on: the condition Issuing, the new
key in a Secret of its own, a CertificateRequest, and at last the Secret.

Source: github.com/cert-manager/cert-manager/pkg/controller/certificates
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from sampan.api import meta
from sampan.api.meta import Key, Obj
from sampan.client.env import After, Cache, Controller, Env
from sampan.controllers import certmanager as cm


def controller() -> Controller:
    watches = {cm.CERTIFICATES: _rivals, cm.REQUESTS: _owner}
    return Controller("certificates-controller", {cm.SECRETS: _users}, cm.ours(reconcile), custom=cm.custom(watches))


def _rivals(certificate: Obj, caches: Mapping[str, Cache]) -> Iterable[Key]:
    """Itself, and others that want the same Secret."""
    yield meta.key(certificate)
    name = certificate["spec"]["secretName"]
    for other in cm.cached(caches, cm.CERTIFICATES, meta.namespace(certificate)):
        if other["spec"]["secretName"] == name and meta.name(other) != meta.name(certificate):
            yield meta.key(other)


def _owner(made: Obj, caches: Mapping[str, Cache]) -> Iterable[Key]:
    reference = meta.controller_of(made)
    if reference is not None and reference["kind"] == "Certificate":
        yield Key(meta.namespace(made), reference["name"])


def _users(secret: Obj, caches: Mapping[str, Cache]) -> Iterable[Key]:
    """The Certificates kept in this Secret, and the one whose next key it holds."""
    yield from _owner(secret, caches)
    for certificate in cm.cached(caches, cm.CERTIFICATES, meta.namespace(secret)):
        if certificate["spec"]["secretName"] == meta.name(secret):
            yield meta.key(certificate)


async def reconcile(key: Key, env: Env) -> After | None:
    certificate = await cm.find(env, cm.CERTIFICATES, key.name, key.namespace)
    if certificate is None or meta.deleting(certificate):
        return None
    await cm.crypto()
    from sampan.controllers import certificate_step  # only now: all that it imports needs cryptography

    return await certificate_step.run(env, certificate)
