"""Admission of claims, volumes and Ingresses: default classes, protection, growth.

Source: https://kubernetes.io/docs/reference/access-authn-authz/admission-controllers/ (DefaultStorageClass,
StorageObjectInUseProtection, PersistentVolumeClaimResize, DefaultIngressClass)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from sampan.api import meta
from sampan.api.kinds import ingress, storageclass
from sampan.api.kinds.persistentvolume import storage_class
from sampan.api.kinds.persistentvolumeclaim import size
from sampan.api.meta import Obj
from sampan.api.status import forbidden

if TYPE_CHECKING:
    from sampan.server.admission import Attributes

CLAIMS, VOLUMES = "persistentvolumeclaims", "persistentvolumes"
_CLASSES = "storageclasses.storage.k8s.io"
_FINALIZERS = {CLAIMS: "kubernetes.io/pvc-protection", VOLUMES: "kubernetes.io/pv-protection"}


def default_storage_class(request: Attributes) -> None:
    """A claim that names no class gets the default one, the newest when there are several."""
    if request.resource.id != CLAIMS or request.operation != "CREATE" or request.obj is None:
        return
    claim = request.obj
    if "storageClassName" in claim["spec"] or storage_class(claim):
        return
    if name := _newest(request.scan(_CLASSES, ""), storageclass.is_default):
        claim["spec"]["storageClassName"] = name


def default_ingress_class(request: Attributes) -> None:
    """An Ingress that names no class gets the default one."""
    if request.resource.id != "ingresses.networking.k8s.io" or request.operation != "CREATE" or request.obj is None:
        return
    if "ingressClassName" in request.obj["spec"] or ingress.CLASS_ANNOTATION in meta.annotations(request.obj):
        return
    classes = request.scan("ingressclasses.networking.k8s.io", "")
    if name := _newest(classes, lambda obj: meta.annotations(obj).get(ingress.DEFAULT_CLASS) == "true"):
        request.obj["spec"]["ingressClassName"] = name


def _newest(objects: list[Obj], chosen: Callable[[Obj], bool]) -> str:
    """The name of the newest of the chosen (of equally old ones the first by name), "" without any."""
    found = sorted((obj for obj in objects if chosen(obj)), key=meta.name)
    found.sort(key=lambda obj: str(obj["metadata"].get("creationTimestamp", "")), reverse=True)
    return meta.name(found[0]) if found else ""


def protect_storage(request: Attributes) -> None:
    """Claims and volumes carry a finalizer that keeps them while they are used."""
    finalizer = _FINALIZERS.get(request.resource.id)
    if finalizer is None or request.operation != "CREATE" or request.obj is None:
        return
    metadata = request.obj["metadata"]
    if finalizer not in (metadata.get("finalizers") or ()):
        metadata["finalizers"] = [*(metadata.get("finalizers") or ()), finalizer]


def resize_claim(request: Attributes) -> None:
    """A claim may ask for more only when its class says so."""
    if request.resource.id != CLAIMS or request.operation != "UPDATE" or request.obj is None or request.old is None:
        return
    if request.subresource or request.obj["spec"] == request.old["spec"]:
        return
    asks = ((request.obj["spec"].get("resources") or {}).get("requests") or {}).get("storage")
    if asks is None or size(request.obj["spec"]) <= size(request.old["spec"]):
        return
    if (request.old.get("status") or {}).get("phase") != "Bound":
        raise forbidden(CLAIMS, request.name, "Only bound persistent volume claims can be expanded")
    found = request.lookup(_CLASSES, storage_class(request.old), "")
    if found is None or not found.get("allowVolumeExpansion"):
        why = "only dynamically provisioned pvc can be resized and "
        why += "the storageclass that provisions the pvc must support resize"
        raise forbidden(CLAIMS, request.name, why)
