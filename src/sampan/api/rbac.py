"""Role-based access control, as rules: what a rule allows, what it covers, how several become one. Pure.

A rule is a PolicyRule (rbac.authorization.k8s.io/v1) in JSON; `Rule` is the same made quick to ask.
Source: https://kubernetes.io/docs/reference/access-authn-authz/rbac/
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass

from sampan.api import fields
from sampan.api.meta import Obj
from sampan.api.selectors import from_object

GROUP = "rbac.authorization.k8s.io"
ALL = "*"
# JSON field of a rule → its name in Go, in the order they are shown.
_SHOWN = {
    "apiGroups": "APIGroups",
    "resources": "Resources",
    "nonResourceURLs": "NonResourceURLs",
    "resourceNames": "ResourceNames",
    "verbs": "Verbs",
}


@dataclass(frozen=True, slots=True)
class Ask:
    """One question: may somebody do this? `path` for what is no resource; `resource` includes "/subresource"."""

    verb: str
    group: str = ""
    resource: str = ""
    namespace: str = ""
    name: str = ""
    path: str = ""


class Rule:
    """A PolicyRule with sets instead of lists."""

    __slots__ = ("groups", "names", "resources", "urls", "verbs")

    def __init__(self, rule: Obj) -> None:
        self.verbs = frozenset(rule.get("verbs") or ())
        self.groups = frozenset(rule.get("apiGroups") or ())
        self.resources = frozenset(rule.get("resources") or ())
        self.names = frozenset(rule.get("resourceNames") or ())
        self.urls = tuple(rule.get("nonResourceURLs") or ())

    def allows(self, ask: Ask) -> bool:
        if ask.verb not in self.verbs and ALL not in self.verbs:
            return False
        if ask.path:
            return any(_path_matches(url, ask.path) for url in self.urls)
        return (
            (ask.group in self.groups or ALL in self.groups)
            and _resource_matches(self.resources, ask.resource)
            and (not self.names or ask.name in self.names)
        )


def _path_matches(url: str, path: str) -> bool:
    return url in (ALL, path) or (url.endswith(ALL) and path.startswith(url[:-1]))


def _resource_matches(resources: frozenset[str], asked: str) -> bool:
    if ALL in resources or asked in resources:
        return True
    _, slash, subresource = asked.partition("/")
    return bool(slash) and f"*/{subresource}" in resources


def aggregate(selectors: Iterable[Obj], roles: Iterable[Obj]) -> list[Obj]:
    """The rules of a ClusterRole with an aggregationRule: those of all roles that a selector matches, each once."""
    found: list[Obj] = []
    chosen = [from_object(selector) for selector in selectors]
    for role in sorted(roles, key=lambda r: str(r["metadata"]["name"])):
        labels = role["metadata"].get("labels") or {}
        if any(selector.matches(labels) for selector in chosen):
            found += [rule for rule in role.get("rules") or () if rule not in found]
    return found


# -- escalation: nobody gives away what he does not have


def missing(held: Iterable[Obj], wanted: Iterable[Obj]) -> list[Obj]:
    """What of `wanted` no rule of `held` covers, as rules for a single thing each."""
    rules = [Rule(rule) for rule in held]
    return [one for rule in wanted for one in _single(rule) if not any(_covers(have, one) for have in rules)]


def _single(rule: Obj) -> Iterable[Obj]:
    """The rule taken apart into one verb of one resource (of one name) or path each."""
    for verb in rule.get("verbs") or ():
        for group in rule.get("apiGroups") or ():
            for resource in rule.get("resources") or ():
                base = {"apiGroups": [group], "resources": [resource], "verbs": [verb]}
                names = rule.get("resourceNames") or ()
                yield from ({**base, "resourceNames": [name]} for name in names)
                if not names:
                    yield base
        yield from ({"nonResourceURLs": [url], "verbs": [verb]} for url in rule.get("nonResourceURLs") or ())


def _covers(have: Rule, one: Obj) -> bool:
    verb = one["verbs"][0]
    if verb not in have.verbs and ALL not in have.verbs:
        return False
    if "nonResourceURLs" in one:
        return any(_path_matches(url, one["nonResourceURLs"][0]) for url in have.urls)
    return (
        (one["apiGroups"][0] in have.groups or ALL in have.groups)
        and _resource_matches(have.resources, one["resources"][0])
        and (not have.names or one.get("resourceNames", [None])[0] in have.names)
    )


def compact(singles: Iterable[Obj]) -> list[Obj]:
    """Rules that differ only in their verb as one."""
    found: dict[str, Obj] = {}
    for one in singles:
        rest = {k: v for k, v in one.items() if k != "verbs"}
        entry = found.setdefault(json.dumps(rest, sort_keys=True), {**rest, "verbs": []})
        entry["verbs"] = [*entry["verbs"], *(v for v in one["verbs"] if v not in entry["verbs"])]
    return list(found.values())


def shown(rule: Obj) -> str:
    """A rule as kube-apiserver writes it into an error: {APIGroups:[""], Resources:["pods"], Verbs:["get"]}."""
    return "{" + ", ".join(f"{name}:{quoted(rule[field])}" for field, name in _SHOWN.items() if rule.get(field)) + "}"


def quoted(values: Iterable[str]) -> str:
    """Go's %q of a list of strings: ["a" "b"]."""
    return "[" + " ".join(map(fields.quote, values)) + "]"
