"""MutatingWebhookConfiguration and ValidatingWebhookConfiguration (admissionregistration.k8s.io/v1).

Source: kubernetes/pkg/apis/admissionregistration/{v1/defaults.go,validation/validation.go} (1.32)
"""

from __future__ import annotations

from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from sampan.api import fields, meta, objectmeta, validation
from sampan.api.meta import Obj
from sampan.api.scheme import Column, Resource, Strategy
from sampan.api.status import FieldError
from sampan.api.table import AGE, NAME, age

GROUP = "admissionregistration.k8s.io"
OPERATIONS = ("*", "CONNECT", "CREATE", "DELETE", "UPDATE")
_VERSIONS = ("v1", "v1beta1")
_SIDE_EFFECTS = ("None", "NoneOnDryRun")
_MOST_CONDITIONS = 64
_FORM = "desired format: https://host[/path]"


def _default(obj: Obj) -> None:
    mutating = obj.get("kind") == "MutatingWebhookConfiguration"
    for hook in obj.get("webhooks") or ():
        hook.setdefault("failurePolicy", "Fail")
        hook.setdefault("matchPolicy", "Equivalent")
        hook.setdefault("namespaceSelector", {})
        hook.setdefault("objectSelector", {})
        hook.setdefault("timeoutSeconds", 10)
        if mutating:
            hook.setdefault("reinvocationPolicy", "Never")
        for rule in hook.get("rules") or ():
            rule.setdefault("scope", "*")
        if service := (hook.get("clientConfig") or {}).get("service"):
            service.setdefault("port", 443)


def rule(one: Obj, path: str) -> list[FieldError]:
    """A RuleWithOperations, as webhooks and policies have them."""
    found: list[FieldError] = []
    operations = one.get("operations") or ()
    if not operations:
        found.append(fields.required(f"{path}.operations"))
    for i, operation in enumerate(operations):
        found += validation.one_of(f"{path}.operations[{i}]", operation, OPERATIONS)
    if "*" in operations and len(operations) > 1:
        text = "if '*' is present, must not specify other operations"
        found.append(fields.invalid(f"{path}.operations", list(operations), text))
    for field in ("apiGroups", "apiVersions", "resources"):
        values = one.get(field) or ()
        if not values:
            found.append(fields.required(f"{path}.{field}"))
        if field != "resources" and "*" in values and len(values) > 1:
            others = "API groups" if field == "apiGroups" else "API versions"
            text = f"if '*' is present, must not specify other {others}"
            found.append(fields.invalid(f"{path}.{field}", list(values), text))
    if one.get("scope") not in (None, "*", "Cluster", "Namespaced"):
        found.append(fields.not_supported(f"{path}.scope", one["scope"], ("*", "Cluster", "Namespaced")))
    return found


def match_conditions(conditions: list[Obj], path: str) -> list[FieldError]:
    found: list[FieldError] = []
    if len(conditions) > _MOST_CONDITIONS:
        found.append(fields.too_many(path, len(conditions), _MOST_CONDITIONS))
    seen: set[str] = set()
    for i, condition in enumerate(conditions):
        name = condition.get("name") or ""
        if not (condition.get("expression") or "").strip():
            found.append(fields.required(f"{path}[{i}].expression"))
        found += (
            validation.each(validation.qualified_name, f"{path}[{i}].name", name)
            if name
            else [fields.required(f"{path}[{i}].name")]
        )
        if name in seen:
            found.append(fields.duplicate(f"{path}[{i}].name", name))
        seen.add(name)
    return found


def _client_config(config: Obj, path: str) -> list[FieldError]:
    url, service = config.get("url"), config.get("service") or {}
    if (url is None) == (not service):
        return [fields.required(f"{path}", "exactly one of url or service is required")]
    if url is not None:
        parts = urlsplit(url)
        if parts.scheme != "https":
            return [fields.invalid(f"{path}.url", url, f"'https' is the only allowed URL scheme; {_FORM}")]
        return [] if parts.hostname else [fields.invalid(f"{path}.url", url, f"host must be specified; {_FORM}")]
    found = [fields.required(f"{path}.service.{key}") for key in ("namespace", "name") if not service.get(key)]
    return found + validation.port(f"{path}.service.port", service.get("port", 443))


def _hook_name(path: str, name: str) -> list[FieldError]:
    if not name:
        return [fields.required(path)]
    if faults := validation.dns_subdomain(name):
        return [fields.invalid(path, name, ",".join(faults))]
    if name.count(".") < 2:
        return [fields.invalid(path, name, "should be a domain with at least three segments separated by dots")]
    return []


def _webhook(hook: Obj, path: str) -> list[FieldError]:
    found = _hook_name(f"{path}.name", hook.get("name") or "")
    if not (versions := hook.get("admissionReviewVersions")):
        found.append(fields.required(f"{path}.admissionReviewVersions", "must specify one of v1, v1beta1"))
    elif not set(versions) & set(_VERSIONS):
        text = "must include at least one of v1, v1beta1"
        found.append(fields.invalid(f"{path}.admissionReviewVersions", versions, text))
    found += validation.one_of(f"{path}.sideEffects", hook.get("sideEffects"), _SIDE_EFFECTS)
    found += validation.one_of(f"{path}.failurePolicy", hook.get("failurePolicy"), ("Fail", "Ignore"))
    found += validation.one_of(f"{path}.matchPolicy", hook.get("matchPolicy"), ("Equivalent", "Exact"))
    if not 1 <= hook.get("timeoutSeconds", 10) <= 30:
        text = "the timeout value must be between 1 and 30 seconds"
        found.append(fields.invalid(f"{path}.timeoutSeconds", hook["timeoutSeconds"], text))
    for i, each in enumerate(hook.get("rules") or ()):
        found += rule(each, f"{path}.rules[{i}]")
    for selector in ("namespaceSelector", "objectSelector"):
        found += validation.label_selector(f"{path}.{selector}", hook.get(selector))
    found += match_conditions(hook.get("matchConditions") or [], f"{path}.matchConditions")
    return found + _client_config(hook.get("clientConfig") or {}, f"{path}.clientConfig")


def _content(obj: Obj) -> list[FieldError]:
    found: list[FieldError] = []
    seen: set[str] = set()
    for i, hook in enumerate(obj.get("webhooks") or ()):
        found += _webhook(hook, f"webhooks[{i}]")
        if (name := hook.get("name") or "") in seen:
            found.append(fields.duplicate(f"webhooks[{i}].name", name))
        seen.add(name)
    return found


def _validate(obj: Obj) -> list[FieldError]:
    return objectmeta.validate(obj["metadata"], namespaced=False) + _content(obj)


def _validate_update(new: Obj, old: Obj) -> list[FieldError]:
    return objectmeta.validate_update(new["metadata"], old["metadata"]) + _content(new)


def _row(obj: Obj, now: datetime) -> list[Any]:
    return [meta.name(obj), len(obj.get("webhooks") or ()), age(obj, now)]


def _resource(kind: str) -> Resource:
    return Resource(
        group=GROUP,
        version="v1",
        kind=kind,
        plural=f"{kind.lower()}s",
        definition=f"io.k8s.api.admissionregistration.v1.{kind}",
        singular=kind.lower(),
        categories=("api-extensions",),
        namespaced=False,
        generation=True,
        strategy=Strategy(
            columns=(NAME, Column("Webhooks", "integer", description="Webhooks indicates the number of webhooks"), AGE),
            row=_row,
            default=_default,
            validate=_validate,
            validate_update=_validate_update,
        ),
    )


MUTATING = _resource("MutatingWebhookConfiguration")
VALIDATING = _resource("ValidatingWebhookConfiguration")
