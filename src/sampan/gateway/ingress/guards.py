"""Who may: basic and external authentication, addresses. What cannot be set up denies access, it never opens it.

Source: ingress-nginx, user guide and nginx.tmpl (the headers of the question to an auth service).
"""

from __future__ import annotations

import base64
import binascii
from urllib.parse import parse_qs, quote, urlsplit

from sampan.gateway.headers import wrong
from sampan.gateway.ingress.annotations import PREFIX, Read
from sampan.gateway.ingress.external import Asked, Problem, asked, variables
from sampan.gateway.ingress.look import Look
from sampan.ir import (
    SUPPORTED_HASHES,
    BasicAuth,
    Cluster,
    ExternalAuth,
    HeaderChanges,
    IpAccess,
    supported_hash,
)

_PROTO, _HOST, _PATH = "%REQ(x-forwarded-proto)%", "%REQ(:authority)%", "%REQ(:path)%"


def own_name(namespace: str, text: str, annotation: str) -> str:
    """The name of an object in the Ingress's own namespace; another one is refused as ingress-nginx does."""
    where, _, name = text.rpartition("/")
    if where not in ("", namespace):
        raise Problem(f"{PREFIX}{annotation}: {text} is in another namespace, which is not allowed")
    return name


def basic(read: Read, look: Look, namespace: str) -> BasicAuth | None:
    """Raises Problem."""
    values = read.values
    if "auth-type" not in values:
        return None
    if values["auth-type"] != "basic":
        raise Problem(f"{PREFIX}auth-type: digest authentication is not supported")
    if "auth-secret" not in values:
        raise Problem(f"{PREFIX}auth-type needs {PREFIX}auth-secret")
    name = own_name(namespace, values["auth-secret"], "auth-secret")
    secret = look.secret(namespace, name)
    if secret is None:
        raise Problem(f"{PREFIX}auth-secret: Secret {namespace}/{name} does not exist")
    users = _users(secret.get("data") or {}, f"{namespace}/{name}", values.get("auth-secret-type", "auth-file"), read)
    if not users:
        raise Problem(f"{PREFIX}auth-secret: Secret {namespace}/{name} holds no user that can be checked")
    return BasicAuth(tuple(sorted(users.items())), values.get("auth-realm", ""))


def _users(data: dict[str, str], secret: str, kind: str, read: Read) -> dict[str, str]:
    if kind == "auth-map":
        lines = [f"{user}:{_text(value)}" for user, value in sorted(data.items())]
    elif "auth" in data:
        lines = _text(data["auth"]).splitlines()
    else:
        raise Problem(f"{PREFIX}auth-secret: Secret {secret} has no key auth")
    users: dict[str, str] = {}
    for line in lines:
        user, _, digest = line.strip().partition(":")
        digest = digest.split(":", 1)[0]
        if not user or user.startswith("#"):
            continue
        if supported_hash(digest):
            users.setdefault(user, digest)
        else:
            text = f"{PREFIX}auth-secret: the password of user {user} in Secret {secret} is of a kind that cannot be"
            read.told.append(
                ("InvalidSecret", f"{text} checked ({', '.join(SUPPORTED_HASHES)} can): the user gets in nowhere")
            )
    return users


def _text(value: str) -> str:
    try:
        return base64.b64decode(value).decode(errors="replace").strip()
    except binascii.Error:
        return ""


def external(read: Read, look: Look, namespace: str) -> tuple[ExternalAuth, Cluster] | None:
    """Raises Problem."""
    values = read.values
    if "auth-url" not in values:
        return None
    to: Asked = asked(look, values["auth-url"], "auth-url")
    redirect = values.get("auth-request-redirect", _PATH)
    headers = {
        "X-Original-URL": f"{_PROTO}://{_HOST}{_PATH}",
        "X-Original-Method": "%REQ(:method)%",
        "X-Sent-From": "nginx-ingress-controller",
        "X-Real-IP": "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%",
        # Instead of the client's own, to which Envoy has added the address by now.
        "X-Forwarded-For": "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%",
        "X-Auth-Request-Redirect": redirect if redirect == _PATH else variables(redirect, "auth-request-redirect"),
    }
    if "auth-method" in values:
        headers |= {"X-Original-URI": _PATH, "X-Scheme": _PROTO}
    if "auth-proxy-set-headers" in values:
        name = own_name(namespace, values["auth-proxy-set-headers"], "auth-proxy-set-headers")
        found = look.configmap(namespace, name)
        if found is None:
            raise Problem(f"{PREFIX}auth-proxy-set-headers: ConfigMap {namespace}/{name} does not exist")
        for key, text in sorted((found.get("data") or {}).items()):
            value = variables(text, "auth-proxy-set-headers")
            if why := wrong(key, value):
                raise Problem(f"{PREFIX}auth-proxy-set-headers: {key!r} in ConfigMap {namespace}/{name} {why}")
            headers[key] = value
    auth = ExternalAuth(
        cluster=to.cluster.name,
        host=to.host,
        path=to.path,
        method=values.get("auth-method", "GET"),
        set_headers=HeaderChanges(set=tuple(headers.items())),
        response_headers=tuple(values.get("auth-response-headers", ())),
        signin=_signin(values.get("auth-signin", ""), values.get("auth-signin-redirect-param", "rd")),
        timeout=float(values.get("proxy-read-timeout", 60.0)),
    )
    return auth, to.cluster


def _signin(url: str, parameter: str) -> str:
    """The sign-in URL with the place where the client wanted to go, unless the URL says that by itself."""
    if not url:
        return ""
    made = variables(url, "auth-signin")
    query = parse_qs(urlsplit(url).query, keep_blank_values=True)
    if parameter in query:
        return made
    return f"{made}{'&' if query else '?'}{quote(parameter)}={_PROTO}://{_HOST}%ESCAPE(:path)%"


def addresses(read: Read) -> IpAccess | None:
    allow = read.values.get("allowlist-source-range") or read.values.get("whitelist-source-range", ())
    deny = read.values.get("denylist-source-range", ())
    return IpAccess(allow, deny) if allow or deny else None
