"""The schemas of custom resources in OpenAPI documents: kubectl explain, validation and apply read them.

Source: k8s.io/apiextensions-apiserver/pkg/controller/openapi/builder
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from sampan.api.crd.resource import LazySchema
from sampan.api.meta import Obj
from sampan.api.scheme import Resource

_META = "io.k8s.apimachinery.pkg.apis.meta.v1"
_REST = "More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md"
_IDENTITY = {
    "apiVersion": {
        "type": "string",
        "description": "APIVersion defines the versioned schema of this representation of an object. "
        f"{_REST}#resources",
    },
    "kind": {
        "type": "string",
        "description": f"Kind is the REST resource this object represents. {_REST}#types-kinds",
    },
}
# OpenAPI v2 cannot say these.
_NOT_IN_V2 = ("allOf", "anyOf", "oneOf", "not", "nullable", "default", "x-kubernetes-validations")

Reference = Callable[[str, int, bool], Obj]


def schemas(resource: Resource, version: int, reference: Reference) -> dict[str, Obj]:
    """The kind and its list. `reference(name, OpenAPI version, stands alone)` points to another schema."""
    assert isinstance(resource.schema, LazySchema)
    whole = resource.schema.document()
    if version == 2:
        _simplify(whole)
    metadata = {
        "description": f"Standard object's metadata. {_REST}#metadata",
        **reference(f"{_META}.ObjectMeta", version, False),
    }
    whole["properties"] = {**(whole.get("properties") or {}), **_IDENTITY, "metadata": metadata}
    identity = {"group": resource.group, "version": resource.version}
    whole["x-kubernetes-group-version-kind"] = [{**identity, "kind": resource.kind}]
    listed = f"{resource.kind}List"
    items = {
        "type": "array",
        "description": f"List of {resource.plural}. {_REST}",
        "items": reference(resource.definition, version, True),
    }
    several = {
        "description": f"{listed} is a list of {resource.kind}",
        "type": "object",
        "required": ["items"],
        "properties": {**_IDENTITY, "items": items, "metadata": reference(f"{_META}.ListMeta", version, True)},
        "x-kubernetes-group-version-kind": [{**identity, "kind": listed}],
    }
    return {resource.definition: whole, f"{resource.definition}List": several}


def _simplify(schema: Any) -> None:
    """Make of an OpenAPI v3 schema one that v2 can say, in place: what it cannot say is left open."""
    if schema.get("nullable"):
        schema.pop("type", None)
        schema.pop("items", None)
        schema.pop("properties", None)
    for key in _NOT_IN_V2:
        schema.pop(key, None)
    if schema.get("x-kubernetes-preserve-unknown-fields"):
        schema.pop("items", None)
        schema.pop("properties", None)
        schema.pop("type", None)
    if isinstance(schema.get("additionalProperties"), bool):
        del schema["additionalProperties"]
    for inner in (*(schema.get("properties") or {}).values(), schema.get("items"), schema.get("additionalProperties")):
        if isinstance(inner, Mapping):
            _simplify(inner)
