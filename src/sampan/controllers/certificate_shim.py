"""Ingresses and Gateways that ask for certificates in their annotations get Certificates.

Source: github.com/cert-manager/cert-manager/pkg/controller/certificate-shim; https://cert-manager.io/docs/usage/ingress/
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable, Mapping

from sampan.api import fields, meta
from sampan.api.meta import Key, Obj
from sampan.api.status import FieldError
from sampan.client.env import Cache, Controller, Env
from sampan.controllers import certmanager as cm
from sampan.controllers.certificate_annotations import Unusable, issuer_of, translate, wanted
from sampan.controllers.certificaterequest import USAGES
from sampan.controllers.keys import own_key
from sampan.controllers.writes import create, remove

INGRESSES, GATEWAYS = "ingresses.networking.k8s.io", "gateways.gateway.networking.k8s.io"
_IGNORED = "cert-manager.io/ignore-tls-listeners"
_APPLYSET = "applyset.kubernetes.io/part-of"
# Secret → the hosts of its certificate; and what is wrong with the blocks that were left out.
Asked = tuple[dict[str, list[str]], list[str]]


def ingress_controller() -> Controller:
    async def reconcile(key: Key, env: Env) -> None:
        if (ingress := env.caches[INGRESSES].get(key)) is not None:
            await _reconcile(env, ingress, of_ingress, automatic=True)

    watches = {cm.CERTIFICATES: _owned_by("Ingress")}
    return Controller("ingress-shim", {INGRESSES: own_key}, cm.ours(reconcile), workers=1, custom=cm.custom(watches))


def gateway_controller() -> Controller:
    async def reconcile(key: Key, env: Env) -> None:
        cache = env.caches.get(GATEWAYS)
        if cache is not None and (gateway := cache.get(key)) is not None:
            await _reconcile(env, gateway, of_gateway, automatic=False)

    watches = {GATEWAYS: own_key, cm.CERTIFICATES: _owned_by("Gateway")}
    return Controller("gateway-shim", {}, cm.ours(reconcile), workers=1, custom=cm.custom(watches))


def _owned_by(kind: str) -> cm.Watch:
    def changed(certificate: Obj, caches: Mapping[str, Cache]) -> Iterable[Key]:
        owner = meta.controller_of(certificate)
        return [Key(meta.namespace(certificate), owner["name"])] if owner and owner["kind"] == kind else []

    return changed


async def _reconcile(env: Env, obj: Obj, read: Callable[[Obj], Asked], *, automatic: bool) -> None:
    """`automatic`: does kubernetes.io/tls-acme count here?"""
    if meta.deleting(obj) or not wanted(meta.annotations(obj), automatic=automatic):
        return
    try:
        issuer = issuer_of(meta.annotations(obj))
        hosts, faults = read(obj)
        made = [certificate(obj, secret, names, issuer) for secret, names in hosts.items()]
    except Unusable as error:
        env.events.event(obj, "Warning", "BadConfig", str(error))
        return
    for fault in faults:
        env.events.event(obj, "Warning", "BadConfig", fault)
    for one in made:
        await _ensure(env, obj, one)
    await _remove_others(env, obj, _named(obj))


async def _ensure(env: Env, obj: Obj, wanted: Obj) -> None:
    """Make or change it, unless somebody else has it."""
    name, namespace = meta.name(wanted), meta.namespace(wanted)
    old = await cm.find(env, cm.CERTIFICATES, name, namespace)
    if old is None:
        if await create(env, cm.CERTIFICATES, wanted) is not None:
            text = f'Successfully created Certificate "{name}"'
            env.events.event(obj, "Normal", "CreateCertificate", text)
        return
    owner = meta.controller_of(old)
    if owner is None or owner["uid"] != meta.uid(obj):
        return
    if old["spec"] == wanted["spec"] and meta.labels(old) == meta.labels(wanted):
        return
    new = {**old, "metadata": {**old["metadata"], "labels": meta.labels(wanted)}, "spec": wanted["spec"]}
    await env.client.update(cm.CERTIFICATES, new)
    env.events.event(obj, "Normal", "UpdateCertificate", f'Successfully updated Certificate "{name}"')


async def _remove_others(env: Env, obj: Obj, used: set[str]) -> None:
    """Certificates made for Secrets that it names no more."""
    for old in cm.cached(env.caches, cm.CERTIFICATES, meta.namespace(obj)):
        owner = meta.controller_of(old)
        unused = owner and owner["uid"] == meta.uid(obj) and old["spec"]["secretName"] not in used
        if unused and await remove(env, cm.CERTIFICATES, old):
            text = f'Successfully deleted unrequired Certificate "{meta.name(old)}"'
            env.events.event(obj, "Normal", "DeleteCertificate", text)


# -- pure


def certificate(obj: Obj, secret: str, hosts: Iterable[str], issuer: Obj) -> Obj:
    """The Certificate for one Secret. Raises Unusable."""
    unique = list(dict.fromkeys(hosts))
    addresses = [host for host in unique if _is_address(host)]
    spec: Obj = {"secretName": secret, "issuerRef": issuer, "usages": list(USAGES)}
    spec |= {"dnsNames": names} if (names := [host for host in unique if host not in addresses]) else {}
    spec |= {"ipAddresses": addresses} if addresses else {}
    translate(spec, meta.annotations(obj))
    labels = {k: v for k, v in meta.labels(obj).items() if k != _APPLYSET}
    return {
        "apiVersion": cm.API_VERSION,
        "kind": "Certificate",
        "metadata": {
            "name": secret,
            "namespace": meta.namespace(obj),
            **({"labels": labels} if labels else {}),
            "ownerReferences": [meta.owner_reference(obj)],
        },
        "spec": spec,
    }


def of_ingress(ingress: Obj) -> Asked:
    """Raises Unusable."""
    blocks = ingress["spec"].get("tls") or []
    _check_unique(blocks)
    hosts, faults = {}, []
    for i, block in enumerate(blocks):
        missing = [f for f in ("hosts", "secretName") if not block.get(f)]
        if missing:
            wrong = [fields.required(f"spec.tls[{i}].{field}") for field in missing]
            faults.append(f"Skipped a TLS block: {_together(wrong)}")
        else:
            hosts[block["secretName"]] = list(block["hosts"])
    return hosts, faults


def _check_unique(blocks: list[Obj]) -> None:
    """Two blocks of one Secret would be two Certificates of one name."""
    paths: dict[str, list[str]] = {}
    for i, block in enumerate(blocks):
        paths.setdefault(block.get("secretName") or "", []).append(f"spec.tls[{i}].secretName")
    text = "this secret name must only appear in a single TLS entry but is also used in "
    wrong = [fields.invalid(p[0], name, text + p[1]) for name, p in paths.items() if len(p) > 1]
    if wrong:
        raise Unusable(_together(wrong))


def of_gateway(gateway: Obj) -> Asked:
    ignored = {name.strip() for name in meta.annotations(gateway).get(_IGNORED, "").split(",")}
    hosts: dict[str, list[str]] = {}
    faults = []
    for i, listener in enumerate(gateway["spec"].get("listeners") or ()):
        tls = listener.get("tls") or {}
        if listener.get("protocol") not in ("HTTPS", "TLS") or tls.get("mode") == "Passthrough":
            continue
        if listener.get("name") in ignored:
            continue
        if wrong := list(_listener_faults(listener, f"spec.listeners[{i}]", meta.namespace(gateway))):
            faults.append(f"Skipped a listener block: {_together(wrong)}")
            continue
        for ref in tls["certificateRefs"]:
            hosts.setdefault(ref["name"], []).append(listener["hostname"])
    return hosts, faults


def _listener_faults(listener: Obj, path: str, namespace: str) -> Iterable[FieldError]:
    if not listener.get("hostname"):
        yield fields.required(f"{path}.hostname", "the hostname cannot be empty")
    tls = listener.get("tls")
    if not tls:
        yield fields.required(f"{path}.tls", "the TLS block cannot be empty")
        return
    at = f"{path}.tls.certificateRef"
    if not tls.get("certificateRefs"):
        yield fields.required(at, "listener has no certificateRefs")
    for i, ref in enumerate(tls.get("certificateRefs") or ()):
        if (ref.get("group") or "") not in ("", "core"):
            yield fields.not_supported(f"{at}[{i}].group", ref["group"], ("core", ""))
        if (ref.get("kind") or "Secret") != "Secret":
            yield fields.not_supported(f"{at}[{i}].kind", ref["kind"], ("Secret", ""))
        if (ref.get("namespace") or namespace) != namespace:
            text = "cross-namespace secret references are not allowed in listeners"
            yield fields.invalid(f"{at}[{i}].namespace", ref["namespace"], text)
    if (tls.get("mode") or "Terminate") != "Terminate":
        yield fields.not_supported(f"{path}.tls.mode", tls["mode"], ("Terminate",))


def _named(obj: Obj) -> set[str]:
    """All Secrets it names, also in blocks that were left out."""
    spec = obj["spec"]
    refs = [
        ref
        for listener in spec.get("listeners") or ()
        for ref in (listener.get("tls") or {}).get("certificateRefs", ())
    ]
    return {block.get("secretName", "") for block in spec.get("tls") or ()} | {ref.get("name", "") for ref in refs}


def _together(faults: list[FieldError]) -> str:
    """As Go shows several errors."""
    return str(faults[0]) if len(faults) == 1 else f"[{', '.join(map(str, faults))}]"


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
