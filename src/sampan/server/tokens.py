"""Tokens of service accounts: issue them (TokenRequest) and tell whose they are.

A token is bound to its account and perhaps to a pod, secret or node: it ends with them.
Source: https://kubernetes.io/docs/reference/access-authn-authz/service-accounts-admin/#bound-service-account-tokens
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from sampan.api import fields, meta
from sampan.api.meta import Obj
from sampan.api.status import bad_request, conflict, forbidden, invalid, not_found, unauthorized
from sampan.base.clock import Clock
from sampan.server.authn import AUTHENTICATED, service_account_groups
from sampan.server.types import User

if TYPE_CHECKING:
    from sampan.ca.jwt import Signer

ISSUER = "https://kubernetes.default.svc.cluster.local"
LEGACY_ISSUER = "kubernetes/serviceaccount"
GROUP = "authentication.k8s.io"
_DEFAULT_SECONDS, _LEAST_SECONDS, _MOST_SECONDS = 3600, 600, 1 << 32
# Pods' automatic tokens ask for this. Old clients never read them again, so they live on for a year all the same.
_AUTOMATIC_SECONDS, _EXTENDED = 3607, timedelta(days=365)
_LEEWAY = 10.0  # seconds clocks may differ
_KEPT = 4096
_LEGACY = "kubernetes.io/serviceaccount/"
# Kinds a token may be bound to → resource.
_BOUND = {"Pod": "pods", "Secret": "secrets", "Node": "nodes"}
Lookup = Callable[[str, str, str], Obj | None]


class Tokens:
    """`key`: PEM file of the signing key, made when missing. `lookup(resource, name, namespace)` reads the store."""

    def __init__(self, key: Path, lookup: Lookup, clock: Clock) -> None:
        self._path = key
        self._lookup = lookup
        self._clock = clock
        self._signer: Signer | None = None
        self._read: dict[str, dict[str, Any]] = {}

    @property
    def signer(self) -> Signer:
        if self._signer is None:
            from sampan.ca.jwt import Signer  # cryptography is heavy: only when the first token is met

            self._signer = Signer.open(self._path)
        return self._signer

    # -- issue

    def request(self, namespace: str, name: str, body: Obj, user: User) -> Obj:
        """Answer a TokenRequest. Raises ApiError 400, 403, 404, 409, 422."""
        account = self._lookup("serviceaccounts", name, namespace)
        if account is None:
            raise not_found("serviceaccounts", name)
        spec = body.get("spec") or {}
        seconds = spec.get("expirationSeconds")
        seconds = _DEFAULT_SECONDS if seconds is None else int(seconds)
        _check_duration(seconds)
        bound = self._bound(account, spec.get("boundObjectRef") or {})
        _check_node(user, bound)
        audiences = list(spec.get("audiences") or (ISSUER,))
        now = self._clock.now()
        issued, ends = int(now.timestamp()), now + timedelta(seconds=seconds)
        private: Obj = {"namespace": namespace, "serviceaccount": {"name": name, "uid": meta.uid(account)}} | bound
        last = ends
        if seconds == _AUTOMATIC_SECONDS and "pod" in bound and audiences == [ISSUER]:
            last, private["warnafter"] = now + _EXTENDED, int(ends.timestamp())
        claims = {
            "aud": audiences,
            "exp": int(last.timestamp()),
            "iat": issued,
            "iss": ISSUER,
            "jti": str(uuid4()),
            "kubernetes.io": private,
            "nbf": issued,
            "sub": f"system:serviceaccount:{namespace}:{name}",
        }
        status = {"token": self.signer.sign(claims), "expirationTimestamp": meta.timestamp(ends)}
        shown = {**spec, "audiences": audiences, "expirationSeconds": seconds}
        shown.setdefault("boundObjectRef", None)
        metadata = {"name": name, "namespace": namespace, "creationTimestamp": meta.timestamp(now)}
        version = {"kind": "TokenRequest", "apiVersion": f"{GROUP}/v1"}
        return version | {"metadata": metadata, "spec": shown, "status": status}

    def legacy(self, account: Obj, secret: Obj) -> str:
        """The token of a Secret of type kubernetes.io/service-account-token; it does not expire."""
        name, namespace = meta.name(account), meta.namespace(account)
        claims = {
            "iss": LEGACY_ISSUER,
            f"{_LEGACY}namespace": namespace,
            f"{_LEGACY}secret.name": meta.name(secret),
            f"{_LEGACY}service-account.name": name,
            f"{_LEGACY}service-account.uid": meta.uid(account),
            "sub": f"system:serviceaccount:{namespace}:{name}",
        }
        return self.signer.sign(claims)

    def _bound(self, account: Obj, reference: Obj) -> Obj:
        """The claims about the object a token is to be bound to: it and, for a pod, its node."""
        if not reference:
            return {}
        kind, name, uid = (reference.get(field) or "" for field in ("kind", "name", "uid"))
        if kind not in _BOUND or reference.get("apiVersion", "v1") != "v1":
            raise bad_request(f"cannot bind token to object of type {reference.get('apiVersion') or ''}, Kind={kind}")
        obj = self._lookup(_BOUND[kind], name, "" if kind == "Node" else meta.namespace(account))
        if obj is None:
            raise not_found(_BOUND[kind], name)
        if uid and uid != meta.uid(obj):
            why = (
                f"the UID in the bound object reference ({uid}) does not match the UID in record. "
                "The object might have been deleted and then recreated"
            )
            raise conflict(kind, name, why)
        found: Obj = {kind.lower(): {"name": name, "uid": meta.uid(obj)}}
        if kind == "Pod":
            if obj["spec"].get("serviceAccountName") != meta.name(account):
                text = "to pod running with different serviceaccount name."
                raise bad_request(f"cannot bind token for serviceaccount {fields.quote(meta.name(account))} {text}")
            if node := obj["spec"].get("nodeName"):
                known = self._lookup("nodes", node, "")
                found["node"] = {"name": node} | ({"uid": meta.uid(known)} if known else {})
        return found

    # -- judge

    def judge(self, token: str, audiences: tuple[str, ...]) -> tuple[User, tuple[str, ...]]:
        """Whose token it is and for which of the audiences. Raises ApiError 401."""
        claims = self._read.get(token)
        if claims is None:
            try:
                claims = self.signer.read(token)
            except ValueError:
                raise unauthorized() from None
            if len(self._read) >= _KEPT:
                self._read.clear()
            self._read[token] = claims
        if claims.get("iss") == LEGACY_ISSUER:
            return self._legacy_user(claims), audiences and tuple(a for a in audiences if a == ISSUER)
        wanted = audiences or (ISSUER,)
        matching = tuple(audience for audience in claims.get("aud") or () if audience in wanted)
        now = self._clock.now().timestamp()
        if claims.get("iss") != ISSUER or not matching:
            raise unauthorized()
        if now > claims["exp"] + _LEEWAY or now < claims["nbf"] - _LEEWAY:
            raise unauthorized()
        return self._user(claims), matching if audiences else ()

    def _user(self, claims: dict[str, Any]) -> User:
        private = claims["kubernetes.io"]
        namespace, account = private["namespace"], private["serviceaccount"]
        self._must_live("serviceaccounts", account, namespace)
        extra = {"authentication.kubernetes.io/credential-id": (f"JTI={claims['jti']}",)}
        for kind, resource in _BOUND.items():
            if reference := private.get(kind.lower()):
                if kind != "Node" or "pod" not in private:  # a pod's token ends with the pod, not with its node
                    self._must_live(resource, reference, "" if kind == "Node" else namespace)
                for field in ("name", "uid"):
                    if kind != "Secret" and field in reference:
                        extra[f"authentication.kubernetes.io/{kind.lower()}-{field}"] = (reference[field],)
        return _account_user(namespace, account["name"], account["uid"], extra)

    def _legacy_user(self, claims: dict[str, Any]) -> User:
        namespace, secret = claims[f"{_LEGACY}namespace"], claims[f"{_LEGACY}secret.name"]
        name, uid = claims[f"{_LEGACY}service-account.name"], claims[f"{_LEGACY}service-account.uid"]
        self._must_live("serviceaccounts", {"name": name, "uid": uid}, namespace)
        self._must_live("secrets", {"name": secret}, namespace)
        return _account_user(namespace, name, uid, {})

    def _must_live(self, resource: str, reference: Obj, namespace: str) -> None:
        obj = self._lookup(resource, reference["name"], namespace)
        if obj is None or ("uid" in reference and meta.uid(obj) != reference["uid"]):
            raise unauthorized()

    # -- what others check tokens with

    def discovery(self, address: str) -> Obj:
        """OpenID provider configuration. `address`: where the key set is served, https://host:port."""
        return {
            "issuer": ISSUER,
            "jwks_uri": f"{address}/openid/v1/jwks",
            "response_types_supported": ["id_token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["ES256"],
        }


def _account_user(namespace: str, name: str, uid: str, extra: Mapping[str, tuple[str, ...]]) -> User:
    groups = (*service_account_groups(namespace), AUTHENTICATED)
    return User(f"system:serviceaccount:{namespace}:{name}", groups, uid, tuple(extra.items()))


def _check_duration(seconds: int) -> None:
    text = ""
    if seconds < _LEAST_SECONDS:
        text = "may not specify a duration less than 10 minutes"
    elif seconds > _MOST_SECONDS:
        text = "may not specify a duration larger than 2^32 seconds"
    if text:
        raise invalid(GROUP, "TokenRequest", "", [fields.invalid("spec.expirationSeconds", seconds, text)])


def _check_node(user: User, bound: Obj) -> None:
    """A node gets tokens for its own pods only."""
    if not user.name.startswith("system:node:"):
        return
    if "pod" not in bound:
        raise forbidden("serviceaccounts", "", "node requested token not bound to a pod")
    if bound.get("node", {}).get("name") != user.name.removeprefix("system:node:"):
        raise forbidden("serviceaccounts", "", "node requested token bound to a pod scheduled on a different node")
