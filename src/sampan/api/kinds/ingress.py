"""Ingress and IngressClass (networking.k8s.io/v1).

Source: k8s.io/kubernetes/pkg/apis/networking/validation, pkg/printers/internalversion (1.32).
"""

from __future__ import annotations

import ipaddress
from datetime import datetime
from typing import Any

from sampan.api import fields, meta, objectmeta, validation
from sampan.api.meta import Obj
from sampan.api.scheme import Column, Resource, Strategy
from sampan.api.status import FieldError
from sampan.api.table import AGE, NAME, age, shortened

CLASS_ANNOTATION = "kubernetes.io/ingress.class"
DEFAULT_CLASS = "ingressclass.kubernetes.io/is-default-class"
NGINX = "k8s.io/ingress-nginx"  # the controller that classes of the nginx dialect name
_PATH_TYPES = ("Exact", "ImplementationSpecific", "Prefix")
_BAD_SEQUENCES = ("//", "/./", "/../", "%2f", "%2F")
_BAD_ENDS = ("/..", "/.")
_NO_IP = "must be a DNS name, not an IP address"


def _default(ingress: Obj) -> None:
    ingress.setdefault("spec", {})


def _prepare_create(ingress: Obj) -> None:
    ingress["status"] = {"loadBalancer": {}}


def _validate(ingress: Obj) -> list[FieldError]:
    found = objectmeta.validate(ingress["metadata"], namespaced=True) + _spec(ingress["spec"])
    old, new = meta.annotations(ingress).get(CLASS_ANNOTATION), ingress["spec"].get("ingressClassName")
    if old is not None and new is not None and old != new:
        text = "must match `ingressClassName` when both are specified"
        found.append(fields.invalid(f"annotations.{CLASS_ANNOTATION}", old, text))
    return found


def _validate_update(new: Obj, old: Obj) -> list[FieldError]:
    return objectmeta.validate_update(new["metadata"], old["metadata"]) + _spec(new["spec"])


def _validate_status(new: Obj, old: Obj) -> list[FieldError]:
    found = objectmeta.validate_update(new["metadata"], old["metadata"])
    entries = ((new.get("status") or {}).get("loadBalancer") or {}).get("ingress") or ()
    for i, entry in enumerate(entries):
        path = f"status.loadBalancer.ingress[{i}]"
        if entry.get("ip"):
            found += validation.ip(f"{path}.ip", entry["ip"])
        if entry.get("hostname"):
            found += validation.each(validation.dns_subdomain, f"{path}.hostname", entry["hostname"])
            found += _no_ip(entry["hostname"], f"{path}.hostname")
    return found


def _spec(spec: Obj) -> list[FieldError]:
    rules, default = spec.get("rules") or [], spec.get("defaultBackend")
    found: list[FieldError] = []
    if not rules and default is None:
        text = "either `defaultBackend` or `rules` must be specified"
        found.append(fields.invalid("spec", fields.Raw("[]networking.IngressRule(nil)"), text))
    if default is not None:
        found += _backend(default, "spec.defaultBackend")
    for i, rule in enumerate(rules):
        found += _rule(rule, f"spec.rules[{i}]")
    for i, tls in enumerate(spec.get("tls") or ()):
        for j, host in enumerate(tls.get("hosts") or ()):
            found += _host(host, f"spec.tls[{i}].hosts[{j}]")
        if name := tls.get("secretName"):
            found += validation.each(validation.dns_subdomain, f"spec.tls[{i}].secretName", name)
    if (name := spec.get("ingressClassName")) is not None:
        found += validation.each(validation.dns_subdomain, "spec.ingressClassName", name)
    return found


def _rule(rule: Obj, path: str) -> list[FieldError]:
    found: list[FieldError] = []
    if host := rule.get("host"):
        found += _no_ip(host, f"{path}.host") + _host(host, f"{path}.host")
    http = rule.get("http")
    if http is None:
        return found
    if not http.get("paths"):
        found.append(fields.required(f"{path}.http.paths"))
    for i, entry in enumerate(http.get("paths") or ()):
        found += _path(entry, f"{path}.http.paths[{i}]")
    return found


def _host(host: str, path: str) -> list[FieldError]:
    return validation.each(validation.wildcard_subdomain if "*" in host else validation.dns_subdomain, path, host)


def _no_ip(host: str, path: str) -> list[FieldError]:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return []
    return [fields.invalid(path, host, _NO_IP)]


def _path(entry: Obj, path: str) -> list[FieldError]:
    kind, value = entry.get("pathType"), entry.get("path", "")
    if kind is None:
        return [fields.required(f"{path}.pathType", "pathType must be specified")]
    found: list[FieldError] = []
    if kind not in _PATH_TYPES:
        found.append(fields.not_supported(f"{path}.pathType", kind, _PATH_TYPES))
    elif not value.startswith("/") and (value or kind != "ImplementationSpecific"):
        found.append(fields.invalid(f"{path}.path", value, "must be an absolute path"))
    if kind in ("Exact", "Prefix"):
        texts = [f"must not contain '{bad}'" for bad in _BAD_SEQUENCES if bad in value]
        texts += [f"cannot end with '{bad}'" for bad in _BAD_ENDS if value.endswith(bad)]
        found += [fields.invalid(f"{path}.path", value, text) for text in texts]
    return found + _backend(entry.get("backend") or {}, f"{path}.backend")


def _backend(backend: Obj, path: str) -> list[FieldError]:
    resource, service = backend.get("resource"), backend.get("service")
    if resource is not None and service is not None:
        return [fields.invalid(path, "", "cannot set both resource and service backends")]
    if resource is not None:
        return _reference(resource, f"{path}.resource")
    if service is None:
        return [fields.invalid(path, "", "resource or service backend is required")]
    name, port = service.get("name", ""), service.get("port") or {}
    found = [fields.required(f"{path}.service.name")]
    if name:
        found = validation.each(validation.dns_1035_label, f"{path}.service.name", name)
    if port.get("name") and port.get("number"):
        found.append(fields.invalid(path, "", "cannot set both port name & port number"))
    elif port.get("name"):
        found += validation.each(validation.port_name, f"{path}.service.port.name", port["name"])
    elif port.get("number"):
        found += validation.port(f"{path}.service.port.number", port["number"])
    else:
        found.append(fields.required(path, "port name or number is required"))
    return found


def _reference(reference: Obj, path: str) -> list[FieldError]:
    group = reference.get("apiGroup")
    found = validation.each(validation.dns_subdomain, f"{path}.apiGroup", group) if group is not None else []
    return found + [fields.required(f"{path}.{key}") for key in ("kind", "name") if not reference.get(key)]


def _row(ingress: Obj, now: datetime) -> list[Any]:
    spec = ingress["spec"]
    hosts = [rule["host"] for rule in spec.get("rules") or () if rule.get("host")]
    entries = ((ingress.get("status") or {}).get("loadBalancer") or {}).get("ingress") or ()
    return [
        meta.name(ingress),
        spec.get("ingressClassName") or "<none>",
        shortened(hosts) or "*",
        ",".join(entry.get("ip") or entry.get("hostname", "") for entry in entries),
        "80, 443" if spec.get("tls") else "80",
        age(ingress, now),
    ]


def _validate_class(obj: Obj) -> list[FieldError]:
    return objectmeta.validate(obj["metadata"], namespaced=False) + _class_spec(obj.get("spec") or {})


def _validate_class_update(new: Obj, old: Obj) -> list[FieldError]:
    found = objectmeta.validate_update(new["metadata"], old["metadata"]) + _class_spec(new.get("spec") or {})
    now, before = ((o.get("spec") or {}).get("controller", "") for o in (new, old))
    return found + validation.immutable("spec.controller", now, before)


def _class_spec(spec: Obj) -> list[FieldError]:
    controller = spec.get("controller", "")
    found: list[FieldError] = []
    if not controller:
        found.append(fields.required("spec.controller"))
    elif "/" not in controller:
        text = 'must be a domain-prefixed path (such as "acme.io/foo")'
        found.append(fields.invalid("spec.controller", controller, text))
    parameters = spec.get("parameters")
    if parameters is None:
        return found
    found += _reference(parameters, "spec.parameters")
    scope, namespace = parameters.get("scope", "Cluster"), parameters.get("namespace")
    if scope not in ("Cluster", "Namespace"):
        found.append(fields.not_supported("spec.parameters.scope", scope, ("Cluster", "Namespace")))
    elif scope == "Namespace" and namespace is None:
        text = "`parameters.scope` is set to 'Namespace'"
        found.append(fields.required("spec.parameters.namespace", text))
    elif scope == "Cluster" and namespace is not None:
        found.append(fields.forbidden("spec.parameters.namespace", "`parameters.scope` is set to 'Cluster'"))
    return found


def _class_default(obj: Obj) -> None:
    if parameters := (obj.get("spec") or {}).get("parameters"):
        parameters.setdefault("scope", "Cluster")


def _class_row(obj: Obj, now: datetime) -> list[Any]:
    spec = obj["spec"]
    parameters = spec.get("parameters")
    shown = "<none>"
    if parameters:
        group = parameters.get("apiGroup")
        shown = f"{parameters['kind']}.{group}" if group else parameters["kind"]
        shown += f"/{parameters['name']}"
    return [meta.name(obj), spec["controller"], shown, age(obj, now)]


INGRESS_CLASS = Resource(
    group="networking.k8s.io",
    version="v1",
    kind="IngressClass",
    plural="ingressclasses",
    definition="io.k8s.api.networking.v1.IngressClass",
    singular="ingressclass",
    namespaced=False,
    generation=True,
    strategy=Strategy(
        columns=(
            NAME,
            Column("Controller", description="Who serves Ingresses of this class."),
            Column("Parameters", description="An object with more settings for it."),
            AGE,
        ),
        row=_class_row,
        default=_class_default,
        validate=_validate_class,
        validate_update=_validate_class_update,
    ),
)

INGRESS = Resource(
    group="networking.k8s.io",
    version="v1",
    kind="Ingress",
    plural="ingresses",
    definition="io.k8s.api.networking.v1.Ingress",
    singular="ingress",
    short=("ing",),
    subresources=("status",),
    generation=True,
    strategy=Strategy(
        columns=(
            NAME,
            Column("Class", description="Which controller serves it."),
            Column("Hosts", description="Hosts that it is about."),
            Column("Address", description="Where it is reached."),
            Column("Ports", description="Ports that it is reached at."),
            AGE,
        ),
        row=_row,
        default=_default,
        prepare_create=_prepare_create,
        validate=_validate,
        validate_update=_validate_update,
        validate_status=_validate_status,
    ),
)
