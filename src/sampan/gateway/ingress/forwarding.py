"""Annotations → how a request is sent on: waiting, trying again, copies, headers."""

from __future__ import annotations

from typing import Any

from sampan.gateway import headers
from sampan.gateway.ingress import guards
from sampan.gateway.ingress.annotations import PREFIX, Read
from sampan.gateway.ingress.external import Problem, asked
from sampan.gateway.ingress.look import Look
from sampan.gateway.ingress.model import Extras
from sampan.gateway.ingress.values import url
from sampan.ir import UNSENT, BasicAuth, Forward, HeaderChanges, Mirror, Retry

_UNLIMITED_TRIES = 10
_CLIENT_HEADERS = ("ssl-client-cert", "ssl-client-verify", "ssl-client-subject-dn", "ssl-client-issuer-dn")


def forward(read: Read, look: Look, extras: Extras) -> Forward:
    """Without targets: those are the path's."""
    values = read.values
    waits = max(values.get("proxy-read-timeout", 60.0), values.get("proxy-send-timeout", 60.0))
    return Forward(
        (),
        idle_timeout=waits,
        mirrors=_mirrors(read, look, extras),
        hash_on=values.get("upstream-hash-by", ()),
    )


def retry(values: dict[str, Any]) -> Retry | None:
    """What nginx calls an error is tried again as far as the request has not reached the backend."""
    words = values.get("proxy-next-upstream", ("error", "timeout"))
    tries = values.get("proxy-next-upstream-tries", 3)
    if "off" in words or tries == 1:
        return None
    on = list(UNSENT.on) if "error" in words or "timeout" in words else []
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
        to = asked(look, _url(target), "mirror-target")
        if to.path != "/":
            raise Problem(f"{PREFIX}mirror-target: a copy keeps the path of the request, {to.path!r} cannot be set")
    except Problem as problem:
        read.told.append(("InvalidAnnotation", f"{problem}; nothing is mirrored"))
        return ()
    extras.clusters.append(to.cluster)
    return (Mirror(to.cluster.name, host=values.get("mirror-host", to.host)),)


def _url(target: str) -> str:
    try:
        return url(target)
    except ValueError:
        example = "https://test.example.com$request_uri"
        raise Problem(f'{PREFIX}mirror-target: {target!r} is no URL, as in "{example}"') from None


def request_headers(values: dict[str, Any], auth: BasicAuth | None) -> HeaderChanges:
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


def response_headers(read: Read, look: Look, namespace: str) -> HeaderChanges:
    if "custom-headers" not in read.values:
        return HeaderChanges()
    try:
        name = guards.own_name(namespace, read.values["custom-headers"], "custom-headers")
        found = look.configmap(namespace, name)
        if found is None:
            raise Problem(f"{PREFIX}custom-headers: ConfigMap {namespace}/{name} does not exist")
        data = {key: value.replace("%", "%%") for key, value in sorted((found.get("data") or {}).items())}
        for key, value in data.items():
            if why := headers.wrong(key, value):
                raise Problem(f"{PREFIX}custom-headers: {key!r} in ConfigMap {namespace}/{name} {why}")
    except Problem as problem:
        read.told.append(("InvalidAnnotation", f"{problem}; no header is added"))
        return HeaderChanges()
    return HeaderChanges(set=tuple(data.items()))
