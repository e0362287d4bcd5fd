"""From the condition Issuing to a certificate in its Secret: a key, a request, and what was signed.

Source: github.com/cert-manager/cert-manager/pkg/controller/certificates/{keymanager,requestmanager,issuing}
"""

from __future__ import annotations

import asyncio
import base64

from sampan.api import meta
from sampan.api.meta import Obj
from sampan.api.status import ApiError
from sampan.ca import issuing, keys
from sampan.controllers import certificate_secret as secrets
from sampan.controllers import certificate_spec as specs
from sampan.controllers import certmanager as cm
from sampan.controllers.certificate_policy import NAME
from sampan.controllers.certificate_work import Work, request_name
from sampan.controllers.certificaterequest import PRIVATE_KEY
from sampan.controllers.writes import create, remove

REVISION = f"{cm.GROUP}/certificate-revision"
_ISSUED = "The certificate has been successfully issued"


async def issue(work: Work) -> None:
    """As far as it goes now."""
    waiting = await _waiting_key(work)
    if waiting is None:
        return
    name, key = waiting
    request = await work.request(work.revision + 1)
    if request is not None and _stale(work, request, key):
        await remove(work.env, cm.REQUESTS, request)
        request = None
    if request is None:
        await _ask(work, name, key)
        return
    ended = _end(request)
    if ended is None:
        return
    if ended["reason"] == "Issued":
        await _store(work, request, key)
    else:
        _fail(work, ended)
    await work.forget_key()


def _end(request: Obj) -> Obj | None:
    """The condition that ended a request, None while it goes on."""
    for kind in ("Denied", "InvalidRequest"):
        if meta.is_true(request, kind):
            return meta.condition(request, kind)
    ready = meta.condition(request, "Ready")
    return ready if ready and ready.get("reason") in ("Issued", "Failed") else None


def _fail(work: Work, ended: Obj) -> None:
    work.status["lastFailureTime"] = meta.timestamp(work.now)
    work.status["failedIssuanceAttempts"] = int(work.status.get("failedIssuanceAttempts") or 0) + 1
    text = f"The certificate request has failed to complete and will be retried: {ended['message']}"
    work.set("Issuing", "False", ended["reason"], text)
    work.event("Warning", ended["reason"], text)


# -- the key


async def _waiting_key(work: Work) -> tuple[str, keys.Key] | None:
    """(the Secret that holds it, the key), made when there is none; None when there cannot be one."""
    secret = await work.secret(work.status.get("nextPrivateKeySecretName") or "")
    if secret is not None:
        try:
            key = keys.load(cm.data(secret, cm.KEY))
            if not (wrong := specs.key_mismatches(work.spec, key)):
                return meta.name(secret), key
            text = f"Regenerating private key due to change in fields: {specs.go_list(wrong)}"
            work.event("Normal", "Deleted", text)
        except ValueError:
            pass  # somebody spoilt it
        await remove(work.env, cm.SECRETS, secret)
    never = (work.spec.get("privateKey") or {}).get("rotationPolicy") == "Never"
    old = _old_key(work) if never else None
    if old is not None and (wrong := specs.key_mismatches(work.spec, old)):
        work.event("Warning", "CannotRegenerateKey", _bound(work.spec["secretName"], specs.go_list(wrong)))
        return None
    made = old or await _new_key(work)
    return await _keep(work, made, reused=old is not None) if made is not None else None


def _old_key(work: Work) -> keys.Key | None:
    data = cm.data(work.found.secret or {}, cm.KEY)
    try:
        return keys.load(data) if data else None
    except ValueError:
        name = work.spec["secretName"]
        text = f'Failed to decode private key stored in Secret "{name}" - generating new key'
        work.event("Warning", "DecodeFailed", text)
        return None


async def _new_key(work: Work) -> keys.Key | None:
    asked = work.spec.get("privateKey") or {}
    try:
        # RSA takes long enough to be done elsewhere.
        return await asyncio.to_thread(keys.generate, asked.get("algorithm") or "", asked.get("size") or 0)
    except ValueError as error:
        work.event("Warning", "RequestFailed", f"Failed to generate private key: {error}")
        return None


async def _keep(work: Work, key: keys.Key, *, reused: bool) -> tuple[str, keys.Key] | None:
    """Until its certificate is there."""
    waiting = secrets.waiting_key(work.certificate, keys.encode(key, "PKCS8"))
    secret = await create(work.env, cm.SECRETS, waiting)
    if secret is None:
        return None
    name, kept = meta.name(secret), work.spec["secretName"]
    if reused:
        work.event("Normal", "Reused", f'Reusing private key stored in existing Secret resource "{kept}"')
    else:
        work.event("Normal", "Generated", f'Stored new private key in temporary Secret resource "{name}"')
    work.status["nextPrivateKeySecretName"] = name
    await work.write()
    return name, key


def _bound(secret: str, fields: str) -> str:
    return (
        f'User intervention required: existing private key in Secret "{secret}" does not match requirements on '
        f"Certificate resource, mismatching fields: {fields}, but cert-manager cannot create new private key as the "
        "Certificate's .spec.privateKey.rotationPolicy is unset or set to Never. To allow cert-manager to create a new "
        "private key you can set .spec.privateKey.rotationPolicy to 'Always' (this will result in the private key "
        "being regenerated every time a cert is renewed) "
    )


# -- the request


def _stale(work: Work, request: Obj, key: keys.Key) -> bool:
    """Is it not what would be asked for now, or did it fail in an issuance before this one?"""
    try:
        if specs.request_mismatches(work.spec, request) or specs.request_key(request) != keys.public(key):
            return True
    except ValueError:
        return True
    failed = (request.get("status") or {}).get("failureTime")
    since = meta.condition({"status": work.status}, "Issuing") or {}
    return bool(failed and failed < since.get("lastTransitionTime", ""))


async def _ask(work: Work, secret: str, key: keys.Key) -> None:
    spec = work.spec
    try:
        pem = issuing.request(specs.wanted(spec), key)
    except ValueError as error:
        work.event("Warning", "RequestFailed", f"Failed to generate CSR: {error} - will not retry")
        return
    ref = spec["issuerRef"]
    name = request_name(work.certificate, work.revision + 1)
    request: Obj = {
        "apiVersion": cm.API_VERSION,
        "kind": "CertificateRequest",
        "metadata": {
            "name": name,
            "namespace": work.namespace,
            "labels": meta.labels(work.certificate),
            "annotations": {
                REVISION: str(work.revision + 1),
                PRIVATE_KEY: secret,
                NAME: meta.name(work.certificate),
            },
            "ownerReferences": [meta.owner_reference(work.certificate)],
        },
        "spec": {
            **{field: spec[field] for field in ("duration", "isCA", "usages") if field in spec},
            "issuerRef": {"name": ref["name"], "kind": cm.issuer_kind(ref), "group": cm.issuer_group(ref)},
            "request": base64.b64encode(pem).decode(),
            "username": "system:controller:certificates-controller",
        },
    }
    try:
        if await create(work.env, cm.REQUESTS, request) is None:
            return
    except ApiError as error:
        work.event("Warning", "RequestFailed", f"Failed to create CertificateRequest: {error}")
        raise
    work.event("Normal", "Requested", f'Created new CertificateRequest resource "{name}"')


# -- what was signed


async def _store(work: Work, request: Obj, key: keys.Key) -> None:
    """Into the Secret, in one write: who serves it never sees a certificate with the key of another."""
    chain, ca = (base64.b64decode(request["status"].get(part) or "") for part in ("certificate", "ca"))
    if wrong := _unfit(work, chain, key):
        _fail(work, {"reason": "InvalidCertificate", "message": wrong})
        return
    encoding = (work.spec.get("privateKey") or {}).get("encoding") or ""
    secret = await _write(work, secrets.content(work.certificate, keys.encode(key, encoding), chain, ca))
    if secret is None:
        return
    work.status["revision"] = work.revision + 1
    for field in ("failedIssuanceAttempts", "lastFailureTime"):
        work.status.pop(field, None)
    work.status["conditions"] = [c for c in work.status["conditions"] if c["type"] != "Issuing"]
    work.saw(secret, request)
    work.event("Normal", "Issuing", _ISSUED)
    await _forget_old_requests(work)


async def _write(work: Work, content: Obj) -> Obj | None:
    name = work.spec["secretName"]
    if work.found.secret is None:
        head = {"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls"}
        content["metadata"] |= {"name": name, "namespace": work.namespace}
        return await create(work.env, cm.SECRETS, head | content)
    if cm.CA not in content["data"]:
        content["data"][cm.CA] = None  # that of another issuer
    return await work.env.client.patch(cm.SECRETS, name, work.namespace, content)


def _unfit(work: Work, chain: bytes, key: keys.Key) -> str:
    """Why it must not be stored: others than our issuers may have signed."""
    try:
        facts = issuing.read(chain)
    except ValueError as error:
        return f"Issuer returned an invalid certificate: failed to decode: {error}"
    if facts.public != keys.public(key):
        why = "This usually indicates a misconfigured issuer."
        return f"Issuer returned a certificate with a public key that does not match the CSR. {why}"
    if facts.not_after is not None and work.now > facts.not_after:
        why = "This usually indicates an expired CA certificate in the issuer."
        end = meta.timestamp(facts.not_after)
        return f"Issuer returned an already expired certificate (notAfter: {end}). {why}"
    return ""


async def _forget_old_requests(work: Work) -> None:
    kept = work.spec.get("revisionHistoryLimit") or 1
    for number in range(work.revision - kept, 0, -1):
        if (old := await work.request(number)) is None:
            return
        await remove(work.env, cm.REQUESTS, old)
