"""Annotations → what an Ingress wants on each of its paths."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from sampan.gateway.ingress import backends, guards
from sampan.gateway.ingress.annotations import PREFIX, Read
from sampan.gateway.ingress.answers import unavailable
from sampan.gateway.ingress.external import Problem, asked
from sampan.gateway.ingress.look import Look
from sampan.gateway.ingress.model import Behavior, Canary, Upstream
from sampan.gateway.ingress.tls import ca_secret, client_pair
from sampan.ir import (
    BasicAuth,
    Cluster,
    Cors,
    CustomErrors,
    ExternalAuth,
    Forward,
    HeaderChanges,
    Kind,
    Lb,
    Mirror,
    Policies,
    RateLimit,
    Redirect,
    Retry,
    Rewrite,
    Secret,
    SessionCookie,
    UpstreamTls,
    ValueMatch,
)

CORS_METHODS = ("GET", "PUT", "POST", "DELETE", "PATCH", "OPTIONS")
CORS_HEADERS = (
    "DNT", "Keep-Alive", "User-Agent", "X-Requested-With", "If-Modified-Since", "Cache-Control", "Content-Type",
    "Range", "Authorization",
)  # fmt: skip
_LB = {
    "ewma": Lb.LEAST_REQUEST,
    "chash": Lb.RING_HASH,
    "chashsubset": Lb.RING_HASH,
}
# What nginx calls an error, as far as the request has not reached the backend: trying again is always safe.
_UNSENT = ("connect-failure", "refused-stream", "reset-before-request")
_TLS = {"SSLv2": "", "SSLv3": "", "TLSv1": "1.0", "TLSv1.1": "1.1", "TLSv1.2": "1.2", "TLSv1.3": "1.3"}
_UNLIMITED_TRIES = 10
_CLIENT_HEADERS = ("ssl-client-cert", "ssl-client-verify", "ssl-client-subject-dn", "ssl-client-issuer-dn")


@dataclass(slots=True)
class Extras:
    """What the behaviour refers to."""

    clusters: list[Cluster] = field(default_factory=list)
    secrets: list[Secret] = field(default_factory=list)


def behavior(read: Read, look: Look, namespace: str, name: str, extras: Extras) -> Behavior:
    """What cannot be done is told in `read`; if it guards something, the answer is 503."""
    values = read.values
    auth: BasicAuth | None = None
    external: ExternalAuth | None = None
    tls = UpstreamTls()
    try:
        auth = guards.basic(read, look, namespace)
        if (asks := guards.external(read, look, namespace)) is not None:
            external = asks[0]
            extras.clusters.append(asks[1])
        tls = _upstream_tls(values, look, namespace, extras)
    except Problem as problem:
        read.deny("InvalidAnnotation", str(problem))
    if values.get("backend-protocol") == "FCGI":
        read.deny("UnsupportedAnnotation", f"{PREFIX}backend-protocol: FCGI is not supported")
    policies = Policies(
        cors=_cors(values),
        basic_auth=auth,
        external_auth=external,
        ip_access=guards.addresses(read),
        rate_limits=_limits(values),
        session=_session(values),
        errors=_errors(read, look, namespace, name, extras),
        max_body=values.get("proxy-body-size", 0),
        any_auth=values.get("satisfy") == "any",
    )
    return Behavior(
        forward=_forward(read, look, extras),
        policies=policies,
        request_headers=_request_headers(values, auth),
        response_headers=_response_headers(read, look, namespace),
        upstream=upstream(values, tls),
        rewrite=values.get("rewrite-target", ""),
        use_regex=values.get("use-regex", False),
        redirect=_redirect(values),
        ssl_redirect=values.get("ssl-redirect", True),
        force_ssl=values.get("force-ssl-redirect", False),
        host=values.get("upstream-vhost", ""),
        session_path=values.get("session-cookie-path", ""),
        denied=unavailable(f"Ingress {namespace}/{name} cannot be served as it is: see its events")
        if read.denied
        else None,
    )


def upstream(values: dict[str, Any], tls: UpstreamTls) -> Upstream:
    lb = _LB.get(values.get("load-balance", ""), Lb.ROUND_ROBIN)
    return Upstream(
        protocol=values.get("backend-protocol", "HTTP"),
        connect_timeout=values.get("proxy-connect-timeout", 5.0),
        lb=Lb.RING_HASH if "upstream-hash-by" in values else lb,
        max_requests=values.get("limit-connections", 0),
        sticky=values.get("affinity") == "cookie",
        by_vip=values.get("service-upstream", False),
        tls=tls,
    )


def canary(values: dict[str, Any]) -> Canary | None:
    if not values.get("canary"):
        return None
    total = max(values.get("canary-weight-total", 100), 100)  # a smaller total counts as 100, as in nginx
    return Canary(
        header=values.get("canary-by-header", "").lower(),
        value=values.get("canary-by-header-value", ""),
        pattern=values.get("canary-by-header-pattern", ""),
        cookie=values.get("canary-by-cookie", ""),
        weight=min(values.get("canary-weight", 0), total),
        total=total,
    )


def _cors(values: dict[str, Any]) -> Cors | None:
    if not values.get("enable-cors"):
        return None
    origins: tuple[str, ...] = values.get("cors-allow-origin", ("*",))
    return Cors(
        origins=tuple(_origin(origin) for origin in origins),
        methods=values.get("cors-allow-methods", CORS_METHODS),
        headers=values.get("cors-allow-headers", CORS_HEADERS),
        expose=values.get("cors-expose-headers", ()),
        credentials=values.get("cors-allow-credentials", True),
        max_age=float(values.get("cors-max-age", 1728000)),
    )


def _origin(origin: str) -> ValueMatch:
    if origin == "*":
        return ValueMatch("origin", kind=Kind.PRESENT)
    if "*" in origin:
        return ValueMatch("origin", re.escape(origin).replace(r"\*", r"[A-Za-z0-9\-]+"), Kind.REGEX)
    return ValueMatch("origin", origin)


def _limits(values: dict[str, Any]) -> tuple[RateLimit, ...]:
    """nginx lets `burst` more through at once and answers 503 beyond."""
    exempt = values.get("limit-allowlist") or values.get("limit-whitelist", ())
    times = values.get("limit-burst-multiplier", 5)
    wanted = ((values.get("limit-rps", 0), 1.0), (values.get("limit-rpm", 0), 60.0))
    return tuple(RateLimit(n, period, n * times + 1, exempt=exempt, status=503) for n, period in wanted if n)


def _session(values: dict[str, Any]) -> SessionCookie | None:
    if values.get("affinity") != "cookie":
        return None
    return SessionCookie(
        name=values.get("session-cookie-name", "INGRESSCOOKIE"),
        path=values.get("session-cookie-path", "/"),
        ttl=float(values.get("session-cookie-max-age", values.get("session-cookie-expires", 0))),
        same_site=values.get("session-cookie-samesite", ""),
        secure=values.get("session-cookie-secure", False),
        domain=values.get("session-cookie-domain", ""),
    )


def _errors(read: Read, look: Look, namespace: str, name: str, extras: Extras) -> CustomErrors | None:
    values = read.values
    if "custom-http-errors" not in values or values.get("disable-proxy-intercept-errors"):
        return None
    if "default-backend" not in values:
        text = f"{PREFIX}custom-http-errors needs {PREFIX}default-backend: the gateway has none of its own"
        read.told.append(("InvalidAnnotation", f"{text}; it is ignored"))
        return None
    try:
        backend = backends.first_port(
            look, namespace, guards.own_name(namespace, values["default-backend"], "default-backend")
        )
    except (backends.Missing, Problem) as error:
        read.told.append(("InvalidAnnotation", f"{PREFIX}default-backend: {error}; custom-http-errors is ignored"))
        return None
    made = backends.cluster(backend, Upstream(), None)
    extras.clusters.append(made)
    headers = (
        ("X-Code", "%RESPONSE_CODE%"),
        ("X-Format", "%REQ(accept)%"),
        ("X-Original-URI", "%REQ(:path)%"),
        ("X-Namespace", namespace),
        ("X-Ingress-Name", name),
        ("X-Request-ID", "%REQ(x-request-id)%"),
    )
    return CustomErrors(values["custom-http-errors"], made.name, headers=HeaderChanges(set=headers))


def _forward(read: Read, look: Look, extras: Extras) -> Forward:
    """Without targets: those are the path's."""
    values = read.values
    waits = max(values.get("proxy-read-timeout", 60.0), values.get("proxy-send-timeout", 60.0))
    return Forward(
        (),
        idle_timeout=waits,
        retry=_retry(values),
        mirrors=_mirrors(read, look, extras),
        hash_on=values.get("upstream-hash-by", ()),
    )


def _retry(values: dict[str, Any]) -> Retry | None:
    words = values.get("proxy-next-upstream", ("error", "timeout"))
    tries = values.get("proxy-next-upstream-tries", 3)
    if "off" in words or tries == 1:
        return None
    on = list(_UNSENT) if "error" in words or "timeout" in words else []
    if on and "non_idempotent" in words:
        on.append("reset")
    codes = tuple(int(word[5:]) for word in words if word.startswith("http_"))
    if codes:
        on.append("retriable-status-codes")
    return Retry(tries - 1 if tries else _UNLIMITED_TRIES, tuple(on), codes) if on else None


def _mirrors(read: Read, look: Look, extras: Extras) -> tuple[Mirror, ...]:
    values = read.values
    if "mirror-target" not in values:
        return ()
    target = values["mirror-target"].replace("$request_uri", "").strip()
    try:
        if urlsplit(target).scheme not in ("http", "https"):
            raise Problem(f'{PREFIX}mirror-target: {target!r} is no URL, as in "https://test.example.com$request_uri"')
        to = asked(look, target, "mirror-target")
        if to.path != "/":
            raise Problem(f"{PREFIX}mirror-target: a copy keeps the path of the request, {to.path!r} cannot be set")
    except Problem as problem:
        read.told.append(("InvalidAnnotation", f"{problem}; nothing is mirrored"))
        return ()
    extras.clusters.append(to.cluster)
    return (Mirror(to.cluster.name, host=values.get("mirror-host", to.host)),)


def _request_headers(values: dict[str, Any], auth: BasicAuth | None) -> HeaderChanges:
    made: list[tuple[str, str]] = []
    removed = ["authorization"] if auth else []
    if "rewrite-target" in values and values.get("x-forwarded-prefix"):
        made.append(("X-Forwarded-Prefix", values["x-forwarded-prefix"]))
    if "auth-tls-secret" in values and values.get("auth-tls-verify-client", "on") != "off":
        removed += _CLIENT_HEADERS  # what a client without a certificate says of itself
        made += [
            ("ssl-client-subject-dn", "%DOWNSTREAM_PEER_SUBJECT%"),
            ("ssl-client-issuer-dn", "%DOWNSTREAM_PEER_ISSUER%"),
        ]
        if values.get("auth-tls-verify-client", "on") == "on":
            made.append(("ssl-client-verify", "SUCCESS"))
        if values.get("auth-tls-pass-certificate-to-upstream"):
            made.append(("ssl-client-cert", "%DOWNSTREAM_PEER_CERT%"))
    return HeaderChanges(set=tuple(made), remove=tuple(removed))


def _response_headers(read: Read, look: Look, namespace: str) -> HeaderChanges:
    if "custom-headers" not in read.values:
        return HeaderChanges()
    try:
        name = guards.own_name(namespace, read.values["custom-headers"], "custom-headers")
        found = look.configmap(namespace, name)
        if found is None:
            raise Problem(f"{PREFIX}custom-headers: ConfigMap {namespace}/{name} does not exist")
        data: dict[str, str] = found.get("data") or {}
        for key, value in data.items():
            if not re.fullmatch(r"[A-Za-z0-9_-]+", key) or re.search(r"[^\x20-\x7e]", value):
                raise Problem(f"{PREFIX}custom-headers: {key!r} in ConfigMap {namespace}/{name} is no header")
    except Problem as problem:
        read.told.append(("InvalidAnnotation", f"{problem}; no header is added"))
        return HeaderChanges()
    return HeaderChanges(set=tuple((k, v.replace("%", "%%")) for k, v in sorted(data.items())))


def _redirect(values: dict[str, Any]) -> Redirect | None:
    """temporal-redirect goes before permanent-redirect; both are the whole new address."""
    if "temporal-redirect" in values:
        url, code = values["temporal-redirect"], values.get("temporal-redirect-code", 302)
    elif "permanent-redirect" in values:
        url, code = values["permanent-redirect"], values.get("permanent-redirect-code", 301)
    else:
        return None
    parts = urlsplit(url)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    scheme = "" if parts.scheme == "$scheme" else parts.scheme
    host, port = parts.hostname or "", parts.port or 0
    return Redirect(code, scheme, host, port, Rewrite(full=path), keep_query=False)


def _upstream_tls(values: dict[str, Any], look: Look, namespace: str, extras: Extras) -> UpstreamTls:
    """Raises Problem: a certificate that should be checked and cannot be must not pass unchecked."""
    name = values.get("proxy-ssl-name", "")
    sends = values.get("proxy-ssl-server-name") == "on"
    ca = pair = ""
    if "proxy-ssl-secret" in values:
        secret = guards.own_name(namespace, values["proxy-ssl-secret"], "proxy-ssl-secret")
        found = client_pair(look, namespace, secret)
        if found is not None:
            extras.secrets.append(found)
            pair = found.name
        if values.get("proxy-ssl-verify") == "on":
            roots = ca_secret(look, namespace, secret, "proxy-ssl-verify")
            extras.secrets.append(roots)
            ca = roots.name
    elif values.get("proxy-ssl-verify") == "on":
        raise Problem(f"{PREFIX}proxy-ssl-verify: needs {PREFIX}proxy-ssl-secret with a ca.crt")
    versions = sorted(v for word in values.get("proxy-ssl-protocols", ()) if (v := _TLS[word]))
    return UpstreamTls(
        sni=name if sends else "",
        ca=ca,
        names=(name,) if ca and name and not _is_address(name) else (),
        client_certificate=pair,
        minimum=versions[0] if versions else "",
        maximum=versions[-1] if versions else "",
    )


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
