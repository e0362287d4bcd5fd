"""OpenAPI documents for the kinds of a scheme: v3 per group and version, v2 for all. Pure: the server keeps the bytes.

What kubectl reads: `components.schemas` / `definitions` with x-kubernetes-group-version-kind (explain, validation,
apply's merge keys) and the PATCH operations' query parameters (may it send fieldValidation and dryRun?).
Sources: https://kubernetes.io/docs/concepts/overview/kubernetes-api/#openapi-interface-definition
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from typing import Any

import sampan
from sampan.api import definitions, enums
from sampan.api.crd import openapi as custom
from sampan.api.definitions import Definition
from sampan.api.meta import Obj
from sampan.api.scheme import Resource, Scheme

_META = "io.k8s.apimachinery.pkg.apis.meta.v1"
_ALWAYS = tuple(f"{_META}.{name}" for name in ("APIResourceList", "DeleteOptions", "Patch", "Status", "WatchEvent"))
_SCALE, _EVICTION = "io.k8s.api.autoscaling.v1.Scale", "io.k8s.api.policy.v1.Eviction"
_TOKEN = "io.k8s.api.authentication.v1.TokenRequest"

_INT_OR_STRING = "io.k8s.apimachinery.pkg.util.intstr.IntOrString"
_QUANTITY = "io.k8s.apimachinery.pkg.api.resource.Quantity"
_EITHER: dict[str, tuple[Obj, Obj]] = {
    _INT_OR_STRING: (
        {"type": "string", "format": "int-or-string"},
        {"oneOf": [{"type": "integer"}, {"type": "string"}], "format": "int-or-string"},
    ),
    _QUANTITY: ({"type": "string"}, {"oneOf": [{"type": "string"}, {"type": "number"}]}),
}

_WRITE = ("dryRun", "fieldManager", "fieldValidation")
_LIST = ("continue", "fieldSelector", "labelSelector", "limit", "resourceVersion", "timeoutSeconds", "watch")
# method -> (x-kubernetes-action, query parameters)
_COLLECTION = {"get": ("list", _LIST), "post": ("post", _WRITE), "delete": ("deletecollection", ("dryRun", *_LIST))}
_ITEM = {
    "get": ("get", ()),
    "put": ("put", _WRITE),
    "patch": ("patch", (*_WRITE, "force")),
    "delete": ("delete", ("dryRun", "gracePeriodSeconds", "propagationPolicy")),
}
_PART = {method: _ITEM[method] for method in ("get", "put", "patch")}
_CONNECT: dict[str, tuple[str, tuple[str, ...]]] = {"get": ("connect", ()), "post": ("connect", ())}
_SUBRESOURCES: dict[str, dict[str, tuple[str, tuple[str, ...]]]] = {
    "log": {"get": ("get", ("container", "follow", "previous", "sinceSeconds", "tailLines", "timestamps"))},
    "exec": _CONNECT,
    "attach": _CONNECT,
    "portforward": _CONNECT,
    "eviction": {"post": ("post", _WRITE)},
    "binding": {"post": ("post", _WRITE)},
    "token": {"post": ("post", _WRITE)},
    "finalize": {"put": ("put", _WRITE)},
}
_TYPES = {
    **dict.fromkeys(("follow", "force", "previous", "timestamps", "watch"), "boolean"),
    **dict.fromkeys(("gracePeriodSeconds", "limit", "sinceSeconds", "tailLines", "timeoutSeconds"), "integer"),
}
_PATCHES = (
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
)


def root(resource: Resource) -> str:
    """Where a resource's group and version lives: "api/v1", "apis/apps/v1"."""
    return f"apis/{resource.api_version}" if resource.group else f"api/{resource.version}"


def index(scheme: Scheme) -> Obj:
    """/openapi/v3: where the documents are. The hash changes when they may."""
    paths = {}
    for path in dict.fromkeys(map(root, _documented(scheme))):
        named = [(r.definition, r.fingerprint) for r in scheme.resources if root(r) == path]
        text = repr((definitions.VERSION, enums.TABLE, sampan.__version__, path, named))
        digest = hashlib.sha256(text.encode()).hexdigest().upper()
        paths[path] = {"serverRelativeURL": f"/openapi/v3/{path}?hash={digest}"}
    return {"paths": paths}


def _documented(scheme: Scheme) -> list[Resource]:
    """Resources whose schema is known: not metrics."""
    return [r for r in scheme.resources if r.definition or r.schema is not None]


def v3(scheme: Scheme, path: str) -> Obj:
    """/openapi/v3/{path}. Raises KeyError when no resource lives there."""
    resources = [r for r in _documented(scheme) if root(r) == path]
    if not resources:
        raise KeyError(path)
    return {
        "openapi": "3.0.0",
        "info": _info(),
        "paths": dict(_paths(resources, _operation_v3)),
        "components": {"schemas": _schemas(resources, 3)},
    }


def v2(scheme: Scheme) -> Obj:
    """/openapi/v2, as JSON. `openapi_v2_proto.encode` makes the protobuf form that kubectl asks for."""
    return {
        "swagger": "2.0",
        "info": _info(),
        "paths": dict(_paths(_documented(scheme), _operation_v2)),
        "definitions": _schemas(_documented(scheme), 2),
    }


def _info() -> Obj:
    return {"title": "Kubernetes", "version": definitions.VERSION}


def _schemas(resources: Iterable[Resource], version: int) -> Obj:
    """By name, in alphabetical order."""
    found = {name: _convert_named(name, version) for name in _closure(resources)}
    for resource in resources:
        if resource.schema is not None:
            found |= custom.schemas(resource, version, _reference)
    return dict(sorted(found.items()))


def _closure(resources: Iterable[Resource]) -> list[str]:
    """The definitions the resources need, sorted."""
    known = definitions.load()
    todo = list(_ALWAYS)
    for resource in resources:
        if resource.schema is not None:
            todo += [f"{_META}.ObjectMeta", f"{_META}.ListMeta"]
        else:
            todo += (
                [resource.definition, f"{resource.definition}List"]
                if "list" in resource.verbs
                else [resource.definition]
            )
        todo += [_SCALE] if "scale" in resource.subresources else []
        todo += [_TOKEN] if "token" in resource.subresources else []
        todo += [_EVICTION] if "eviction" in resource.subresources else []
    found: set[str] = set()
    while todo:
        name = todo.pop()
        if name not in found:
            found.add(name)
            todo += _references(known[name])
    return sorted(found)


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield definitions.ref(value)
        for inner in value.values():
            yield from _references(inner)


def _convert_named(name: str, version: int) -> Obj:
    schema = definitions.load()[name]
    if name in _EITHER:
        return dict(_EITHER[name][version - 2])
    converted = _convert(schema, version)
    if version == 3:
        for field, inner in converted.get("properties", {}).items():
            if values := enums.VALUES.get((name, field)):
                inner["enum"] = values
    return converted


def _convert(schema: Definition, version: int) -> Obj:
    """A schema in the form the OpenAPI version wants: no nulls among types, its own kind of references."""
    result: Obj = {}
    for key, value in schema.items():
        if key == "type":
            result[key] = definitions.type_of(schema)
        elif key == "$ref":
            result |= _reference(definitions.ref(schema), version, alone="description" not in schema)
        elif key == "properties":
            result[key] = {name: _property(name, inner, version) for name, inner in value.items()}
        elif key in ("items", "additionalProperties"):
            result[key] = _convert(value, version)
        else:
            result[key] = value
    return result


def _property(name: str, schema: Definition, version: int) -> Obj:
    converted = _convert(schema, version)
    if name in ("apiVersion", "kind"):
        # The files pin these to one value; kube-apiserver does not.
        converted.pop("enum", None)
    return converted


def _reference(name: str, version: int, alone: bool = True) -> Obj:
    if version == 2:
        return {"$ref": f"#/definitions/{name}"}
    pointer = {"$ref": f"#/components/schemas/{name}"}
    # In v3 a reference may have no siblings.
    return pointer if alone else {"allOf": [pointer]}


def _paths(resources: Iterable[Resource], operation: Any) -> Iterator[tuple[str, Obj]]:
    for resource in resources:
        base = f"/{root(resource)}"
        home = f"{base}/namespaces/{{namespace}}" if resource.namespaced else base
        if not resource.stored:
            method = "get" if resource.computed else "post"
            only = {method: _COLLECTION[method]}
            yield f"{home}/{resource.plural}", _methods(resource, "", only, operation, resource.namespaced)
            continue
        if resource.namespaced:
            yield f"{base}/{resource.plural}", _methods(resource, "", {"get": _COLLECTION["get"]}, operation)
        yield f"{home}/{resource.plural}", _methods(resource, "", _COLLECTION, operation, resource.namespaced)
        item = f"{home}/{resource.plural}/{{name}}"
        yield item, _methods(resource, "", _ITEM, operation, resource.namespaced, True)
        for part in resource.subresources:
            verbs = _SUBRESOURCES.get(part, _PART)
            yield f"{item}/{part}", _methods(resource, part, verbs, operation, resource.namespaced, True)


def _methods(
    resource: Resource, part: str, verbs: Any, operation: Any, namespaced: bool = False, named: bool = False
) -> Obj:
    where = [name for name, there in (("name", named), ("namespace", namespaced)) if there]
    subject = f"{'Namespaced' if namespaced else ''}{resource.kind}{part.title()}{'' if named else 's'}"
    place = f"{resource.group.title().replace('.', '')}{resource.version.title()}{subject}"
    result = {}
    for method, (action, queries) in verbs.items():
        parameters = [*(("path", name) for name in where), *(("query", query) for query in queries)]
        result[method] = {
            "operationId": f"{action}{method.title() if action == 'connect' else ''}{place}",
            "x-kubernetes-action": action,
            "x-kubernetes-group-version-kind": _group_version_kind(resource, part),
        } | operation(method, _definition(resource, part, action), parameters, _patches(resource))
    return result


def _patches(resource: Resource) -> tuple[str, ...]:
    """Strategic merge patches need the merge keys of built-in kinds."""
    return _PATCHES if resource.schema is None else tuple(kind for kind in _PATCHES if "strategic" not in kind)


def _definition(resource: Resource, part: str, action: str) -> str:
    special = {"scale": _SCALE, "eviction": _EVICTION, "token": _TOKEN}
    return f"{resource.definition}List" if action == "list" else special.get(part, resource.definition)


def _group_version_kind(resource: Resource, part: str) -> Obj:
    special = {"scale": ("autoscaling", "v1", "Scale"), "eviction": ("policy", "v1", "Eviction")}
    special["token"] = ("authentication.k8s.io", "v1", "TokenRequest")
    group, version, kind = special.get(part, (resource.group, resource.version, resource.kind))
    return {"group": group, "version": version, "kind": kind}


def _operation_v3(method: str, definition: str, parameters: list[tuple[str, str]], patches: tuple[str, ...]) -> Obj:
    schema = {"schema": _reference(definition, 3)}
    found: Obj = {
        "parameters": [
            {"name": name, "in": where, "schema": {"type": _TYPES.get(name, "string")}}
            | ({"required": True} if where == "path" else {})
            for where, name in parameters
        ],
        "responses": {"200": {"description": "OK", "content": {"application/json": schema}}},
    }
    if method == "patch":
        body = {"schema": _reference(f"{_META}.Patch", 3)}
        found["requestBody"] = {"content": dict.fromkeys(patches, body), "required": True}
    elif method in ("post", "put"):
        found["requestBody"] = {"content": {"*/*": schema}, "required": True}
    return found


def _operation_v2(method: str, definition: str, parameters: list[tuple[str, str]], patches: tuple[str, ...]) -> Obj:
    listed: list[Obj] = [
        {"name": name, "in": where, "type": _TYPES.get(name, "string")}
        | ({"required": True} if where == "path" else {})
        for where, name in parameters
    ]
    if method in ("patch", "post", "put"):
        body = f"{_META}.Patch" if method == "patch" else definition
        listed.append({"name": "body", "in": "body", "required": True, "schema": _reference(body, 2)})
    return {
        "consumes": list(patches) if method == "patch" else ["*/*"],
        "produces": ["application/json"],
        "schemes": ["https"],
        "parameters": listed,
        "responses": {"200": {"description": "OK", "schema": _reference(definition, 2)}},
    }
