"""Validation of a pod's volumes: each has one source, and the source what it needs.

Source: k8s.io/kubernetes/pkg/apis/core/validation (1.32).
"""

from __future__ import annotations

from collections.abc import Callable

from sampan.api import fields, validation
from sampan.api.kinds import paths
from sampan.api.kinds.env_validation import validate_field_ref, validate_resource_ref
from sampan.api.meta import Obj
from sampan.api.quantity import Quantity
from sampan.api.status import FieldError

FIELDS = ("metadata.name", "metadata.namespace", "metadata.labels", "metadata.annotations", "metadata.uid")
_HOST_PATH_TYPES = ("", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket")
_PULL_POLICIES = ("Always", "IfNotPresent", "Never")
_MODE = "must be a number between 0 and 0777 (octal), both inclusive"


def validate_volumes(volumes: list[Obj], path: str) -> tuple[dict[str, Obj], list[FieldError]]:
    """The good volumes by name, for the mounts to refer to, and the faults of the others."""
    good: dict[str, Obj] = {}
    found: list[FieldError] = []
    for i, volume in enumerate(volumes):
        at, name = f"{path}[{i}]", volume.get("name", "")
        faults = _source(volume, at)
        faults += validation.each(validation.dns_label, f"{at}.name", name) if name else [fields.required(f"{at}.name")]
        if name in good:
            faults.append(fields.duplicate(f"{at}.name", name))
        if not faults:
            good[name] = volume
        found += faults
    return good, found


def _source(volume: Obj, path: str) -> list[FieldError]:
    present = [kind for kind in _SOURCES if volume.get(kind) is not None]
    if not present:
        return [fields.required(path, "must specify a volume type")]
    first, *more = present
    found = _SOURCES[first](volume[first], f"{path}.{first}")
    return found + [fields.forbidden(f"{path}.{kind}", "may not specify more than 1 volume type") for kind in more]


def _needs(*required: str) -> Callable[[Obj, str], list[FieldError]]:
    """The check of a source of which only the required fields are looked at."""
    return lambda source, path: [fields.required(f"{path}.{key}") for key in required if not source.get(key)]


def _empty_dir(source: Obj, path: str) -> list[FieldError]:
    if Quantity.parse(source.get("sizeLimit") or "0") >= Quantity.ZERO:
        return []
    return [fields.forbidden(f"{path}.sizeLimit", "SizeLimit field must be a valid resource quantity")]


def _host_path(source: Obj, path: str) -> list[FieldError]:
    if not source.get("path"):
        return [fields.required(f"{path}.path")]
    found = paths.no_backsteps(source["path"], f"{path}.path")
    if (kind := source.get("type") or "") not in _HOST_PATH_TYPES:
        found.append(fields.not_supported(f"{path}.type", kind, _HOST_PATH_TYPES))
    return found


def _mode(holder: Obj, key: str, path: str) -> list[FieldError]:
    mode = holder.get(key)
    return [] if mode is None or 0 <= mode <= 0o777 else [fields.invalid(f"{path}.{key}", mode, _MODE)]


def _keyed(name: str) -> Callable[[Obj, str], list[FieldError]]:
    """configMap and secret volumes, which call the object they mean `name` and `secretName`."""

    def check(source: Obj, path: str) -> list[FieldError]:
        return _needs(name)(source, path) + _mode(source, "defaultMode", path) + _items(source, path)

    return check


def _items(source: Obj, path: str) -> list[FieldError]:
    found: list[FieldError] = []
    for i, item in enumerate(source.get("items") or ()):
        at = f"{path}.items[{i}]"
        found += _needs("key", "path")(item, at)
        found += paths.non_reserved(item.get("path", ""), f"{at}.path") + _mode(item, "mode", at)
    return found


def _downward(source: Obj, path: str) -> list[FieldError]:
    found = _mode(source, "defaultMode", path)
    for item in source.get("items") or ():
        found += _downward_file(item, path)
    return found


def _downward_file(item: Obj, path: str) -> list[FieldError]:
    found = _needs("path")(item, path) + paths.non_reserved(item.get("path", ""), f"{path}.path")
    field, resource = item.get("fieldRef"), item.get("resourceFieldRef")
    if field is not None:
        found += validate_field_ref(field, FIELDS, f"{path}.fieldRef")
        if resource is not None:
            text = "fieldRef and resourceFieldRef can not be specified simultaneously"
            found.append(fields.invalid(path, "resource", text))
    elif resource is not None:
        found += validate_resource_ref(resource, f"{path}.resourceFieldRef", in_volume=True)
    else:
        found.append(fields.required(path, "one of fieldRef and resourceFieldRef is required"))
    return found + _mode(item, "mode", path)


def _projected(source: Obj, path: str) -> list[FieldError]:
    found = _mode(source, "defaultMode", path)
    used: set[str] = set()
    for i, part in enumerate(source.get("sources") or ()):
        at = f"{path}.sources[{i}]"
        present = [kind for kind in _PROJECTIONS if part.get(kind) is not None]
        for kind in present:
            found += _PROJECTIONS[kind](part[kind], f"{at}.{kind}")
            shown = part[kind].get("name")
            for target in _targets(part[kind]):
                if target in used:
                    found.append(fields.invalid(path, shown or target, "conflicting duplicate paths"))
                used.add(target)
        if len(present) > 1:
            found.append(fields.forbidden(at, "may not specify more than 1 volume type per source"))
    return found


def _targets(projection: Obj) -> list[str]:
    return [item["path"] for item in projection.get("items") or () if item.get("path")]


def _projected_keys(source: Obj, path: str) -> list[FieldError]:
    return _needs("name")(source, path) + _items(source, path)


def _token(source: Obj, path: str) -> list[FieldError]:
    found: list[FieldError] = []
    seconds = source.get("expirationSeconds", 3600)
    if not 600 <= seconds <= 2**32:
        limit = "less than 10 minutes" if seconds < 600 else "larger than 2^32 seconds"
        text = f"may not specify a duration {limit}"
        found.append(fields.invalid(f"{path}.expirationSeconds", seconds, text))
    # kube-apiserver puts the fault of the path at the volume, not at the token.
    at = f"{path.rpartition('.sources[')[0]}.path"
    target = source.get("path", "")
    return found + (paths.non_reserved(target, at) if target else [fields.required(at)])


_PROJECTIONS: dict[str, Callable[[Obj, str], list[FieldError]]] = {
    "secret": _projected_keys,
    "configMap": _projected_keys,
    "downwardAPI": _downward,
    "serviceAccountToken": _token,
    "clusterTrustBundle": _needs("path"),
}


def _image(source: Obj, path: str) -> list[FieldError]:
    return validation.one_of(f"{path}.pullPolicy", source.get("pullPolicy"), _PULL_POLICIES)


_SOURCES: dict[str, Callable[[Obj, str], list[FieldError]]] = {
    "emptyDir": _empty_dir,
    "hostPath": _host_path,
    "gitRepo": _needs("repository"),
    "gcePersistentDisk": _needs("pdName"),
    "awsElasticBlockStore": _needs("volumeID"),
    "secret": _keyed("secretName"),
    "nfs": _needs("server", "path"),
    "iscsi": _needs("targetPortal", "iqn"),
    "glusterfs": _needs("endpoints", "path"),
    "flocker": _needs(),
    "persistentVolumeClaim": _needs("claimName"),
    "rbd": _needs("monitors", "image"),
    "cinder": _needs("volumeID"),
    "cephfs": _needs("monitors"),
    "quobyte": _needs("registry", "volume"),
    "downwardAPI": _downward,
    "fc": _needs(),
    "flexVolume": _needs("driver"),
    "configMap": _keyed("name"),
    "azureFile": _needs("secretName", "shareName"),
    "vsphereVolume": _needs("volumePath"),
    "photonPersistentDisk": _needs("pdID"),
    "portworxVolume": _needs("volumeID"),
    "azureDisk": _needs("diskName", "diskURI"),
    "storageos": _needs(),
    "projected": _projected,
    "scaleIO": _needs("gateway", "system", "volumeName"),
    "csi": _needs("driver"),
    "ephemeral": _needs("volumeClaimTemplate"),
    "image": _image,
}
