"""All dialects of the edge together: what users' objects say → what the proxy shall do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, TypeVar

from sampan.gateway import gatewayapi, ingress
from sampan.gateway.ingress import classes
from sampan.gateway.ingress.compile import COMPONENT
from sampan.gateway.ingress.look import CLASSES, INGRESSES
from sampan.gateway.types import Resources, Result

K = TypeVar("K")
V = TypeVar("V")

# Who says things in events.
COMPONENTS: Final = (gatewayapi.COMPONENT, COMPONENT)


@dataclass(slots=True)
class Translator:
    """Remembers what it made of which objects: a change costs what depends on it. One call at a time."""

    _ingress: ingress.Translator = field(default_factory=ingress.Translator)
    _gatewayapi: gatewayapi.Translator = field(default_factory=gatewayapi.Translator)

    def translate(self, resources: Resources) -> Result:
        return merged(self._ingress.translate(resources), self._gatewayapi.translate(resources))


def merged(one: Result, other: Result) -> Result:
    """Their names are unique already: each dialect prefixes its own."""
    return Result(
        _both(one.listeners, other.listeners),
        _both(one.tables, other.tables),
        _both(one.clusters, other.clusters),
        _both(one.endpoints, other.endpoints),
        _both(one.secrets, other.secrets),
        _both(one.statuses, other.statuses),
        one.notices + other.notices,
    )


def _both(one: Mapping[K, V], other: Mapping[K, V]) -> Mapping[K, V]:
    return {**one, **other} if one and other else one or other


def wanted(resources: Resources) -> bool:
    """Is there anything that needs a proxy: an Ingress or a Gateway of ours?"""
    served = classes.names(resources.of(CLASSES))
    ingresses = resources.of(INGRESSES).values()
    return any(classes.ours(one, served) for one in ingresses) or bool(gatewayapi.ours(resources))
