"""Ingresses → Gateway API, with a report of what has no equal. Pure.

One Gateway for the Ingresses of a class in a namespace, one HTTPRoute a host. The behaviour of the nginx dialect is
kept where Gateway API can say it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sampan.api import meta
from sampan.api.kinds.ingress import CLASS_ANNOTATION
from sampan.api.meta import Key, Obj
from sampan.gateway.convert import filters, legacy
from sampan.gateway.convert.gateway import Host, gateway, parents, slug
from sampan.gateway.convert.notes import Note, Notes
from sampan.gateway.convert.routes import Job, Source, rules
from sampan.gateway.ingress.annotations import read_all

API = "gateway.networking.k8s.io/v1"


@dataclass(frozen=True, slots=True)
class Converted:
    manifests: tuple[Obj, ...]
    notes: tuple[Note, ...]


def convert(objects: Iterable[Obj], gateway_class: str = "sampan") -> Converted:
    """`objects` may hold others than Ingresses: Services, Secrets and ConfigMaps that these refer to are looked up."""
    notes = Notes()
    known: dict[tuple[str, Key], Obj] = {}
    groups: dict[Key, list[tuple[Obj, dict[str, object]]]] = {}
    for obj in objects:
        if not legacy.is_ingress(obj):
            namespace, name = meta.namespace(obj) or "default", meta.name(obj)
            known[str(obj.get("kind")), Key(namespace, name)] = obj
            continue
        ingress = legacy.current(obj, notes)
        read = read_all(meta.annotations(ingress))
        for reason, message in read.told:
            if reason == "InvalidAnnotation":
                notes.say(ingress, message, lost=True)
        filters.report(ingress, notes)
        groups.setdefault(Key(meta.namespace(ingress), _class(ingress)), []).append((ingress, read.values))
    made: list[Obj] = []
    for key, members in groups.items():
        made += _group(key, members, gateway_class, Job(known, notes))
    return Converted(tuple(made), notes.all())


def _class(ingress: Obj) -> str:
    return str(ingress["spec"].get("ingressClassName") or meta.annotations(ingress).get(CLASS_ANNOTATION) or "nginx")


def _group(key: Key, members: list[tuple[Obj, dict[str, object]]], gateway_class: str, job: Job) -> list[Obj]:
    """The Gateway of a class in a namespace, and its routes."""
    hosts: dict[str, list[Source]] = {}
    for ingress, values in members:
        found: dict[str, list[Obj]] = {}
        for rule in ingress["spec"].get("rules") or ():
            entries = found.setdefault((rule.get("host") or "").lower(), [])
            entries += (rule.get("http") or {}).get("paths") or ()
        if not found and ingress["spec"].get("defaultBackend"):
            found[""] = []
        for name, entries in found.items():
            hosts.setdefault(name, []).append(Source(ingress, values, tuple(entries)))
    made = [Host.of(name, sources, job.notes) for name, sources in sorted(hosts.items())]
    routes = [route for host in made for route in _routes(key, host, job)]
    return [gateway(API, key, gateway_class, made), *routes]


def _routes(key: Key, host: Host, job: Job) -> list[Obj]:
    wanted = rules(job, host.sources)
    base = meta.name(host.sources[0].ingress) + (f"-{slug(host.name)}" if host.name else "")
    made: list[Obj] = []
    if wanted:
        listeners = ("https",) if host.redirects else ("http", "https") if host.tls else ("http",)
        made.append(_route(key, host, base, listeners, wanted))
    if host.redirects:
        everything: Obj = {"matches": [{"path": {"type": "PathPrefix", "value": "/"}}], "filters": [filters.to_https()]}
        made.append(_route(key, host, f"{base}-to-https", ("http",), [everything]))
    if host.www:
        redirect = {"type": "RequestRedirect", "requestRedirect": {"hostname": host.name, "statusCode": 308}}
        other = host.name[4:] if host.name.startswith("www.") else f"www.{host.name}"
        entry = {"matches": [{"path": {"type": "PathPrefix", "value": "/"}}], "filters": [redirect]}
        made.append(_route(key, host, f"{base}-www", ("http",), [entry], names=(other,)))
    return made


def _route(
    key: Key, host: Host, name: str, listeners: tuple[str, ...], wanted: list[Obj], names: tuple[str, ...] = ()
) -> Obj:
    spec: Obj = {"parentRefs": parents(key, host, listeners)}
    if hostnames := names or host.names:
        spec["hostnames"] = list(hostnames)
    return {
        "apiVersion": API,
        "kind": "HTTPRoute",
        "metadata": {"name": name, "namespace": key.namespace},
        "spec": spec | {"rules": wanted},
    }
