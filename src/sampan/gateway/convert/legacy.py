"""Ingresses of the API versions that Kubernetes 1.22 removed → networking.k8s.io/v1.

Source: https://kubernetes.io/docs/reference/using-api/deprecation-guide/#ingress-v122.
"""

from __future__ import annotations

from sampan.api import meta
from sampan.api.meta import Obj
from sampan.gateway.convert.notes import Notes

V1 = "networking.k8s.io/v1"
REMOVED = ("extensions/v1beta1", "networking.k8s.io/v1beta1")


def is_ingress(obj: Obj) -> bool:
    return obj.get("kind") == "Ingress" and obj.get("apiVersion") in (V1, *REMOVED)


def current(obj: Obj, notes: Notes) -> Obj:
    """A copy as v1 has it."""
    made = meta.copy(obj)
    made["metadata"].setdefault("namespace", "default")
    spec = made.setdefault("spec", {})
    old = made["apiVersion"] in REMOVED
    made["apiVersion"] = V1
    if old and "backend" in spec:
        spec["defaultBackend"] = _backend(spec.pop("backend"))
    for rule in spec.get("rules") or ():
        for entry in (rule.get("http") or {}).get("paths") or ():
            if old:
                entry["backend"] = _backend(entry.get("backend") or {})
            _path(made, entry, notes)
    return made


def _backend(old: Obj) -> Obj:
    if "serviceName" not in old:
        return old
    port = old.get("servicePort")
    number = isinstance(port, int) or str(port).isdigit()
    return {"service": {"name": old["serviceName"], "port": {"number": int(port)} if number else {"name": str(port)}}}  # type: ignore[arg-type]


def _path(ingress: Obj, entry: Obj, notes: Notes) -> None:
    """A star at the end was a habit of some controllers; in Kubernetes' own kinds of paths it is a star."""
    path = entry.setdefault("path", "/")
    if path.endswith("/*"):
        entry["path"] = path[:-2] or "/"
        entry["pathType"] = "Prefix"
        notes.say(ingress, f"path {path}: a * means nothing in a Prefix; taken as Prefix {entry['path']}")
    elif "pathType" not in entry:
        entry["pathType"] = "ImplementationSpecific"
