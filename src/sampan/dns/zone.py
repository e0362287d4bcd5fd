"""The cluster's zone, kept in step with Services, EndpointSlices and Namespaces; lookups are pure reads of it.

Source: Kubernetes DNS-Based Service Discovery 1.1.0 (kubernetes/dns/docs/specification.md).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from sampan.api.meta import Obj, labels
from sampan.dns.types import NOERROR, NXDOMAIN, Answer, Name, Rr, parse, text

TTL = 5
SERVICE_LABEL = "kubernetes.io/service-name"
SPEC_VERSION = "1.1.0"

Ref = tuple[str, str]  # (namespace, name) of a Service


class Endpoint(NamedTuple):
    """One ready address of a Service. `host` is its label below the Service's name."""

    ip: str
    host: str
    ports: tuple[tuple[str, str, int], ...]  # (name, protocol in lower case, number)


class Zone:
    """Answers for `domain` and for reverse names of the cluster's networks.

    `networks` are the CIDRs whose reverse names are ours: an unknown address there is NXDOMAIN, others are not ours.
    Every change makes `version` grow, so that encoded answers can be dropped.
    """

    def __init__(self, domain: str, networks: Iterable[str], server_ip: str) -> None:
        self.domain = parse(domain)
        self.networks = [ipaddress.ip_network(n) for n in networks]
        self.server_ip = server_ip
        self.version = 0
        self._namespaces: set[str] = set()
        self._services: dict[Ref, Obj] = {}
        self._slices: dict[Ref, dict[str, list[Endpoint]]] = {}
        self._reverse: dict[str, dict[tuple[Ref, str], Name]] = {}

    # -- changes (handlers of the informers: old or new is None for a create or a delete) --

    def on_namespace(self, old: Obj | None, new: Obj | None) -> None:
        if old:
            self._namespaces.discard(old["metadata"]["name"])
        if new:
            self._namespaces.add(new["metadata"]["name"])
        self.version += 1

    def on_service(self, old: Obj | None, new: Obj | None) -> None:
        if old:
            ref = _ref(old)
            self._services.pop(ref, None)
            self._forget_reverse(ref, "", _cluster_ips(old))
        if new:
            ref = _ref(new)
            self._services[ref] = new
            for ip in _cluster_ips(new):
                self._reverse.setdefault(ip, {})[ref, ""] = self._service_name(ref)
        self.version += 1

    def on_slice(self, old: Obj | None, new: Obj | None) -> None:
        for obj in (old, new):
            if obj is None or not (service := labels(obj).get(SERVICE_LABEL)):
                continue
            ref, slice_name = (obj["metadata"]["namespace"], service), obj["metadata"]["name"]
            gone = self._slices.get(ref, {}).pop(slice_name, [])
            self._forget_reverse(ref, slice_name, [e.ip for e in gone])
            if obj is new:
                found = list(_endpoints(obj))
                self._slices.setdefault(ref, {})[slice_name] = found
                for endpoint in found:
                    name = (endpoint.host, *self._service_name(ref))
                    self._reverse.setdefault(endpoint.ip, {})[ref, slice_name] = name
            elif not self._slices.get(ref):
                self._slices.pop(ref, None)
        self.version += 1

    def _forget_reverse(self, ref: Ref, slice_name: str, ips: Iterable[str]) -> None:
        for ip in ips:
            names = self._reverse.get(ip, {})
            names.pop((ref, slice_name), None)
            if not names:
                self._reverse.pop(ip, None)

    def _service_name(self, ref: Ref) -> Name:
        return (ref[1], ref[0], "svc", *self.domain)

    # -- lookups --

    def lookup(self, name: Name, kind: str) -> Answer | None:
        """The authoritative answer, or None when the name is not in our zones."""
        found: list[Rr | None] | None = None
        if name[-len(self.domain) :] == self.domain:
            found = self._forward(name[: -len(self.domain)], name)
        elif name[-2:] == ("in-addr", "arpa"):
            found = self._pointers(name)
        if found is None:
            return None
        if not found:
            return Answer(NXDOMAIN, authority=(self._soa(),), keep=TTL)
        records = [r for r in found if r is not None and (r.type == kind or r.type == "CNAME")]
        if records and records[0].type == "CNAME" and kind != "CNAME":
            return Answer(records=tuple(records[:1]), chase=parse(records[0].data), keep=TTL)
        if not records:
            return Answer(NOERROR, authority=(self._soa(),), keep=TTL)
        return Answer(records=tuple(records), keep=TTL)

    def _forward(self, below: Name, name: Name) -> list[Rr | None]:
        """All records at a name; [None] is a name that exists without any, [] one that does not exist."""
        match below:
            case ():
                return [self._soa(), Rr(name, "NS", TTL, text(("ns", "dns", *self.domain)))]
            case ("dns-version",):
                return [Rr(name, "TXT", TTL, f'"{SPEC_VERSION}"')]
            case ("ns", "dns"):
                return [Rr(name, "A", TTL, self.server_ip)]
            case ("svc",) | ("pod",) | ("dns",):
                return [None]
            case (namespace, "svc" | "pod"):
                return [None] if namespace in self._namespaces else []
            case (dashed, namespace, "pod"):
                ip = dashed.replace("-", ".")
                return [Rr(name, "A", TTL, ip)] if namespace in self._namespaces and _is_ipv4(ip) else []
            case (service, namespace, "svc"):
                return self._service_records((namespace, service), name)
            case (host, service, namespace, "svc") if not host.startswith("_"):
                found = [
                    Rr(name, "A", TTL, e.ip) for e in self._named_endpoints((namespace, service)) if e.host == host
                ]
                return [*dict.fromkeys(found)]
            case (proto, service, namespace, "svc") if proto in ("_tcp", "_udp", "_sctp"):
                return [None] if (namespace, service) in self._services else []
            case (port, proto, service, namespace, "svc") if port.startswith("_") and proto.startswith("_"):
                return self._srv((namespace, service), port[1:], proto[1:], name)
        return []

    def _service_records(self, ref: Ref, name: Name) -> list[Rr | None]:
        service = self._services.get(ref)
        if service is None:
            return []
        spec = service["spec"]
        if spec.get("type") == "ExternalName":
            return [Rr(name, "CNAME", TTL, text(parse(spec["externalName"])))]
        ips = _cluster_ips(service) or [e.ip for e in self._endpoints_of(ref)]
        return [Rr(name, "A", TTL, ip) for ip in dict.fromkeys(ips)]

    def _named_endpoints(self, ref: Ref) -> Iterator[Endpoint]:
        """Endpoints with names of their own: every Service's, as CoreDNS has it, whether headless or not."""
        if ref in self._services:
            yield from self._endpoints_of(ref)

    def _endpoints_of(self, ref: Ref) -> Iterator[Endpoint]:
        for endpoints in self._slices.get(ref, {}).values():
            yield from endpoints

    def _srv(self, ref: Ref, port: str, proto: str, name: Name) -> list[Rr | None]:
        service = self._services.get(ref)
        if service is None:
            return []
        target = self._service_name(ref)
        if _cluster_ips(service):
            return [
                Rr(name, "SRV", TTL, f"0 100 {p['port']} {text(target)}")
                for p in service["spec"].get("ports") or ()
                if p.get("name", "") == port and p.get("protocol", "TCP").lower() == proto
            ]
        return [
            Rr(name, "SRV", TTL, f"0 100 {number} {text((e.host, *target))}")
            for e in self._endpoints_of(ref)
            for (label, protocol, number) in e.ports
            if (label, protocol) == (port, proto)
        ]

    def _pointers(self, name: Name) -> list[Rr | None] | None:
        ip = ".".join(reversed(name[:-2]))
        if not _is_ipv4(ip):
            return None
        names = self._reverse.get(ip)
        if names:
            return [Rr(name, "PTR", TTL, text(target)) for target in dict.fromkeys(names.values())]
        address = ipaddress.ip_address(ip)
        return [] if any(address in network for network in self.networks) else None

    def _soa(self) -> Rr:
        zone, host = text(self.domain), text(("ns", "dns", *self.domain))
        return Rr(self.domain, "SOA", TTL, f"{host} hostmaster.{zone} {self.version} 7200 1800 86400 {TTL}")


def _ref(obj: Obj) -> Ref:
    return obj["metadata"]["namespace"], obj["metadata"]["name"]


def _cluster_ips(service: Obj) -> list[str]:
    spec = service["spec"]
    found = spec.get("clusterIPs") or [spec.get("clusterIP", "")]
    return [ip for ip in found if ip and ip != "None" and ":" not in ip]


def _endpoints(obj: Obj) -> Iterator[Endpoint]:
    if obj.get("addressType") != "IPv4":
        return
    ports = tuple(
        (p.get("name") or "", (p.get("protocol") or "TCP").lower(), p["port"])
        for p in obj.get("ports") or ()
        if p.get("port")
    )
    for endpoint in obj.get("endpoints") or ():
        if (endpoint.get("conditions") or {}).get("ready") is False:
            continue
        for ip in endpoint.get("addresses") or ():
            yield Endpoint(ip, endpoint.get("hostname") or ip.replace(".", "-"), ports)


def _is_ipv4(candidate: str) -> bool:
    try:
        ipaddress.IPv4Address(candidate)
    except ValueError:
        return False
    return True
