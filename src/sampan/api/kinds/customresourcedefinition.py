"""CustomResourceDefinition (apiextensions.k8s.io/v1).

Source: k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/{v1/defaults,validation/validation}.go (1.32)
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sampan.api import fields, meta, objectmeta, validation
from sampan.api.crd import jsonpath, structural
from sampan.api.crd.node import Node, default, prune
from sampan.api.crd.validate import validate as validate_value
from sampan.api.meta import Obj
from sampan.api.scheme import Column, Resource, Strategy
from sampan.api.status import FieldError
from sampan.api.table import NAME
from sampan.api.validation import each, immutable

ID = "customresourcedefinitions.apiextensions.k8s.io"
FINALIZER = "customresourcecleanup.apiextensions.k8s.io"
APPROVED = "api-approved.kubernetes.io"
_COMMUNITY = ("k8s.io", "kubernetes.io")
_COLUMN_TYPES = ("boolean", "date", "integer", "number", "string")
_COLUMN_FORMATS = ("byte", "date", "date-time", "double", "float", "int32", "int64", "password")
_SCOPES = ("Cluster", "Namespaced")


def _default(obj: Obj) -> None:
    spec = obj.setdefault("spec", {})
    names = spec.setdefault("names", {})
    kind = names.get("kind", "")
    if not names.get("singular") and kind:
        names["singular"] = kind.lower()
    if not names.get("listKind") and kind:
        names["listKind"] = f"{kind}List"
    conversion = spec.setdefault("conversion", {"strategy": "None"})
    service = ((conversion.get("webhook") or {}).get("clientConfig") or {}).get("service")
    if service is not None:
        service.setdefault("port", 443)


def _prepare_create(obj: Obj) -> None:
    stored = [v.get("name", "") for v in obj["spec"].get("versions") or () if v.get("storage")]
    obj["status"] = {"conditions": [], "acceptedNames": {"plural": "", "kind": ""}, "storedVersions": stored}


def _validate(obj: Obj) -> list[FieldError]:
    found = objectmeta.validate(obj["metadata"], namespaced=False)
    return found + list(_spec(obj["spec"], meta.name(obj))) + list(_approval(obj))


def _validate_update(new: Obj, old: Obj) -> list[FieldError]:
    found = objectmeta.validate_update(new["metadata"], old["metadata"])
    if new["spec"] != old["spec"]:
        found += list(_spec(new["spec"], meta.name(new), old["spec"]))
    found += list(_stored(new))
    if meta.is_true(old, "Established"):
        spec, before = new["spec"], old["spec"]
        found += immutable("spec.scope", spec.get("scope"), before.get("scope"))
        found += immutable("spec.names.kind", spec["names"].get("kind"), before["names"].get("kind"))
    if new["spec"].get("group") != old["spec"].get("group"):
        found += immutable("spec.group", new["spec"].get("group"), old["spec"].get("group"))
    if new["spec"]["names"].get("plural") != old["spec"]["names"].get("plural"):
        found += immutable("spec.names.plural", new["spec"]["names"].get("plural"), old["spec"]["names"].get("plural"))
    return found


def _validate_status(new: Obj, old: Obj) -> list[FieldError]:
    return objectmeta.validate_update(new["metadata"], old["metadata"]) + list(_stored(new))


def _stored(obj: Obj) -> Iterator[FieldError]:
    known = {v.get("name") for v in obj["spec"].get("versions") or ()}
    for i, name in enumerate((obj.get("status") or {}).get("storedVersions") or ()):
        if name not in known:
            yield fields.invalid(f"status.storedVersions[{i}]", name, "must appear in spec.versions")


def _approval(obj: Obj) -> Iterator[FieldError]:
    """Groups of the Kubernetes community want a pointer to their review."""
    group = obj["spec"].get("group", "")
    if not any(group == owner or group.endswith(f".{owner}") for owner in _COMMUNITY):
        return
    if not meta.annotations(obj).get(APPROVED):
        text = 'protected groups must have approval annotation "api-approved.kubernetes.io", see https://github.com/kubernetes/enhancements/pull/1111'
        yield fields.required("metadata.annotations[api-approved.kubernetes.io]", text)


def _spec(spec: Obj, name: str, old: Obj | None = None) -> Iterator[FieldError]:
    group, names = spec.get("group", ""), spec.get("names") or {}
    if name != f"{names.get('plural', '')}.{group}":
        text = 'must be spec.names.plural+"."+spec.group'
        yield fields.invalid("metadata.name", name, text)
    if not group:
        yield fields.required("spec.group")
    else:
        yield from each(validation.dns_subdomain, "spec.group", group)
        if "." not in group:
            yield fields.invalid("spec.group", group, "should be a domain with at least one dot")
    if spec.get("scope") not in _SCOPES:
        scope = spec.get("scope", "")
        yield fields.not_supported("spec.scope", scope, _SCOPES) if scope else fields.required("spec.scope")
    yield from _names(names)
    if spec.get("preserveUnknownFields"):
        text = "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead"
        yield fields.invalid("spec.preserveUnknownFields", True, text)
    yield from _versions(spec.get("versions") or [], (old or {}).get("versions") or [])
    yield from _conversion(spec.get("conversion") or {})


def _names(names: Obj) -> Iterator[FieldError]:
    for key in ("plural", "singular", "kind", "listKind"):
        text = names.get(key, "")
        if not text:
            yield fields.required(f"spec.names.{key}")
            continue
        faults = validation.dns_1035_label(text.lower())
        if key in ("plural", "singular"):
            faults = validation.dns_1035_label(text)
        elif faults:
            faults = [f"may have mixed case, but should otherwise match: {', '.join(faults)}"]
        yield from (fields.invalid(f"spec.names.{key}", text, fault) for fault in faults)
    for key in ("shortNames", "categories"):
        for i, text in enumerate(names.get(key) or ()):
            yield from each(validation.dns_1035_label, f"spec.names.{key}[{i}]", text)
    if names.get("kind") and names.get("kind") == names.get("listKind"):
        text = "kind and listKind may not be the same"
        yield fields.invalid("spec.names.listKind", names["listKind"], text)


def _versions(versions: list[Obj], old: list[Obj]) -> Iterator[FieldError]:
    shown = fields.Raw("[]apiextensions.CustomResourceDefinitionVersion{...}")
    names = [v.get("name", "") for v in versions]
    if not versions:
        yield fields.required("spec.versions", "must have at least one version")
    if len(set(names)) < len(names):
        yield fields.invalid("spec.versions", shown, "must contain unique version names")
    if sum(bool(v.get("storage")) for v in versions) != 1:
        yield fields.invalid("spec.versions", shown, "must have exactly one version marked as storage version")
    before = {v.get("name"): v for v in old}
    for i, version in enumerate(versions):
        if version != before.get(version.get("name")):
            yield from _version(version, f"spec.versions[{i}]")


def _version(version: Obj, path: str) -> Iterator[FieldError]:
    yield from each(validation.dns_1035_label, f"{path}.name", version.get("name", ""))
    if version.get("deprecationWarning") is not None and not version.get("deprecated"):
        text = "can only be set for deprecated versions"
        yield fields.invalid(f"{path}.deprecationWarning", version["deprecationWarning"], text)
    schema = (version.get("schema") or {}).get("openAPIV3Schema")
    at = f"{path}.schema.openAPIV3Schema"
    if schema is None:
        yield fields.required(at, "schemas are required")
    else:
        faults = structural.validate(schema, at)
        yield from faults
        if not faults:
            yield from _defaults(schema, at)
    for i, column in enumerate(version.get("additionalPrinterColumns") or ()):
        yield from _column(column, f"{path}.additionalPrinterColumns[{i}]")
    for i, one in enumerate(version.get("selectableFields") or ()):
        yield from _path(one.get("jsonPath", ""), f"{path}.selectableFields[{i}].jsonPath")
    scale = (version.get("subresources") or {}).get("scale")
    if scale is not None:
        yield from _scale(scale, f"{path}.subresources.scale")


def _defaults(schema: Obj, path: str) -> Iterator[FieldError]:
    """A default must itself be what the schema wants, pruned and valid."""
    for name, inner in (schema.get("properties") or {}).items():
        at = f"{path}.properties[{name}]"
        if inner.get("default") is not None:
            node, value = Node(inner), meta.copy({"value": inner["default"]})["value"]
            if prune(node, value, root=False):
                yield fields.invalid(f"{at}.default", fields.Raw(str(inner["default"])), "must not have unknown fields")
            default(node, value)
            for error in validate_value(node, value):
                text = error.text.replace("<nil>", "")
                yield FieldError(error.type, f"{at}.default{_below(error.field)}", text)
        yield from _defaults(inner, at)
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), dict):
            yield from _defaults(schema[key], f"{path}.{key}")


def _below(path: str) -> str:
    return "" if path == "<nil>" else f".{path}"


def _column(column: Obj, path: str) -> Iterator[FieldError]:
    if not column.get("name"):
        yield fields.required(f"{path}.name")
    kind = column.get("type", "")
    if not kind:
        yield fields.required(f"{path}.type", f"must be one of {','.join(_COLUMN_TYPES)}")
    elif kind not in _COLUMN_TYPES:
        yield fields.invalid(f"{path}.type", kind, f"must be one of {','.join(_COLUMN_TYPES)}")
    if column.get("format") and column["format"] not in _COLUMN_FORMATS:
        yield fields.invalid(f"{path}.format", column["format"], f"must be one of {','.join(_COLUMN_FORMATS)}")
    yield from _path(column.get("jsonPath", ""), f"{path}.jsonPath")


def _path(text: str, path: str) -> Iterator[FieldError]:
    if not text:
        yield fields.required(path)
        return
    try:
        jsonpath.parse(text)
    except ValueError as error:
        yield fields.invalid(path, text, f"is not a valid JSON path: {error}")
        return
    if not text.startswith("."):
        yield fields.invalid(path, text, "must be a simple json path starting with .")


def _scale(scale: Obj, path: str) -> Iterator[FieldError]:
    for key, root in (
        ("specReplicasPath", (".spec.",)),
        ("statusReplicasPath", (".status.",)),
        ("labelSelectorPath", (".spec.", ".status.")),
    ):
        text = scale.get(key, "")
        if not text:
            if key != "labelSelectorPath":
                yield fields.required(f"{path}.{key}")
        elif not text.startswith(root):
            where = " or ".join(root)
            yield fields.invalid(f"{path}.{key}", text, f"should be a json path under {where.rstrip('.')}")


def _conversion(conversion: Obj) -> Iterator[FieldError]:
    strategy, webhook = conversion.get("strategy", ""), conversion.get("webhook")
    if strategy not in ("None", "Webhook"):
        yield fields.not_supported("spec.conversion.strategy", strategy, ("None", "Webhook"))
    if strategy != "Webhook":
        if webhook is not None:
            text = 'should not be set when strategy is not set to "Webhook"'
            yield fields.forbidden("spec.conversion.webhook", text)
        return
    if webhook is None or not webhook.get("clientConfig"):
        yield fields.required("spec.conversion.webhook.clientConfig", 'required when strategy is set to "Webhook"')
        return
    at = "spec.conversion.webhook.clientConfig"
    config = webhook["clientConfig"]
    if bool(config.get("url")) == bool(config.get("service")):
        yield fields.required(at, "exactly one of url or service is required")
    if not set(webhook.get("conversionReviewVersions") or ()) & {"v1", "v1beta1"}:
        yield fields.required("spec.conversion.webhook.conversionReviewVersions")


def _on_delete(obj: Obj) -> Obj:
    """Its objects go first: a finalizer holds it until then."""
    kept = obj["metadata"].get("finalizers") or []
    if FINALIZER in kept:
        return obj
    return {**obj, "metadata": {**obj["metadata"], "finalizers": [*kept, FINALIZER]}}


def _row(obj: Obj, now: Any) -> list[Any]:
    return [meta.name(obj), obj["metadata"].get("creationTimestamp", "")]


RESOURCE = Resource(
    group="apiextensions.k8s.io",
    version="v1",
    kind="CustomResourceDefinition",
    plural="customresourcedefinitions",
    definition="io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceDefinition",
    singular="customresourcedefinition",
    short=("crd", "crds"),
    categories=("api-extensions",),
    namespaced=False,
    subresources=("status",),
    generation=True,
    bulky=True,
    strategy=Strategy(
        columns=(NAME, Column("Created At", type="date", description="When it was created.")),
        row=_row,
        default=_default,
        prepare_create=_prepare_create,
        validate=_validate,
        validate_update=_validate_update,
        validate_status=_validate_status,
        on_delete=_on_delete,
    ),
)
