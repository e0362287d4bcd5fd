"""The rules as values: what `rules` makes, `nft` writes as text and `trace` walks a packet through."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property
from ipaddress import IPv4Address, IPv4Network
from typing import NamedTuple

from sampan.api.meta import Key


@dataclass(frozen=True)
class NodeFacts:
    """What the rules of a node depend on besides the API's objects.

    `pod_cidr` is the cluster's, `local_pods` this node's part of it; `lb_cidr` has the LoadBalancers' addresses.
    """

    name: str
    ip: str
    local_pods: str
    pod_cidr: str
    service_cidr: str
    lb_cidr: str
    zone: str = ""


class Frontend(NamedTuple):
    """What a packet is addressed to. `ip` "" is a NodePort: any of the node's addresses. `protocol` is lower case."""

    ip: str
    protocol: str
    port: int


class Target(NamedTuple):
    """One endpoint. `draining`: it is terminating and only here because no other endpoint is ready (KEP-1669)."""

    ip: str
    port: int
    draining: bool = False

    def __str__(self) -> str:
        return f"{self.ip}:{self.port}"


class Empty(Enum):
    """What a chain without targets does. Kubernetes refuses when a Service has no endpoints at all, and drops when
    only a traffic policy leaves none."""

    REJECT = "reject"
    DROP = "drop"


@dataclass(frozen=True)
class Chain:
    """One way into a service port. The fields are tried in this order.

    `allowed`: loadBalancerSourceRanges; other sources are dropped. `cluster_chain`: with externalTrafficPolicy Local,
    packets from this node and its pods go there. `masquerade`: the endpoint sees the node as the source.
    `affinity_seconds`: a source keeps its target for so long, 0 is off. Then a random one of `targets`, or `empty`.
    """

    name: str
    protocol: str
    targets: tuple[Target, ...]
    allowed: tuple[str, ...] = ()
    cluster_chain: str = ""
    masquerade: bool = False
    affinity_seconds: int = 0
    empty: Empty = Empty.REJECT


@dataclass(frozen=True)
class ServiceRules:
    """All of one Service. `frontends` values and `Chain.cluster_chain` name `chains`."""

    cluster_ips: tuple[str, ...] = ()
    frontends: Mapping[Frontend, str] = field(default_factory=dict)
    chains: Mapping[str, Chain] = field(default_factory=dict)


@dataclass(frozen=True)
class Ruleset:
    """All rules of a node. Services are compared by identity first, so an update costs what changed."""

    facts: NodeFacts
    services: Mapping[Key, ServiceRules] = field(default_factory=dict)

    def owner(self, frontend: Frontend) -> Key | None:
        """The Service that has this frontend; when several claim it, the first by name."""
        return min((key for key, rules in self.services.items() if frontend in rules.frontends), default=None)

    @cached_property
    def contested(self) -> bool:
        """Do two Services claim one external IP and port?"""
        claims = [frontend for rules in self.services.values() for frontend in rules.frontends]
        return len(set(claims)) < len(claims)

    def targets(self) -> set[str]:
        """IPs that new connections are sent to, draining ones left out."""
        return {
            target.ip
            for rules in self.services.values()
            for chain in rules.chains.values()
            for target in chain.targets
            if not target.draining
        }


def within(ip: str, cidr: str) -> bool:
    return IPv4Address(ip) in IPv4Network(cidr, strict=False)
