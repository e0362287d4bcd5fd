"""Endpoints (core/v1): the old form of EndpointSlice, deprecated since Kubernetes 1.33."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from sampan.api import fields, meta, objectmeta, validation
from sampan.api.meta import Obj
from sampan.api.scheme import Column, Resource, Strategy
from sampan.api.status import FieldError
from sampan.api.table import AGE, NAME, age, shortened
from sampan.api.validation import PROTOCOLS, each


def _default(obj: Obj) -> None:
    for subset in obj.get("subsets") or ():
        for port in subset.get("ports") or ():
            port.setdefault("protocol", "TCP")


def _address(path: str, address: Obj) -> list[FieldError]:
    found = validation.ip(f"{path}.ip", address.get("ip", ""))
    if address.get("hostname"):
        found += each(validation.dns_label, f"{path}.hostname", address["hostname"])
    if "nodeName" in address:
        found += each(validation.dns_subdomain, f"{path}.nodeName", address["nodeName"])
    return found + validation.ordinary_ip(f"{path}.ip", address.get("ip", ""))


def _port(path: str, port: Obj, named: bool) -> list[FieldError]:
    found: list[FieldError] = []
    if port.get("name"):
        found += each(validation.dns_label, f"{path}.name", port["name"])
    elif named:
        found.append(fields.required(f"{path}.name"))
    found += validation.port(f"{path}.port", port.get("port", 0))
    found += validation.one_of(f"{path}.protocol", port.get("protocol"), PROTOCOLS)
    if "appProtocol" in port:
        found += each(validation.qualified_name, f"{path}.appProtocol", port["appProtocol"])
    return found


def _subset(path: str, subset: Obj) -> list[FieldError]:
    found: list[FieldError] = []
    if not subset.get("addresses") and not subset.get("notReadyAddresses"):
        found.append(fields.required(path, "must specify `addresses` or `notReadyAddresses`"))
    for part in ("addresses", "notReadyAddresses"):
        for i, address in enumerate(subset.get(part) or ()):
            found += _address(f"{path}.{part}[{i}]", address)
    ports = subset.get("ports") or ()
    for i, port in enumerate(ports):
        found += _port(f"{path}.ports[{i}]", port, named=len(ports) > 1)
    return found


def _contents(obj: Obj) -> list[FieldError]:
    return [e for i, subset in enumerate(obj.get("subsets") or ()) for e in _subset(f"subsets[{i}]", subset)]


def _validate(obj: Obj) -> list[FieldError]:
    return objectmeta.validate(obj["metadata"], namespaced=True) + _contents(obj)


def _validate_update(new: Obj, old: Obj) -> list[FieldError]:
    return objectmeta.validate_update(new["metadata"], old["metadata"]) + _contents(new)


def _addresses(obj: Obj) -> Iterator[str]:
    """ip:port of every ready address, port by port; bare IPs of a subset without ports."""
    for subset in obj.get("subsets") or ():
        addresses = [a["ip"] for a in subset.get("addresses") or ()]
        hosts = [f"[{ip}]" if ":" in ip else ip for ip in addresses]
        if not subset.get("ports"):
            yield from addresses
        for port in subset.get("ports") or ():
            yield from (f"{host}:{port['port']}" for host in hosts)


def _row(obj: Obj, now: datetime) -> list[Any]:
    shown = shortened(_addresses(obj)) if obj.get("subsets") else "<none>"
    return [meta.name(obj), shown, age(obj, now)]


RESOURCE = Resource(
    group="",
    version="v1",
    kind="Endpoints",
    plural="endpoints",
    definition="io.k8s.api.core.v1.Endpoints",
    singular="endpoints",
    short=("ep",),
    strategy=Strategy(
        columns=(NAME, Column("Endpoints", description="The ready addresses"), AGE),
        row=_row,
        default=_default,
        validate=_validate,
        validate_update=_validate_update,
        deprecated="v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice",
    ),
)
