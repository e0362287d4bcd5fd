"""A small scheme, so that these tests do not depend on which kinds exist."""

from __future__ import annotations

from sampan.api.scheme import Resource, Scheme, Strategy

_STRATEGY = Strategy(columns=(), row=lambda obj, now: [])


def _resource(kind: str, plural: str, group: str = "", namespaced: bool = True) -> Resource:
    return Resource(group, "v1", kind, plural, "", _STRATEGY, namespaced=namespaced)


SCHEME = Scheme(
    (
        _resource("Pod", "pods"),
        _resource("ConfigMap", "configmaps"),
        _resource("Event", "events"),
        _resource("Node", "nodes", namespaced=False),
        _resource("Namespace", "namespaces", namespaced=False),
        _resource("Deployment", "deployments", "apps"),
        _resource("ReplicaSet", "replicasets", "apps"),
    )
)
