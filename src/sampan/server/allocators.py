"""ClusterIPs and node ports of Services.

Held in memory, rebuilt from the store at start. A write first reserves what it needs; the reservation is committed when
the write went through (what the old object no longer uses is released) and cancelled when it did not.
Source: kubernetes/pkg/registry/core/service/{storage/alloc.go,ipallocator,portallocator}.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network
from itertools import chain

from sampan.api import fields
from sampan.api.meta import Obj
from sampan.api.status import ApiError, FieldError, internal, invalid


class Taken(Exception):
    """The value cannot be had; the text says why."""


class Numbers:
    """Numbers low..high, handed out at random; the first `static` ones only on request or when the others are gone."""

    def __init__(self, low: int, high: int, static: int, chance: random.Random) -> None:
        self.low, self.high = low, high
        self._dynamic = min(low + static, high + 1)
        self._chance = chance
        self.used: set[int] = set()

    def take(self, number: int) -> bool:
        """Is it ours now? (False: somebody has it.)"""
        if number in self.used:
            return False
        self.used.add(number)
        return True

    def next(self) -> int:
        """A free one. Raises Taken when there is none."""
        for first, last in ((self._dynamic, self.high), (self.low, self._dynamic - 1)):
            number = self._free(first, last)
            if number is not None:
                self.used.add(number)
                return number
        raise Taken("range is full")

    def _free(self, first: int, last: int) -> int | None:
        if first > last:
            return None
        start: int = self._chance.randint(first, last)
        return next((n for n in chain(range(start, last + 1), range(first, start)) if n not in self.used), None)


@dataclass
class Reservation:
    """What one write took, and what it will give back once it went through."""

    services: Services
    taken_ips: list[int] = field(default_factory=list)
    taken_ports: list[int] = field(default_factory=list)
    freed_ips: set[int] = field(default_factory=set)
    freed_ports: set[int] = field(default_factory=set)

    def commit(self) -> None:
        self.services.addresses.used -= self.freed_ips
        self.services.ports.used -= self.freed_ports

    def cancel(self) -> None:
        self.services.addresses.used -= set(self.taken_ips)
        self.services.ports.used -= set(self.taken_ports)


class Services:
    """The allocations of all Services. `node_ports` is inclusive."""

    def __init__(self, cidr: IPv4Network, node_ports: tuple[int, int], chance: random.Random | None = None) -> None:
        self.cidr = cidr
        self.node_ports = node_ports
        chance = chance or random.SystemRandom()
        low, size = int(cidr.network_address) + 1, cidr.num_addresses - 2
        self.addresses = Numbers(low, low + size - 1, min(max(16, size // 16), 256), chance)
        first, last = node_ports
        static = min(max(16, (last - first + 1) // 32), 128)
        self.ports = Numbers(first, last, static if last - first >= 32 else 0, chance)

    def address(self, number: int) -> str:
        """The number-th address of the range: 1 is the API's, 10 the DNS server's."""
        return str(self.cidr.network_address + number)

    def rebuild(self, services: Iterable[Obj]) -> None:
        """Learn at start what is in use."""
        for service in services:
            self.addresses.used |= _ips(service)
            self.ports.used |= _ports(service)

    def release(self, service: Obj) -> None:
        self.addresses.used -= _ips(service)
        self.ports.used -= _ports(service)

    def inherit(self, new: Obj, old: Obj) -> None:
        """Let an update that leaves out allocated values keep them, and drop those its type has no use for."""
        spec, before = new["spec"], old["spec"]
        if _needs_ip(spec) and _needs_ip(before) and not spec.get("clusterIP"):
            spec["clusterIP"] = before["clusterIP"]
            spec["clusterIPs"] = before["clusterIPs"]
        if spec.get("type") == "ExternalName" and before.get("type") != "ExternalName":
            _drop_unchanged(spec, before, ("clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"))
        if _has_node_ports(spec) and _has_node_ports(before):
            known = {(p.get("protocol", "TCP"), p["port"]): p.get("nodePort") for p in before.get("ports") or ()}
            for port in spec.get("ports") or ():
                number = known.get((port.get("protocol", "TCP"), port.get("port")))
                if number and not port.get("nodePort"):
                    port["nodePort"] = number
        elif not _has_node_ports(spec) and _has_node_ports(before):
            unchanged = {p.get("nodePort") for p in before.get("ports") or ()}
            for port in spec.get("ports") or ():
                if port.get("nodePort") in unchanged:
                    port.pop("nodePort", None)
        if not _has_health_check(spec):
            _drop_unchanged(spec, before, ("healthCheckNodePort",))
        elif before.get("healthCheckNodePort") and not spec.get("healthCheckNodePort"):
            spec["healthCheckNodePort"] = before["healthCheckNodePort"]

    def reserve(self, new: Obj, old: Obj | None) -> Reservation:
        """Fill in what is missing in `new` (in place) and take it. Raises ApiError 422."""
        lease = Reservation(self)
        spec = new["spec"]
        had_ips, had_ports = (_ips(old), _ports(old)) if old else (set(), set())
        try:
            self._cluster_ip(new, had_ips, lease)
            self._node_ports(new, had_ports, lease)
            if _has_health_check(spec):
                self._health_check(new, had_ports, lease)
        except ApiError:
            lease.cancel()
            raise
        lease.freed_ips = had_ips - _ips(new)
        lease.freed_ports = had_ports - _ports(new)
        return lease

    def _cluster_ip(self, service: Obj, had: set[int], lease: Reservation) -> None:
        spec = service["spec"]
        if spec.get("type") == "ExternalName":
            return
        headless = spec.get("clusterIP") == "None"  # its endpoints may be of any family
        if not headless and ("IPv6" in (spec.get("ipFamilies") or ()) or ":" in spec.get("clusterIP", "")):
            text = "not configured on this cluster"
            raise _invalid(service, fields.invalid("spec.ipFamilies[0]", "IPv6", text))
        if not spec.get("clusterIP"):
            given = spec.get("clusterIPs") or []
            spec["clusterIP"] = given[0] if given else self._next_ip(service, lease)
        elif not headless:
            number = int(IPv4Address(spec["clusterIP"]))
            if number not in had:
                self._take_ip(service, spec["clusterIP"], number, lease)
        spec["clusterIPs"] = [spec["clusterIP"]]
        spec.setdefault("ipFamilies", ["IPv4"])
        spec.setdefault("ipFamilyPolicy", "SingleStack")

    def _next_ip(self, service: Obj, lease: Reservation) -> str:
        try:
            number = self.addresses.next()
        except Taken as full:
            raise ApiError(
                500, "InternalError", f"Internal error occurred: failed to allocate a serviceIP: {full}"
            ) from None
        lease.taken_ips.append(number)
        return str(IPv4Address(number))

    def _take_ip(self, service: Obj, ip: str, number: int, lease: Reservation) -> None:
        why = ""
        if IPv4Address(number) not in self.cidr or not self.addresses.low <= number <= self.addresses.high:
            why = f"the provided IP ({ip}) is not in the valid range. The range of valid IPs is {self.cidr}"
        elif not self.addresses.take(number):
            why = "provided IP is already allocated"
        if why:
            raise _invalid(service, fields.invalid("spec.clusterIPs", [ip], f"failed to allocate IP {ip}: {why}"))
        lease.taken_ips.append(number)

    def _node_ports(self, service: Obj, had: set[int], lease: Reservation) -> None:
        spec = service["spec"]
        if not _has_node_ports(spec):
            return
        # One service may use a number twice, once for each protocol.
        mine: dict[int, set[str]] = {}
        for index, port in enumerate(spec.get("ports") or ()):
            protocol = port.get("protocol", "TCP")
            number = port.get("nodePort")
            if not number:
                number = port["nodePort"] = self._shared(spec, port, mine) or self._next_port(lease)
            elif number not in had and (number not in mine or protocol in mine[number]):
                self._take_port(service, f"spec.ports[{index}].nodePort", number, lease)
            mine.setdefault(number, set()).add(protocol)

    def _shared(self, spec: Obj, port: Obj, mine: dict[int, set[str]]) -> int:
        """The number that the same port has for another protocol of this service (DNS), 0 without one."""
        protocol = port.get("protocol", "TCP")
        for other in spec["ports"]:
            number = other.get("nodePort")
            if (
                number
                and other is not port
                and other["port"] == port["port"]
                and protocol not in mine.get(number, {protocol})
            ):
                return int(number)
        return 0

    def _next_port(self, lease: Reservation) -> int:
        try:
            number = self.ports.next()
        except Taken as full:
            raise internal(f"failed to allocate a nodePort: {full}") from None
        lease.taken_ports.append(number)
        return number

    def _take_port(self, service: Obj, path: str, number: int, lease: Reservation) -> None:
        first, last = self.node_ports
        if not first <= number <= last:
            text = f"provided port is not in the valid range. The range of valid ports is {first}-{last}"
            raise _invalid(service, fields.invalid(path, number, text))
        if not self.ports.take(number):
            raise _invalid(service, fields.invalid(path, number, "provided port is already allocated"))
        lease.taken_ports.append(number)

    def _health_check(self, service: Obj, had: set[int], lease: Reservation) -> None:
        spec = service["spec"]
        number = spec.get("healthCheckNodePort")
        if not number:
            spec["healthCheckNodePort"] = self._next_port(lease)
        elif number not in had:
            self._take_port(service, "spec.healthCheckNodePort", number, lease)


def _invalid(service: Obj, error: FieldError) -> ApiError:
    return invalid("", "Service", service["metadata"]["name"], [error])


def _needs_ip(spec: Obj) -> bool:
    return spec.get("type") != "ExternalName" and spec.get("clusterIP") != "None"


def _has_node_ports(spec: Obj) -> bool:
    kind = spec.get("type")
    return kind == "NodePort" or (kind == "LoadBalancer" and spec.get("allocateLoadBalancerNodePorts", True))


def _has_health_check(spec: Obj) -> bool:
    return spec.get("type") == "LoadBalancer" and spec.get("externalTrafficPolicy") == "Local"


def _drop_unchanged(spec: Obj, before: Obj, names: Iterable[str]) -> None:
    for name in names:
        if name in spec and spec[name] == before.get(name):
            del spec[name]


def _ips(service: Obj) -> set[int]:
    given = (service.get("spec") or {}).get("clusterIPs") or ()
    return {int(IPv4Address(ip)) for ip in given if ip not in ("", "None")}


def _ports(service: Obj) -> set[int]:
    spec = service.get("spec") or {}
    found = {p["nodePort"] for p in spec.get("ports") or () if p.get("nodePort")}
    return found | ({spec["healthCheckNodePort"]} if spec.get("healthCheckNodePort") else set())
