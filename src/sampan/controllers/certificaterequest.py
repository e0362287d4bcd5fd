"""CertificateRequests of our issuers: approved, then signed once.

Source: github.com/cert-manager/cert-manager/pkg/controller/certificaterequests
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING

from sampan.api import duration, meta
from sampan.api.meta import Key, Obj
from sampan.client.env import Cache, Controller, Env
from sampan.controllers import certmanager as cm
from sampan.controllers.keys import own_key
from sampan.controllers.writes import write_status

if TYPE_CHECKING:
    from sampan.ca import issuing, keys

USAGES = ("digital signature", "key encipherment")
DURATION = 90 * 86400.0
# On a request for a self-signed certificate: the Secret with the key it was made with.
PRIVATE_KEY = "cert-manager.io/private-key-secret-name"
_APPROVED = "Certificate request has been approved by cert-manager.io"
_DENIED = "The CertificateRequest was denied by an approval controller"
_READY = "Certificate fetched from issuer successfully"
_NO_SUBJECT = (
    "Certificate will be issued with an empty Issuer DN, which contravenes RFC 5280 and could break some strict clients"
)
_URLS = ("crlDistributionPoints", "ocspServers", "issuingCertificateURLs")


def controller(local: cm.Local) -> Controller:
    async def reconcile(key: Key, env: Env) -> None:
        request = await cm.find(env, cm.REQUESTS, key.name, key.namespace)
        if request is None or meta.deleting(request) or cm.issuer_group(request["spec"]["issuerRef"]) != cm.GROUP:
            return
        await _Step(env, request, local).run()

    watches = {
        cm.REQUESTS: own_key,
        cm.ISSUERS: _waiting("Issuer"),
        cm.CLUSTER_ISSUERS: _waiting("ClusterIssuer"),
    }
    return Controller("certificaterequests-controller", {}, cm.ours(reconcile), workers=2, custom=cm.custom(watches))


def _waiting(kind: str) -> Callable[[Obj, Mapping[str, Cache]], Iterable[Key]]:
    """The requests that a changed issuer of this kind may sign now."""

    def changed(issuer: Obj, caches: Mapping[str, Cache]) -> Iterable[Key]:
        for request in cm.cached(caches, cm.REQUESTS, meta.namespace(issuer)):
            ref = request["spec"]["issuerRef"]
            if ref["name"] == meta.name(issuer) and cm.issuer_kind(ref) == kind and not ready_reason(request):
                yield meta.key(request)

    return changed


def ready_reason(request: Obj) -> str:
    """Issued, Failed or Denied: how it ended; "" while it has not."""
    reason = (meta.condition(request, "Ready") or {}).get("reason", "")
    return reason if reason in ("Issued", "Failed", "Denied") else ""


class _Pending(Exception):
    """It may be signed later. `reason` is the event's."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class _Failed(_Pending):
    """It never will."""


class _Step:
    """One reconcile of one request."""

    def __init__(self, env: Env, request: Obj, local: cm.Local) -> None:
        self._env, self._request, self._local = env, request, local
        self._status: Obj = dict(request.get("status") or {})
        self._now = meta.timestamp(env.clock.now())

    async def run(self) -> None:
        request = self._request
        if meta.is_true(request, "Denied"):
            if ready_reason(request) != "Denied":
                self._status.setdefault("failureTime", self._now)
                self._set("Ready", "False", "Denied", _DENIED)
        elif not ready_reason(request) and not meta.is_true(request, "InvalidRequest"):
            self._approve()
            await self._sign()
        await write_status(self._env, cm.REQUESTS, request, self._status)

    def _approve(self) -> None:
        if not meta.is_true(self._request, "Approved"):
            self._set("Approved", "True", cm.GROUP, _APPROVED)
            self._event("Normal", cm.GROUP, _APPROVED)

    async def _sign(self) -> None:
        try:
            chain, ca = await self._signed()
        except _Failed as error:
            self._status.setdefault("failureTime", self._now)
            self._event("Warning", error.reason, str(error))
            self._set("Ready", "False", "Failed", str(error))
        except _Pending as error:
            if (meta.condition(self._request, "Ready") or {}).get("reason") != "Pending":
                self._event("Normal", error.reason, str(error))
            self._set("Ready", "False", "Pending", str(error))
        else:
            self._status |= {"certificate": _text(chain), "ca": _text(ca)}
            self._event("Normal", "CertificateIssued", _READY)
            self._set("Ready", "True", "Issued", _READY)

    async def _issuer(self) -> Obj:
        ref, namespace = self._request["spec"]["issuerRef"], meta.namespace(self._request)
        try:
            resource, key = cm.issuer_place(ref, namespace)
        except ValueError as error:
            raise _Pending("IssuerNotFound", str(error)) from None
        issuer = await cm.find(self._env, resource, key.name, key.namespace)
        if issuer is None:
            kind = cm.issuer_kind(ref)
            missing = f'{kind.lower()}.{cm.GROUP} "{key.name}" not found'
            raise _Pending("IssuerNotFound", f'Referenced "{kind}" not found: {missing}')
        if not meta.is_true(issuer, "Ready"):
            raise _Pending("IssuerNotReady", "Referenced issuer does not have a Ready status condition")
        return issuer

    async def _signed(self) -> tuple[bytes, bytes]:
        """The chain and its root. Raises _Pending, _Failed."""
        issuer = await self._issuer()
        await cm.crypto()
        from sampan.ca import issuing

        spec, kind = self._request["spec"], issuer["spec"]
        life = duration.parse(spec["duration"]) if spec.get("duration") else DURATION
        if not life or life < 0:
            raise _Failed("SigningError", f"Error generating certificate template: invalid duration {spec['duration']}")
        terms = issuing.Terms(
            self._env.clock.now(),
            timedelta(seconds=life),
            spec.get("usages") or USAGES,
            bool(spec.get("isCA")),
            {word: (kind.get("ca") or kind.get("selfSigned") or {}).get(word) or () for word in _URLS},
        )
        pem = base64.b64decode(spec["request"])
        try:
            if "ca" in kind:
                made = issuing.sign(pem, await self._authority(issuer), terms)
            else:
                made = issuing.self_sign(pem, await self._own_key(), terms)
                if issuing.read(made.chain).nameless:
                    self._event("Warning", "BadConfig", _NO_SUBJECT)
        except (ValueError, OverflowError) as error:
            raise _Failed("SigningError", f"Error signing certificate: {error}") from None
        return made.chain, made.ca

    async def _authority(self, issuer: Obj) -> issuing.Signer:
        from sampan.ca import issuing

        name, namespace = issuer["spec"]["ca"]["secretName"], cm.resource_namespace(issuer)
        if name == cm.LOCAL_CA:
            return issuing.Signer.load(*await asyncio.to_thread(self._local))
        secret = await cm.find(self._env, cm.SECRETS, name, namespace)
        if secret is None:
            missing = f'secrets "{name}" not found'
            raise _Pending("SecretMissing", f"Referenced secret {namespace}/{name} not found: {missing}")
        try:
            return issuing.Signer.load(*(cm.data(secret, key) for key in (cm.CERT, cm.KEY, cm.CA)))
        except ValueError as error:
            text = f"Failed to parse signing CA keypair from secret {namespace}/{name}: {error}"
            raise _Pending("SecretInvalidData", text) from None

    async def _own_key(self) -> keys.Key:
        from sampan.ca import keys

        namespace = meta.namespace(self._request)
        name = meta.annotations(self._request).get(PRIVATE_KEY, "")
        if not name:
            text = f'Annotation "{PRIVATE_KEY}" missing or reference empty: secret name missing'
            raise _Failed("MissingAnnotation", text)
        secret = await cm.find(self._env, cm.SECRETS, name, namespace)
        if secret is None:
            missing = f'secrets "{name}" not found'
            raise _Pending("MissingSecret", f"Referenced secret {namespace}/{name} not found: {missing}")
        try:
            return keys.load(cm.data(secret, cm.KEY))
        except ValueError as error:
            text = f'Failed to get key "{name}" referenced in annotation "{PRIVATE_KEY}": {error}'
            raise _Pending("ErrorParsingKey", text) from None

    def _set(self, kind: str, status: str, reason: str, message: str) -> None:
        conditions = self._status.get("conditions") or ()
        self._status["conditions"] = cm.with_condition(conditions, kind, status, reason, message, self._now)

    def _event(self, kind: str, reason: str, message: str) -> None:
        self._env.events.event(self._request, kind, reason, message)


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()
