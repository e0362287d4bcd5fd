"""What a backendRef leads to: a cluster, or the reason why it leads nowhere."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from typing import Final, NamedTuple

from sampan import ir
from sampan.api.meta import Key, Obj
from sampan.gateway.gatewayapi import policies
from sampan.gateway.gatewayapi.memo import View
from sampan.gateway.gatewayapi.names import POLICIES
from sampan.gateway.gatewayapi.references import From, Wrong, granted

H2C: Final = ("kubernetes.io/h2c", "grpc")
WSS: Final = "kubernetes.io/wss"
_SAID_ELSEWHERE = Wrong("", "in the status of the BackendTLSPolicy: the route's references are in order")


class Way(NamedTuple):
    """How a route speaks to its backends. `certificate`: the Gateway's own, a name of a secret."""

    http2: bool = False
    plain: bool = False  # bytes: what the Service says of HTTP does not matter
    certificate: str = ""
    retry: ir.Retry | None = ir.UNSENT


@dataclass(slots=True)
class Found:
    """What the backends of a route have made necessary."""

    clusters: dict[str, ir.Cluster] = field(default_factory=dict)
    secrets: dict[str, ir.Secret] = field(default_factory=dict)
    services: set[Key] = field(default_factory=set)
    wrong: list[Wrong] = field(default_factory=list)


def cluster(view: View, by: From, ref: Obj, way: Way, found: Found) -> str:
    """The name of the cluster, "" when there is none; `found` gets what belongs to it."""
    made = _cluster(view, by, ref, way, found)
    if isinstance(made, Wrong):
        if made != _SAID_ELSEWHERE:
            found.wrong.append(made)
        return ""
    found.clusters.setdefault(made.name, made)
    return made.name


def _cluster(view: View, by: From, ref: Obj, way: Way, found: Found) -> ir.Cluster | Wrong:
    group, kind = ref.get("group", ""), ref.get("kind", "Service")
    namespace, name = ref.get("namespace") or by.namespace, ref["name"]
    if (group, kind) != ("", "Service"):
        return Wrong("InvalidKind", f"{kind}{f'.{group}' if group else ''} {name} is no Service")
    if not granted(view, by, group, kind, namespace, name):
        return Wrong(
            "RefNotPermitted", f"no ReferenceGrant in {namespace} allows to refer to Service {namespace}/{name}"
        )
    service = view.get("services", namespace, name)
    if service is None:
        return Wrong("BackendNotFound", f"Service {namespace}/{name} does not exist")
    found.services.add(Key(namespace, name))
    spec = service["spec"]
    if spec.get("type") == "ExternalName":
        return Wrong("InvalidKind", f"Service {namespace}/{name} is an ExternalName, which could lead anywhere")
    port = next((p for p in spec.get("ports") or () if p["port"] == ref.get("port")), None)
    if port is None:
        return Wrong("BackendNotFound", f"Service {namespace}/{name} has no port {ref.get('port')}")
    return _spoken_to(view, Key(namespace, name), port, way, found)


def _spoken_to(view: View, service: Key, port: Obj, way: Way, found: Found) -> ir.Cluster | Wrong:
    speaks = "" if way.plain else port.get("appProtocol", "")
    policy = policies.of_port(view, *service, port.get("name", ""))
    if policy and policy.refused:
        return _SAID_ELSEWHERE
    if speaks == WSS and policy is None:
        text = f"Service {service} port {port['port']} is {WSS}, which needs a BackendTLSPolicy"
        return Wrong("UnsupportedProtocol", text)
    http2 = not way.plain and (way.http2 or speaks in H2C)
    endpoints = f"{service}/{port['port']}"
    made = ir.Cluster(
        f"gateway/{endpoints}",
        endpoints=endpoints,
        service=str(service),
        http2=http2,
        retry=way.retry,
        origin=ir.Origin("services", *service),
    )
    # What differs in how it is spoken to is another cluster, with a name that says so.
    marks = [mark for mark, there in (("http2", http2), ("bytes", way.plain)) if there]
    if policy:
        marks.append(f"tls={policy.key.name}")
        tls = replace(policy.tls, client_certificate=way.certificate)
        made = replace(made, tls=tls, origin=ir.Origin(POLICIES, *policy.key))
        if way.certificate:
            marks.append(f"as={way.certificate}")
        if policy.roots:
            found.secrets[policy.roots.name] = policy.roots
    if way.retry != ir.UNSENT:
        marks.append(f"retry={hashlib.sha256(repr(way.retry).encode()).hexdigest()[:8]}")
    return replace(made, name="?".join([made.name, *([",".join(marks)] if marks else [])]))
