"""Annotations → filters and more of an HTTPRoute's rules. What is not here has no equal, and is told by name."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from sampan.api import meta
from sampan.api.meta import Key, Obj
from sampan.gateway.convert.notes import Notes
from sampan.gateway.ingress.annotations import PREFIX, TABLE, How
from sampan.gateway.ingress.policies import CORS_HEADERS, CORS_METHODS

# Looked at elsewhere, or nothing to do for them.
_HANDLED = frozenset(
    """
    rewrite-target use-regex app-root server-alias ssl-redirect force-ssl-redirect permanent-redirect
    permanent-redirect-code temporal-redirect temporal-redirect-code from-to-www-redirect upstream-vhost
    x-forwarded-prefix enable-cors cors-allow-origin cors-allow-methods cors-allow-headers
    cors-allow-credentials cors-expose-headers cors-max-age canary canary-by-header canary-by-header-value
    canary-by-header-pattern canary-by-cookie canary-weight canary-weight-total affinity affinity-mode
    session-cookie-name session-cookie-max-age session-cookie-expires custom-headers proxy-next-upstream
    proxy-next-upstream-tries backend-protocol mirror-target ssl-passthrough
    """.split()  # noqa: SIM905
)
_ADVICE = {
    "auth-type": "a policy of the gateway (Gateway API has no authentication)",
    "auth-secret": "a policy of the gateway (Gateway API has no authentication)",
    "auth-url": "a policy of the gateway (Gateway API has no authentication)",
    "auth-tls-secret": "spec.tls.frontend of the Gateway validates clients' certificates",
    "proxy-ssl-secret": "a BackendTLSPolicy says which CA the backend's certificate is of",
    "proxy-ssl-verify": "a BackendTLSPolicy says which CA the backend's certificate is of",
    "proxy-read-timeout": "timeouts.backendRequest counts for the whole answer, not between two reads",
    "proxy-send-timeout": "timeouts.backendRequest counts for the whole answer, not between two writes",
    "whitelist-source-range": "a policy of the gateway (Gateway API has no lists of addresses)",
    "denylist-source-range": "a policy of the gateway (Gateway API has no lists of addresses)",
    "limit-rps": "a policy of the gateway (Gateway API has no rate limits)",
    "limit-rpm": "a policy of the gateway (Gateway API has no rate limits)",
}


def report(ingress: Obj, notes: Notes) -> None:
    """Each annotation that is not converted, by name; none of them matters to what nginx alone does."""
    for full, value in sorted(meta.annotations(ingress).items()):
        name = full.removeprefix(PREFIX)
        if name == full or name in _HANDLED or not value.strip():
            continue
        row = TABLE.get(name)
        if row is None:
            notes.say(ingress, f"{full} is no annotation of ingress-nginx", lost=True)
        elif row.how != How.NO_EFFECT and value.strip() not in row.same:
            hint = f": {_ADVICE[name]}" if name in _ADVICE else ""
            opened = "; THE ROUTE IS OPEN without it" if row.guards or row.how == How.DENIED else ""
            notes.say(ingress, f"{full} has no equal in Gateway API{hint}{opened}", lost=True)


def redirect(values: dict[str, Any]) -> Obj | None:
    if "temporal-redirect" in values:
        to, code = values["temporal-redirect"], values.get("temporal-redirect-code", 302)
    elif "permanent-redirect" in values:
        to, code = values["permanent-redirect"], values.get("permanent-redirect-code", 301)
    else:
        return None
    given = {"hostname": to.host, "scheme": to.scheme, "port": to.port}
    wanted: Obj = {"statusCode": code, **{name: value for name, value in given.items() if value}}
    if to.path is not None:
        wanted["path"] = {"type": "ReplaceFullPath", "replaceFullPath": to.path.partition("?")[0]}
    return {"type": "RequestRedirect", "requestRedirect": wanted}


def to_https() -> Obj:
    return {"type": "RequestRedirect", "requestRedirect": {"scheme": "https", "statusCode": 308}}


def filters(
    ingress: Obj, values: dict[str, Any], rewrite: Obj | None, objects: dict[tuple[str, Key], Obj], notes: Notes
) -> list[Obj]:
    """Of one rule that sends to a backend."""
    made: list[Obj] = []
    if rewrite or "upstream-vhost" in values:
        url: Obj = {"hostname": values["upstream-vhost"]} if "upstream-vhost" in values else {}
        made.append({"type": "URLRewrite", "urlRewrite": url | ({"path": rewrite} if rewrite else {})})
    if values.get("x-forwarded-prefix") and rewrite:
        header = {"name": "X-Forwarded-Prefix", "value": values["x-forwarded-prefix"]}
        made.append({"type": "RequestHeaderModifier", "requestHeaderModifier": {"set": [header]}})
    if values.get("enable-cors"):
        made.append({"type": "CORS", "cors": _cors(values)})
    if "custom-headers" in values:
        made += _headers(ingress, values["custom-headers"], objects, notes)
    if "mirror-target" in values:
        made += _mirror(ingress, values["mirror-target"], notes)
    return made


def _cors(values: dict[str, Any]) -> Obj:
    made: Obj = {
        "allowOrigins": list(values.get("cors-allow-origin", ("*",))),
        "allowMethods": list(values.get("cors-allow-methods", CORS_METHODS)),
        "allowCredentials": values.get("cors-allow-credentials", True),
        "maxAge": values.get("cors-max-age", 1728000),
    }
    made["allowHeaders"] = list(values.get("cors-allow-headers", CORS_HEADERS))
    if "cors-expose-headers" in values:
        made["exposeHeaders"] = list(values["cors-expose-headers"])
    return made


def _headers(ingress: Obj, name: str, objects: dict[tuple[str, Key], Obj], notes: Notes) -> list[Obj]:
    namespace = meta.namespace(ingress)
    found = objects.get(("ConfigMap", Key(namespace, name.rpartition("/")[2])))
    if found is None:
        notes.say(ingress, f"{PREFIX}custom-headers: ConfigMap {namespace}/{name} is not among the files", lost=True)
        return []
    header = [{"name": k, "value": v} for k, v in sorted((found.get("data") or {}).items())]
    return [{"type": "ResponseHeaderModifier", "responseHeaderModifier": {"set": header}}]


def _mirror(ingress: Obj, target: str, notes: Notes) -> list[Obj]:
    parts = urlsplit(target.replace("$request_uri", ""))
    labels = (parts.hostname or "").split(".")
    if parts.scheme != "http" or labels[2:3] != ["svc"] or labels[1] != meta.namespace(ingress):
        text = f"{PREFIX}mirror-target: only a Service of the same namespace can be mirrored to, not {target}"
        notes.say(ingress, text, lost=True)
        return []
    return [{"type": "RequestMirror", "requestMirror": {"backendRef": {"name": labels[0], "port": parts.port or 80}}}]


def extras(ingress: Obj, values: dict[str, Any], notes: Notes) -> Obj:
    """More fields of a rule: retries, sessions."""
    made: Obj = {}
    words = values.get("proxy-next-upstream", ())
    codes = [int(word[5:]) for word in words if word.startswith("http_") and int(word[5:]) >= 400]
    if codes:
        tries = values.get("proxy-next-upstream-tries", 3)
        made["retry"] = {"codes": codes, "attempts": max(tries - 1, 1)}
        notes.say(ingress, f"{PREFIX}proxy-next-upstream became `retry`, of the experimental channel of Gateway API")
    elif words and "off" not in words:
        notes.say(ingress, f"{PREFIX}proxy-next-upstream: connections that fail are tried again as the gateway likes")
    if values.get("affinity") == "cookie":
        session: Obj = {"sessionName": values.get("session-cookie-name", "INGRESSCOOKIE"), "type": "Cookie"}
        if age := values.get("session-cookie-max-age", values.get("session-cookie-expires")):
            session |= {"absoluteTimeout": f"{age}s", "cookieConfig": {"lifetimeType": "Permanent"}}
        made["sessionPersistence"] = session
        notes.say(ingress, f"{PREFIX}affinity became `sessionPersistence`, of the experimental channel of Gateway API")
    return made
