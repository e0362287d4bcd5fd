"""EndpointSlice (discovery.k8s.io/v1)."""

from __future__ import annotations

import ipaddress
from datetime import datetime
from typing import Any

from sampan.api import fields, meta, objectmeta, validation
from sampan.api.meta import Obj
from sampan.api.scheme import Column, Resource, Strategy
from sampan.api.status import FieldError
from sampan.api.table import AGE, NAME, age, shortened
from sampan.api.validation import PROTOCOLS, each

_ADDRESS_TYPES = ("FQDN", "IPv4", "IPv6")
_MAX_ENDPOINTS, _MAX_ADDRESSES, _MAX_PORTS, _MAX_HINTS = 1000, 100, 20000, 8


def _default(obj: Obj) -> None:
    for port in obj.get("ports") or ():
        port.setdefault("name", "")
        port.setdefault("protocol", "TCP")


def _address(path: str, kind: str, address: str) -> list[FieldError]:
    if kind == "FQDN":
        return validation.fqdn(path, address)
    if kind not in _ADDRESS_TYPES:
        return []
    found: list[FieldError] = []
    family = ipaddress.IPv4Address if kind == "IPv4" else ipaddress.IPv6Address
    try:
        family(address)
    except ValueError:
        found.append(fields.invalid(path, address, f"must be a valid {kind} address"))
    return found + validation.ordinary_ip(path, address)


def _endpoint(path: str, endpoint: Obj, kind: str) -> list[FieldError]:
    found: list[FieldError] = []
    addresses = endpoint.get("addresses") or ()
    if not addresses:
        found.append(fields.required(f"{path}.addresses", "must contain at least 1 address"))
    elif len(addresses) > _MAX_ADDRESSES:
        found.append(fields.too_many(f"{path}.addresses", len(addresses), _MAX_ADDRESSES))
    for i, address in enumerate(addresses):
        found += _address(f"{path}.addresses[{i}]", kind, address)
    if "nodeName" in endpoint:
        found += each(validation.dns_subdomain, f"{path}.nodeName", endpoint["nodeName"])
    if "hostname" in endpoint:
        found += each(validation.dns_label, f"{path}.hostname", endpoint["hostname"])
    return found + _hints(f"{path}.hints.forZones", (endpoint.get("hints") or {}).get("forZones") or ())


def _hints(path: str, zones: Any) -> list[FieldError]:
    if len(zones) > _MAX_HINTS:
        return [fields.too_many(path, len(zones), _MAX_HINTS)]
    found: list[FieldError] = []
    seen: set[str] = set()
    for i, zone in enumerate(zones):
        name = zone.get("name", "")
        if name in seen:
            found.append(fields.duplicate(f"{path}[{i}].name", name))
        seen.add(name)
        found += each(validation.label_value, f"{path}[{i}].name", name)
    return found


def _ports(ports: Any) -> list[FieldError]:
    if len(ports) > _MAX_PORTS:
        return [fields.too_many("ports", len(ports), _MAX_PORTS)]
    found: list[FieldError] = []
    seen: set[str] = set()
    for i, port in enumerate(ports):
        name = port["name"]
        if name:
            found += each(validation.dns_label, f"ports[{i}].name", name)
        if name in seen:
            found.append(fields.duplicate(f"ports[{i}].name", name))
        seen.add(name)
        found += validation.one_of(f"ports[{i}].protocol", port["protocol"], PROTOCOLS)
        if "appProtocol" in port:
            found += each(validation.qualified_name, f"ports[{i}].appProtocol", port["appProtocol"])
    return found


def _contents(obj: Obj) -> list[FieldError]:
    kind = obj.get("addressType", "")
    found = validation.one_of("addressType", kind, _ADDRESS_TYPES)
    endpoints = obj.get("endpoints") or ()
    if len(endpoints) > _MAX_ENDPOINTS:
        found.append(fields.too_many("endpoints", len(endpoints), _MAX_ENDPOINTS))
    else:
        for i, endpoint in enumerate(endpoints):
            found += _endpoint(f"endpoints[{i}]", endpoint, kind)
    return found + _ports(obj.get("ports") or ())


def _validate(obj: Obj) -> list[FieldError]:
    return objectmeta.validate(obj["metadata"], namespaced=True) + _contents(obj)


def _validate_update(new: Obj, old: Obj) -> list[FieldError]:
    found = objectmeta.validate_update(new["metadata"], old["metadata"]) + _contents(new)
    return found + validation.immutable("addressType", new.get("addressType"), old.get("addressType"))


def _row(obj: Obj, now: datetime) -> list[Any]:
    ports = [str(port.get("port") or port["name"] or "*") for port in obj.get("ports") or ()]
    addresses = [a for endpoint in obj.get("endpoints") or () for a in endpoint["addresses"]]
    return [
        meta.name(obj),
        obj["addressType"],
        shortened(ports) or "<unset>",
        shortened(addresses) or "<unset>",
        age(obj, now),
    ]


RESOURCE = Resource(
    group="discovery.k8s.io",
    version="v1",
    kind="EndpointSlice",
    plural="endpointslices",
    definition="io.k8s.api.discovery.v1.EndpointSlice",
    singular="endpointslice",
    strategy=Strategy(
        columns=(
            NAME,
            Column("AddressType", description="The type of address carried by this slice"),
            Column("Ports", description="The ports every endpoint exposes"),
            Column("Endpoints", description="The addresses of the endpoints"),
            AGE,
        ),
        row=_row,
        default=_default,
        validate=_validate,
        validate_update=_validate_update,
    ),
)
