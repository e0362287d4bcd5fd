"""From schemas to structures: the definitions of Kubernetes, and the OpenAPI v3 schemas of custom resources.

Source: k8s.io/kube-openapi/pkg/schemaconv, https://kubernetes.io/docs/reference/using-api/server-side-apply/#merge-strategy
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from sampan.api import definitions
from sampan.api.managedfields.types import DEDUCED, LEAF_TYPE, Field, Keyed, Map, Struct, Type

_META = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"
# What the server alone decides is nobody's.
_NOBODYS = (
    "name",
    "namespace",
    "creationTimestamp",
    "selfLink",
    "uid",
    "generation",
    "managedFields",
    "resourceVersion",
)
# Fields that are Go structs by value (or lists without omitempty): there in every object, so never new in one.
_ALWAYS = (
    "metadata",
    "spec",
    "status",
    "template",
    "strategy",
    "updateStrategy",
    "resources",
    "involvedObject",
    "containers",
    "rules",
)
_TYPE = ("apiVersion", "kind")
_SCALARS = ("string", "integer", "number", "boolean")


@cache
def of_definition(name: str) -> Type:
    """The structure of objects of a Kubernetes definition ("io.k8s.api.apps.v1.Deployment"), read when first used."""
    return Struct(lambda: _object_fields(definitions.load()[name]))


def of_object(schema: Mapping[str, Any]) -> Type:
    """The structure of whole objects of a schema."""
    return Struct(lambda: _object_fields(schema), _rest(schema))


def _object_fields(schema: Mapping[str, Any]) -> dict[str, Field | None]:
    """Without apiVersion and kind, with the metadata every object has."""
    properties = {k: v for k, v in schema.get("properties", {}).items() if k not in _TYPE}
    found: dict[str, Field | None] = {**_fields(properties), **dict.fromkeys(_TYPE)}
    return found | {"metadata": Field("f:metadata", _metadata(), True)}


def of_schema(schema: Mapping[str, Any]) -> Type:
    """The structure of a value, by its schema."""
    if name := definitions.ref(dict(schema)):
        return _named(name)
    if schema.get("x-kubernetes-int-or-string"):
        return LEAF_TYPE
    kind = definitions.type_of(dict(schema))
    if kind == "array":
        return _list(schema)
    if kind in _SCALARS:
        return LEAF_TYPE
    if schema.get("x-kubernetes-map-type") == "atomic":
        return LEAF_TYPE
    if properties := schema.get("properties"):
        return Struct(lambda: _fields(properties), _rest(schema))
    inner = schema.get("additionalProperties")
    return Map(of_schema(inner)) if isinstance(inner, dict) else DEDUCED


@cache
def _named(name: str) -> Type:
    return of_schema(definitions.load()[name])


@cache
def _metadata() -> Type:
    properties = definitions.load()[_META]["properties"]
    return Struct(lambda: _fields({k: v for k, v in properties.items() if k not in _NOBODYS}))


def _fields(properties: Mapping[str, Any]) -> dict[str, Field]:
    return {key: Field(f"f:{key}", of_schema(schema), key in _ALWAYS) for key, schema in properties.items()}


def _rest(schema: Mapping[str, Any]) -> Type | None:
    return DEDUCED if schema.get("x-kubernetes-preserve-unknown-fields") else None


def _list(schema: Mapping[str, Any]) -> Type:
    """Without a list type, the merge key of strategic merge patches says the same."""
    kind = schema.get("x-kubernetes-list-type", "")
    keys = tuple(schema.get("x-kubernetes-list-map-keys", ()))
    if not kind and "merge" in schema.get("x-kubernetes-patch-strategy", "").split(","):
        merge_key = schema.get("x-kubernetes-patch-merge-key")
        kind, keys = ("map", (merge_key,)) if merge_key else ("set", ())
    if kind not in ("map", "set"):
        return LEAF_TYPE
    return Keyed(of_schema(schema.get("items", {})), keys)
