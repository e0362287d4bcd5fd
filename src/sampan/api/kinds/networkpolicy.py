"""NetworkPolicy (networking.k8s.io/v1).

Source: k8s.io/kubernetes/pkg/apis/networking/{v1/defaults.go,validation} (1.32).
"""

from __future__ import annotations

import ipaddress
from datetime import datetime
from typing import Any

from sampan.api import fields, meta, objectmeta, validation
from sampan.api.meta import Obj
from sampan.api.scale import selector_text
from sampan.api.scheme import Column, Resource, Strategy
from sampan.api.status import FieldError
from sampan.api.table import AGE, NAME, age

_TYPES = ("Ingress", "Egress")
_CIDR = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"


def _default(policy: Obj) -> None:
    spec = policy.setdefault("spec", {})
    spec.setdefault("podSelector", {})
    for direction in ("ingress", "egress"):
        for rule in spec.get(direction) or ():
            for port in rule.get("ports") or ():
                port.setdefault("protocol", "TCP")
    if not spec.get("policyTypes"):
        spec["policyTypes"] = ["Ingress", "Egress"] if spec.get("egress") else ["Ingress"]


def _validate(policy: Obj) -> list[FieldError]:
    return objectmeta.validate(policy["metadata"], namespaced=True) + _spec(policy["spec"])


def _validate_update(new: Obj, old: Obj) -> list[FieldError]:
    return objectmeta.validate_update(new["metadata"], old["metadata"]) + _spec(new["spec"])


def _spec(spec: Obj) -> list[FieldError]:
    found = validation.label_selector("spec.podSelector", spec["podSelector"])
    for direction, peers in (("ingress", "from"), ("egress", "to")):
        for i, rule in enumerate(spec.get(direction) or ()):
            path = f"spec.{direction}[{i}]"
            for j, port in enumerate(rule.get("ports") or ()):
                found += _port(port, f"{path}.ports[{j}]")
            for j, peer in enumerate(rule.get(peers) or ()):
                found += _peer(peer, f"{path}.{peers}[{j}]")
    types = spec["policyTypes"]
    if len(types) > len(_TYPES):
        return [*found, fields.invalid("spec.policyTypes", types, "may not specify more than two policyTypes")]
    unknown = [(i, kind) for i, kind in enumerate(types) if kind not in _TYPES]
    return found + [fields.not_supported(f"spec.policyTypes[{i}]", kind, _TYPES) for i, kind in unknown]


def _port(port: Obj, path: str) -> list[FieldError]:
    found: list[FieldError] = []
    if port["protocol"] not in validation.PROTOCOLS:
        found.append(fields.not_supported(f"{path}.protocol", port["protocol"], ("TCP", "UDP", "SCTP")))
    number, end = port.get("port"), port.get("endPort")
    if number is not None:
        found += validation.port_or_name(f"{path}.port", number)
    if end is None:
        return found
    if not isinstance(number, int):
        why = "is non-numeric" if number is not None else "is not specified"
        return [*found, fields.invalid(f"{path}.endPort", end, f"may not be specified when `port` {why}")]
    if end < number:
        found.append(fields.invalid(f"{path}.endPort", end, "must be greater than or equal to `port`"))
    return found + validation.port(f"{path}.endPort", end)


def _peer(peer: Obj, path: str) -> list[FieldError]:
    kinds = [key for key in ("podSelector", "namespaceSelector", "ipBlock") if peer.get(key) is not None]
    if not kinds:
        return [fields.required(path, "must specify a peer")]
    found = [e for key in kinds[:2] if key != "ipBlock" for e in validation.label_selector(f"{path}.{key}", peer[key])]
    if "ipBlock" in kinds:
        found += _block(peer["ipBlock"], f"{path}.ipBlock")
        if len(kinds) > 1:
            found.append(fields.forbidden(path, "may not specify both ipBlock and another peer"))
    return found


def _block(block: Obj, path: str) -> list[FieldError]:
    text = block.get("cidr", "")
    if not text:
        return [fields.required(f"{path}.cidr")]
    try:
        network = ipaddress.ip_network(text, strict=False)
    except ValueError:
        return [fields.invalid(f"{path}.cidr", text, _CIDR)]
    found: list[FieldError] = []
    for i, inner in enumerate(block.get("except") or ()):
        at = f"{path}.except[{i}]"
        try:
            hole = ipaddress.ip_network(inner, strict=False)
        except ValueError:
            found.append(fields.invalid(at, inner, _CIDR))
            continue
        if hole.version != network.version or not _inside(hole, network):
            found.append(fields.invalid(at, inner, "must be a strict subset of `cidr`"))
    return found


def _inside(hole: Any, network: Any) -> bool:
    return bool(hole.prefixlen > network.prefixlen and hole.subnet_of(network))


def _row(policy: Obj, now: datetime) -> list[Any]:
    return [meta.name(policy), selector_text(policy["spec"].get("podSelector")), age(policy, now)]


RESOURCE = Resource(
    group="networking.k8s.io",
    version="v1",
    kind="NetworkPolicy",
    plural="networkpolicies",
    definition="io.k8s.api.networking.v1.NetworkPolicy",
    singular="networkpolicy",
    short=("netpol",),
    generation=True,
    strategy=Strategy(
        columns=(NAME, Column("Pod-Selector", description="The pods it is about."), AGE),
        row=_row,
        default=_default,
        validate=_validate,
        validate_update=_validate_update,
    ),
)
