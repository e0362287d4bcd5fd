"""cert-manager.io: Certificate, CertificateRequest, Issuer, ClusterIssuer. Fields that sampan does not act on are kept.

Source: https://cert-manager.io/docs/reference/api-docs/ (v1), its CustomResourceDefinitions (1.20)
"""

from __future__ import annotations

from sampan.api.builtin import schema as s
from sampan.api.meta import Obj

GROUP = "cert-manager.io"
USAGES = (
    *("signing", "digital signature", "content commitment", "key encipherment", "key agreement", "data encipherment"),
    *("cert sign", "crl sign", "encipher only", "decipher only", "any", "server auth", "client auth", "code signing"),
    *("email protection", "s/mime", "ipsec end system", "ipsec tunnel", "ipsec user", "timestamping", "ocsp signing"),
    *("microsoft sgc", "netscape sgc"),
)
_SIGNATURES = (
    *("SHA256WithRSA", "SHA384WithRSA", "SHA512WithRSA"),
    *("ECDSAWithSHA256", "ECDSAWithSHA384", "ECDSAWithSHA512", "PureEd25519"),
)


def definitions() -> tuple[Obj, ...]:
    issuer = s.version(
        "v1",
        s.root(_issuer(), _issuer_status()),
        columns=(_READY, _STATUS, s.AGE),
    )
    return (
        s.definition(
            GROUP, "CertificateRequest", "certificaterequests", _requests(), short=("cr", "crs"), categories=_CATEGORY
        ),
        s.definition(
            GROUP, "Certificate", "certificates", _certificates(), short=("cert", "certs"), categories=_CATEGORY
        ),
        s.definition(
            GROUP, "ClusterIssuer", "clusterissuers", issuer, scope="Cluster", short=("ciss",), categories=_CATEGORY
        ),
        s.definition(GROUP, "Issuer", "issuers", issuer, short=("iss",), categories=_CATEGORY),
    )


def _of(condition: str, field: str = "status") -> str:
    return f'.status.conditions[?(@.type == "{condition}")].{field}'


_CATEGORY = ("cert-manager",)
_READY = s.column("Ready", _of("Ready"))
_STATUS = s.column("Status", _of("Ready", "message"), wide=True)
_SELECTABLE = tuple(f".spec.issuerRef.{part}" for part in ("group", "kind", "name"))
_CONDITIONS = s.array(
    s.object(
        {
            "type": s.string(),
            "status": s.string(enum=("True", "False", "Unknown")),
            "observedGeneration": s.integer(format="int64"),
            "lastTransitionTime": s.TIME,
            "reason": s.string(),
            "message": s.string(),
        },
        required=("status", "type"),
    ),
    keys=("type",),
)

_ISSUER_REF = s.object(
    {
        "group": s.string(about="cert-manager.io"),
        "kind": s.string(about="Issuer or ClusterIssuer."),
        "name": s.string(),
    },
    required=("name",),
    about="Who signs. The ClusterIssuer sampan-ca is there from the start.",
)


def _strings(about: str = "") -> Obj:
    return s.array(s.string(), list_type="atomic", about=about)


def _certificates() -> Obj:
    columns = (
        _READY,
        s.column("Secret", ".spec.secretName"),
        s.column("Issuer", ".spec.issuerRef.name", wide=True),
        _STATUS,
        s.column("Expiration", ".status.notAfter", wide=True),
        s.AGE,
    )
    about = "A certificate that is kept in a Secret and renewed before it expires."
    schema = s.root(_certificate(), _certificate_status(), required=(), about=about)
    return s.version("v1", schema, columns=columns, selectable=_SELECTABLE)


def _requests() -> Obj:
    columns = (
        *(s.column(name, _of(name)) for name in ("Approved", "Denied", "Ready")),
        s.column("Issuer", ".spec.issuerRef.name"),
        s.column("Requester", ".spec.username"),
        _STATUS,
        s.AGE,
    )
    schema = s.root(_request(), _request_status(), required=(), about="A request that an issuer signs, once.")
    return s.version("v1", schema, columns=columns, selectable=_SELECTABLE)


def _request() -> Obj:
    return s.object(
        {
            "issuerRef": _ISSUER_REF,
            "request": s.string(format="byte", about="A PKCS #10 request in PEM."),
            "duration": s.string(),
            "isCA": s.boolean(),
            "usages": s.array(s.string(enum=USAGES), list_type="atomic"),
            "username": s.string(),
            "uid": s.string(),
            "groups": _strings(),
            "extra": s.map_of(s.array(s.string())),
        },
        required=("issuerRef", "request"),
    )


def _request_status() -> Obj:
    signed = s.string(format="byte")
    return s.object({"ca": signed, "certificate": signed, "conditions": _CONDITIONS, "failureTime": s.TIME})


def _certificate() -> Obj:
    key = s.object(
        {
            "algorithm": s.string(enum=("RSA", "ECDSA", "Ed25519"), about="RSA unless said otherwise."),
            "encoding": s.string(enum=("PKCS1", "PKCS8"), about="PKCS1 unless said otherwise."),
            "rotationPolicy": s.string(enum=("Never", "Always"), about="Is there a new key with each renewal?"),
            "size": s.integer(about="RSA: 2048, 4096 or 8192; ECDSA: 256, 384 or 521."),
        }
    )
    subject = s.object(
        dict.fromkeys(
            (
                *("countries", "localities", "organizationalUnits", "organizations", "postalCodes", "provinces"),
                "streetAddresses",
            ),
            _strings(),
        )
        | {"serialNumber": s.string()}
    )
    names = s.object(
        dict.fromkeys(("dnsDomains", "emailAddresses", "ipRanges", "uriDomains"), _strings()),
    )
    template = s.object(
        {"annotations": s.map_of(s.string()), "labels": s.map_of(s.string())}, about="What the Secret carries as well."
    )
    output = s.object({"type": s.string(enum=("DER", "CombinedPEM"))}, required=("type",))
    renewal = s.object(
        {
            "policy": s.string(enum=("RenewBefore", "Disabled")),
            "windows": s.array(s.struct(), list_type="atomic"),
        }
    )
    return s.object(
        {
            "secretName": s.string(about="The Secret that holds key and certificate."),
            "issuerRef": _ISSUER_REF,
            "commonName": s.string(),
            "dnsNames": _strings("Host names, also *.example.com."),
            "ipAddresses": _strings(),
            "uris": _strings(),
            "emailAddresses": _strings(),
            "otherNames": s.array(s.object({"oid": s.string(), "utf8Value": s.string()}), list_type="atomic"),
            "subject": subject,
            "literalSubject": s.string(),
            "duration": s.string(about="How long it is valid: 90 days (2160h) unless said otherwise."),
            "renewBefore": s.string(about="How long before the end it is renewed: a third of its life."),
            "renewBeforePercentage": s.integer(format="int32"),
            "renewal": renewal,
            "usages": s.array(s.string(enum=USAGES), list_type="atomic"),
            "encodeUsagesInRequest": s.boolean(),
            "isCA": s.boolean(about="May it sign certificates itself?"),
            "nameConstraints": s.object({"critical": s.boolean(), "permitted": names, "excluded": names}),
            "privateKey": key,
            "signatureAlgorithm": s.string(enum=_SIGNATURES),
            "secretTemplate": template,
            "keystores": s.struct(),
            "additionalOutputFormats": s.array(output, list_type="atomic"),
            "revisionHistoryLimit": s.integer(format="int32"),
        },
        required=("issuerRef", "secretName"),
    )


def _certificate_status() -> Obj:
    return s.object(
        {
            "acme": s.struct(),
            "conditions": _CONDITIONS,
            "failedIssuanceAttempts": s.integer(),
            "lastFailureTime": s.TIME,
            "nextPrivateKeySecretName": s.string(),
            "notAfter": s.TIME,
            "notBefore": s.TIME,
            "renewalTime": s.TIME,
            "revision": s.integer(),
        }
    )


def _issuer() -> Obj:
    lists = _strings()
    own = s.object(
        {
            "secretName": s.string(about="The Secret with tls.crt and tls.key of the authority."),
            "crlDistributionPoints": lists,
            "issuingCertificateURLs": lists,
            "ocspServers": lists,
        },
        required=("secretName",),
    )
    return s.object(
        {
            "selfSigned": s.object({"crlDistributionPoints": lists}, about="Each certificate signs itself."),
            "ca": own,
            "acme": s.struct(about="Not supported by sampan."),
            "vault": s.struct(about="Not supported by sampan."),
            "venafi": s.struct(about="Not supported by sampan."),
        }
    )


def _issuer_status() -> Obj:
    return s.object({"acme": s.struct(), "conditions": _CONDITIONS})
