"""All dialects of the edge together: what users' objects say → what the proxy shall do."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from sampan.gateway import gatewayapi, ingress
from sampan.gateway.ingress import classes
from sampan.gateway.ingress.compile import COMPONENT
from sampan.gateway.ingress.look import CLASSES, INGRESSES
from sampan.gateway.types import Resources, Result

# Who says things in events.
COMPONENTS: Final = (gatewayapi.COMPONENT, COMPONENT)


@dataclass(slots=True)
class Translator:
    """Remembers what it made of which objects: a change costs what depends on it. One call at a time."""

    _ingress: ingress.Translator = field(default_factory=ingress.Translator)
    _gatewayapi: gatewayapi.Translator = field(default_factory=gatewayapi.Translator)

    def translate(self, resources: Resources) -> Result:
        return merged(self._ingress.translate(resources), self._gatewayapi.translate(resources))


def merged(*results: Result) -> Result:
    """Their names are unique already: each dialect prefixes its own."""
    return Result(
        {name: part for result in results for name, part in result.listeners.items()},
        {name: part for result in results for name, part in result.tables.items()},
        {name: part for result in results for name, part in result.clusters.items()},
        {name: part for result in results for name, part in result.endpoints.items()},
        {name: part for result in results for name, part in result.secrets.items()},
        {ref: status for result in results for ref, status in result.statuses.items()},
        tuple(notice for result in results for notice in result.notices),
    )


def wanted(resources: Resources) -> bool:
    """Is there anything that needs a proxy: an Ingress or a Gateway of ours?"""
    served = classes.names(resources.of(CLASSES))
    ingresses = resources.of(INGRESSES).values()
    return any(classes.ours(one, served) for one in ingresses) or bool(gatewayapi.ours(resources))
