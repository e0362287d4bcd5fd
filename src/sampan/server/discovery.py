"""Discovery: what this server has, as the old documents a group and as the aggregated one.

All documents are made when the scheme changes. Source:
https://kubernetes.io/docs/concepts/overview/kubernetes-api/#discovery-api
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha512
from typing import Any, NamedTuple

import orjson

from sampan.api.meta import Obj
from sampan.api.scheme import Resource, Scheme
from sampan.base.http.types import Request, Response
from sampan.server.answer import JSON

_AGGREGATED = "apidiscovery.k8s.io"


class Subresource(NamedTuple):
    """`group`, `version` are given when they are not the resource's own."""

    kind: str
    verbs: tuple[str, ...]
    group: str = ""
    version: str = ""


_CONNECT = ("create", "get")
# "" as a kind: that of the resource itself.
SUBRESOURCES = {
    "status": Subresource("", ("get", "patch", "update")),
    "scale": Subresource("Scale", ("get", "patch", "update"), "autoscaling", "v1"),
    "ephemeralcontainers": Subresource("", ("get", "patch", "update")),
    "log": Subresource("", ("get",)),
    "exec": Subresource("PodExecOptions", _CONNECT, "", "v1"),
    "attach": Subresource("PodAttachOptions", _CONNECT, "", "v1"),
    "portforward": Subresource("PodPortForwardOptions", _CONNECT, "", "v1"),
    "proxy": Subresource("", ("create", "delete", "get", "patch", "update")),
    "eviction": Subresource("Eviction", ("create",), "policy", "v1"),
    "binding": Subresource("Binding", ("create",), "", "v1"),
    "approval": Subresource("", ("get", "patch", "update")),
    "token": Subresource("TokenRequest", ("create",), "authentication.k8s.io", "v1"),
    "finalize": Subresource("", ("update",)),
}


class Discovery:
    """Answers /api, /apis and what lies above resources. `address` is host:port for clients of /api."""

    def __init__(self, scheme: Scheme, address: str) -> None:
        self._scheme = scheme
        self._address = address
        self._aggregated: dict[tuple[str, str], tuple[bytes, str]] = {}
        self._build()
        scheme.changed.append(self._build)

    def _build(self) -> None:
        scheme = self._scheme
        self._documents = {path: orjson.dumps(body) for path, body in _documents(scheme, self._address).items()}
        for path, resources in (("/api", _core(scheme)), ("/apis", _named(scheme))):
            for version in ("v2", "v2beta1"):
                body = orjson.dumps(_group_list(resources, version))
                self._aggregated[path, version] = body, f'"{sha512(body).hexdigest().upper()}"'

    def paths(self) -> list[str]:
        return list(self._documents)

    def answer(self, request: Request, path: str) -> Response | None:
        """The document at `path` (no slash at its end), None when there is none."""
        version = _asks_aggregated(request.headers.get("accept", "")) if path in ("/api", "/apis") else ""
        if not version:
            body = self._documents.get(path)
            return None if body is None else Response(200, body, [JSON, ("vary", "Accept")])
        body, etag = self._aggregated[path, version]
        headers = [("etag", etag), ("vary", "Accept"), ("cache-control", "public")]
        if request.headers.get("if-none-match") == etag:
            return Response(304, b"", headers)
        kind = f"application/json;g={_AGGREGATED};v={version};as=APIGroupDiscoveryList"
        return Response(200, body, [("content-type", kind), *headers])


def _asks_aggregated(accept: str) -> str:
    """The version of the aggregated form that comes first in the Accept header, "" for the old form."""
    for part in accept.split(","):
        media, *parameters = (p.strip() for p in part.split(";"))
        given = dict(p.split("=", 1) for p in parameters if "=" in p)
        if media == "application/json" and not given.get("as"):
            return ""
        if media == "application/json" and given.get("g") == _AGGREGATED and given.get("v") in ("v2", "v2beta1"):
            return given["v"]
    return ""


def _core(scheme: Scheme) -> list[Resource]:
    return [r for r in scheme.resources if not r.group]


def _named(scheme: Scheme) -> list[Resource]:
    return [r for r in scheme.resources if r.group]


def _groups(resources: Iterable[Resource]) -> dict[str, dict[str, list[Resource]]]:
    """group → version → resources, in the scheme's order."""
    found: dict[str, dict[str, list[Resource]]] = {}
    for r in resources:
        found.setdefault(r.group, {}).setdefault(r.version, []).append(r)
    return found


def _documents(scheme: Scheme, address: str) -> dict[str, Obj]:
    core = _groups(_core(scheme)).get("", {})
    addresses = [{"clientCIDR": "0.0.0.0/0", "serverAddress": address}]
    documents: dict[str, Obj] = {
        "/api": {"kind": "APIVersions", "versions": list(core), "serverAddressByClientCIDRs": addresses}
    }
    for version, resources in core.items():
        documents[f"/api/{version}"] = _resource_list(version, resources)
    groups = []
    for group, versions in _groups(_named(scheme)).items():
        listed = [{"groupVersion": f"{group}/{v}", "version": v} for v in versions]
        entry = {"name": group, "versions": listed, "preferredVersion": listed[0]}
        groups.append(entry)
        documents[f"/apis/{group}"] = {"kind": "APIGroup", "apiVersion": "v1", **entry}
        for version, resources in versions.items():
            documents[f"/apis/{group}/{version}"] = _resource_list(f"{group}/{version}", resources)
    documents["/apis"] = {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}
    return documents


def _resource_list(version: str, resources: Iterable[Resource]) -> Obj:
    entries: list[Obj] = []
    for r in sorted(resources, key=lambda r: r.plural):
        entry: Obj = {
            "name": r.plural,
            "singularName": r.singular,
            "namespaced": r.namespaced,
            "kind": r.kind,
            "verbs": r.verbs,
        }
        entries.append(entry | _optional(shortNames=r.short, categories=r.categories))
        entries += [_sub_entry(r, name, SUBRESOURCES[name]) for name in sorted(r.subresources)]
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": version, "resources": entries}


def _sub_entry(r: Resource, name: str, sub: Subresource) -> Obj:
    foreign = _optional(group=sub.group, version=sub.version if sub.group else "")
    return {
        "name": f"{r.plural}/{name}",
        "singularName": "",
        "namespaced": r.namespaced,
        **foreign,
        "kind": sub.kind or r.kind,
        "verbs": list(sub.verbs),
    }


def _group_list(resources: Iterable[Resource], version: str) -> Obj:
    items = []
    for group, versions in _groups(resources).items():
        listed = [
            {"version": v, "resources": [_aggregated(r) for r in found], "freshness": "Current"}
            for v, found in versions.items()
        ]
        metadata: Obj = {"creationTimestamp": None} | _optional(name=group)
        items.append({"metadata": metadata, "versions": listed})
    return {
        "kind": "APIGroupDiscoveryList",
        "apiVersion": f"{_AGGREGATED}/{version}",
        "metadata": {},
        "items": items,
    }


def _aggregated(r: Resource) -> Obj:
    subresources = [
        {
            "subresource": name,
            "responseKind": {
                "group": sub.group if sub.version else r.group,
                "version": sub.version or r.version,
                "kind": sub.kind or r.kind,
            },
            "verbs": list(sub.verbs),
        }
        for name, sub in ((name, SUBRESOURCES[name]) for name in sorted(r.subresources))
    ]
    return {
        "resource": r.plural,
        "responseKind": {"group": r.group, "version": r.version, "kind": r.kind},
        "scope": "Namespaced" if r.namespaced else "Cluster",
        "singularResource": r.singular,
        "verbs": r.verbs,
        **_optional(shortNames=r.short, categories=r.categories, subresources=subresources),
    }


def _optional(**values: Any) -> Obj:
    return {k: v for k, v in values.items() if v}
