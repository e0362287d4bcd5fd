"""One Service and its EndpointSlices → the rules for it on one node. Pure.

Source for the semantics: https://kubernetes.io/docs/reference/networking/virtual-ips/ and KEP-1669 (terminating
endpoints), KEP-2433 (hints).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from ipaddress import IPv4Network, collapse_addresses

from sampan.api import meta
from sampan.api.endpoints import Endpoint, endpoints_of, service_of
from sampan.api.meta import Key, Obj
from sampan.serviceproxy.model import Chain, Empty, Frontend, NodeFacts, Ruleset, ServiceRules, Target

# A Service with one of these labels is somebody else's to implement.
NOT_OURS = ("service.kubernetes.io/service-proxy-name", "service.kubernetes.io/headless")
AFFINITY_SECONDS = 10800


def compile_all(services: Iterable[Obj], slices: Iterable[Obj], facts: NodeFacts) -> Ruleset:
    """The whole ruleset at once: for tests, the tracer and a first look; `sync` keeps it up service by service."""
    grouped: dict[Key, list[Obj]] = {}
    for entry in slices:
        grouped.setdefault(service_of(entry), []).append(entry)
    return Ruleset(facts, {meta.key(s): compile_service(s, grouped.get(meta.key(s), []), facts) for s in services})


def is_proxied(service: Obj) -> bool:
    """Has it a virtual IP that is ours to implement?"""
    spec = service["spec"]
    if spec.get("type") == "ExternalName" or spec.get("clusterIP", "None") in ("", "None"):
        return False
    return not any(label in meta.labels(service) for label in NOT_OURS)


def compile_service(service: Obj, slices: Iterable[Obj], facts: NodeFacts) -> ServiceRules:
    """The rules of one Service; `slices` are its own."""
    if not is_proxied(service):
        return ServiceRules()
    slices = list(slices)
    frontends: dict[Frontend, str] = {}
    chains: dict[str, Chain] = {}
    for port in service["spec"].get("ports") or ():
        inner, outer = _chains(service, port, endpoints_of(port, slices), facts)
        ways = [(inner, _cluster_ips(service), port["port"]), (outer, _external_ips(service), port["port"])]
        ways.append((_firewalled(outer, service["spec"]), ingress_ips(service), port["port"]))
        if port.get("nodePort"):
            ways.append((outer, ("",), port["nodePort"]))
        for chain, ips, number in ways:
            for ip in ips:
                frontends[Frontend(ip, chain.protocol, number)] = chain.name
                chains[chain.name] = chain
    return ServiceRules(_cluster_ips(service), frontends, chains)


def eligible(endpoints: list[Endpoint], facts: NodeFacts, *, local: bool) -> tuple[Target, ...]:
    """Who gets new connections: the ready ones; when there are none, those that terminate but still serve."""
    candidates = [e for e in endpoints if e.node == facts.name] if local else endpoints
    ready = [e for e in candidates if e.ready]
    if ready:
        chosen = ready if local else _nearest(ready, facts)
        return tuple(Target(e.ip, e.port) for e in chosen)
    return tuple(Target(e.ip, e.port, draining=True) for e in candidates if e.serving and e.terminating)


def ingress_ips(service: Obj) -> tuple[str, ...]:
    """The load balancer's addresses; one with ipMode Proxy wants the packets to go to the balancer itself."""
    ingress = ((service.get("status") or {}).get("loadBalancer") or {}).get("ingress") or ()
    return _ipv4(entry.get("ip", "") for entry in ingress if entry.get("ipMode", "VIP") == "VIP")


# ── inside ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def _chains(service: Obj, port: Obj, endpoints: list[Endpoint], facts: NodeFacts) -> tuple[Chain, Chain]:
    """The chain for cluster IPs, and the one for NodePorts, external and load balancer IPs."""
    spec = service["spec"]
    protocol = (port.get("protocol") or "TCP").lower()
    path = f"{meta.namespace(service)}/{meta.name(service)}/{protocol}/{port['port']}"
    affinity = _affinity(spec)
    everyone = eligible(endpoints, facts, local=False)
    nearby = eligible(endpoints, facts, local=True)
    left_out = Empty.DROP if everyone else Empty.REJECT
    inside_local = spec.get("internalTrafficPolicy") == "Local"
    outside_local = spec.get("externalTrafficPolicy") == "Local"
    inner = Chain(
        f"internal/{path}",
        protocol,
        nearby if inside_local else everyone,
        affinity_seconds=affinity,
        empty=left_out if inside_local else Empty.REJECT,
    )
    outer = Chain(
        f"external/{path}",
        protocol,
        nearby if outside_local else everyone,
        cluster_chain=inner.name if outside_local else "",
        masquerade=not outside_local,
        affinity_seconds=affinity,
        empty=left_out if outside_local else Empty.REJECT,
    )
    return inner, outer


def _firewalled(chain: Chain, spec: Obj) -> Chain:
    """loadBalancerSourceRanges guard the load balancer's addresses, not the NodePort behind them."""
    ranges = [IPv4Network(text.strip()) for text in spec.get("loadBalancerSourceRanges") or () if ":" not in text]
    if not ranges:
        return chain
    # nft refuses ranges that overlap.
    allowed = tuple(str(network) for network in collapse_addresses(ranges))
    return replace(chain, name=chain.name.replace("external/", "firewall/", 1), allowed=allowed)


def _cluster_ips(service: Obj) -> tuple[str, ...]:
    spec = service["spec"]
    return _ipv4(spec.get("clusterIPs") or [spec["clusterIP"]])


def _external_ips(service: Obj) -> tuple[str, ...]:
    return _ipv4(service["spec"].get("externalIPs") or ())


def _ipv4(ips: Iterable[str]) -> tuple[str, ...]:
    return tuple(ip for ip in ips if ip and ":" not in ip)


def _affinity(spec: Obj) -> int:
    if spec.get("sessionAffinity") != "ClientIP":
        return 0
    config = (spec.get("sessionAffinityConfig") or {}).get("clientIP") or {}
    return int(config.get("timeoutSeconds") or AFFINITY_SECONDS)


def _nearest(ready: list[Endpoint], facts: NodeFacts) -> list[Endpoint]:
    """Those hinted for this node, else for its zone, else all: hints count only when every endpoint has them."""
    for field, mine in (("forNodes", facts.name), ("forZones", facts.zone)):
        hinted = [(e, [hint["name"] for hint in (e.hints or {}).get(field) or ()]) for e in ready]
        chosen = [e for e, names in hinted if mine in names]
        if chosen and all(names for _, names in hinted):
            return chosen
    return ready
