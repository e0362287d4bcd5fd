"""The packet tracer: walks a packet through the rules as values, and says where it goes or where it ends and why. Pure.

`walk` is one packet through one node's ruleset, rule by rule as `nft` writes them; `trace` is the whole way from a
pod (or the host) to a name and port, as `sampan trace` prints it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from ipaddress import AddressValueError, IPv4Address
from typing import NamedTuple

from sampan.api import meta
from sampan.api.meta import Key, Obj
from sampan.serviceproxy import explain
from sampan.serviceproxy.forwards import HostPort, owner_of
from sampan.serviceproxy.model import Chain, Frontend, NodeFacts, Ruleset, Target, within
from sampan.serviceproxy.rules import compile_all


class Packet(NamedTuple):
    """The first packet of a connection. `ip` and `port` are what it is addressed to, `protocol` is lower case."""

    source: str
    ip: str
    port: int
    protocol: str = "tcp"


class Verdict(Enum):
    PASS = "pass"  # no rule of ours; routed as it is
    DNAT = "dnat"
    REJECT = "reject"
    DROP = "drop"


@dataclass(frozen=True)
class Outcome:
    """Where a packet came out. `targets` are equally likely; `matched` are the rules it met, in order, as words."""

    verdict: Verdict
    matched: tuple[str, ...] = ()
    service: Key | None = None
    targets: tuple[Target, ...] = ()
    masquerade: bool = False


def walk(rules: Ruleset, packet: Packet) -> Outcome:
    """Follow a packet through a node's rules; packets of the node itself take the same way."""
    facts = rules.facts
    vip = within(packet.ip, facts.service_cidr)
    masquerade = vip and not within(packet.source, facts.pod_cidr)
    frontend = Frontend(packet.ip, packet.protocol, packet.port)
    owner = rules.owner(frontend)
    if owner is None and vip:
        if any(packet.ip in service.cluster_ips for service in rules.services.values()):
            return Outcome(Verdict.REJECT, (f"{packet.ip} is a Service's address, but not this port of it",))
        return Outcome(Verdict.DROP, (f"{packet.ip} is in {facts.service_cidr}, but no Service's address",))
    if owner is None and within(packet.ip, facts.lb_cidr):
        return Outcome(Verdict.REJECT, (f"{packet.ip} is for load balancers, but no Service has this port of it",))
    if owner is None and packet.ip in _own_ips(facts):
        frontend = frontend._replace(ip="")
        owner = rules.owner(frontend)
    if owner is None:
        return Outcome(Verdict.PASS)
    service = rules.services[owner]
    chain = service.chains[service.frontends[frontend]]
    return _through(chain, service.chains, Outcome(Verdict.PASS, service=owner, masquerade=masquerade), packet, facts)


def _through(chain: Chain, chains: Mapping[str, Chain], so_far: Outcome, packet: Packet, facts: NodeFacts) -> Outcome:
    matched = (*so_far.matched, f"chain {chain.name}")
    service, masquerade = so_far.service, so_far.masquerade
    if chain.allowed and not any(within(packet.source, cidr) for cidr in chain.allowed):
        return Outcome(Verdict.DROP, (*matched, f"{packet.source} is in none of loadBalancerSourceRanges"), service)
    if chain.cluster_chain:
        own = packet.source in _own_ips(facts)
        if own or within(packet.source, facts.local_pods):
            inner = Outcome(Verdict.PASS, matched, service, masquerade=masquerade or own)
            return _through(chains[chain.cluster_chain], chains, inner, packet, facts)
    if not chain.targets:
        return Outcome(Verdict(chain.empty.value), matched, service)
    # Hairpin: a pod may be given itself.
    masquerade = masquerade or chain.masquerade or [t.ip for t in chain.targets] == [packet.source]
    return Outcome(Verdict.DNAT, matched, service, chain.targets, masquerade)


def _own_ips(facts: NodeFacts) -> tuple[str, str]:
    """The node's address and that of its bridge, the first of its pods' range."""
    return facts.ip, str(IPv4Address(facts.local_pods.partition("/")[0]) + 1)


# ── the whole way ────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class TraceRequest:
    """`source` is a pod, None is the host. `host` is a name or an IPv4 address; `protocol` is lower case."""

    source: Key | None
    host: str
    port: int
    protocol: str = "tcp"


@dataclass(frozen=True)
class World:
    """What `trace` knows. `nodes` in the cluster's order: NodePorts of the host's own addresses lead to the first.

    `resolve(source, name)` is the DNS answer that the pod (None: the host) gets, () for no such name. `command(pod)`
    is what runs in it, for people. `host_ips` are the host's own addresses, its one on the LAN (`lan_ip`) included;
    `lb_routes` as serviceproxy.lbroutes reads them.
    """

    services: Sequence[Obj]
    slices: Sequence[Obj]
    pods: Sequence[Obj]
    nodes: Mapping[str, NodeFacts]
    resolve: Callable[[Key | None, str], tuple[str, ...]]
    command: Callable[[Obj], str]
    lan_ip: str
    host_ips: frozenset[str] = field(default_factory=frozenset)
    lb_routes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Step:
    """One line for people. `stage`: from, dns, host, service, rule, endpoint, route. `ok` False: it ends here."""

    stage: str
    text: str
    ok: bool = True


def trace(request: TraceRequest, world: World) -> list[Step]:
    """All steps to the processes that may answer, or to the one where it ends (the last, with `ok` False)."""
    pods = {meta.key(pod): pod for pod in world.pods}
    source = pods.get(request.source) if request.source else None
    if request.source and not source:
        return [Step("from", f"there is no pod {request.source}", False)]
    node = source["spec"].get("nodeName", "") if source else next(iter(world.nodes))
    source_ip = (source.get("status") or {}).get("podIP", "") if source else world.lan_ip
    if not source_ip or node not in world.nodes:
        return [Step("from", f"pod {request.source} has no IP yet: it is {explain.condition_of(source or {})}", False)]
    steps = [Step("from", f"pod {request.source} ({source_ip}) on node {node}" if source else "the host")]
    ips = _resolve(request, world, steps)
    for ip in ips:
        steps += _route(Packet(source_ip, ip, request.port, request.protocol), source is None, node, world)
    return steps


def _resolve(request: TraceRequest, world: World, steps: list[Step]) -> tuple[str, ...]:
    try:
        IPv4Address(request.host)
    except AddressValueError:
        ips = world.resolve(request.source, request.host)
        text = f"{request.host} is {', '.join(ips)}" if ips else explain.unknown_name(request.host, world.services)
        steps.append(Step("dns", text, bool(ips)))
        return ips
    return (request.host,)


def _route(packet: Packet, from_host: bool, node: str, world: World) -> list[Step]:
    """One address: through the host's table when it is the host's, then through the rules of the right node."""
    steps: list[Step] = []
    first = next(iter(world.nodes.values()))
    by_ip = {ip: name for name, facts in world.nodes.items() for ip in _own_ips(facts)}
    loop = packet.ip.startswith("127.")
    own = packet.ip in world.host_ips or loop
    if own and (from_host or not loop) and (found := owner_of(HostPort(packet.protocol, packet.port), world.services)):
        service, to = found
        text = f"host port {packet.port} leads to the load balancer of {service}, {to.ip}:{to.port}"
        balanced = packet._replace(source=world.lan_ip, ip=to.ip, port=to.port)
        return [Step("host", text), *_route(balanced, True, first.name, world)]
    if own:
        wanted = any(
            port.get("nodePort") == packet.port and (port.get("protocol") or "TCP").lower() == packet.protocol
            for service in world.services
            for port in service["spec"].get("ports") or ()
        )
        if not wanted or (loop and not from_host):
            where = "the host itself" if not loop or from_host else "the pod itself"
            return [Step("route", f"{packet.ip}:{packet.port} is {where}: no NodePort has this number")]
        steps.append(Step("host", f"NodePort {packet.port} of the host leads to node {first.name} ({first.ip})"))
        packet, node = packet._replace(source=world.lan_ip, ip=first.ip), first.name
    elif from_host and within(packet.ip, first.lb_cidr):
        node = by_ip.get(world.lb_routes.get(packet.ip, ""), first.name)
        steps.append(Step("host", f"load balancer address {packet.ip} leads to node {node} ({world.nodes[node].ip})"))
    elif packet.ip in by_ip:
        node = by_ip[packet.ip]  # a NodePort is the business of the node that has the address
    rules = compile_all(world.services, world.slices, world.nodes[node])
    return steps + _outcome(walk(rules, packet), packet, node, world)


def _outcome(outcome: Outcome, packet: Packet, node: str, world: World) -> list[Step]:
    services = {meta.key(service): service for service in world.services}
    steps: list[Step] = []
    if outcome.service:
        steps.append(Step("service", explain.service(services[outcome.service], packet.port)))
    steps += [Step("rule", f"on node {node}: {text}") for text in outcome.matched]
    if outcome.verdict in (Verdict.REJECT, Verdict.DROP):
        heard = "refused" if outcome.verdict is Verdict.REJECT else "dropped: the client waits until its timeout"
        why = explain.no_way(services, outcome.service, packet.ip, packet.port, node, world.slices, world.pods)
        return [*steps, Step("endpoint", f"{heard}; {why}", False)]
    if outcome.verdict is Verdict.PASS:
        return [*steps, _direct(packet, world)]
    if outcome.masquerade:
        steps.append(Step("rule", f"the source becomes node {node}, so that the answer comes back through it"))
    share = f"1 of {len(outcome.targets)}" if len(outcome.targets) > 1 else "the only endpoint"
    return steps + [
        Step("endpoint", f"{target}, {share}: {explain.who(target.ip, world)}" + (" (terminating)" * target.draining))
        for target in outcome.targets
    ]


def _direct(packet: Packet, world: World) -> Step:
    facts = next(iter(world.nodes.values()))
    who = explain.who(packet.ip, world)
    if within(packet.ip, facts.pod_cidr):
        known = who != explain.NOBODY
        return Step("endpoint", f"{packet.ip}:{packet.port}, no Service: {who}", known)
    if packet.ip in {one.ip for one in world.nodes.values()}:
        return Step("route", f"{packet.ip}:{packet.port} is a node's own address and no NodePort")
    return Step("route", f"{packet.ip} is outside the cluster: it leaves through the host, with the host's address")
