"""What a Certificate's spec means: the request it becomes, how long before its end it is renewed. Pure.

Source: github.com/cert-manager/cert-manager/pkg/util/pki/{csr,match,renewaltime}.go
"""

from __future__ import annotations

import base64
import csv
import io
import ipaddress
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta

from sampan.api import duration
from sampan.api.meta import Obj
from sampan.ca import issuing, keys
from sampan.ca.issuing import Facts, Names, Wanted
from sampan.controllers import certmanager as cm
from sampan.controllers.certificaterequest import USAGES

# A field of the spec → how cert-manager calls the field of a Names that must equal it.
_COMPARED = {
    "ips": "spec.ipAddresses",
    "uris": "spec.uris",
    "emails": "spec.emailAddresses",
    "dns": "spec.dnsNames",
}
_SUBJECT_FIELDS = {word: f"spec.subject.{word}" for word in issuing.SUBJECT} | {"postalCodes": "spec.subject.postCodes"}


def wanted(spec: Obj) -> Wanted:
    """The request to make."""
    subject = spec.get("subject") or {}
    limits = spec.get("nameConstraints")
    encoded = spec.get("encodeUsagesInRequest") is not False
    return Wanted(
        spec.get("commonName") or "",
        subject.get("serialNumber") or "",
        spec.get("literalSubject") or "",
        {word: subject.get(word) or () for word in issuing.SUBJECT},
        spec.get("dnsNames") or (),
        spec.get("ipAddresses") or (),
        spec.get("uris") or (),
        spec.get("emailAddresses") or (),
        [(other.get("oid", ""), other.get("utf8Value", "")) for other in spec.get("otherNames") or ()],
        usages(spec) if encoded else (),
        (bool(limits.get("critical")), limits.get("permitted") or {}, limits.get("excluded") or {}) if limits else None,
    )


def usages(spec: Obj) -> Sequence[str]:
    """With that of an authority, when it is to be one."""
    asked = spec.get("usages") or USAGES
    return [*asked, "cert sign"] if spec.get("isCA") and "cert sign" not in asked else asked


def names(spec: Obj) -> Names:
    """The names as a certificate for it has them; what is no name stays what it is."""
    if spec.get("literalSubject"):
        base = _literal(spec["literalSubject"])
    else:
        subject = spec.get("subject") or {}
        parts = {word: tuple(subject.get(word) or ()) for word in issuing.SUBJECT}
        kept = {word: found for word, found in parts.items() if found}
        base = Names(spec.get("commonName") or "", subject.get("serialNumber") or "", kept)
    return Names(
        base.common_name,
        base.serial_number,
        base.subject,
        tuple(spec.get("dnsNames") or ()),
        tuple(_ip(text) for text in spec.get("ipAddresses") or ()),
        tuple(spec.get("uris") or ()),
        tuple(spec.get("emailAddresses") or ()),
    )


def _literal(text: str) -> Names:
    try:
        return issuing.literal_subject(text)
    except ValueError:
        return Names(text)


def _ip(text: str) -> str:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return text


def key_mismatches(spec: Obj, key: keys.Key) -> list[str]:
    """Fields of the spec that a private key does not meet."""
    asked = spec.get("privateKey") or {}
    found = keys.mismatches(key, asked.get("algorithm") or "", asked.get("size") or 0)
    return [f"spec.privateKey.{field}" for field in found]


def request_key(request: Obj) -> bytes:
    """The public key of a CertificateRequest, as `keys.public`. Raises ValueError."""
    return issuing.read_request(base64.b64decode(request["spec"]["request"])).public


def request_mismatches(spec: Obj, request: Obj) -> list[str]:
    """Fields of the spec that a CertificateRequest does not meet. Raises ValueError when it cannot be read."""
    have, want = issuing.read_request(base64.b64decode(request["spec"]["request"])).names, names(spec)
    asked = request["spec"]
    found = [label for field, label in _COMPARED.items() if _differ(getattr(have, field), getattr(want, field))]
    subject = list(_subject_mismatches(have, want))
    found += ["spec.literalSubject"] if subject and spec.get("literalSubject") else subject
    if bool(asked.get("isCA")) != bool(spec.get("isCA")):
        found.append("spec.isCA")
    if sorted(asked.get("usages") or ()) != sorted(spec.get("usages") or ()):
        found.append("spec.usages")
    lives = [duration.parse(one["duration"]) for one in (asked, spec) if one.get("duration")]
    if len(lives) == 2 and lives[0] != lives[1]:
        found.append("spec.duration")
    if _issuer(asked["issuerRef"]) != _issuer(spec["issuerRef"]):
        found.append("spec.issuerRef")
    return found


def _subject_mismatches(have: Names, want: Names) -> Iterable[str]:
    if have.common_name != want.common_name:
        yield "spec.commonName"
    if have.serial_number != want.serial_number:
        yield "spec.subject.serialNumber"
    for word, label in _SUBJECT_FIELDS.items():
        if _differ(have.subject.get(word, ()), want.subject.get(word, ())):
            yield label


def _differ(have: Iterable[str], want: Iterable[str]) -> bool:
    """In whatever order."""
    return sorted(have) != sorted(want)


def _issuer(ref: Obj) -> tuple[str, str, str]:
    return ref["name"], cm.issuer_kind(ref), cm.issuer_group(ref)


def certificate_mismatches(spec: Obj, facts: Facts) -> list[str]:
    """Fields of the spec that a certificate does not meet: a loose look, for issuers may change names.

    A common name may have become a DNS name and the other way round.
    """
    have, want = facts.names, names(spec)
    wanted_dns = {*want.dns, want.common_name} - {""}
    all_dns = {*have.dns, have.common_name} - {""}
    found = []
    if all_dns != wanted_dns:
        if (want.common_name and want.common_name not in all_dns) or (
            have.common_name and have.common_name not in wanted_dns
        ):
            found.append("spec.commonName")
        if not {*want.dns} <= all_dns or not {*have.dns} <= wanted_dns:
            found.append("spec.dnsNames")
    rest = ("ips", "uris", "emails")
    return found + [_COMPARED[field] for field in rest if _differ(getattr(have, field), getattr(want, field))]


def renewal_time(spec: Obj, facts: Facts) -> datetime | None:
    """When to renew, None: never. Unless the spec has a sensible wish, after two thirds of the certificate's life."""
    assert facts.not_before is not None
    assert facts.not_after is not None
    if (spec.get("renewal") or {}).get("policy") == "Disabled":
        return None
    life = (facts.not_after - facts.not_before).total_seconds()
    before = duration.parse(spec["renewBefore"]) if spec.get("renewBefore") else None
    percentage = spec.get("renewBeforePercentage") or 0
    if before is None or not 0 < before < life:
        before = life * percentage / 100 if 0 < percentage < 100 else life / 3
    return (facts.not_after - timedelta(seconds=before)).replace(microsecond=0)


def go_time(moment: datetime) -> str:
    """As Go prints a time: "2026-01-01 00:00:00 +0000 UTC"."""
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S +0000 UTC")


def go_list(values: Iterable[str]) -> str:
    """As Go prints a list: "[a b]"."""
    return f"[{' '.join(values)}]"


def described(facts: Facts) -> dict[str, str]:
    """What a Secret's annotations say of the certificate in it."""
    have = facts.names
    found = {
        "common-name": have.common_name,
        "alt-names": _csv(have.dns),
        "ip-sans": _csv(have.ips),
        "uri-sans": _csv(have.uris),
    }
    optional = {"email-sans": _csv(have.emails), "subject-serialnumber": have.serial_number}
    optional |= {f"subject-{word.lower()}": _csv(values) for word, values in have.subject.items()}
    found |= {word: text for word, text in optional.items() if text}
    return {f"{cm.GROUP}/{word}": text for word, text in found.items()}


def _csv(values: Iterable[str]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="").writerow(values)
    return text.getvalue()
