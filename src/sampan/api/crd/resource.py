"""From a CustomResourceDefinition to rows of the scheme, one a served version.

Source: https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from sampan.api import objectmeta, walkers
from sampan.api.crd import columns, jsonpath
from sampan.api.crd.node import Node, Schema, default, prune, without_texts
from sampan.api.crd.validate import validate
from sampan.api.meta import Obj
from sampan.api.scale import Paths
from sampan.api.scheme import Resource, Strategy
from sampan.api.status import FieldError

_META = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"
_VERSION = re.compile(r"v([1-9]\d*)(?:(alpha|beta)([1-9]\d*))?")
_STAGE = {None: 2, "beta": 1, "alpha": 0}


class LazySchema(Mapping[str, Any]):
    """A version's schema without its texts, read from the definition's bytes when first needed."""

    def __init__(self, load: Callable[[], Obj]) -> None:
        self._load = load

    @cached_property
    def _schema(self) -> Obj:
        found: Obj = without_texts(self._load())
        return found

    def document(self) -> Obj:
        """The whole schema with its texts, a copy of one's own."""
        return self._load()

    def __getitem__(self, key: str) -> Any:
        return self._schema[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._schema)

    def __len__(self) -> int:
        return len(self._schema)


def version_order(name: str) -> tuple[Any, ...]:
    """Sort key: v10, v2, v1, v1beta2, v1beta1, v1alpha1, then other names by alphabet."""
    found = _VERSION.fullmatch(name)
    if found is None:
        return (1, 0, 0, 0, name)
    major, stage, minor = found.groups()
    return (0, -_STAGE[stage], -int(major), -int(minor or 0), "")


@dataclass(frozen=True, eq=False)
class Family:
    """What the versions of one custom resource share. `storage`: the version kept; `webhook`: a WebhookConversion."""

    kind: str
    storage: str
    webhook: Obj | None


def _family(crd: Obj) -> Family:
    spec = crd["spec"]
    storage = next(v["name"] for v in spec["versions"] if v.get("storage"))
    conversion = spec.get("conversion") or {}
    webhook = conversion.get("webhook") if conversion.get("strategy") == "Webhook" else None
    return Family(spec["names"]["kind"], storage, webhook)


def resources(crd: Obj, load: Callable[[str], Obj]) -> list[Resource]:
    """The served versions. `load(version)` reads a version's openAPIV3Schema, a copy of one's own."""
    served = [v for v in crd["spec"]["versions"] if v.get("served")]
    family = _family(crd)
    return [_resource(crd, version, load, family) for version in sorted(served, key=lambda v: version_order(v["name"]))]


def accepted_names(crd: Obj) -> Obj:
    names: Obj = (crd.get("status") or {}).get("acceptedNames") or {}
    return names


def _resource(crd: Obj, version: Obj, load: Callable[[str], Obj], family: Family) -> Resource:
    spec, names, name = crd["spec"], accepted_names(crd), version["name"]
    parts = version.get("subresources") or {}
    schema = LazySchema(lambda: load(name))
    node = Node(schema)
    kind, plural = names["kind"], names["plural"]
    with_status, given = "status" in parts, version.get("additionalPrinterColumns")
    return Resource(
        group=spec["group"],
        version=name,
        kind=kind,
        plural=plural,
        definition=definition_name(spec["group"], name, kind),
        singular=names.get("singular") or kind.lower(),
        short=tuple(names.get("shortNames") or ()),
        categories=tuple(names.get("categories") or ()),
        namespaced=spec["scope"] == "Namespaced",
        subresources=tuple(part for part in ("scale", "status") if part in parts),
        fields=dict(map(_selectable, version.get("selectableFields") or ())),
        generation=True,
        schema=schema,
        storage=bool(version.get("storage")),
        family=family,
        clean=_cleaner(node),
        scale=_scale_paths(parts.get("scale")),
        strategy=_strategy(node, spec["scope"] == "Namespaced", with_status, given, _deprecation(crd, version)),
    )


def definition_name(group: str, version: str, kind: str) -> str:
    """The name of the kind's schema in OpenAPI documents: com.example.v1.Widget."""
    return f"{'.'.join(reversed(group.split('.')))}.{version}.{kind}"


def _strategy(node: Node, namespaced: bool, with_status: bool, given: list[Obj] | None, deprecated: str) -> Strategy:
    def create(obj: Obj) -> None:
        if with_status and obj.pop("status", None) is not None:
            default(node, obj)  # a status is the defaults' until a controller writes one

    def check(obj: Obj) -> list[FieldError]:
        return objectmeta.validate(obj["metadata"], namespaced) + validate(node, obj)

    def check_update(new: Obj, old: Obj) -> list[FieldError]:
        return objectmeta.validate_update(new["metadata"], old["metadata"]) + validate(node, new, old)

    return Strategy(
        columns=columns.columns(given),
        row=columns.row(given),
        default=lambda obj: default(node, obj),
        prepare_create=create,
        validate=check,
        validate_update=check_update,
        validate_status=check_update,
        deprecated=deprecated,
    )


def _cleaner(node: Node) -> Callable[[Obj], list[str]]:
    def clean(obj: Obj) -> list[str]:
        unknown: list[str] = []
        if isinstance(obj.get("metadata"), dict):
            unknown = [f"metadata.{path}" for path in walkers.walk(_META, obj["metadata"])]
        return unknown + prune(node, obj)

    return clean


def _selectable(one: Obj) -> tuple[str, Callable[[Obj], str]]:
    path: str = one["jsonPath"]
    find = jsonpath.parse(path)

    def get(obj: Obj) -> str:
        found = find(obj)
        value = found[0] if found else ""
        return ("true" if value else "false") if isinstance(value, bool) else str(value)

    return path.removeprefix("."), get


def _scale_paths(given: Schema | None) -> Paths | None:
    if given is None:
        return None
    return Paths(given["specReplicasPath"], given["statusReplicasPath"], given.get("labelSelectorPath") or "")


def _deprecation(crd: Obj, version: Obj) -> str:
    if not version.get("deprecated"):
        return ""
    if version.get("deprecationWarning"):
        return str(version["deprecationWarning"])
    group, kind = crd["spec"]["group"], accepted_names(crd)["kind"]
    text = f"{group}/{version['name']} {kind} is deprecated"
    others = [v["name"] for v in crd["spec"]["versions"] if v.get("served") and not v.get("deprecated")]
    better = min(others, key=version_order, default="")
    if better and version_order(better) < version_order(version["name"]):
        return f"{text}; use {group}/{better} {kind}"
    return text
