"""The addresses of LoadBalancer Services: who has which, who may share one, what a Service asks for. Pure.

Source: MetalLB's internal/allocator and controller/service.go; the texts are those of its events.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from ipaddress import AddressValueError, IPv4Address, IPv4Network, ip_address
from typing import NamedTuple

from sampan.api import meta
from sampan.api.meta import Key, Obj

# MetalLB's annotations, and the names they had before.
PREFIXES = ("metallb.io", "metallb.universe.tf")
ADDRESSES, SHARED = "loadBalancerIPs", "allow-shared-ip"


class Refused(Exception):
    """The address cannot be had; the text says why."""


class Use(NamedTuple):
    """How a Service would use an address. Two may share it when `sharing` is the same and set, and `backend` is too.

    With externalTrafficPolicy Local the address leads to one node, so both need the same pods: `backend`.
    """

    sharing: str
    backend: str
    ports: tuple[str, ...]


def use_of(service: Obj) -> Use:
    spec = service["spec"]
    ports = tuple(f"{port.get('protocol') or 'TCP'}/{port['port']}" for port in spec.get("ports") or ())
    local = spec.get("externalTrafficPolicy") == "Local"
    selector = ",".join(f"{name}={value}" for name, value in sorted((spec.get("selector") or {}).items()))
    return Use(_annotation(service, SHARED), selector if local else "", ports)


def wanted(service: Obj) -> str:
    """The address it asks for, "" when any will do. Raises Refused for what is no address it could have."""
    listed, single = _annotation(service, ADDRESSES), service["spec"].get("loadBalancerIP") or ""
    name = f"{PREFIXES[0]}/{ADDRESSES}"
    if listed and single:
        raise Refused(f"service can not have both {name} and svc.Spec.LoadBalancerIP")
    if not listed and not single:
        return ""
    found: list[str] = []
    for text in listed.split(",") if listed else [single]:
        try:
            found.append(str(ip_address(text.strip() if listed else text)))
        except ValueError:
            raise Refused(
                f"invalid {name}: {_q(listed)}" if listed else f"invalid spec.loadBalancerIP {_q(text)}"
            ) from None
    if len(found) > 2:
        raise Refused(f"IPFamilyForAddresses: invalid ips length {len(found)} {_all(found)}")
    sixes = sum(":" in ip for ip in found)
    if len(found) == 2 and sixes != 1:
        raise Refused(f"IPFamilyForAddresses: same address family {_all(found)}")
    if sixes:
        raise Refused(f"requested loadBalancer IP(s) {_all(found)} does not match the ipFamily of the service")
    return found[0]


class Pool:
    """Who has which address of `cidr`. A Service has one at most."""

    def __init__(self, cidr: str) -> None:
        self._network = IPv4Network(cidr)
        self._users: dict[str, dict[Key, Use]] = {}
        self._held: dict[Key, str] = {}

    def of(self, key: Key) -> str:
        """The Service's address, "" when it has none."""
        return self._held.get(key, "")

    def take(self, key: Key, ip: str, use: Use) -> None:
        """Give it this address, instead of the one it may have. Raises Refused, and nothing changes then."""
        if not self._contains(ip):
            raise Refused(f"{_all([ip])} is not allowed in config")
        others = {other: theirs for other, theirs in self._users.get(ip, {}).items() if other != key}
        if any(not _share(theirs, use) for theirs in others.values()):
            names = ",".join(map(str, others))
            raise Refused(f"can't change sharing key for {_q(ip)}, address also in use by {names}")
        for port in use.ports:
            if any(port in theirs.ports for theirs in others.values()):
                raise Refused(f"port {port} is already in use on {_q(ip)}")
        self.release(key)
        self._users.setdefault(ip, {})[key] = use
        self._held[key] = ip

    def next(self, key: Key, use: Use) -> str:
        """Give it the first address that is free, or that it may share. Raises Refused when there is none."""
        for address in self._network.hosts():
            ip = str(address)
            if use.sharing or ip not in self._users:
                try:
                    self.take(key, ip, use)
                except Refused:
                    continue
                return ip
        raise Refused("no available IPs")

    def release(self, key: Key) -> bool:
        """Had it one?"""
        ip = self._held.pop(key, "")
        if ip:
            del self._users[ip][key]
            if not self._users[ip]:
                del self._users[ip]
        return bool(ip)

    def _contains(self, ip: str) -> bool:
        try:
            return IPv4Address(ip) in self._network.hosts()
        except AddressValueError:
            return False


def _share(one: Use, other: Use) -> bool:
    return bool(one.sharing) and one.sharing == other.sharing and one.backend == other.backend


def _annotation(service: Obj, name: str) -> str:
    found = meta.annotations(service)
    return next((found[f"{prefix}/{name}"] for prefix in PREFIXES if f"{prefix}/{name}" in found), "")


def _q(text: str) -> str:
    """As Go's %q."""
    return json.dumps(text)


def _all(ips: Iterable[str]) -> str:
    return f"[{' '.join(map(_q, ips))}]"
