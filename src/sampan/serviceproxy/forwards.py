"""The annotation `sampan.io/host-ports: "80:80,443:443"`: ports of this machine that lead to a load balancer. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from sampan.api import meta
from sampan.api.meta import Key, Obj
from sampan.serviceproxy.rules import ingress_ips, is_proxied

ANNOTATION = "sampan.io/host-ports"
PROTOCOLS = ("tcp", "udp")


class HostPort(NamedTuple):
    """A port on all addresses of this machine; `protocol` is lower case."""

    protocol: str
    port: int

    def __str__(self) -> str:
        return f"{self.port}/{self.protocol}"


class Forward(NamedTuple):
    ip: str
    port: int


@dataclass(frozen=True)
class Wish:
    """What one Service asks for, and what is wrong with the asking, as words for people."""

    forwards: Mapping[HostPort, Forward] = field(default_factory=dict)
    problems: tuple[str, ...] = ()


def wish_of(service: Obj) -> Wish:
    """Nothing while it has no address yet."""
    text, ips = meta.annotations(service).get(ANNOTATION, ""), ingress_ips(service)
    if not text.strip():
        return Wish()
    if service["spec"].get("type") != "LoadBalancer":
        return Wish(problems=(f"{ANNOTATION} is for Services of type LoadBalancer",))
    forwards: dict[HostPort, Forward] = {}
    problems: list[str] = []
    for pair in text.split(","):
        match = re.fullmatch(r"\s*(\d{1,5}):(\d{1,5})\s*", pair)
        if not match or not 0 < int(match[1]) < 65536:
            problems.append(f'"{pair.strip()}" in {ANNOTATION} is not HOST-PORT:SERVICE-PORT')
            continue
        host, number = int(match[1]), int(match[2])
        found = [
            (p.get("protocol") or "TCP").lower() for p in service["spec"].get("ports") or () if p["port"] == number
        ]
        if not found:
            problems.append(f"{ANNOTATION} names port {number}, which the Service has not")
        if ips and is_proxied(service):
            forwards |= {HostPort(name, host): Forward(ips[0], number) for name in found if name in PROTOCOLS}
    return Wish(forwards, tuple(problems))


def settle(wishes: Mapping[Key, Wish]) -> tuple[dict[HostPort, Key], dict[Key, list[str]]]:
    """Who gets which port, and what the others hear: the first by name has it."""
    owners: dict[HostPort, Key] = {}
    refused: dict[Key, list[str]] = {}
    for key in sorted(wishes):
        for port in wishes[key].forwards:
            if (owner := owners.setdefault(port, key)) != key:
                refused.setdefault(key, []).append(f"host port {port} leads to Service {owner} already")
    return owners, refused


def owner_of(port: HostPort, services: Iterable[Obj]) -> tuple[Key, Forward] | None:
    """Where a host port leads, for the tracer."""
    wishes = {meta.key(service): wish_of(service) for service in services}
    owners, _ = settle(wishes)
    return (owners[port], wishes[owners[port]].forwards[port]) if port in owners else None
