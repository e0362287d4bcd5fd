"""What a kind of proxy is told: the resources of a type as JSON, or as rows for a table. Secrets show no secrets."""

from __future__ import annotations

from typing import Any

from google.protobuf import json_format

from sampan.api.status import bad_request
from sampan.ir import Origin
from sampan.xds import types
from sampan.xds.pages import secrets, tables
from sampan.xds.pages.query import Query, View, of_kind, one
from sampan.xds.simulate.messages import parsed
from sampan.xds.types import Resource

TYPES = {
    "listeners": types.LISTENER,
    "routes": types.ROUTES,
    "clusters": types.CLUSTER,
    "endpoints": types.ENDPOINTS,
    "secrets": types.SECRET,
}


def config(view: View, query: Query) -> Any:
    """`type`; `kind` when there are several; `name`: one resource; `as`: "table" (rows) or "json" (everything).

    `versions` of all resources are there in any case: what a proxy says it has is compared with them (of endpoints,
    the members: Envoy forgets their version). Raises ApiError 400.
    """
    kind, snapshot = of_kind(view, query)
    name, form = one(query, "type"), one(query, "as", "json")
    if name not in TYPES:
        raise bad_request(f"type is one of {', '.join(TYPES)}")
    wanted = one(query, "name")
    found = [r for r in snapshot.of(TYPES[name]).values() if wanted in ("", r.name)]
    made: dict[str, Any] = {
        "kind": kind,
        "type": name,
        "version": snapshot.version,
        "versions": {resource.name: _version(name, resource) for resource in found},
    }
    if form == "table":
        columns, rows = tables.TABLES[name]
        made["columns"] = columns
        made["rows"] = [row for resource in found for row in rows(snapshot, resource)]
    else:
        made["resources"] = [_resource(name, resource) for resource in found]
    return made


def _version(kind: str, resource: Resource) -> str:
    return ", ".join(sorted(tables.members(resource))) if kind == "endpoints" else resource.version


def _resource(kind: str, resource: Resource) -> dict[str, Any]:
    shown = secrets.shown(resource) if kind == "secrets" else readable(TYPES[kind], resource)
    return {
        "name": resource.name,
        "version": resource.version,
        "origins": [origin(one) for one in resource.origins],
        "config": shown,
    }


def origin(one: Origin) -> dict[str, str]:
    made = {"resource": one.resource, "namespace": one.namespace, "name": one.name, "field": one.field}
    return {key: value for key, value in made.items() if value}


def readable(type_url: str, resource: Resource) -> dict[str, Any]:
    made: dict[str, Any] = json_format.MessageToDict(parsed(type_url, resource.body), preserving_proto_field_name=True)
    cleaned: dict[str, Any] = _without_secrets(made)
    return cleaned


def _without_secrets(value: Any) -> Any:
    """Users' password hashes are in what routes tell the auth filter."""
    if isinstance(value, dict):
        made = {key: _without_secrets(inner) for key, inner in value.items()}
        basic = (made.get("filter_context") or {}).get("basic")
        if basic:
            basic["users"] = dict.fromkeys(basic["users"], "(not shown)")
        return made
    return [_without_secrets(inner) for inner in value] if isinstance(value, list) else value
