"""What the registry asks about every write: does anything users configured care, and what does it say?

Configurations are compiled when one was written; until then the answer to "does anything care" is one look-up.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sampan.api.kinds import admissionpolicy
from sampan.api.kinds.webhookconfiguration import GROUP, MUTATING, VALIDATING
from sampan.api.meta import Obj
from sampan.api.scheme import Resource
from sampan.server.admission import Attributes
from sampan.server.hooks.matching import rules_match
from sampan.server.hooks.policies import Bound, Policies
from sampan.server.hooks.webhooks import Webhook, Webhooks
from sampan.server.reader import Reader
from sampan.server.webhook_client import WebhookClient

# Who writes one of these changes the plans.
_SOURCES = (
    MUTATING,
    VALIDATING,
    admissionpolicy.MUTATING,
    admissionpolicy.MUTATING_BINDING,
    admissionpolicy.VALIDATING,
    admissionpolicy.VALIDATING_BINDING,
)


@dataclass(frozen=True)
class Plan:
    """Who is asked about one sort of write, in order."""

    mutating_policies: tuple[Bound, ...] = ()
    mutating: tuple[Webhook, ...] = ()
    validating_policies: tuple[Bound, ...] = ()
    validating: tuple[Webhook, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.mutating_policies or self.mutating or self.validating_policies or self.validating)


class Hooks:
    def __init__(self, reader: Reader) -> None:
        self.client = WebhookClient(reader.lookup)
        self._reader = reader
        self._webhooks = Webhooks(self.client)
        self._policies = Policies(reader)
        self._sources = [reader.binding(resource.id) for resource in _SOURCES]
        self._seen = -1
        self._plans: dict[tuple[str, str, str], Plan] = {}
        reader.scheme.changed.append(self._plans.clear)

    def plan(self, resource: Resource, subresource: str, operation: str) -> Plan | None:
        """None when nothing cares, as almost always."""
        writes = sum([source.writes for source in self._sources])
        if writes != self._seen:
            self._seen = writes
            self._plans.clear()
        key = (resource.ref, subresource, operation)
        found = self._plans.get(key)
        if found is None:
            found = self._plans[key] = self._plan(resource, subresource, operation)
        return found or None

    async def mutate(self, plan: Plan, request: Attributes, warnings: list[str]) -> Obj | None:
        """The object as it is to be. Raises ApiError of who refuses."""
        if request.obj is not None:
            self._policies.mutate(plan.mutating_policies, request)
        return await self._webhooks.mutate(plan.mutating, request, warnings)

    async def validate(self, plan: Plan, request: Attributes, warnings: list[str]) -> None:
        """Raises ApiError of who refuses."""
        self._policies.validate(plan.validating_policies, request, warnings)
        await self._webhooks.validate(plan.validating, request, warnings)

    def _plan(self, resource: Resource, subresource: str, operation: str) -> Plan:
        if resource.group == GROUP:  # nobody locks the door with the key inside
            return Plan()
        served = [r.version for r in self._reader.scheme.resources if (r.group, r.plural) == _name(resource)]

        def matches(rules: Iterable[Obj] | None, policy: str) -> bool:
            versions = [resource.version] if policy == "Exact" else served
            return rules_match(rules or (), resource, subresource, operation, versions)

        def webhooks(configurations: Resource) -> tuple[Webhook, ...]:
            hooks = (hook for each in self._all(configurations) for hook in each.get("webhooks") or ())
            return tuple(Webhook(h) for h in hooks if matches(h.get("rules"), h.get("matchPolicy", "")))

        def constrained(constraints: Obj, otherwise: bool) -> bool:
            policy, rules = constraints.get("matchPolicy", ""), constraints.get("resourceRules")
            excluded = constraints.get("excludeResourceRules")
            return (matches(rules, policy) if rules else otherwise) and not matches(excluded, policy)

        def policies(kind: Resource, bindings: Resource) -> tuple[Bound, ...]:
            known = {each["metadata"]["name"]: each for each in self._all(kind)}
            found = []
            for binding in self._all(bindings):
                policy = known.get(binding["spec"].get("policyName", ""))
                if (
                    policy
                    and constrained(policy["spec"].get("matchConstraints") or {}, False)
                    and constrained(binding["spec"].get("matchResources") or {}, True)
                ):
                    found.append(Bound(kind.kind, policy, binding))
            return tuple(found)

        return Plan(
            policies(admissionpolicy.MUTATING, admissionpolicy.MUTATING_BINDING),
            webhooks(MUTATING),
            policies(admissionpolicy.VALIDATING, admissionpolicy.VALIDATING_BINDING),
            webhooks(VALIDATING),
        )

    def _all(self, resource: Resource) -> list[Obj]:
        binding = self._reader.binding(resource.id)
        return [binding.held(record).obj for record in self._reader.store.list(binding.prefix)]


def _name(resource: Resource) -> tuple[str, str]:
    return resource.group, resource.plural
