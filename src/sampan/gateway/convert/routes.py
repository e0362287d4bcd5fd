"""The rules of Ingresses for one host → the rules of an HTTPRoute."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from sampan.api import meta
from sampan.api.meta import Key, Obj
from sampan.gateway.convert import filters, paths
from sampan.gateway.convert.notes import Notes
from sampan.gateway.ingress.annotations import PREFIX
from sampan.gateway.ingress.behavior import canary
from sampan.gateway.ingress.model import Canary


@dataclass(frozen=True, slots=True)
class Source:
    """A converted Ingress with its annotations as read, and its rules for the host at hand."""

    ingress: Obj
    values: dict[str, Any]
    entries: tuple[Obj, ...]


@dataclass(slots=True)
class Job:
    """What rules are made of: the other objects in the files, and who is told."""

    objects: dict[tuple[str, Key], Obj]
    notes: Notes
    canaries: dict[tuple[str, str], tuple[Source, Canary, Obj]] = field(default_factory=dict)


def rules(job: Job, sources: list[Source]) -> list[Obj]:
    """In the order of the files; a gateway puts the most special first by itself."""
    for source in sources:
        if (wanted := canary(source.values)) is not None:
            for entry in source.entries:
                job.canaries[entry["path"], entry["pathType"]] = (source, wanted, entry)
    made: list[Obj] = []
    for source in sources:
        if source.values.get("canary"):
            continue
        if root := source.values.get("app-root"):
            path = {"type": "ReplaceFullPath", "replaceFullPath": root}
            redirect = {"type": "RequestRedirect", "requestRedirect": {"path": path, "statusCode": 302}}
            made.append({"matches": [{"path": {"type": "Exact", "value": "/"}}], "filters": [redirect]})
        for entry in source.entries:
            made += _entry(job, source, entry)
        if default := source.ingress["spec"].get("defaultBackend"):
            reference = _reference(job, source, default)
            if reference and not any(e["path"] == "/" and e["pathType"] != "Exact" for e in source.entries):
                made.append({"matches": [{"path": {"type": "PathPrefix", "value": "/"}}], "backendRefs": [reference]})
    for source, _, entry in job.canaries.values():
        job.notes.say(
            source.ingress, f"no other Ingress has path {entry['path']}: there is nothing to be a canary of", lost=True
        )
    job.canaries.clear()
    return made


def _entry(job: Job, source: Source, entry: Obj) -> list[Obj]:
    values = source.values
    regex = bool(values.get("use-regex") or values.get("rewrite-target"))
    target = values.get("rewrite-target", "")
    if target.startswith("http"):
        job.notes.say(source.ingress, f"{PREFIX}rewrite-target: a redirect with captures has no equal", lost=True)
        return []
    converted = paths.convert(entry["path"], entry["pathType"], target, regex=regex)
    if converted.note:
        job.notes.say(source.ingress, converted.note)
    if converted.lost:
        job.notes.say(source.ingress, converted.lost, lost=True)
    if not converted.match:
        return []
    if (redirect := filters.redirect(values)) is not None:
        return [{"matches": [converted.match], "filters": [redirect]}]
    stable = _reference(job, source, entry["backend"])
    if stable is None:
        return []
    other = job.canaries.pop((entry["path"], entry["pathType"]), None)
    made: list[Obj] = []
    for conditions, references in _choices(job, stable, other):
        rule: Obj = {"matches": [converted.match | ({"headers": conditions} if conditions else {})]}
        if chosen := filters.filters(source.ingress, values, converted.rewrite, job.objects, job.notes):
            rule["filters"] = chosen
        rule["backendRefs"] = references
        made.append(rule | filters.extras(source.ingress, values, job.notes))
    return made


def _choices(job: Job, stable: Obj, other: tuple[Source, Canary, Obj] | None) -> list[tuple[list[Obj], list[Obj]]]:
    """(headers, backendRefs) of each rule: nginx's header, then cookie, then weight."""
    reference = _reference(job, other[0], other[2]["backend"]) if other else None
    if other is None or reference is None:
        return [([], [stable])]
    source, wanted, _ = other
    made: list[tuple[list[Obj], list[Obj]]] = []
    if wanted.header and wanted.value:
        made.append(([_header(wanted.header, wanted.value)], [reference]))
    elif wanted.header and wanted.pattern:
        made.append(([_header(wanted.header, f".*(?:{wanted.pattern}).*", "RegularExpression")], [reference]))
    elif wanted.header:
        made += [([_header(wanted.header, "always")], [reference]), ([_header(wanted.header, "never")], [stable])]
    if wanted.cookie:
        for value, where in (("always", reference), ("never", stable)):
            pattern = rf"(?:.*;\s*)?{re.escape(wanted.cookie)}={value}(?:\s*;.*)?"
            made.append(([_header("cookie", pattern, "RegularExpression")], [where]))
        text = f"{PREFIX}canary-by-cookie became a regular expression on the header Cookie"
        job.notes.say(source.ingress, text)
        if wanted.header:
            job.notes.say(source.ingress, "a request with both the header and the cookie may go either way")
    share = [stable | {"weight": wanted.total - wanted.weight}, reference | {"weight": wanted.weight}]
    made.append(([], share if wanted.weight else [stable]))
    return made


def _header(name: str, value: str, kind: str = "Exact") -> Obj:
    return {"type": kind, "name": name, "value": value}


def _reference(job: Job, source: Source, backend: Obj) -> Obj | None:
    """Gateway API wants the number of a port: a name is looked up in the files."""
    service = backend.get("service")
    if not service:
        kind = (backend.get("resource") or {}).get("kind")
        job.notes.say(source.ingress, f"a backend of kind {kind} is not a Service", lost=True)
        return None
    port = service.get("port") or {}
    if port.get("number"):
        return {"name": service["name"], "port": port["number"]}
    namespace = meta.namespace(source.ingress)
    found = job.objects.get(("Service", Key(namespace, service["name"])))
    for one in ((found or {}).get("spec") or {}).get("ports") or ():
        if one.get("name") == port.get("name"):
            return {"name": service["name"], "port": one["port"]}
    why = "which the Service has not" if found else "and the Service is not among the files"
    text = f"port {port.get('name')} of Service {namespace}/{service['name']}: Gateway API wants a number, {why}"
    job.notes.say(source.ingress, text, lost=True)
    return None
