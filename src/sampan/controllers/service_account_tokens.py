"""Secrets of type kubernetes.io/service-account-token hold a token that does not expire, the CA and the namespace.

Source: https://kubernetes.io/docs/reference/access-authn-authz/service-accounts-admin/#token-controller
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Mapping

from sampan.api import meta
from sampan.api.meta import Key, Obj
from sampan.client.env import Cache, Controller, Env
from sampan.client.types import Preconditions

SECRETS, ACCOUNTS = "secrets", "serviceaccounts"
TYPE = "kubernetes.io/service-account-token"
NAME, UID = "kubernetes.io/service-account.name", "kubernetes.io/service-account.uid"


def controller(root_ca: str, sign: Callable[[Obj, Obj], str]) -> Controller:
    """`root_ca` is the PEM text; `sign(account, secret)` makes the token."""

    async def reconcile(key: Key, env: Env) -> None:
        secret = env.caches[SECRETS].get(key)
        if secret is None or secret.get("type") != TYPE or meta.deleting(secret):
            return
        name, uid = (meta.annotations(secret).get(each, "") for each in (NAME, UID))
        account = env.caches[ACCOUNTS].get(Key(key.namespace, name))
        if account is None or (uid and uid != meta.uid(account)):
            if uid:  # it belonged to an account that is gone
                await env.client.delete(SECRETS, key.name, key.namespace, preconditions=Preconditions(meta.uid(secret)))
            return
        held = secret.get("data") or {}
        wanted = {"ca.crt": root_ca, "namespace": key.namespace} | (
            {} if "token" in held else {"token": sign(account, secret)}
        )
        data = {k: base64.b64encode(v.encode()).decode() for k, v in wanted.items()}
        if uid and all(held.get(k) == v for k, v in data.items()):
            return
        patch = {"metadata": {"annotations": {UID: meta.uid(account)}}, "data": data}
        await env.client.patch(SECRETS, key.name, key.namespace, patch)

    return Controller("tokens-controller", {SECRETS: _token_secret, ACCOUNTS: _secrets_of}, reconcile)


def _token_secret(secret: Obj, caches: object) -> Iterable[Key]:
    return (meta.key(secret),) if secret.get("type") == TYPE else ()


def _secrets_of(account: Obj, caches: Mapping[str, Cache]) -> Iterable[Key]:
    return [
        meta.key(secret)
        for secret in caches[SECRETS].list(meta.namespace(account))
        if secret.get("type") == TYPE and meta.annotations(secret).get(NAME) == meta.name(account)
    ]
