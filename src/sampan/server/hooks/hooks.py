"""What the registry asks about every write: does anything users configured care, and what does it say?

Configurations are compiled when one was written; until then the answer to "does anything care" is one look-up.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sampan.api.kinds.webhookconfiguration import GROUP, MUTATING, VALIDATING
from sampan.api.meta import Obj
from sampan.api.scheme import Resource
from sampan.server.admission import Attributes
from sampan.server.hooks.matching import rules_match
from sampan.server.hooks.webhooks import Webhook, Webhooks
from sampan.server.reader import Reader
from sampan.server.webhook_client import WebhookClient


@dataclass(frozen=True)
class Plan:
    """Who is asked about one sort of write, in order."""

    mutating: tuple[Webhook, ...]
    validating: tuple[Webhook, ...]

    def __bool__(self) -> bool:
        return bool(self.mutating or self.validating)


class Hooks:
    def __init__(self, reader: Reader) -> None:
        self.client = WebhookClient(reader.lookup)
        self._reader = reader
        self._webhooks = Webhooks(self.client)
        self._mutating, self._validating = reader.binding(MUTATING.id), reader.binding(VALIDATING.id)
        self._seen = -1
        self._plans: dict[tuple[str, str, str], Plan] = {}

    def plan(self, resource: Resource, subresource: str, operation: str) -> Plan | None:
        """None when nothing cares, as almost always."""
        writes = self._mutating.writes + self._validating.writes
        if writes != self._seen:
            self._seen = writes
            self._plans.clear()
        key = (resource.id, subresource, operation)
        found = self._plans.get(key)
        if found is None:
            found = self._plans[key] = self._plan(resource, subresource, operation)
        return found or None

    async def mutate(self, plan: Plan, request: Attributes, warnings: list[str]) -> Obj | None:
        """The object as it is to be. Raises ApiError of who refuses."""
        return await self._webhooks.mutate(plan.mutating, request, warnings)

    async def validate(self, plan: Plan, request: Attributes, warnings: list[str]) -> None:
        """Raises ApiError of who refuses."""
        await self._webhooks.validate(plan.validating, request, warnings)

    def _plan(self, resource: Resource, subresource: str, operation: str) -> Plan:
        if resource.group == GROUP:  # nobody locks the door with the key inside
            return Plan((), ())
        served = [r.version for r in self._reader.scheme.resources if (r.group, r.plural) == _name(resource)]

        def chosen(configurations: Iterable[Obj]) -> tuple[Webhook, ...]:
            hooks = (hook for each in configurations for hook in each.get("webhooks") or ())
            return tuple(
                Webhook(hook)
                for hook in hooks
                if rules_match(
                    hook.get("rules") or (),
                    resource,
                    subresource,
                    operation,
                    [resource.version] if hook.get("matchPolicy") == "Exact" else served,
                )
            )

        return Plan(chosen(self._all(MUTATING)), chosen(self._all(VALIDATING)))

    def _all(self, resource: Resource) -> list[Obj]:
        binding = self._reader.binding(resource.id)
        return [binding.held(record).obj for record in self._reader.store.list(binding.prefix)]


def _name(resource: Resource) -> tuple[str, str]:
    return resource.group, resource.plural
