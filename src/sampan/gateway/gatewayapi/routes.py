"""One route of any kind: its parents, what it comes to at each of their listeners, and its status."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from sampan.api import meta
from sampan.api.meta import Key, Obj
from sampan.gateway.gatewayapi import rules, statuses, streams
from sampan.gateway.gatewayapi.attach import Binding, Parent, attach
from sampan.gateway.gatewayapi.listeners import Listener
from sampan.gateway.gatewayapi.memo import View
from sampan.gateway.gatewayapi.names import ROUTES
from sampan.gateway.gatewayapi.references import Wrong

_HTTP = (ROUTES["HTTPRoute"], ROUTES["GRPCRoute"])
Part = rules.Compiled | streams.Stream


class Place(NamedTuple):
    """What a route is at one listener, for these host names."""

    listener: Listener
    hostnames: tuple[str, ...]
    part: Part


@dataclass(frozen=True, slots=True, eq=False)
class Route:
    """`parts`: each with the Gateways that need it. `status` None: nothing to say."""

    status: Obj | None
    places: tuple[Place, ...] = ()
    parts: tuple[tuple[Part, Key], ...] = ()


def read(view: View, resource: str, obj: Obj, before: list[Obj] | None, against: Wrong | None) -> Route:
    """`before`: the parents in its status, of which others' stay. `against`: why all parents refuse it."""
    parents = attach(view, resource, obj)
    if not parents:
        return Route(statuses.of_route(obj, (), (), (), True) if before else None)
    # Whatever the listener: the references are the same, and so is what cannot be done.
    plain = _part(view, resource, obj, rules.Context())
    dropped, some = (plain.dropped, plain.complete) if isinstance(plain, rules.Compiled) else ((), True)
    status = statuses.of_route(obj, [(parent, against) for parent in parents], plain.wrong, dropped, some)
    if against or not some:
        return Route(status)
    places = list(_places(view, resource, obj, parents))
    parts = {(id(place.part), gateway): (place.part, gateway) for place, gateway in places}
    return Route(status, tuple(place for place, _ in places), tuple(parts.values()))


def _places(view: View, resource: str, obj: Obj, parents: Iterable[Parent]) -> Iterator[tuple[Place, Key]]:
    for parent in parents:
        for binding in parent.bindings:
            part = _part(view, resource, obj, _context(binding))
            yield Place(binding.listener, binding.hostnames, part), parent.gateway.key


def _context(binding: Binding) -> rules.Context:
    listener, shown = binding.listener, binding.gateway.certificate
    scheme = "https" if listener.terminates else "http"
    return rules.Context(scheme, listener.port, shown.name if shown else "")


def _part(view: View, resource: str, obj: Obj, context: rules.Context) -> Part:
    key = meta.key(obj)
    if resource in _HTTP:
        return view.once(("rules", resource, key, context), rules.compile, resource, obj, context)
    return view.once(
        ("stream", resource, key, context.certificate), streams.compile, resource, obj, context.certificate
    )
