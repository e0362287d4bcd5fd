"""BackendTLSPolicies: with which Services TLS is spoken, and whom the gateway believes to be them."""

from __future__ import annotations

from dataclasses import dataclass

from sampan import ir
from sampan.api import meta
from sampan.api.meta import Key, Obj
from sampan.gateway.gatewayapi.memo import View
from sampan.gateway.gatewayapi.names import POLICIES, age
from sampan.gateway.gatewayapi.references import From, Wrong, authorities


@dataclass(frozen=True, slots=True, eq=False)
class Policy:
    """What one policy comes to. `refused`: nothing to check certificates with, so nothing may be sent."""

    key: Key
    tls: ir.UpstreamTls
    roots: ir.Secret | None
    refused: Wrong | None
    unresolved: tuple[Wrong, ...]


def read(view: View, obj: Obj) -> Policy:
    return view.once(("policy", meta.key(obj)), _read, obj)


def _read(view: View, obj: Obj) -> Policy:
    key, validation = meta.key(obj), obj["spec"]["validation"]
    well_known = validation.get("wellKnownCACertificates")
    refused: Wrong | None = None
    unresolved: list[Wrong] = []
    secret: ir.Secret | None = None
    if well_known:
        if well_known != "System":
            refused = Wrong("Invalid", f"wellKnownCACertificates {well_known} is not known, System is")
    else:
        by = From("BackendTLSPolicy", key.namespace)
        # They are in the policy's own namespace: the type has no field for another one.
        refs = [{**ref, "namespace": key.namespace} for ref in validation.get("caCertificateRefs") or ()]
        roots, unresolved = authorities(view, by, refs, "InvalidKind")
        if roots:
            origin = ir.Origin(POLICIES, *key)
            secret = ir.Secret(f"gateway/{key}/roots", roots=roots, origin=origin)
        else:
            refused = Wrong("NoValidCACertificate", unresolved[0].message if unresolved else "it names none")
    names = tuple(name.get("hostname") or name.get("uri") for name in validation.get("subjectAltNames") or ())
    tls = ir.UpstreamTls(
        sni=validation["hostname"],
        ca=secret.name if secret else "system",
        names=names or (validation["hostname"],),
    )
    return Policy(key, tls, secret, refused, tuple(unresolved))


def of_port(view: View, namespace: str, service: str, port_name: str) -> Policy | None:
    """The one that counts for a port of a Service: one that names the port, else one for the whole Service."""
    candidates = view.all(f"of-service/{POLICIES}", Key(namespace, service))
    for section in (port_name, ""):
        if named := [one for one in candidates if _targets(one, service, section)]:
            return read(view, min(named, key=age))
    return None


def _targets(policy: Obj, service: str, section: str) -> bool:
    return any(
        (ref.get("group", ""), ref["kind"], ref["name"], ref.get("sectionName") or "")
        == ("", "Service", service, section)
        for ref in policy["spec"]["targetRefs"]
    )


def overruled(view: View, policy: Obj) -> Key | None:
    """An older policy with the same target, which counts instead of this one."""
    namespace = meta.namespace(policy)
    for ref in policy["spec"]["targetRefs"]:
        if (ref.get("group", ""), ref["kind"]) != ("", "Service"):
            continue
        rivals = view.all(f"of-service/{POLICIES}", Key(namespace, ref["name"]))
        same = [one for one in rivals if _targets(one, ref["name"], ref.get("sectionName") or "")]
        if same and (first := min(same, key=age)) and meta.key(first) != meta.key(policy):
            return meta.key(first)
    return None
