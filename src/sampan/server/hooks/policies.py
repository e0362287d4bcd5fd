"""Admission policies: CEL that judges or changes what is written, with parameters from other objects.

Source: https://kubernetes.io/docs/reference/access-authn-authz/validating-admission-policy/
and …/mutating-admission-policy/
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from sampan.api import cel
from sampan.api.kinds.admissionpolicy import CONDITION_NAMES, NAMES
from sampan.api.meta import Obj, copy
from sampan.api.patch import json as json_patch
from sampan.api.patch import merge, strategic
from sampan.api.selectors import from_object
from sampan.api.status import ApiError, forbidden
from sampan.base import log
from sampan.server.admission import Attributes
from sampan.server.hooks.constructors import as_maps
from sampan.server.hooks.matching import ConditionFault, conditions_match, review_request, selectors_match
from sampan.server.reader import Reader

_log = log.get("policies")
_CODES = {"Forbidden": 403, "Unauthorized": 401, "RequestEntityTooLarge": 413}


class _Fault(Exception):
    """A policy that could not be evaluated: its failurePolicy says what that means."""


@dataclass(frozen=True)
class Bound:
    """A policy with one of its bindings. `kind` is the policy's."""

    kind: str
    policy: Obj
    binding: Obj

    @property
    def spec(self) -> Obj:
        found: Obj = self.policy["spec"]
        return found

    @property
    def shown(self) -> str:
        names = self.policy["metadata"]["name"], self.binding["metadata"]["name"]
        return f"{self.kind} '{names[0]}' with binding '{names[1]}'"

    @property
    def may_fail(self) -> bool:
        return self.spec.get("failurePolicy") == "Ignore"


class Policies:
    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def validate(self, bound: Iterable[Bound], request: Attributes, warnings: list[str]) -> None:
        """Raises ApiError of the first denial."""
        for each in bound:
            actions = each.binding["spec"].get("validationActions") or ()
            for message, reason in self._judge(each, request):
                if "Warn" in actions:
                    warnings.append(f"Validation failed for {each.shown}: {message}")
                if "Audit" in actions:
                    _log.info("validation failed for %s: %s", each.shown, message)
                if "Deny" in actions:
                    raise _denied(each, request, message, reason)

    def mutate(self, bound: Iterable[Bound], request: Attributes) -> None:
        """Change `request.obj`. Raises ApiError of a policy that fails and must not."""
        for each in bound:
            try:
                for bindings in self._bindings(each, request):
                    for mutation in each.spec.get("mutations") or ():
                        _change(request, mutation, bindings)
                        bindings["object"] = review_request(request, "")["object"]
            except _Fault as fault:
                if not each.may_fail:
                    raise _denied(each, request, str(fault), "") from None

    def _judge(self, bound: Bound, request: Attributes) -> Iterator[tuple[str, str]]:
        """(message, reason) of every validation that does not hold."""
        try:
            for bindings in self._bindings(bound, request):
                for validation in bound.spec.get("validations") or ():
                    yield from _faults(bound, validation, bindings)
        except _Fault as fault:
            if not bound.may_fail:
                yield str(fault), ""

    def _bindings(self, bound: Bound, request: Attributes) -> Iterator[dict[str, Any]]:
        """What expressions see, once for each parameter object. Nothing when the policy does not care."""
        constraints = bound.spec.get("matchConstraints") or {}
        if not selectors_match(constraints, request):
            return
        if not selectors_match(bound.binding["spec"].get("matchResources") or {}, request):
            return
        asked = review_request(request, "")
        home = request.lookup("namespaces", request.namespace, "") if request.namespace else None
        common = {
            "object": asked["object"],
            "oldObject": asked["oldObject"],
            "request": asked,
            "namespaceObject": home,
        }
        for params in self._params(bound, request):
            bindings: dict[str, Any] = {name: {**common, "params": params}[name] for name in CONDITION_NAMES}
            try:
                if not conditions_match(bound.spec.get("matchConditions") or (), bindings):
                    continue
            except ConditionFault as fault:
                raise _Fault(str(fault)) from None
            yield {**bindings, "variables": _variables(bound, bindings)}

    def _params(self, bound: Bound, request: Attributes) -> list[Obj | None]:
        kind, reference = bound.spec.get("paramKind"), bound.binding["spec"].get("paramRef")
        if not kind or not reference:
            return [None]
        resource = self._reader.scheme.by_kind.get((kind["apiVersion"], kind["kind"]))
        if resource is None:
            raise _Fault(f"failed to configure policy: failed to find resource referenced by paramKind: '{kind}'")
        namespace = (reference.get("namespace") or request.namespace) if resource.namespaced else ""
        found: list[Obj | None] = []
        if name := reference.get("name"):
            obj = self._reader.lookup(resource.ref, name, namespace)
            found += [obj] if obj else []
        else:
            selector, binding = from_object(reference.get("selector")), self._reader.binding(resource.ref)
            every = (binding.held(record).obj for record in self._reader.store.list(binding.under(namespace)))
            found += (obj for obj in every if selector.matches(obj["metadata"].get("labels") or {}))
        if not found and reference.get("parameterNotFoundAction") == "Deny":
            text = "no params found for policy binding with `Deny` parameterNotFoundAction"
            raise _Fault(f"failed to configure binding: {text}")
        return found


def _variables(bound: Bound, bindings: dict[str, Any]) -> Obj:
    """Variables in their order; one that fails is missing for those that use it."""
    found: Obj = {}
    for variable in bound.spec.get("variables") or ():
        try:
            found[variable["name"]] = _run(variable["expression"], {**bindings, "variables": found})
        except cel.CelError as error:
            _log.debug("variable %s of %s: %s", variable["name"], bound.shown, error)
    return found


def _faults(bound: Bound, validation: Obj, bindings: dict[str, Any]) -> Iterator[tuple[str, str]]:
    expression, reason = validation["expression"], validation.get("reason") or ""
    try:
        if _run(expression, bindings) is True:
            return
    except cel.CelError as error:
        if not bound.may_fail:
            yield f"expression '{expression}' resulted in error: {error}", ""
        return
    message = validation.get("message") or f"failed expression: {expression.strip()}"
    if own := validation.get("messageExpression"):
        try:
            text = _run(own, bindings)
            message = text.strip() if isinstance(text, str) and text.strip() else message
        except cel.CelError as error:
            _log.debug("messageExpression of %s: %s", bound.shown, error)
    yield message, reason


def _change(request: Attributes, mutation: Obj, bindings: dict[str, Any]) -> None:
    """Apply one mutation to `request.obj`. Raises _Fault."""
    if request.obj is None:
        return
    json = mutation.get("patchType") == "JSONPatch"
    expression = (mutation.get("jsonPatch" if json else "applyConfiguration") or {}).get("expression") or ""
    try:
        value = _run(as_maps(expression), bindings)
        if json:
            request.obj = json_patch.apply(copy(request.obj), value)
        elif request.resource.schema is None:
            request.obj = strategic.apply(request.resource.definition, copy(request.obj), value)
        else:
            request.obj = merge.apply(copy(request.obj), value)
    except (cel.CelError, ApiError) as error:
        raise _Fault(f"expression '{expression}' resulted in error: {error}") from None


def _run(expression: str, bindings: dict[str, Any]) -> Any:
    return cel.compile(expression, NAMES).evaluate(bindings)


def _denied(bound: Bound, request: Attributes, message: str, reason: str) -> ApiError:
    text = f"{bound.shown} denied request: {message}"
    error = forbidden(request.resource.id, request.name, text)
    error.reason = reason or "Invalid"
    error.code = _CODES.get(error.reason, 422)
    error.details["causes"] = [{"message": text}]
    return error
