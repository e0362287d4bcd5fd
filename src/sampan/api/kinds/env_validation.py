"""Validation of environment variables and of the downward API's field and resource references.

Source: k8s.io/kubernetes/pkg/apis/core/{validation,pods} (1.32).
"""

from __future__ import annotations

from collections.abc import Collection

from sampan.api import fields, validation
from sampan.api.meta import Obj
from sampan.api.quantity import Quantity
from sampan.api.status import FieldError

ENV_FIELDS = (
    *("metadata.name", "metadata.namespace", "metadata.uid", "spec.nodeName", "spec.serviceAccountName"),
    *("status.hostIP", "status.hostIPs", "status.podIP", "status.podIPs"),
)
# Fields the API knows by name; which of them a place may use is that place's own list.
_FIELDS = {*ENV_FIELDS, "metadata.labels", "metadata.annotations", "spec.restartPolicy", "spec.schedulerName"}
_FIELDS |= {"status.phase", "spec.host"}
_RESOURCES = tuple(
    f"{kind}.{name}" for kind in ("limits", "requests") for name in ("cpu", "ephemeral-storage", "memory")
)
_HUGE_PAGES = ("limits.hugepages-", "requests.hugepages-")
_BYTE_DIVISORS = ("1", *("1k", "1M", "1G", "1T", "1P", "1E"), *("1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei"))
# resource name: (divisors, what the error calls it)
_DIVISORS = {
    "cpu": (("1m", "1"), "cpu"),
    "memory": (_BYTE_DIVISORS, "memory"),
    "ephemeral-storage": (_BYTE_DIVISORS, "local ephemeral storage"),
}
_TOO_MANY = "may not have more than one field specified at a time"


def validate_env(variables: list[Obj], path: str) -> list[FieldError]:
    found: list[FieldError] = []
    for i, variable in enumerate(variables):
        at = f"{path}[{i}]"
        if not variable.get("name"):
            found.append(fields.required(f"{at}.name"))
        else:
            found += validation.each(validation.env_var_name, f"{at}.name", variable["name"])
        if variable.get("valueFrom") is not None:
            found += _value_from(variable, f"{at}.valueFrom")
    return found


def _value_from(variable: Obj, path: str) -> list[FieldError]:
    source = variable["valueFrom"]
    found: list[FieldError] = []
    present = 0
    if (reference := source.get("fieldRef")) is not None:
        present += 1
        found += validate_field_ref(reference, ENV_FIELDS, f"{path}.fieldRef")
    if (reference := source.get("resourceFieldRef")) is not None:
        present += 1
        found += validate_resource_ref(reference, f"{path}.resourceFieldRef", in_volume=False)
    for kind in ("configMapKeyRef", "secretKeyRef"):
        if (reference := source.get(kind)) is not None:
            present += 1
            found += _key_ref(reference, f"{path}.{kind}")
    if not present:
        text = "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef` or `secretKeyRef`"
        found.append(fields.invalid(path, "", text))
    elif variable.get("value"):
        found.append(fields.invalid(path, "", "may not be specified when `value` is not empty"))
    elif present > 1:
        found.append(fields.invalid(path, "", _TOO_MANY))
    return found


def _key_ref(reference: Obj, path: str) -> list[FieldError]:
    found = validation.each(validation.dns_subdomain, f"{path}.name", reference.get("name", ""))
    if not reference.get("key"):
        return [*found, fields.required(f"{path}.key")]
    return found + validation.each(validation.config_key, f"{path}.key", reference["key"])


def validate_env_from(sources: list[Obj], path: str) -> list[FieldError]:
    found: list[FieldError] = []
    for i, source in enumerate(sources):
        if source.get("prefix"):
            found += validation.each(validation.env_var_name, f"{path}[{i}].prefix", source["prefix"])
        present = [kind for kind in ("configMapRef", "secretRef") if source.get(kind) is not None]
        for kind in present:
            name = source[kind].get("name", "")
            at = f"{path}[{i}].{kind}.name"
            found += validation.each(validation.dns_subdomain, at, name) if name else [fields.required(at)]
        if not present:
            found.append(fields.invalid(path, "", "must specify one of: `configMapRef` or `secretRef`"))
        elif len(present) > 1:
            found.append(fields.invalid(path, "", _TOO_MANY))
    return found


def split_subscript(path: str) -> tuple[str, str | None]:
    """metadata.labels['app'] is ("metadata.labels", "app"); without a subscript, (path, None)."""
    name, bracket, rest = path.partition("['")
    if not name or not bracket or not rest.endswith("']"):
        return path, None
    return name, rest[:-2]


def validate_field_ref(reference: Obj, allowed: Collection[str], path: str) -> list[FieldError]:
    """An ObjectFieldSelector; `allowed` are the fields without subscript that this place can use."""
    for key in ("apiVersion", "fieldPath"):
        if not reference.get(key):
            return [fields.required(f"{path}.{key}")]
    version, full = reference["apiVersion"], reference["fieldPath"]
    name, subscript = split_subscript(full)
    mappings = ("metadata.annotations", "metadata.labels")
    problem = ""
    if version != "v1":
        problem = f"unsupported pod version: {version}"
    elif subscript is not None and name not in mappings:
        problem = f"field label does not support subscript: {full}"
    elif subscript is None and name not in _FIELDS:
        problem = f"field label not supported: {full}"
    if problem:
        return [fields.invalid(f"{path}.fieldPath", full, f"error converting fieldPath: {problem}")]
    if subscript is not None:
        key = subscript.lower() if name == "metadata.annotations" else subscript
        return validation.each(validation.qualified_name, path, key)
    name = "spec.nodeName" if name == "spec.host" else name
    return [] if name in allowed else [fields.not_supported(f"{path}.fieldPath", name, sorted(allowed))]


def validate_resource_ref(reference: Obj, path: str, in_volume: bool) -> list[FieldError]:
    """A ResourceFieldSelector; in a volume it must say whose resources it means."""
    resource = reference.get("resource", "")
    found: list[FieldError] = []
    if in_volume and not reference.get("containerName"):
        found.append(fields.required(f"{path}.containerName"))
    elif not resource:
        found.append(fields.required(f"{path}.resource"))
    elif resource not in _RESOURCES and not resource.startswith(_HUGE_PAGES):
        found.append(fields.not_supported(f"{path}.resource", resource, _RESOURCES))
    return found + _divisor(resource, reference.get("divisor", "0"), f"{path}.divisor")


def _divisor(resource: str, divisor: str, path: str) -> list[FieldError]:
    amount = Quantity.parse(divisor)
    name = resource.partition(".")[2]
    known, called = (_BYTE_DIVISORS, "hugepages") if name.startswith("hugepages-") else _DIVISORS.get(name, ((), ""))
    if not known or amount == Quantity.ZERO or str(amount) in known:
        return []
    values = "1m and 1" if name == "cpu" else ", ".join(known)
    return [fields.invalid(path, resource, f"only divisor's values {values} are supported with the {called} resource")]
