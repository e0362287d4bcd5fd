"""Golden cases of Ingresses: their input as the translator wants it, its output as people want to read it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import golden
from golden import Case

from sampan.api.meta import Key, copy
from sampan.gateway.ingress.annotations import PREFIX
from sampan.gateway.types import Resources, Result
from sampan.ir import Secret

PLURALS = {
    "Ingress": "ingresses.networking.k8s.io",
    "IngressClass": "ingressclasses.networking.k8s.io",
    "Service": "services",
    "Secret": "secrets",
    "ConfigMap": "configmaps",
}
OWN = Key("", "")
HTTP, HTTPS = 10080, 10443
CLASS = {
    "apiVersion": "networking.k8s.io/v1",
    "kind": "IngressClass",
    "metadata": {"name": "nginx", "annotations": {"ingressclass.kubernetes.io/is-default-class": "true"}},
    "spec": {"controller": "k8s.io/ingress-nginx"},
}


def resources(case: Case) -> Resources:
    """{kind: Outside, http, https} among the input are the machine's own ports."""
    objects = [entry for entry in case.input if entry["kind"] != "Outside"]
    outside = [(entry["http"], entry["https"]) for entry in case.input if entry["kind"] == "Outside"]
    found = made(objects)
    return replace(found, outside=outside[0]) if outside else found


def made(entries: list[dict[str, Any]], *, class_too: bool = True) -> Resources:
    """The default class is there. Objects may be written short."""
    objects = golden.objects([*([copy(CLASS)] if class_too else []), *full(entries)], PLURALS)
    chain, key = golden.pair(("ingress.local",))
    default = Secret("ingress/default-certificate", chain, key)
    return Resources(objects, "172.30.0.128", {(OWN, 80): HTTP, (OWN, 443): HTTPS}, default)


def full(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Objects that are written short (they have a `name`) as they are meant, see `_service` and `_ingress`."""
    short = {"Service": _service, "Ingress": _ingress}
    return [short[entry["kind"]](entry) if "name" in entry else copy(entry) for entry in entries]


def _ingress(short: dict[str, Any]) -> dict[str, Any]:
    """{kind, name, rules: ["HOST PATH PATHTYPE SERVICE:PORT", …], tls: {SECRET: [HOST, …]}, default: SERVICE:PORT,
    annotations: {without the prefix: value}}; HOST * is none, SECRET "" too; class: "" leaves it out."""
    spec: dict[str, Any] = {"ingressClassName": short["class"]} if short.get("class") else {}
    if "class" not in short:
        spec["ingressClassName"] = "nginx"
    rules: dict[str, list[Any]] = {}
    for line in short.get("rules", ()):
        host, path, kind, backend = line.split()
        rules.setdefault(host, []).append({"path": path, "pathType": kind, "backend": _backend(backend)})
    if rules:
        spec["rules"] = [({} if h == "*" else {"host": h}) | {"http": {"paths": p}} for h, p in rules.items()]
    if "default" in short:
        spec["defaultBackend"] = _backend(short["default"])
    if "tls" in short:
        spec["tls"] = [({"secretName": s} if s else {}) | {"hosts": h} for s, h in short["tls"].items()]
    metadata = {"name": short["name"], "namespace": short.get("namespace", "default")}
    metadata["annotations"] = {k if "/" in k else PREFIX + k: v for k, v in short.get("annotations", {}).items()}
    return {"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": metadata, "spec": spec}


def _backend(text: str) -> dict[str, Any]:
    name, _, port = text.partition(":")
    return {"service": {"name": name, "port": {"number": int(port)} if port.isdigit() else {"name": port}}}


def _service(short: dict[str, Any]) -> dict[str, Any]:
    """{kind, name, ports: [80, {name, port}], spec: {…more}}."""
    ports = [p if isinstance(p, dict) else {"port": p} for p in short.get("ports", (80,))]
    spec = {"clusterIP": "10.96.0.100", "ports": ports} | short.get("spec", {})
    metadata = {"name": short["name"], "namespace": short.get("namespace", "default")}
    return {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec}


def shown(result: Result) -> dict[str, Any]:
    """Listeners and routes first: that is what one looks for. What goes without saying is left out."""
    parts = {
        "listeners": golden.readable(result.listeners),
        **{f"hosts of {name}": golden.readable(table.hosts) for name, table in sorted(result.tables.items())},
        "clusters": golden.readable(result.clusters),
        "endpoints": golden.readable(result.endpoints),
        "secrets": {k: golden.readable(v) for k, v in sorted(result.secrets.items()) if "default" not in k},
        "statuses": {f"{ref.namespace}/{ref.name}": status for ref, status in result.statuses.items()},
        "notices": [
            f"{n.type} {n.reason} {n.about.resource.split('.')[0]} {n.about.namespace}/{n.about.name}: {n.message}"
            for n in result.notices
            if n.reason != "Sync"
        ],
    }
    return {name: part for name, part in parts.items() if part}
