"""The Secret that a Certificate is kept in: its data, what it says of it in labels and annotations. Pure.

Source: github.com/cert-manager/cert-manager/pkg/controller/certificates/issuing/internal/secret.go
"""

from __future__ import annotations

import base64

from sampan.api import meta
from sampan.api.meta import Obj
from sampan.ca import issuing, keys
from sampan.controllers import certificate_spec as specs
from sampan.controllers import certmanager as cm
from sampan.controllers.certificate_policy import ISSUER, NAME

OURS = {"controller.cert-manager.io/fao": "true"}
# A key that waits for its certificate.
NEXT = {"cert-manager.io/next-private-key": "true"} | OURS


def content(certificate: Obj, key: bytes, chain: bytes, ca: bytes) -> Obj:
    """`data`, labels and annotations, all PEM."""
    spec = certificate["spec"]
    values = {cm.CERT: chain, cm.KEY: key} | ({cm.CA: ca} if ca else {}) | _more(spec, key, chain)
    return {
        "metadata": metadata(certificate, issuing.read(chain)),
        "data": {name: base64.b64encode(value).decode() for name, value in values.items()},
    }


def metadata(certificate: Obj, facts: issuing.Facts) -> Obj:
    """Labels and annotations."""
    spec = certificate["spec"]
    template, ref = spec.get("secretTemplate") or {}, spec["issuerRef"]
    issuer = {"name": ref["name"], "kind": cm.issuer_kind(ref), "group": cm.issuer_group(ref)}
    said = {f"{ISSUER}-{part}": text for part, text in issuer.items()} | {NAME: meta.name(certificate)}
    return {
        "labels": (template.get("labels") or {}) | OURS,
        "annotations": (template.get("annotations") or {}) | specs.described(facts) | said,
    }


def outdated(certificate: Obj, secret: Obj, facts: issuing.Facts) -> Obj | None:
    """A patch for what beside key and certificate is not as it should be, None when all is."""
    wanted = metadata(certificate, facts)
    lacking = {
        part: missing
        for part, have in (("labels", meta.labels(secret)), ("annotations", meta.annotations(secret)))
        if (missing := {word: text for word, text in wanted[part].items() if have.get(word) != text})
    }
    more = _more(certificate["spec"], cm.data(secret, cm.KEY), cm.data(secret, cm.CERT))
    data = {name: base64.b64encode(value).decode() for name, value in more.items() if cm.data(secret, name) != value}
    patch = ({"metadata": lacking} if lacking else {}) | ({"data": data} if data else {})
    return patch or None


def waiting_key(certificate: Obj, key: bytes) -> Obj:
    """The Secret of a key that has no certificate yet."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "generateName": f"{meta.name(certificate)}-",
            "namespace": meta.namespace(certificate),
            "labels": NEXT,
            "ownerReferences": [meta.owner_reference(certificate)],
        },
        "type": "Opaque",
        "data": {cm.KEY: base64.b64encode(key).decode()},
    }


def _more(spec: Obj, key: bytes, chain: bytes) -> dict[str, bytes]:
    """additionalOutputFormats."""
    formats = {one.get("type") for one in spec.get("additionalOutputFormats") or ()}
    found = {}
    if "DER" in formats:
        encoding = (spec.get("privateKey") or {}).get("encoding") or ""
        found["key.der"] = keys.der(keys.load(key), encoding)
    if "CombinedPEM" in formats:
        found["tls-combined.pem"] = key + b"\n" + chain
    return found
