"""CertificateSigningRequest (certificates.k8s.io/v1).

Source: kubernetes/pkg/apis/certificates/validation/validation.go, pkg/printers/internalversion/printers.go (1.32)
"""

from __future__ import annotations

import base64
import binascii
from datetime import datetime
from typing import Any

from sampan.api import fields, meta, objectmeta, validation
from sampan.api.meta import Obj
from sampan.api.scheme import Column, Resource, Strategy
from sampan.api.status import FieldError
from sampan.api.table import AGE, NAME, age, human_duration

GROUP = "certificates.k8s.io"
_BEGIN, _END = "-----BEGIN CERTIFICATE REQUEST-----", "-----END CERTIFICATE REQUEST-----"
_LEAST_SECONDS = 600
_VERDICTS = ("Approved", "Denied", "Failed")
_USAGES = frozenset(
    (
        "signing",
        "digital signature",
        "content commitment",
        "key encipherment",
        "key agreement",
        "data encipherment",
        "cert sign",
        "crl sign",
        "encipher only",
        "decipher only",
        "any",
        "server auth",
        "client auth",
        "code signing",
        "email protection",
        "s/mime",
        "ipsec end system",
        "ipsec tunnel",
        "ipsec user",
        "timestamping",
        "ocsp signing",
        "microsoft sgc",
        "netscape sgc",
    )
)


def request_pem(obj: Obj) -> bytes:
    """The PEM text of spec.request. Raises ValueError."""
    try:
        return base64.b64decode((obj.get("spec") or {}).get("request") or "", validate=True)
    except binascii.Error as error:
        raise ValueError(str(error)) from None


def _request(obj: Obj) -> list[FieldError]:
    encoded = (obj.get("spec") or {}).get("request") or ""
    try:
        text = request_pem(obj).decode(errors="replace").strip()
    except ValueError as error:
        return [fields.invalid("spec.request", encoded, str(error))]
    if not (text.startswith(_BEGIN) and text.endswith(_END)):
        shown = fields.Raw(fields.quote(encoded))
        return [fields.invalid("spec.request", shown, "PEM block type must be CERTIFICATE REQUEST")]
    return []


def _signer(name: str) -> list[FieldError]:
    if not name:
        return [fields.required("spec.signerName")]
    domain, slash, path = name.partition("/")
    if not slash or not path or "." not in domain:
        text = "must be a fully qualified domain and path of the form 'example.com/signer-name'"
        return [fields.invalid("spec.signerName", name, text)]
    return validation.each(validation.dns_subdomain, "spec.signerName", domain)


def _validate(obj: Obj) -> list[FieldError]:
    spec = obj.get("spec") or {}
    found = objectmeta.validate(obj["metadata"], namespaced=False)
    found += _request(obj) + _signer(spec.get("signerName") or "")
    if (seconds := spec.get("expirationSeconds")) is not None and seconds < _LEAST_SECONDS:
        text = f"may not specify a duration less than {_LEAST_SECONDS} seconds (10 minutes)"
        found.append(fields.invalid("spec.expirationSeconds", seconds, text))
    usages = spec.get("usages") or ()
    if not usages:
        found.append(fields.required("spec.usages", "usages are required"))
    for i, usage in enumerate(usages):
        if usage not in _USAGES:
            found.append(fields.not_supported(f"spec.usages[{i}]", usage, sorted(_USAGES)))
    return found + _conditions(obj)


def _validate_update(new: Obj, old: Obj) -> list[FieldError]:
    return objectmeta.validate_update(new["metadata"], old["metadata"])


def _prepare_update(new: Obj, old: Obj) -> None:
    new["spec"] = old.get("spec") or {}  # silently, as kube-apiserver


def _conditions(obj: Obj) -> list[FieldError]:
    found: list[FieldError] = []
    conditions = (obj.get("status") or {}).get("conditions") or ()
    kinds = [condition.get("type") for condition in conditions]
    for i, condition in enumerate(conditions):
        at, kind = f"status.conditions[{i}]", condition.get("type")
        if not kind:
            found.append(fields.required(f"{at}.type"))
        if kind in _VERDICTS and condition.get("status") != "True":
            found.append(fields.not_supported(f"{at}.status", condition.get("status") or "", ("True",)))
        if kinds.index(kind) != i:
            found.append(fields.duplicate(f"{at}.type", kind))
        if (kind == "Denied" and "Approved" in kinds[:i]) or (kind == "Approved" and "Denied" in kinds[:i]):
            found.append(fields.invalid(f"{at}.type", kind, "Approved and Denied conditions are mutually exclusive"))
    return found


def _validate_status(new: Obj, old: Obj) -> list[FieldError]:
    found = _conditions(new)
    before, after = ((o.get("status") or {}) for o in (old, new))
    left = {c.get("type") for c in after.get("conditions") or ()}
    for condition in before.get("conditions") or ():
        if condition.get("type") in _VERDICTS and condition["type"] not in left:
            text = f'updates may not remove a condition of type "{condition["type"]}"'
            found.append(fields.forbidden("status.conditions", text))
    if before.get("certificate") and before["certificate"] != after.get("certificate"):
        found.append(fields.forbidden("status.certificate", "updates may not set certificate content once it is there"))
    return found


def condition_text(obj: Obj) -> str:
    """Pending, Approved, Denied; then Failed and Issued."""
    status = obj.get("status") or {}
    kinds = {c.get("type") for c in status.get("conditions") or ()}
    parts = ["Denied" if "Denied" in kinds else "Approved" if "Approved" in kinds else "Pending"]
    if "Failed" in kinds:
        parts.append("Failed")
    if status.get("certificate"):
        parts.append("Issued")
    return ",".join(parts)


def _row(obj: Obj, now: datetime) -> list[Any]:
    spec = obj.get("spec") or {}
    seconds = spec.get("expirationSeconds")
    asked = "<none>" if seconds is None else human_duration(seconds)
    return [
        meta.name(obj),
        age(obj, now),
        spec.get("signerName") or "<none>",
        spec.get("username") or "",
        asked,
        condition_text(obj),
    ]


RESOURCE = Resource(
    group=GROUP,
    version="v1",
    kind="CertificateSigningRequest",
    plural="certificatesigningrequests",
    definition="io.k8s.api.certificates.v1.CertificateSigningRequest",
    singular="certificatesigningrequest",
    short=("csr",),
    namespaced=False,
    subresources=("approval", "status"),
    fields={"spec.signerName": lambda obj: str((obj.get("spec") or {}).get("signerName", ""))},
    strategy=Strategy(
        columns=(
            NAME,
            AGE,
            Column("SignerName", description="The signer asked for"),
            Column("Requestor", description="Who asked"),
            Column("RequestedDuration", description="How long the certificate is to last"),
            Column("Condition", description="What became of the request"),
        ),
        row=_row,
        validate=_validate,
        prepare_update=_prepare_update,
        validate_update=_validate_update,
        validate_status=_validate_status,
    ),
)
