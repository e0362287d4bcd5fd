"""HTTPRoutes and GRPCRoutes with common host names at one listener: the older one has them, the other is refused."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from sampan.api.meta import Key, Obj
from sampan.gateway.gatewayapi.attach import Parent
from sampan.gateway.gatewayapi.hostnames import covers, wider
from sampan.gateway.gatewayapi.listeners import Listener
from sampan.gateway.gatewayapi.names import KINDS, age
from sampan.gateway.gatewayapi.references import Wrong


class Candidate(NamedTuple):
    resource: str
    key: Key
    obj: Obj
    parents: tuple[Parent, ...]

    def places(self) -> list[tuple[Listener, str]]:
        bindings = [binding for parent in self.parents for binding in parent.bindings]
        return [(binding.listener, hostname) for binding in bindings for hostname in binding.hostnames]


_Claims = dict[str, Candidate]


def rivals(candidates: Iterable[Candidate]) -> dict[tuple[str, Key], Wrong]:
    claims: dict[tuple[Listener, str], _Claims] = {}
    refused: dict[tuple[str, Key], Wrong] = {}
    everything = sorted(candidates, key=lambda one: age(one.obj))
    resources = {one.resource for one in everything}
    for one in everything:
        (other,) = resources - {one.resource} or {""}
        found = (_rival(claims.get((listener, other), {}), hostname) for listener, hostname in one.places())
        if rival := next(filter(None, found), None):
            text = f"{KINDS[rival.resource]} {rival.key} is older and has some of its host names at the same listener"
            refused[one.resource, one.key] = Wrong("HostnameConflict", text)
            continue
        for listener, hostname in one.places():
            claims.setdefault((listener, one.resource), {}).setdefault(hostname, one)
    return refused


def _rival(claims: _Claims, hostname: str) -> Candidate | None:
    if not claims:
        return None
    for pattern in wider(hostname):
        if pattern in claims:
            return claims[pattern]
    if hostname and not hostname.startswith("*."):
        return None
    return next((claims[name] for name in claims if covers(hostname, name)), None)
