"""Annotations → what happens to a request besides being sent on: CORS, limits, sessions, error pages."""

from __future__ import annotations

import re
from typing import Any

from sampan.gateway.ingress import backends, guards
from sampan.gateway.ingress.annotations import PREFIX, Read
from sampan.gateway.ingress.external import Problem
from sampan.gateway.ingress.look import Look
from sampan.gateway.ingress.model import Extras, Upstream
from sampan.gateway.types import MOST
from sampan.ir import Cors, CustomErrors, HeaderChanges, Kind, RateLimit, SessionCookie, ValueMatch

CORS_METHODS = ("GET", "PUT", "POST", "DELETE", "PATCH", "OPTIONS")
CORS_HEADERS = (
    "DNT", "Keep-Alive", "User-Agent", "X-Requested-With", "If-Modified-Since", "Cache-Control", "Content-Type",
    "Range", "Authorization",
)  # fmt: skip


def cors(values: dict[str, Any]) -> Cors | None:
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


def limits(values: dict[str, Any]) -> tuple[RateLimit, ...]:
    """nginx lets `burst` more through at once and answers 503 beyond."""
    exempt = values.get("limit-allowlist") or values.get("limit-whitelist", ())
    times = values.get("limit-burst-multiplier", 5)
    wanted = ((values.get("limit-rps", 0), 1.0), (values.get("limit-rpm", 0), 60.0))
    return tuple(RateLimit(n, period, min(n * times + 1, MOST), exempt=exempt, status=503) for n, period in wanted if n)


def session(values: dict[str, Any]) -> SessionCookie | None:
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


def errors(read: Read, look: Look, namespace: str, name: str, extras: Extras) -> CustomErrors | None:
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
