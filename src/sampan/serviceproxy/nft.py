"""The rules as text for `nft -f`: whole, or only what changed.

A chain keeps its name while its targets change: it is flushed and filled again in the same transaction, so a packet
meets the old rules or the new ones, and the map that leads to it is not touched.

One thing is not the old or the new: a packet that began in the old rules while the transaction became true finds the
maps that went with them empty. A new connection that slipped through like that would never be translated. So what is
chosen from such a map has a rule behind it that needs none, and a table that is there is renewed in place: its named
maps stay.
"""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Network
from typing import NamedTuple

from sampan.serviceproxy.model import Chain, Frontend, NodeFacts, Ruleset, ServiceRules

TABLE = "sampan"
IPS, PORTS, CLUSTER_IPS, HAIRPIN, LOCAL_PODS = (
    "service-ips",
    "service-nodeports",
    "cluster-ips",
    "hairpin",
    "local-pods",
)
BASE_CHAINS = frozenset(("services", "prerouting", "output", "postrouting"))
BASE_SETS = frozenset((CLUSTER_IPS, HAIRPIN, LOCAL_PODS))
MASQUERADE = "0x4000"  # the packet mark kube-proxy uses for it too
NONE = ServiceRules()


class Names(NamedTuple):
    """The chains and sets of a table."""

    chains: frozenset[str] = frozenset()
    sets: frozenset[str] = frozenset()


def names_of(rules: Ruleset) -> Names:
    """Those that `rules` make."""
    chains = [chain for service in rules.services.values() for chain in service.chains.values()]
    members = frozenset(name for chain in chains for name in _members(chain))
    return Names(BASE_CHAINS | members | {chain.name for chain in chains}, BASE_SETS | members)


def full(rules: Ruleset) -> str:
    """Replace the table, whatever it holds, by `rules`. Connections stay, but a new one may slip through meanwhile:
    for a table that is not there or not as it should be."""
    return _text([f"add table ip {TABLE}", f"delete table ip {TABLE}", *_base(rules.facts)], _lines(rules))


def renewed(rules: Ruleset, there: Names) -> str:
    """The same in place: no connection, open or new, notices. `there` is what the table holds."""
    wanted = names_of(rules)
    head = [f"flush {kind} ip {TABLE} {name}" for kind, name in (("map", IPS), ("map", PORTS), ("set", CLUSTER_IPS))]
    lines = [f"flush chain ip {TABLE} {name}" for name in sorted(there.chains - BASE_CHAINS)]
    lines += [f"delete chain ip {TABLE} {name}" for name in sorted(there.chains - wanted.chains)]
    lines += [f"delete set ip {TABLE} {name}" for name in sorted(there.sets - wanted.sets)]
    return _text([*_base(rules.facts), *head], _lines(rules) + lines)


def _lines(rules: Ruleset) -> list[str]:
    lines: list[str] = []
    owned: set[Frontend] = set()
    for key in sorted(rules.services):
        service = rules.services[key]
        mine = {frontend: name for frontend, name in service.frontends.items() if frontend not in owned}
        lines += _change(NONE, replace(service, frontends=mine))
        owned.update(mine)
    return lines


def diff(old: Ruleset, new: Ruleset) -> str:
    """What turns `old` into `new`; "" when nothing does. Both must have the same facts."""
    if old.contested or new.contested:  # the first by name has it, which only the whole can sort out
        return "" if old == new else renewed(new, names_of(old))
    lines: list[str] = []
    for key in new.services.keys() | old.services.keys():
        before, after = old.services.get(key, NONE), new.services.get(key, NONE)
        if before is not after and before != after:
            lines += _change(before, after)
    return _text([], lines)


# Names are declared before rules use them and deleted after; an element is freed before another Service takes it.
ORDER = {
    line: place
    for place, line in enumerate(
        (
            "delete element",
            "add set",
            "add chain",
            "flush chain",
            "add rule",
            "add element",
            "delete chain",
            "delete set",
        )
    )
}


def _text(head: list[str], lines: list[str]) -> str:
    lines.sort(key=lambda line: ORDER[" ".join(line.split(" ", 2)[:2])])  # stable: a chain's rules keep their order
    return "".join(f"{line}\n" for line in [*head, *lines])


# ── the table that all Services share ────────────────────────────────────────────────────────────────────────────────


def _base(facts: NodeFacts) -> list[str]:
    own = ", ".join(f"{ip} . {ip}" for ip in IPv4Network(facts.local_pods).hosts())
    vip = f"ip daddr {facts.service_cidr}"
    chains = {
        "services": [
            # A Service's address from outside the pods: the answer must come back through this node.
            f"ip saddr != {facts.pod_cidr} {vip} meta mark set {MASQUERADE}",
            f"ip daddr . meta l4proto . th dport vmap @{IPS}",
            f"ip daddr @{CLUSTER_IPS} reject",  # the Service is there, this port of it is not
            f"ip daddr {facts.lb_cidr} reject",  # the same of a load balancer's; or it is nobody's
            f"{vip} drop",  # nobody has the address; it must not wander off along the default route
            f"fib daddr type local ip daddr != 127.0.0.0/8 meta l4proto . th dport vmap @{PORTS}",
        ],
        "prerouting { type nat hook prerouting priority dstnat; }": ["jump services"],
        "output { type nat hook output priority -100; }": ["jump services"],
        "postrouting { type nat hook postrouting priority srcnat; }": [
            f"meta mark {MASQUERADE} masquerade",
            # A pod that was given itself: it would take a packet from its own address for a forgery.
            f"ip saddr . ip daddr @{HAIRPIN} masquerade",
        ],
    }
    lines = [
        f"add table ip {TABLE}",
        f"add map ip {TABLE} {IPS} {{ type ipv4_addr . inet_proto . inet_service : verdict; }}",
        f"add map ip {TABLE} {PORTS} {{ type inet_proto . inet_service : verdict; }}",
        f"add set ip {TABLE} {CLUSTER_IPS} {{ type ipv4_addr; }}",
        f"add set ip {TABLE} {HAIRPIN} {{ type ipv4_addr . ipv4_addr; elements = {{ {own} }}; }}",
        f"add set ip {TABLE} {LOCAL_PODS} {{ type ipv4_addr; flags interval; elements = {{ {facts.local_pods} }}; }}",
    ]
    for head, rules in chains.items():
        lines += [f"add chain ip {TABLE} {head}", f"flush chain ip {TABLE} {head.split()[0]}"]
        lines += [f"add rule ip {TABLE} {head.split()[0]} {rule}" for rule in rules]
    return lines


# ── one Service ──────────────────────────────────────────────────────────────────────────────────────────────────────


def _change(before: ServiceRules, after: ServiceRules) -> list[str]:
    """The lines that turn one Service's rules into others, in no particular order but that of rules in a chain."""
    lines: list[str] = []
    for name in before.chains.keys() | after.chains.keys():
        old, new = before.chains.get(name), after.chains.get(name)
        if old != new:
            lines += _clear(old, new) + _write(new)
    lines += [_element("delete", *item) for item in before.frontends.items() if item not in after.frontends.items()]
    lines += [_element("add", *item) for item in after.frontends.items() if item not in before.frontends.items()]
    for verb, these, those in (("delete", before, after), ("add", after, before)):
        ips = [ip for ip in these.cluster_ips if ip not in those.cluster_ips]
        lines += [f"{verb} element ip {TABLE} {CLUSTER_IPS} {{ {ip} }}" for ip in ips]
    return lines


def _element(verb: str, frontend: Frontend, chain: str) -> str:
    port = f"{frontend.protocol} . {frontend.port}"
    if frontend.ip:
        return f"{verb} element ip {TABLE} {IPS} {{ {frontend.ip} . {port} : goto {chain} }}"
    return f"{verb} element ip {TABLE} {PORTS} {{ {port} : goto {chain} }}"


# ── one chain ────────────────────────────────────────────────────────────────────────────────────────────────────────


def _members(chain: Chain | None) -> list[str]:
    """With affinity each target has a chain and a set of the clients that were given it, both of this name."""
    if not chain or not chain.affinity_seconds:
        return []
    return [f"{chain.name}/{target.ip}/{target.port}/{chain.affinity_seconds}s" for target in chain.targets]


def _clear(old: Chain | None, new: Chain | None) -> list[str]:
    if not old:
        return []
    gone = [name for name in _members(old) if name not in _members(new)]
    lines = [f"flush chain ip {TABLE} {name}" for name in (old.name, *_members(old))]
    lines += [f"delete chain ip {TABLE} {name}" for name in ((old.name, *gone) if not new else gone)]
    return lines + [f"delete set ip {TABLE} {name}" for name in gone]


def _write(chain: Chain | None) -> list[str]:
    if not chain:
        return []
    members, seconds = _members(chain), chain.affinity_seconds
    kind = f"{{ type ipv4_addr; flags dynamic,timeout; timeout {seconds}s; }}"
    lines = [f"add set ip {TABLE} {name} {kind}" for name in members]
    lines += [f"add chain ip {TABLE} {name}" for name in (chain.name, *members)]
    return lines + _fill(chain)


def _fill(chain: Chain) -> list[str]:
    rules = {chain.name: _head(chain)}
    translate = f"meta l4proto {chain.protocol} dnat to"
    count = len(chain.targets)
    if not chain.targets:
        rules[chain.name].append(chain.empty.value)
    elif chain.affinity_seconds:
        members = _members(chain)
        rules[chain.name] += [f"ip saddr @{name} goto {name}" for name in members]
        verdicts = ", ".join(f"{i} : goto {name}" for i, name in enumerate(members))
        rules[chain.name] += [f"numgen random mod {count} vmap {{ {verdicts} }}", f"goto {members[0]}"]
        for name, target in zip(members, chain.targets, strict=True):
            rules[name] = [f"update @{name} {{ ip saddr }}", f"{translate} {target}"]
    elif count == 1:
        rules[chain.name].append(f"{translate} {chain.targets[0]}")
    else:
        choices = ", ".join(f"{i} : {t.ip} . {t.port}" for i, t in enumerate(chain.targets))
        rules[chain.name] += [
            f"{translate} numgen random mod {count} map {{ {choices} }}",
            f"{translate} {chain.targets[0]}",  # for who comes while the map goes: see above
        ]
    return [f"add rule ip {TABLE} {name} {rule}" for name, lines in rules.items() for rule in lines]


def _head(chain: Chain) -> list[str]:
    head: list[str] = []
    if chain.allowed:
        head.append(f"ip saddr != {{ {', '.join(chain.allowed)} }} drop")
    if chain.cluster_chain:
        head.append(f"ip saddr @{LOCAL_PODS} goto {chain.cluster_chain}")
        head.append(f"fib saddr type local meta mark set {MASQUERADE} goto {chain.cluster_chain}")
    if chain.masquerade:
        head.append(f"meta mark set {MASQUERADE}")
    return head
