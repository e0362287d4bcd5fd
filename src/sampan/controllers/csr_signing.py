"""Approved CertificateSigningRequests of Kubernetes' own signers get their certificate.

Source: https://kubernetes.io/docs/reference/access-authn-authz/certificate-signing-requests/#kubernetes-signers
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from datetime import datetime

from sampan.api import meta
from sampan.api.kinds.certificatesigningrequest import RESOURCE, request_pem
from sampan.api.meta import Key, Obj
from sampan.client.env import Controller, Env
from sampan.controllers.keys import own_key

# (signer, request as PEM, usages, seconds asked for or None, now) → certificate as PEM. Raises ValueError.
Sign = Callable[[str, bytes, list[str], int | None, datetime], bytes]
OURS = frozenset(
    f"kubernetes.io/{name}"
    for name in ("kube-apiserver-client", "kube-apiserver-client-kubelet", "kubelet-serving", "legacy-unknown")
)


def controller(sign: Sign) -> Controller:
    async def reconcile(key: Key, env: Env) -> None:
        obj = env.caches[RESOURCE.id].get(key)
        if obj is None or not _due(obj):
            return
        spec, now = obj["spec"], env.clock.now()
        status = dict(obj.get("status") or {})
        try:
            usages = list(spec.get("usages") or ())
            made = sign(spec["signerName"], request_pem(obj), usages, spec.get("expirationSeconds"), now)
            status["certificate"] = base64.b64encode(made).decode()
        except ValueError as error:
            status["conditions"] = [*status["conditions"], _failed(str(error), meta.timestamp(now))]
        await env.client.update_status(RESOURCE.id, {**obj, "status": status})

    return Controller("csrsigning-controller", {RESOURCE.id: own_key}, reconcile, workers=1)


def _due(obj: Obj) -> bool:
    status = obj.get("status") or {}
    kinds = {c.get("type") for c in status.get("conditions") or ()}
    if obj["spec"].get("signerName") not in OURS or status.get("certificate"):
        return False
    return "Approved" in kinds and not kinds & {"Denied", "Failed"}


def _failed(why: str, now: str) -> Obj:
    moments = {"lastUpdateTime": now, "lastTransitionTime": now}
    return {"type": "Failed", "status": "True", "reason": "SignerValidationFailure", "message": why, **moments}
