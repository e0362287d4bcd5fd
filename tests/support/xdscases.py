"""Golden cases of what is built for Envoy: the representation in, readable messages out."""

from __future__ import annotations

from typing import Any

import irload
from golden import Case
from google.protobuf import any_pb2, json_format

from sampan.xds.build import Builder
from sampan.xds.types import ENDPOINTS, SECRET, TYPES, Resource, Snapshot


def built(case: Case) -> Snapshot:
    return Builder().build(irload.proxy(case.input))


def readable(snapshot: Snapshot) -> dict[str, Any]:
    """kind → name → message. Scripts are left out, and what would be other bytes in each run."""
    out: dict[str, Any] = {}
    for url in TYPES:
        shown = {name: message(url, one) for name, one in sorted(snapshot.of(url).items())}
        if shown:
            out[url.rpartition(".")[2]] = shown
    return out


def message(url: str, resource: Resource) -> dict[str, Any]:
    packed = any_pb2.Any(type_url=url, value=resource.body)
    made = json_format.MessageToDict(packed, preserving_proto_field_name=True)
    del made["@type"]
    made.pop("name", None)
    if url == ENDPOINTS:
        made.pop("cluster_name", None)
    if url == SECRET:
        made = dict.fromkeys(made, "not shown")
    made = _tidy(made)
    if resource.origins:
        made["origins"] = [str(origin) for origin in resource.origins]
    return made


# Fields that are maps: protobuf gives their entries in any order.
MAPS = ("filter_context", "filter_metadata", "policies", "typed_per_filter_config", "typed_extension_protocol_options")


def _tidy(value: Any, *, sort: bool = False) -> Any:
    if isinstance(value, dict):
        shown = {
            k: "a script" if k == "default_source_code" else _tidy(v, sort=sort or k in MAPS) for k, v in value.items()
        }
        return dict(sorted(shown.items())) if sort else shown
    if isinstance(value, list):
        return [_tidy(one, sort=sort) for one in value]
    return value
