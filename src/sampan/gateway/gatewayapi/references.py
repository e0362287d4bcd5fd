"""References into other namespaces, which a ReferenceGrant there must allow; and what Secrets and ConfigMaps hold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from sampan import ir
from sampan.api.meta import Obj
from sampan.gateway import pem
from sampan.gateway.gatewayapi.memo import View
from sampan.gateway.gatewayapi.names import GRANTS, GROUP


class Wrong(NamedTuple):
    """Why a reference is none: a reason of the specification, and words for people."""

    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class From:
    """Who refers."""

    kind: str
    namespace: str


def granted(view: View, by: From, group: str, kind: str, namespace: str, name: str) -> bool:
    """May it? Within a namespace always."""
    if namespace == by.namespace:
        return True
    for grant in view.all(f"of-namespace/{GRANTS}", namespace):
        spec = grant["spec"]
        origins = any(
            (f["group"], f["kind"], f["namespace"]) == (GROUP, by.kind, by.namespace) for f in spec.get("from") or ()
        )
        targets = any(
            (t.get("group", ""), t["kind"]) == (group, kind) and t.get("name") in (None, "", name)
            for t in spec.get("to") or ()
        )
        if origins and targets:
            return True
    return False


def _not_granted(kind: str, namespace: str, name: str) -> Wrong:
    text = f"no ReferenceGrant in {namespace} allows to refer to {kind} {namespace}/{name}"
    return Wrong("RefNotPermitted", text)


def certificate(view: View, by: From, ref: Obj, invalid: str) -> ir.Secret | Wrong:
    """The pair in the Secret that `ref` (a SecretObjectReference) names. `invalid`: the reason when it is none."""
    group, kind = ref.get("group", ""), ref.get("kind", "Secret")
    namespace, name = ref.get("namespace") or by.namespace, ref["name"]
    if (group, kind) != ("", "Secret"):
        return Wrong(invalid, f"{kind}{f'.{group}' if group else ''} cannot hold a certificate, a Secret can")
    if not granted(view, by, group, kind, namespace, name):
        return _not_granted(kind, namespace, name)
    return view.once(("certificate", namespace, name, invalid), _certificate, namespace, name, invalid)


def _certificate(view: View, namespace: str, name: str, invalid: str) -> ir.Secret | Wrong:
    secret = view.get("secrets", namespace, name)
    if secret is None:
        return Wrong(invalid, f"Secret {namespace}/{name} does not exist")
    try:
        chain, key = pem.pair(secret)
    except pem.Unusable as error:
        return Wrong(invalid, f"Secret {namespace}/{name}: {error}")
    return ir.Secret(f"gateway/{namespace}/{name}", chain, key, origin=ir.Origin("secrets", namespace, name))


def authorities(view: View, by: From, refs: list[Obj], invalid_kind: str) -> tuple[bytes, list[Wrong]]:
    """The roots in the ConfigMaps that are named, and what is wrong with the others."""
    found: list[bytes] = []
    wrong: list[Wrong] = []
    for ref in refs:
        roots = _authority(view, by, ref, invalid_kind)
        if isinstance(roots, Wrong):
            wrong.append(roots)
        else:
            found.append(roots if roots.endswith(b"\n") else roots + b"\n")
    return b"".join(found), wrong


def _authority(view: View, by: From, ref: Obj, invalid_kind: str) -> bytes | Wrong:
    group, kind = ref.get("group", ""), ref["kind"]
    namespace, name = ref.get("namespace") or by.namespace, ref["name"]
    if (group, kind) != ("", "ConfigMap"):
        return Wrong(invalid_kind, f"{kind}{f'.{group}' if group else ''} is not supported, a ConfigMap is")
    if not granted(view, by, group, kind, namespace, name):
        return _not_granted(kind, namespace, name)
    config = view.get("configmaps", namespace, name)
    if config is None:
        return Wrong("InvalidCACertificateRef", f"ConfigMap {namespace}/{name} does not exist")
    try:
        return pem.roots_of(config.get("data") or {})
    except pem.Unusable as error:
        return Wrong("InvalidCACertificateRef", f"ConfigMap {namespace}/{name}: {error}")
