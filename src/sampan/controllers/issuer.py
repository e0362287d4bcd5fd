"""Issuers and ClusterIssuers: can they sign? Self-signed ones can, a CA when its Secret holds one, others not here.

Source: github.com/cert-manager/cert-manager/pkg/issuer/{ca,selfsigned}/setup.go
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from sampan.api import meta
from sampan.api.meta import Key, Obj
from sampan.client.env import Cache, Controller, Env
from sampan.controllers import certmanager as cm
from sampan.controllers.keys import own_key
from sampan.controllers.writes import write_status

_UNABLE = "Error getting keypair for CA issuer: "
_ELSEWHERE = ("acme", "vault", "venafi")


def controller() -> Controller:
    watches = {cm.ISSUERS: own_key, cm.CLUSTER_ISSUERS: own_key}
    return Controller(
        "issuers-controller", {cm.SECRETS: _users}, cm.ours(reconcile), workers=1, custom=cm.custom(watches)
    )


def _users(secret: Obj, caches: Mapping[str, Cache]) -> Iterable[Key]:
    """The issuers that sign with this Secret."""
    namespace = meta.namespace(secret)
    issuers = [*cm.cached(caches, cm.ISSUERS, namespace)]
    if namespace == cm.CLUSTER_NAMESPACE:
        issuers += cm.cached(caches, cm.CLUSTER_ISSUERS)
    name = meta.name(secret)
    return [meta.key(issuer) for issuer in issuers if (issuer["spec"].get("ca") or {}).get("secretName") == name]


async def reconcile(key: Key, env: Env) -> None:
    resource = cm.ISSUERS if key.namespace else cm.CLUSTER_ISSUERS
    issuer = await cm.find(env, resource, key.name, key.namespace)
    if issuer is None or meta.deleting(issuer):
        return
    able, reason, message = await _able(env, issuer)
    old = issuer.get("status") or {}
    now, generation = meta.timestamp(env.clock.now()), issuer["metadata"].get("generation", 0)
    before = old.get("conditions") or []
    status = "True" if able else "False"
    conditions = cm.with_condition(before, "Ready", status, reason, message, now, generation)
    if conditions == before:
        return
    if message:
        env.events.event(issuer, "Normal" if able else "Warning", reason, message)
    await write_status(env, resource, issuer, {**old, "conditions": conditions})


async def _able(env: Env, issuer: Obj) -> tuple[bool, str, str]:
    """(can it sign?, reason, message)."""
    spec = issuer["spec"]
    if foreign := next((kind for kind in _ELSEWHERE if kind in spec), ""):
        text = f"sampan does not issue from {foreign}: use spec.ca, spec.selfSigned or the ClusterIssuer sampan-ca"
        return False, "NotSupported", text
    if "ca" in spec:
        return await _authority(env, issuer)
    if "selfSigned" in spec:
        return True, "IsReady", ""
    where = f"{meta.namespace(issuer)}/{meta.name(issuer)}"
    return False, "ErrInitIssuer", f"Error initializing issuer: no issuer specified for Issuer '{where}'"


async def _authority(env: Env, issuer: Obj) -> tuple[bool, str, str]:
    name, namespace = issuer["spec"]["ca"]["secretName"], cm.resource_namespace(issuer)
    verified = True, "KeyPairVerified", "Signing CA verified"
    if name == cm.LOCAL_CA:
        return verified  # made by us when first needed: a look would cost the start of the server 0.1 s
    secret = await cm.find(env, cm.SECRETS, name, namespace)
    if secret is None:
        return False, "ErrGetKeyPair", f'{_UNABLE}secrets "{name}" not found'
    for key in (cm.CERT, cm.KEY):
        if not cm.data(secret, key):
            return False, "ErrGetKeyPair", f"{_UNABLE}no data for \"{key}\" in secret '{namespace}/{name}'"
    await cm.crypto()
    from sampan.ca import issuing, keys

    try:
        keys.load(cm.data(secret, cm.KEY))
        authority = issuing.read(cm.data(secret, cm.CERT)).authority
    except ValueError as error:
        return False, "ErrGetKeyPair", f"{_UNABLE}{error}"
    return verified if authority else (False, "ErrInvalidKeyPair", f"{_UNABLE}certificate is not a CA")
