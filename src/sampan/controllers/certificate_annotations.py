"""cert-manager's annotations of Ingresses and Gateways: is a certificate asked for, of whom, and of what sort? Pure.

Source: https://cert-manager.io/docs/usage/ingress/#supported-annotations
"""

from __future__ import annotations

import csv
import ipaddress
from collections.abc import Callable, Mapping
from typing import Any

import orjson

from sampan.api import duration
from sampan.api.fields import quote
from sampan.api.meta import Obj
from sampan.base.errors import SampanError
from sampan.controllers import certmanager as cm

_AT = f"{cm.GROUP}/"
ISSUER, CLUSTER_ISSUER = f"{_AT}issuer", f"{_AT}cluster-issuer"
KIND, GROUP = f"{_AT}issuer-kind", f"{_AT}issuer-group"
AUTOMATIC = "kubernetes.io/tls-acme"
# Who issues when nobody is named.
DEFAULT = {"name": "sampan-ca", "kind": "ClusterIssuer", "group": cm.GROUP}
_TRUE = frozenset({"1", "t", "T", "TRUE", "true", "True"})
_SUBJECT = (
    *("organizations", "organizationalUnits", "countries", "provinces", "localities", "postalCodes", "streetAddresses"),
)


class Unusable(SampanError):
    """An annotation that cannot be. The text is the event's."""


def wanted(said: Mapping[str, str], *, automatic: bool) -> bool:
    """`automatic`: does kubernetes.io/tls-acme count?"""
    return ISSUER in said or CLUSTER_ISSUER in said or (automatic and said.get(AUTOMATIC, "") in _TRUE)


def issuer_of(said: Mapping[str, str]) -> Obj:
    """The issuerRef. Raises Unusable."""
    found = dict(DEFAULT)
    if ISSUER in said:
        found |= {"name": said[ISSUER], "kind": "Issuer"}
    if CLUSTER_ISSUER in said:
        found |= {"name": said[CLUSTER_ISSUER], "kind": "ClusterIssuer"}
    found |= {part: said[word] for part, word in (("kind", KIND), ("group", GROUP)) if word in said}
    faults = [] if found["name"] else ["failed to determine issuer name to be used for ingress resource"]
    for one, other in ((ISSUER, CLUSTER_ISSUER), (CLUSTER_ISSUER, GROUP), (CLUSTER_ISSUER, KIND)):
        if one in said and other in said:
            faults.append(f"both {quote(one)} and {quote(other)} may not be set")
    if faults:
        text = ", ".join(faults)
        raise Unusable(f"Could not determine issuer for ingress due to bad annotations: {text}")
    return found


def translate(spec: Obj, said: Mapping[str, str]) -> None:
    """Add to a Certificate's spec what the annotations say, in place. Raises Unusable."""
    for word, add in _RULES.items():
        if (text := said.get(_AT + word)) is not None:
            try:
                add(spec, text)
            except ValueError as error:
                raise Unusable(f"invalid ingress annotation {quote(_AT + word)}: {error}") from None


def _common_name(spec: Obj, text: str) -> None:
    if len(text.encode()) > 64:
        raise ValueError("common name may not be more than 64 bytes")
    spec["commonName"] = text


def _alt_names(spec: Obj, text: str) -> None:
    if text:
        spec["dnsNames"] = [*spec.get("dnsNames", ()), *text.split(",")]


def _ip_sans(spec: Obj, text: str) -> None:
    addresses = [part.strip() for part in text.split(",")] if text else []
    for address in addresses:
        try:
            ipaddress.ip_address(address)
        except ValueError:
            raise ValueError(f"{quote(address)} is not a valid IP address") from None
    if addresses:
        spec["ipAddresses"] = [*spec.get("ipAddresses", ()), *addresses]


def _email_sans(spec: Obj, text: str) -> None:
    emails = [part.strip() for part in text.split(",")] if text else []
    for email in emails:
        if email.count("@") != 1 or email.startswith("@") or email.endswith("@") or set(email) & set(' <>"'):
            raise ValueError(f"{quote(email)} is not a valid email address")
    if emails:
        spec["emailAddresses"] = emails


def _life(field: str, least: float, fault: str) -> Callable[[Obj, str], None]:
    def add(spec: Obj, text: str) -> None:
        seconds = duration.parse(text)
        if seconds is None:
            raise ValueError(f"time: invalid duration {quote(text)}")
        if seconds < least:
            raise ValueError(f"{fault} must be greater than or equal to {duration.show(least)}")
        spec[field] = duration.show(seconds)

    return add


def _integer(field: str, least: int | None = None) -> Callable[[Obj, str], None]:
    def add(spec: Obj, text: str) -> None:
        try:
            number = int(text)
        except ValueError:
            raise ValueError(f"strconv.ParseInt: parsing {quote(text)}: invalid syntax") from None
        if least is not None and number < least:
            raise ValueError(f"revision history limit must be a positive number {quote(text)}")
        spec[field] = number

    return add


def _usages(spec: Obj, text: str) -> None:
    from sampan.api.builtin.certmanager import USAGES  # a start of the server need not build schemas

    found = [part.strip(" ") for part in text.split(",")]
    for usage in found:
        if usage not in USAGES:
            raise ValueError(f"invalid key usage name {quote(usage)}")
    spec["usages"] = found


def _key(field: str, what: str, allowed: tuple[str, ...]) -> Callable[[Obj, str], None]:
    def add(spec: Obj, text: str) -> None:
        if text not in allowed:
            raise ValueError(f"invalid private key {what} {quote(text)}")
        spec.setdefault("privateKey", {})[field] = text

    return add


def _key_size(spec: Obj, text: str) -> None:
    try:
        size = int(text)
    except ValueError:
        raise ValueError(f"strconv.Atoi: parsing {quote(text)}: invalid syntax") from None
    algorithm = (spec.get("privateKey") or {}).get("algorithm") or "RSA"
    fits = {"RSA": 2048 <= size <= 8192, "ECDSA": size in (256, 384, 521)}.get(algorithm, True)
    if not fits:
        raise ValueError(f"invalid private key size for {algorithm} algorithm {quote(text)}")
    spec.setdefault("privateKey", {})["size"] = size


def _subject(field: str) -> Callable[[Obj, str], None]:
    def add(spec: Obj, text: str) -> None:
        spec.setdefault("subject", {})[field] = next(csv.reader([text]), [])

    return add


def _serial_number(spec: Obj, text: str) -> None:
    spec.setdefault("subject", {})["serialNumber"] = text


def _secret_template(spec: Obj, text: str) -> None:
    try:
        found: Any = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise ValueError(f"error parsing secret template JSON: {error}") from None
    if not isinstance(found, dict) or not all(isinstance(part, dict) for part in found.values()):
        raise ValueError("error parsing secret template JSON: not an object of objects")
    if unknown := next((key for key in found if key not in ("annotations", "labels")), None):
        raise ValueError(f"error parsing secret template JSON: json: unknown field {quote(unknown)}")
    if ours := next((key for key in found.get("annotations") or () if key.startswith(_AT)), None):
        raise ValueError(f"secretTemplate must not have {_AT} annotations: {quote(ours)}")
    if any(found.values()):
        spec["secretTemplate"] = found


# In the order they are read: a key's size depends on its algorithm.
_RULES: dict[str, Callable[[Obj, str], None]] = {
    "common-name": _common_name,
    "alt-names": _alt_names,
    "ip-sans": _ip_sans,
    "email-sans": _email_sans,
    **{f"subject-{field.lower()}": _subject(field) for field in _SUBJECT},
    "subject-serialnumber": _serial_number,
    "duration": _life("duration", 3600, "duration"),
    "renew-before": _life("renewBefore", 300, "renewBefore"),
    "renew-before-percentage": _integer("renewBeforePercentage"),
    "usages": _usages,
    "revision-history-limit": _integer("revisionHistoryLimit", 1),
    "private-key-algorithm": _key("algorithm", "algorithm", ("RSA", "ECDSA", "Ed25519")),
    "private-key-encoding": _key("encoding", "encoding", ("PKCS1", "PKCS8")),
    "private-key-size": _key_size,
    "private-key-rotation-policy": _key("rotationPolicy", "rotation policy", ("Never", "Always")),
    "secret-template": _secret_template,
}
