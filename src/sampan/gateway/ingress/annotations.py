"""Every annotation of ingress-nginx: how its value is read, and what becomes of it here. One table.

Source: ingress-nginx 1.15, docs/user-guide/nginx-configuration/annotations.md and annotations-risk.md.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from sampan.gateway.ingress import values as v

PREFIX = "nginx.ingress.kubernetes.io/"


class How(StrEnum):
    SUPPORTED = "supported"
    NO_EFFECT = "no effect"  # a setting of nginx's machinery; a notice says so
    UNSUPPORTED = "not supported"  # a notice says so, the rest of the Ingress works
    DENIED = "denies access"  # it protects, and cannot be done: the Ingress's paths answer 503
    REFUSED = "refused"  # the whole Ingress is left out


@dataclass(frozen=True, slots=True)
class Annotation:
    """`says`: what it does here, or why not. `same`: values that ask for what happens anyway.

    `guards`: it protects something, so that a value that cannot be read denies access instead of being ignored.
    """

    how: How
    read: v.Reader
    says: str
    same: tuple[str, ...] = ()
    guards: bool = False


def _works(read: v.Reader, says: str) -> Annotation:
    return Annotation(How.SUPPORTED, read, says)


def _guards(read: v.Reader, says: str) -> Annotation:
    return Annotation(How.SUPPORTED, read, says, guards=True)


def _idle(says: str, *same: str) -> Annotation:
    return Annotation(How.NO_EFFECT, v.anything, says, same)


def _lacks(says: str, *same: str) -> Annotation:
    return Annotation(How.UNSUPPORTED, v.anything, says, same)


_STREAMS = "Envoy streams bodies and has no such buffers"
_KEEPS = "Envoy keeps connections to the auth service open by itself"
_SNIPPET = Annotation(How.REFUSED, v.anything, "text for nginx's configuration; there is no nginx")
_COUNT = v.integer(0, 1_000_000_000)

TABLE: Mapping[str, Annotation] = {
    # paths
    "rewrite-target": _works(v.rewrite, "the new path ($1 …: captures); the host's paths become regular expressions"),
    "use-regex": _works(v.boolean, "the paths of the host are case-insensitive regular expressions"),
    "app-root": _works(v.path, "302 from / to this path"),
    "x-forwarded-prefix": _works(v.prefix, "the header X-Forwarded-Prefix, with rewrite-target; without captures"),
    "server-alias": _works(v.hosts, "more names for the host"),
    "preserve-trailing-slash": _idle("redirects to HTTPS always keep the path as it is", "true"),
    # redirects
    "ssl-redirect": _works(v.boolean, "308 to HTTPS when the host has TLS (default true)"),
    "force-ssl-redirect": _works(v.boolean, "308 to HTTPS even without TLS"),
    "permanent-redirect": _works(v.away, "redirects to this URL; $scheme, $host and $request_uri are the request's"),
    "permanent-redirect-code": _works(v.redirect_code, "its code (301)"),
    "temporal-redirect": _works(v.away, "the same, before permanent-redirect"),
    "temporal-redirect-code": _works(v.redirect_code, "its code (302)"),
    "from-to-www-redirect": _works(v.boolean, "308 from www.HOST to HOST, or the other way round"),
    "relative-redirects": _lacks("redirects name scheme and host", "false"),
    "use-port-in-redirects": _lacks("redirects go to the default port", "false"),
    # to the backend
    "backend-protocol": _works(
        v.one_of("HTTP", "HTTPS", "GRPC", "GRPCS", "AUTO_HTTP", "FCGI", fold=True),
        "HTTP, HTTPS, GRPC, GRPCS, AUTO_HTTP (as the client came); FCGI is refused",
    ),
    "proxy-connect-timeout": _works(v.some_seconds, "seconds to connect (5)"),
    "proxy-read-timeout": _works(v.seconds, "seconds without a byte of the answer (60)"),
    "proxy-send-timeout": _works(v.seconds, "seconds without a byte of the request (60); the longer of both counts"),
    "proxy-next-upstream": _works(
        v.words(
            "error", "timeout", "invalid_header", "http_500", "http_502", "http_503", "http_504", "http_403",
            "http_404", "http_429", "non_idempotent", "off", "updating",
        ),
        "when another endpoint is tried (error timeout)",
    ),
    "proxy-next-upstream-tries": _works(_COUNT, "tries altogether (3), 0 is no limit"),
    "proxy-next-upstream-timeout": _lacks("tries are limited by their number only", "0"),
    "upstream-vhost": _works(v.host, "the Host header that the backend sees"),
    "service-upstream": _works(v.boolean, "sends to the Service's cluster IP instead of its endpoints"),
    "load-balance": _works(
        v.one_of("round_robin", "ewma", "chash", "chashsubset", "sticky_balanced", "sticky_persistent"),
        "round_robin; ewma is least-request here",
    ),
    "upstream-hash-by": _works(v.hash_key, "consistent hashing by $request_uri, $remote_addr, $http_NAME, …"),
    "upstream-hash-by-subset": _lacks("one endpoint a key", "false"),
    "upstream-hash-by-subset-size": _lacks("one endpoint a key"),
    "mirror-target": _works(v.anything, "a copy of each request goes there; its path is the request's"),
    "mirror-host": _works(v.host, "the Host header of the copy"),
    "mirror-request-body": _lacks("copies always have the body", "on"),
    "custom-headers": _works(v.name, "response headers from this ConfigMap"),
    "default-backend": _works(v.name, "the Service for custom-http-errors and for backends that are not there"),
    "custom-http-errors": _works(v.codes, "the default backend answers these, told by X-Code, X-Original-URI, …"),
    "disable-proxy-intercept-errors": _works(v.boolean, "leaves the backend's own errors alone"),
    "proxy-body-size": _works(v.size, "413 for larger requests; without it there is no limit (nginx: 1m)"),
    # sessions
    "affinity": _works(v.one_of("cookie"), "a client keeps its endpoint by a cookie"),
    "affinity-mode": _works(v.one_of("balanced", "persistent"), "both keep a client's endpoint while it is there"),
    "affinity-canary-behavior": _lacks("each request chooses between canary and stable anew", "legacy"),
    "session-cookie-name": _works(v.token, "the cookie's name (INGRESSCOOKIE)"),
    "session-cookie-path": _works(v.path, "its path (the location's; / for a regular expression)"),
    "session-cookie-max-age": _works(_COUNT, "its life in seconds (the session's)"),
    "session-cookie-expires": _works(_COUNT, "as session-cookie-max-age, which wins"),
    "session-cookie-samesite": _works(v.one_of("None", "Lax", "Strict", fold=True), "SameSite"),
    "session-cookie-secure": _works(v.boolean, "Secure"),
    "session-cookie-domain": _works(v.host, "Domain"),
    "session-cookie-change-on-failure": _lacks("the cookie stays while its endpoint is there", "false"),
    "session-cookie-conditional-samesite-none": _lacks("SameSite does not depend on the browser", "false"),
    # canaries
    "canary": _works(v.boolean, "its backends take a part of the requests for the same host and path"),
    "canary-by-header": _works(v.header, "always: to the canary; never: not"),
    "canary-by-header-value": _works(v.plain, "this value instead of always and never"),
    "canary-by-header-pattern": _works(v.pattern, "values that match, without canary-by-header-value"),
    "canary-by-cookie": _works(v.token, "always: to the canary; never: not; after the header"),
    "canary-weight": _works(_COUNT, "the share of the rest"),
    "canary-weight-total": _works(_COUNT, "what canary-weight is a share of (100)"),
    # who may
    "auth-type": _guards(v.one_of("basic", "digest"), "basic; digest denies access"),
    "auth-secret": _guards(v.name, "the Secret with the users"),
    "auth-secret-type": _guards(v.one_of("auth-file", "auth-map"), "auth-file (key `auth`, of htpasswd) or auth-map"),
    "auth-realm": _works(v.plain, "the realm"),
    "auth-url": _guards(v.url, "asks this URL first: 2xx lets pass"),
    "auth-method": _guards(
        v.one_of("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE", fold=True),
        "by this method (GET)",
    ),
    "auth-signin": _guards(v.url, "302 to this URL instead of a 401"),
    "auth-signin-redirect-param": _works(v.token, "the parameter that says where the client wanted to go (rd)"),
    "auth-request-redirect": _works(v.plain, "the header X-Auth-Request-Redirect of the question"),
    "auth-response-headers": _guards(v.headers, "headers of the 2xx that go on to the backend"),
    "auth-proxy-set-headers": _guards(v.name, "headers of the question, from this ConfigMap"),
    "auth-always-set-cookie": _lacks("cookies of the auth service reach the client only with its refusals", "false"),
    "auth-cache-key": _lacks("every request is asked for"),
    "auth-cache-duration": _lacks("every request is asked for"),
    "auth-keepalive": _idle(_KEEPS),
    "auth-keepalive-share-vars": _idle(_KEEPS),
    "auth-keepalive-requests": _idle(_KEEPS),
    "auth-keepalive-timeout": _idle(_KEEPS),
    "enable-global-auth": _idle("there is no global auth service"),
    "whitelist-source-range": _guards(v.cidrs, "403 for all others"),
    "allowlist-source-range": _guards(v.cidrs, "403 for all others"),
    "denylist-source-range": _guards(v.cidrs, "403 for these"),
    "satisfy": _guards(v.one_of("any", "all"), "any: the address or the authentication is enough"),
    "auth-tls-secret": _guards(v.name, "clients of the host need a certificate of this Secret's ca.crt"),
    "auth-tls-verify-client": _guards(v.one_of("on", "off", "optional", "optional_no_ca"), "who needs one (on)"),
    "auth-tls-verify-depth": _lacks("chains of any length are checked", "1"),
    "auth-tls-pass-certificate-to-upstream": _works(v.boolean, "the header ssl-client-cert"),
    "auth-tls-error-page": _lacks("the handshake fails, there is no page"),
    "auth-tls-match-cn": Annotation(How.DENIED, v.anything, "Envoy does not look at the CN"),
    # how much
    "limit-rps": _works(_COUNT, "requests a second of one client address; 503 beyond"),
    "limit-rpm": _works(_COUNT, "requests a minute of one client address; 503 beyond"),
    "limit-connections": _works(_COUNT, "requests at once to the backend, of all clients together; 503 beyond"),
    "limit-burst-multiplier": _works(v.integer(1, 1_000_000), "how many times the limit may come at once (5)"),
    "limit-whitelist": _works(v.cidrs, "addresses that are not counted"),
    "limit-allowlist": _works(v.cidrs, "addresses that are not counted"),
    "limit-rate": _lacks("answers are not slowed down", "0"),
    "limit-rate-after": _lacks("answers are not slowed down", "0"),
    # CORS
    "enable-cors": _works(v.boolean, "the proxy answers preflights and adds the headers"),
    "cors-allow-origin": _works(v.origins, "origins, * within a name is one label (*)"),
    "cors-allow-methods": _works(v.methods, "GET, PUT, POST, DELETE, PATCH, OPTIONS"),
    "cors-allow-headers": _works(v.headers, "nginx's list"),
    "cors-allow-credentials": _works(v.boolean, "true"),
    "cors-expose-headers": _works(v.headers, "none"),
    "cors-max-age": _works(_COUNT, "1728000"),
    # TLS
    "ssl-passthrough": _works(v.boolean, "the bytes of the host's TLS go to the backend of its path /"),
    "ssl-ciphers": _lacks("Envoy's own choice of ciphers", "DEFAULT"),
    "ssl-prefer-server-ciphers": _lacks("the client's order counts", "false"),
    "proxy-ssl-secret": _guards(v.name, "client certificate and ca.crt for HTTPS and GRPCS backends"),
    "proxy-ssl-verify": _guards(v.one_of("on", "off"), "on: the backend's certificate must be of that ca.crt (off)"),
    "proxy-ssl-name": _works(v.host, "the name that is checked, and sent with proxy-ssl-server-name"),
    "proxy-ssl-server-name": _works(v.one_of("on", "off"), "on: sends the name by SNI (off)"),
    "proxy-ssl-protocols": _works(v.words("SSLv2", "SSLv3", "TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"), "TLS versions"),
    "proxy-ssl-ciphers": _lacks("Envoy's own choice of ciphers", "DEFAULT"),
    "proxy-ssl-verify-depth": _lacks("chains of any length are checked", "1"),
    # nginx's own machinery
    "proxy-buffering": _idle(_STREAMS, "off"),
    "proxy-buffer-size": _idle(_STREAMS),
    "proxy-buffers-number": _idle(_STREAMS),
    "proxy-busy-buffers-size": _idle(_STREAMS),
    "proxy-max-temp-file-size": _idle(_STREAMS),
    "proxy-request-buffering": _idle(_STREAMS, "off"),
    "client-body-buffer-size": _idle(_STREAMS),
    "proxy-http-version": _idle("Envoy speaks HTTP/1.1 to backends, HTTP/2 with GRPC", "1.1"),
    "connection-proxy-header": _idle("Envoy manages its connections to backends"),
    "http2-push-preload": _idle("browsers have given up HTTP/2 push", "false"),
    "enable-access-log": _lacks("access logs are for the whole gateway"),
    "enable-rewrite-log": _idle("`sampan route` shows each step", "false"),
    "enable-opentelemetry": _lacks("no traces are sent", "false"),
    "opentelemetry-trust-incoming-span": _lacks("no traces are sent"),
    "opentelemetry-operation-name": _lacks("no traces are sent"),
    "proxy-cookie-domain": _lacks("cookies pass unchanged", "off"),
    "proxy-cookie-path": _lacks("cookies pass unchanged", "off"),
    "proxy-redirect-from": _lacks("Location headers pass unchanged", "off"),
    "proxy-redirect-to": _lacks("Location headers pass unchanged", "off"),
    "enable-modsecurity": _lacks("there is no web application firewall", "false"),
    "enable-owasp-core-rules": _lacks("there is no web application firewall", "false"),
    "modsecurity-transaction-id": _lacks("there is no web application firewall"),
    "fastcgi-index": _lacks("there is no FastCGI"),
    "fastcgi-params-configmap": _lacks("there is no FastCGI"),
    # snippets
    "configuration-snippet": _SNIPPET,
    "server-snippet": _SNIPPET,
    "stream-snippet": _SNIPPET,
    "auth-snippet": _SNIPPET,
    "modsecurity-snippet": _SNIPPET,
}  # fmt: skip

# What does nothing alone: names that begin so, and what they need (one of).
_NEEDS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("canary-", ("canary",)),
    ("cors-", ("enable-cors",)),
    ("session-cookie-", ("affinity",)),
    ("auth-secret", ("auth-type",)),
    ("auth-realm", ("auth-type",)),
    ("auth-signin", ("auth-url",)),
    ("auth-method", ("auth-url",)),
    ("auth-response-headers", ("auth-url",)),
    ("auth-proxy-set-headers", ("auth-url",)),
    ("auth-request-redirect", ("auth-url",)),
    ("auth-tls-", ("auth-tls-secret",)),
    ("permanent-redirect-code", ("permanent-redirect",)),
    ("temporal-redirect-code", ("temporal-redirect",)),
    ("limit-burst-multiplier", ("limit-rps", "limit-rpm")),
    ("limit-whitelist", ("limit-rps", "limit-rpm")),
    ("limit-allowlist", ("limit-rps", "limit-rpm")),
    ("mirror-host", ("mirror-target",)),
    ("x-forwarded-prefix", ("rewrite-target",)),
    ("disable-proxy-intercept-errors", ("custom-http-errors",)),
)


@dataclass(slots=True)
class Read:
    """An Ingress's annotations: values by name without the prefix; (reason, message) of each thing to tell.

    `refused`, `denied`: why the Ingress is left out, or why its paths answer 503 ("" neither).
    """

    values: dict[str, Any] = field(default_factory=dict)
    told: list[tuple[str, str]] = field(default_factory=list)
    refused: str = ""
    denied: str = ""

    def deny(self, reason: str, message: str) -> None:
        self.denied = self.denied or message
        self.told.append((reason, f"{message}: its paths answer 503"))


def read_all(annotations: Mapping[str, str]) -> Read:
    """All that begin with the prefix, each by its row of the table. Empty values count as not given, as in nginx."""
    result = Read()
    for full in sorted(annotations):
        if not full.startswith(PREFIX):
            continue
        name, text = full[len(PREFIX) :], annotations[full]
        row = TABLE.get(name)
        if row is None:
            result.told.append(("UnknownAnnotation", f"{full} is no annotation of ingress-nginx{_nearest(name)}"))
        elif text.strip():
            _one(result, name, text, row)
    for name in sorted(result.values):
        for start, needed in _NEEDS:
            if name.startswith(start) and not any(PREFIX + other in annotations for other in needed):
                wanted = " or ".join(PREFIX + other for other in needed)
                result.told.append(("AnnotationWithoutEffect", f"{PREFIX}{name} has no effect without {wanted}"))
    return result


def _one(result: Read, name: str, text: str, row: Annotation) -> None:
    full = PREFIX + name
    if row.how == How.REFUSED:
        message = f"{full} is refused ({row.says}); the whole Ingress is left out"
        result.refused = result.refused or message
        result.told.append(("Rejected", message))
        return
    if row.how == How.DENIED:
        result.deny("UnsupportedAnnotation", f"{full} is not supported ({row.says})")
        return
    try:
        result.values[name] = row.read(text)
    except ValueError as error:
        message = f"{full}: {text!r} is not allowed, it must be {error}"
        if row.guards:
            result.deny("InvalidAnnotation", message)
        else:
            result.told.append(("InvalidAnnotation", f"{message}; it is ignored"))
        return
    if row.how == How.NO_EFFECT and text.strip() not in row.same:
        result.told.append(("AnnotationWithoutEffect", f"{full} has no effect: {row.says}"))
    elif row.how == How.UNSUPPORTED and text.strip() not in row.same:
        result.told.append(("UnsupportedAnnotation", f"{full} is not supported: {row.says}"))


def _nearest(name: str) -> str:
    found = difflib.get_close_matches(name, TABLE, n=1, cutoff=0.75)
    return f"; {PREFIX}{found[0]} is" if found else ""
