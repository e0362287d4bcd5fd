"""Annotations → what an Ingress wants on each of its paths."""

from __future__ import annotations

import ipaddress
from typing import Any

from sampan.gateway.ingress import guards
from sampan.gateway.ingress.annotations import PREFIX, Read
from sampan.gateway.ingress.answers import unavailable
from sampan.gateway.ingress.external import Problem
from sampan.gateway.ingress.forwarding import forward, request_headers, response_headers, retry
from sampan.gateway.ingress.look import Look
from sampan.gateway.ingress.model import Behavior, Canary, Extras, Upstream
from sampan.gateway.ingress.policies import cors, errors, limits, session
from sampan.gateway.ingress.tls import ca_secret, client_pair
from sampan.ir import (
    BasicAuth,
    ExternalAuth,
    Lb,
    Policies,
    Redirect,
    Rewrite,
    UpstreamTls,
)

_TLS = {"SSLv2": "", "SSLv3": "", "TLSv1": "1.0", "TLSv1.1": "1.1", "TLSv1.2": "1.2", "TLSv1.3": "1.3"}


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
    if values.get("limit-connections"):
        text = f"{PREFIX}limit-connections counts the requests of all clients together, not those of each address"
        read.told.append(("AnnotationDiffers", text))
    policies = Policies(
        cors=cors(values),
        basic_auth=auth,
        external_auth=external,
        ip_access=guards.addresses(read),
        rate_limits=limits(values),
        session=session(values),
        errors=errors(read, look, namespace, name, extras),
        max_body=values.get("proxy-body-size", 0),
        any_auth=values.get("satisfy") == "any",
    )
    return Behavior(
        forward=forward(read, look, extras),
        policies=policies,
        request_headers=request_headers(values, auth),
        response_headers=response_headers(read, look, namespace),
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
    lb = Lb.LEAST_REQUEST if values.get("load-balance") == "ewma" else Lb.ROUND_ROBIN
    return Upstream(
        protocol=values.get("backend-protocol", "HTTP"),
        connect_timeout=values.get("proxy-connect-timeout", 5.0),
        lb=Lb.RING_HASH if "upstream-hash-by" in values else lb,
        max_requests=values.get("limit-connections", 0),
        by_vip=values.get("service-upstream", False),
        tls=tls,
        retry=retry(values),
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


def _redirect(values: dict[str, Any]) -> Redirect | None:
    """temporal-redirect goes before permanent-redirect; both are the whole new address."""
    if "temporal-redirect" in values:
        to, code = values["temporal-redirect"], values.get("temporal-redirect-code", 302)
    elif "permanent-redirect" in values:
        to, code = values["permanent-redirect"], values.get("permanent-redirect-code", 301)
    else:
        return None
    path = None if to.path is None else Rewrite(full=to.path)
    return Redirect(code, to.scheme, to.host, to.port, path, keep_query=path is None)


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
