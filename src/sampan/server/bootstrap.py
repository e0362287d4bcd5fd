"""What every cluster has: its namespaces, the `kubernetes` Service with its endpoints, the DNS Service. Idempotent."""

from __future__ import annotations

import asyncio
from typing import Any

from sampan.api import gatewayapi, meta, rbac
from sampan.api.kinds import ingress, priorityclass, storageclass
from sampan.api.meta import Obj
from sampan.api.status import ApiError
from sampan.server import default_roles
from sampan.server.allocators import Services
from sampan.server.authz import CLUSTER_BINDINGS, CLUSTER_ROLES
from sampan.server.registry import Registry

AUTOUPDATE = "rbac.authorization.kubernetes.io/autoupdate"
STORAGE_CLASS: Obj = {
    "metadata": {"name": "standard", "annotations": {storageclass.DEFAULT_ANNOTATION: "true"}},
    "provisioner": "sampan.io/local-directory",
    "reclaimPolicy": "Delete",
    "volumeBindingMode": "WaitForFirstConsumer",
    "allowVolumeExpansion": True,
}
# Signs with the machine's own authority. Only `controllers.certmanager` knows what its secretName means.
ISSUER: Obj = {
    "metadata": {
        "name": "sampan-ca",
        "annotations": {
            "kubernetes.io/description": "Signs with this machine's own authority: `sampan ca` says where."
        },
    },
    "spec": {"ca": {"secretName": "sampan.io/local-ca"}},
}
GATEWAY_CLASS: Obj = {
    "metadata": {"name": gatewayapi.CLASS},
    "spec": {"controllerName": gatewayapi.CONTROLLER, "description": "The gateway of this cluster."},
}
CUSTOM = (
    ("clusterissuers.cert-manager.io", ISSUER),
    (gatewayapi.CLASSES, GATEWAY_CLASS),
)
INGRESS_CLASS: Obj = {
    "metadata": {"name": "nginx", "annotations": {ingress.DEFAULT_CLASS: "true"}},
    "spec": {"controller": ingress.NGINX},
}
NAMESPACES = ("default", "kube-system", "kube-public", "kube-node-lease")


async def run(registry: Registry, services: Services, address: str, port: int) -> None:
    """`address`, `port`: where pods and nodes reach this server."""
    for name in NAMESPACES:
        await _ensure(registry, "namespaces", {"metadata": {"name": name}})
    await _ensure(registry, "services", _kubernetes(services.address(1), port), overwrite="spec")
    await _ensure(registry, "services", _dns(services.address(10)))
    await _ensure(registry, "endpoints", _endpoints(address, port), overwrite="subsets")
    await _ensure(registry, "endpointslices.discovery.k8s.io", _slice(address, port), overwrite="endpoints")


async def roles(registry: Registry) -> None:
    """The default roles and bindings; one that is there keeps what was added and gets what it lacks."""
    made = default_roles.cluster_roles()
    for role in made:
        if chosen := role.get("aggregationRule"):
            role["rules"] = rbac.aggregate(chosen["clusterRoleSelectors"], made)
    work = [_role(registry, CLUSTER_ROLES, obj) for obj in made]
    work += [_role(registry, CLUSTER_BINDINGS, obj) for obj in default_roles.cluster_role_bindings()]
    await asyncio.gather(*work)


async def classes(registry: Registry) -> None:
    """The system's priorities, a storage class whose volumes are local directories, the class of the gateway."""
    work = [_ensure(registry, "priorityclasses.scheduling.k8s.io", obj) for obj in priorityclass.SYSTEM]
    work.append(_ensure(registry, "storageclasses.storage.k8s.io", STORAGE_CLASS))
    await asyncio.gather(*work, _ensure(registry, "ingressclasses.networking.k8s.io", INGRESS_CLASS))


async def custom(registry: Registry) -> None:
    """Who signs certificates unless somebody else is asked to, and whose Gateways are served without anything being
    installed; not while the user does without these kinds."""
    for resource, obj in CUSTOM:
        if resource in registry.scheme.by_id:
            key = registry.binding(resource).key("", obj["metadata"]["name"])
            if registry.store.get(key) is None:  # not read: that would compile a schema
                await _ensure(registry, resource, obj)


async def _role(registry: Registry, resource: str, obj: Obj) -> None:
    present = registry.lookup(resource, obj["metadata"]["name"])
    if present is None:
        await _ensure(registry, resource, obj)
    elif "rules" in obj and meta.annotations(present).get(AUTOUPDATE) != "false":
        have = present.get("rules") or []
        if lacking := rbac.compact(rbac.missing(have, obj["rules"])):
            await registry.patch(resource, meta.name(obj), "", {"rules": [*have, *lacking]})


async def _ensure(registry: Registry, resource: str, obj: Obj, overwrite: str = "") -> None:
    """Create it unless it is there; then make the field `overwrite` (and a slice's ports) what it must be."""
    metadata = obj["metadata"]
    name, namespace = metadata["name"], metadata.get("namespace", "")
    if registry.lookup(resource, name, namespace) is None:
        try:
            await registry.create(resource, obj)
        except ApiError as error:
            if error.reason != "AlreadyExists":
                raise
    elif overwrite:
        patch: dict[str, Any] = {key: obj[key] for key in (overwrite, "ports") if key in obj}
        await registry.patch(resource, name, namespace, patch)


def _kubernetes(cluster_ip: str, port: int) -> Obj:
    return {
        "metadata": {
            "name": "kubernetes",
            "namespace": "default",
            "labels": {"component": "apiserver", "provider": "kubernetes"},
        },
        "spec": {
            "type": "ClusterIP",
            "clusterIP": cluster_ip,
            "ports": [{"name": "https", "protocol": "TCP", "port": 443, "targetPort": port}],
        },
    }


def _dns(cluster_ip: str) -> Obj:
    """No selector: each node's DNS server writes its own EndpointSlice, and each node uses its own."""
    return {
        "metadata": {
            "name": "kube-dns",
            "namespace": "kube-system",
            "labels": {
                "k8s-app": "kube-dns",
                "kubernetes.io/cluster-service": "true",
                "kubernetes.io/name": "CoreDNS",
            },
        },
        "spec": {
            "type": "ClusterIP",
            "clusterIP": cluster_ip,
            "internalTrafficPolicy": "Local",
            "ports": [
                {"name": "dns", "protocol": "UDP", "port": 53, "targetPort": 53},
                {"name": "dns-tcp", "protocol": "TCP", "port": 53, "targetPort": 53},
            ],
        },
    }


def _endpoints(address: str, port: int) -> Obj:
    # The label keeps the slice mirroring controller away: the slice below is ours too.
    return {
        "metadata": {
            "name": "kubernetes",
            "namespace": "default",
            "labels": {"endpointslice.kubernetes.io/skip-mirror": "true"},
        },
        "subsets": [{"addresses": [{"ip": address}], "ports": [{"name": "https", "port": port, "protocol": "TCP"}]}],
    }


def _slice(address: str, port: int) -> Obj:
    return {
        "metadata": {
            "name": "kubernetes",
            "namespace": "default",
            "labels": {"kubernetes.io/service-name": "kubernetes"},
        },
        "addressType": "IPv4",
        "endpoints": [{"addresses": [address], "conditions": {"ready": True}}],
        "ports": [{"name": "https", "port": port, "protocol": "TCP"}],
    }
