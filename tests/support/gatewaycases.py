"""Golden cases of Gateway API: their input as the translator wants it, their output as people want to read it."""

from __future__ import annotations

import itertools
from typing import Any

import golden
from golden import Case

from sampan.api import builtin, meta
from sampan.api.crd.names import status_of
from sampan.api.crd.resource import resources as kinds_of
from sampan.api.meta import Key
from sampan.gateway import ports
from sampan.gateway.gatewayapi.names import GROUP
from sampan.gateway.types import Resources, Result

PLURALS = {"Service": "services", "Secret": "secrets", "ConfigMap": "configmaps", "Namespace": "namespaces"}
PLURALS |= {"GatewayClass": f"gatewayclasses.{GROUP}", "BackendTLSPolicy": f"backendtlspolicies.{GROUP}"}
PLURALS |= {
    kind: f"{kind.lower()}s.{GROUP}"
    for kind in (
        *("Gateway", "ListenerSet", "ReferenceGrant", "HTTPRoute", "GRPCRoute", "TLSRoute", "TCPRoute", "UDPRoute"),
    )
}
CLASS = {
    "apiVersion": f"{GROUP}/v1",
    "kind": "GatewayClass",
    "metadata": {"name": "sampan"},
    "spec": {"controllerName": "sampan.io/gateway-controller"},
}


def _strategies() -> dict[tuple[str, str], Any]:
    group = next(group for group in builtin.GROUPS if group.module == "gatewayapi")
    found = {}
    for crd in group.definitions().values():
        crd = meta.copy(crd)
        crd["status"] = status_of(crd, [], "2026-01-01T00:00:00Z")
        schemas = {v["name"]: v["schema"]["openAPIV3Schema"] for v in crd["spec"]["versions"]}
        for resource in kinds_of(crd, lambda version, schemas=schemas: meta.copy(schemas[version])):
            found[f"{GROUP}/{resource.version}", resource.kind] = resource.strategy
    return found


STRATEGIES = _strategies()
_uids = itertools.count(1)


def resources(case: Case) -> Resources:
    return made(case.input)


def made(
    entries: list[dict[str, Any]], *, address: str = "172.30.0.129", ready: bool = True, checked: bool = True
) -> Resources:
    """The class, the namespaces and the Gateways' own Services are there. Objects may be written short, see `_full`.

    `ready`: have the Gateways their ports and an address? `checked`: with defaults and validated, which takes its time.
    """
    objects = golden.objects([meta.copy(CLASS), *map(_full, entries)], PLURALS)
    for key in {key for found in objects.values() for key in found}:
        name = key.namespace
        objects.setdefault("namespaces", {}).setdefault(Key("", name), {"metadata": {"name": name}})
    for found in objects.values():
        for obj in found.values():
            _served(obj, checked)
    first = Resources(objects)
    if not ready:
        return first
    services = objects.setdefault("services", {})
    for resource, obj in ports.objects(first, []):
        if resource == "services":
            wanted = obj["spec"].get("loadBalancerIP") or address
            services[meta.key(obj)] = obj | {"status": {"loadBalancer": {"ingress": [{"ip": wanted}]}}}
    return Resources(objects, ports=ports.allocated(services))


def _served(obj: dict[str, Any], checked: bool) -> None:
    """As the API server would have it: with defaults, and valid."""
    strategy = STRATEGIES.get((obj.get("apiVersion", ""), obj.get("kind", "")))
    if strategy is None:
        return
    obj["metadata"].setdefault("generation", 1)
    # What translators remember goes by it: no two objects of a test run have the same.
    obj["metadata"].setdefault("uid", f"uid-{next(_uids)}")
    if not checked:
        return
    status = obj.pop("status", None)
    strategy.default(obj)
    faults = [str(fault) for fault in strategy.validate(obj)]
    assert not faults, (obj["kind"], meta.name(obj), faults)
    obj.pop("status", None)
    if status:
        obj["status"] = status


def _full(short: dict[str, Any]) -> dict[str, Any]:
    """{kind, name, namespace, …spec}: a Service is {ports: [80, {port, name, appProtocol}], …}, a Secret {tls: HOST},
    a ConfigMap {ca: NAME}, a Namespace {labels}; a route {to: [GATEWAY, …], …}; a Gateway {listeners, …}; `created`
    and `labels` are metadata's."""
    if "metadata" in short:
        return short
    short = meta.copy(short)
    kind, namespace = short.pop("kind"), short.pop("namespace", "default")
    metadata: dict[str, Any] = {"name": short.pop("name")}
    if kind not in ("Namespace", "GatewayClass"):
        metadata["namespace"] = namespace
    for field, name in (("labels", "labels"), ("created", "creationTimestamp"), ("generation", "generation")):
        if field in short:
            metadata[name] = short.pop(field)
    version = short.pop("version", "v1")
    made: dict[str, Any] = {"apiVersion": version, "kind": kind, "metadata": metadata}
    status = short.pop("status", None)
    made |= {"status": status} if status else {}
    if kind == "Service":
        given = [p if isinstance(p, dict) else {"port": p} for p in short.pop("ports", [80])]
        return made | {"spec": {"ports": [{"protocol": "TCP"} | p for p in given], "clusterIP": "10.96.0.100"} | short}
    if kind == "Secret":
        if host := short.pop("tls", None):
            short["stringData"] = {"tls.crt": f"@certificate {host}", "tls.key": f"@key {host}"}
        return made | {"type": "kubernetes.io/tls"} | short
    if kind == "ConfigMap":
        if name := short.pop("ca", None):
            short["data"] = {"ca.crt": golden.pair((name,), ca=True)[0].decode()}
        return made | short
    if kind == "Namespace":
        return made
    made["apiVersion"] = f"{GROUP}/{version}"
    if kind.endswith("Route") and "to" in short:
        parents = [{"name": one} if isinstance(one, str) else one for one in short.pop("to")]
        short = {"parentRefs": parents} | short
    if kind == "Gateway":
        short = {"gatewayClassName": "sampan"} | short
    return made | {"spec": short}


def shown(result: Result) -> dict[str, Any]:
    """Listeners and routes first: that is what one looks for. Conditions are said in a line each."""
    parts = {
        "listeners": golden.readable(result.listeners),
        "tables": {
            name: {host.name: [golden.readable(route) for route in host.routes] for host in table.hosts}
            for name, table in sorted(result.tables.items())
        },
        "clusters": golden.readable(result.clusters),
        "secrets": golden.readable(result.secrets),
        "statuses": {
            f"{ref.resource.split('.')[0]} {Key(ref.namespace, ref.name)}": lines(status)
            for ref, status in result.statuses.items()
        },
    }
    return {name: part for name, part in parts.items() if part}


def lines(value: Any) -> Any:
    """A condition as `Type=Status Reason: message`."""
    if isinstance(value, dict) and {"type", "status", "reason"} <= value.keys():
        generation = value.get("observedGeneration", 1)
        late = "" if generation == 1 else f" @{generation}"
        return f"{value['type']}={value['status']} {value['reason']}{late}: {value['message']}"
    if isinstance(value, dict):
        return {k: lines(v) for k, v in value.items() if k != "controllerName" or v != CLASS["spec"]["controllerName"]}
    return [lines(one) for one in value] if isinstance(value, list) else value
