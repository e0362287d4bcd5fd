"""Is what a Certificate's Secret holds what the Certificate wants? The first thing that is not, with its reason. Pure.

Reasons and texts: github.com/cert-manager/cert-manager/internal/controller/certificates/policies
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import NamedTuple

from sampan.api import meta
from sampan.api.meta import Obj
from sampan.ca import issuing, keys
from sampan.controllers import certificate_spec as specs
from sampan.controllers import certmanager as cm

NAME, ISSUER = f"{cm.GROUP}/certificate-name", f"{cm.GROUP}/issuer"


class Verdict(NamedTuple):
    reason: str
    message: str


@dataclass(frozen=True)
class Input:
    """`request`: the CertificateRequest that led to what is in the Secret, when it is still there."""

    certificate: Obj
    secret: Obj | None
    request: Obj | None
    now: datetime

    @cached_property
    def facts(self) -> issuing.Facts | None:
        """What the certificate in the Secret says, None when there is none that can be read."""
        try:
            return issuing.read(cm.data(self.secret, cm.CERT)) if self.secret else None
        except ValueError:
            return None

    @property
    def renewal(self) -> datetime | None:
        """When what is there should be renewed."""
        return specs.renewal_time(self.certificate["spec"], self.facts) if self.facts else None


def to_issue(given: Input) -> Verdict | None:
    """Why a new certificate has to be issued, None when it does not."""
    return next(_common(given), None) or _renewing(given)


def not_ready(given: Input) -> Verdict | None:
    """Why the Certificate is not ready, None when it is."""
    return next(_common(given), None) or _expired(given)


def _common(given: Input) -> Iterator[Verdict]:
    secret = given.secret
    if secret is None:
        yield Verdict("DoesNotExist", "Issuing certificate as Secret does not exist")
        return
    if not secret.get("data"):
        yield Verdict("MissingData", "Issuing certificate as Secret does not contain any data")
    elif not cm.data(secret, cm.KEY):
        yield Verdict("MissingData", "Issuing certificate as Secret does not contain a private key")
    elif not cm.data(secret, cm.CERT):
        yield Verdict("MissingData", "Issuing certificate as Secret does not contain a certificate")
    try:
        key = keys.load(cm.data(secret, cm.KEY))
    except ValueError as error:
        text = f"Issuing certificate as Secret contains invalid private key data: {error}"
        yield Verdict("InvalidKeyPair", text)
        return
    try:
        facts = issuing.read(cm.data(secret, cm.CERT))
    except ValueError as error:
        yield Verdict("InvalidCertificate", f"Issuing certificate as Secret contains an invalid certificate: {error}")
        return
    if facts.public != keys.public(key):
        text = "Issuing certificate as Secret contains a private key that does not match the certificate"
        yield Verdict("InvalidKeyPair", text)
    yield from _annotations(given.certificate, secret)
    spec = given.certificate["spec"]
    if wrong := specs.key_mismatches(spec, key):
        text = f"Existing private key is not up to date for spec: {specs.go_list(wrong)}"
        yield Verdict("SecretMismatch", text)
    yield from _against_request(given, key, facts)


def _annotations(certificate: Obj, secret: Obj) -> Iterator[Verdict]:
    said, ref = meta.annotations(secret), certificate["spec"]["issuerRef"]
    name, kind, group = (said.get(f"{ISSUER}-{part}") for part in ("name", "kind", "group"))
    known = (name, kind, group) != (None, None, None)
    theirs = (kind or "Issuer", group or cm.GROUP)
    if (known and name != ref["name"]) or theirs != (cm.issuer_kind(ref), cm.issuer_group(ref)):
        before = f'"{theirs[0]}.{theirs[1]}/{name or ""}"'
        yield Verdict("IncorrectIssuer", f"Issuing certificate as Secret was previously issued by {before}")
    if said.get(NAME, meta.name(certificate)) != meta.name(certificate):
        text = (
            f'Secret was issued for "{said[NAME]}". If this message is not transient, you might have two conflicting '
        )
        yield Verdict("IncorrectCertificate", f"{text}Certificates pointing to the same secret.")


def _against_request(given: Input, key: keys.Key, facts: issuing.Facts) -> Iterator[Verdict]:
    spec, request = given.certificate["spec"], given.request
    if request is None:
        if wrong := specs.certificate_mismatches(spec, facts):
            text = "Issuing certificate as Existing issued Secret is not up to date for spec: "
            yield Verdict("SecretMismatch", f"{text}{specs.go_list(wrong)}")
        return
    try:
        wrong = specs.request_mismatches(spec, request)
        same = specs.request_key(request) == keys.public(key)
    except ValueError as error:
        yield Verdict("InvalidCertificateRequest", f"Failed to decode current CertificateRequest: {error}")
        return
    if not same:
        text = "Secret contains a private key that does not match the current CertificateRequest"
        yield Verdict("SecretMismatch", text)
    if wrong:
        text = f"Fields on existing CertificateRequest resource not up to date: {specs.go_list(wrong)}"
        yield Verdict("RequestChanged", text)


def _renewing(given: Input) -> Verdict | None:
    due = given.renewal
    if due is None or due > given.now:
        return None
    return Verdict("Renewing", f"Renewing certificate as renewal was scheduled at {specs.go_time(due)}")


def _expired(given: Input) -> Verdict | None:
    end = given.facts.not_after if given.facts else None
    if end is None or given.now <= end:
        return None
    return Verdict("Expired", f"Certificate expired on {end.astimezone(UTC).strftime('%a, %d %b %Y %H:%M:%S UTC')}")
