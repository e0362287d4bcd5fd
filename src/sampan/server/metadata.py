"""What the server writes into metadata, and what it takes over from the object before.

Source: k8s.io/apiserver/pkg/registry/rest/{create,update,meta}.go
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from uuid import UUID

from sampan.api.meta import Obj, timestamp
from sampan.api.scheme import Resource
from sampan.api.status import ApiError, bad_request, conflict

# The suffix of generateName: no vowels (no words), no characters that look alike.
_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
_SUFFIX, _NAME_LIMIT = 5, 63
# Only the server writes these.
_OWNED = ("uid", "creationTimestamp", "generation", "deletionTimestamp", "deletionGracePeriodSeconds")
_DROPPED = ("selfLink", "managedFields")


def generate_name(prefix: str, choice: Callable[[str], str]) -> str:
    return prefix[: _NAME_LIMIT - _SUFFIX] + "".join(choice(_ALPHABET) for _ in range(_SUFFIX))


def place(resource: Resource, obj: Obj, namespace: str) -> None:
    """Make the object agree with the URL's resource and namespace. Raises ApiError 400."""
    if obj.setdefault("apiVersion", resource.api_version) != resource.api_version:
        got = obj["apiVersion"]
        raise bad_request(
            f"the API version in the data ({got}) does not match the expected API version ({resource.api_version})"
        )
    if obj.setdefault("kind", resource.kind) != resource.kind:
        version = resource.version
        raise bad_request(f'{obj["kind"]} in version "{version}" cannot be handled as a {resource.kind}')
    metadata = obj.get("metadata")
    if not isinstance(metadata, dict):
        metadata = obj["metadata"] = {}
    if not resource.namespaced or not namespace:
        return
    if metadata.get("namespace") not in (None, "", namespace):
        raise bad_request("the namespace of the provided object does not match the namespace sent on the request")
    metadata["namespace"] = namespace


def stamp(resource: Resource, metadata: Obj, uid: UUID, now: datetime, choice: Callable[[str], str]) -> None:
    """A new object's identity. Raises ApiError 400 when it carries a resourceVersion."""
    if metadata.pop("resourceVersion", "") not in ("", None):
        raise bad_request("resourceVersion should not be set on objects to be created")
    for field in (*_OWNED, *_DROPPED):
        metadata.pop(field, None)
    if not metadata.get("name") and metadata.get("generateName"):
        metadata["name"] = generate_name(metadata["generateName"], choice)
    metadata["uid"] = str(uid)
    metadata["creationTimestamp"] = timestamp(now)
    if resource.generation:
        metadata["generation"] = 1


def carry_over(resource: Resource, new: Obj, old: Obj) -> None:
    """Give the changed object the identity of the stored one. Raises ApiError 400 or 409.

    An object without resourceVersion is written over whatever is there; one with another is a conflict.
    """
    metadata, before = new["metadata"], old["metadata"]
    name = before["name"]
    if metadata.setdefault("name", name) != name:
        raise bad_request(f"the name of the object ({metadata['name']}) does not match the name on the URL ({name})")
    if resource.namespaced:
        metadata["namespace"] = before["namespace"]
    uid = metadata.get("uid")
    if uid and uid != before["uid"]:
        why = f"Precondition failed: UID in precondition: {uid}, UID in object meta: {before['uid']}"
        raise conflict(resource.id, name, why)
    revision = metadata.get("resourceVersion")
    if revision and revision != "0" and revision != before["resourceVersion"]:
        raise conflict(resource.id, name)
    metadata["resourceVersion"] = before["resourceVersion"]
    for field in _OWNED:
        if field in before:
            metadata[field] = before[field]
        else:
            metadata.pop(field, None)
    for field in _DROPPED:
        metadata.pop(field, None)
    for field in ("labels", "annotations", "finalizers", "ownerReferences", "generateName"):
        if not metadata.get(field, True):
            del metadata[field]


def raise_generation(resource: Resource, new: Obj, old: Obj) -> None:
    """A change of anything but metadata and status is a new generation (a Deployment's annotations count too)."""
    if not resource.generation:
        return
    keys = (new.keys() | old.keys()) - {"metadata"}
    if resource.status or resource.schema is None:
        keys.discard("status")
    changed = any(new.get(key) != old.get(key) for key in keys)
    if not changed and resource.id == "deployments.apps":
        changed = new["metadata"].get("annotations") != old["metadata"].get("annotations")
    if changed:
        new["metadata"]["generation"] = old["metadata"].get("generation", 0) + 1


def lacks_revision(resource: Resource, obj: Obj) -> ApiError | None:
    """The refusal of an update that names no resourceVersion, for the kinds that insist on one."""
    if resource.id != "leases.coordination.k8s.io" or obj["metadata"].get("resourceVersion"):
        return None
    text = "metadata.resourceVersion: Invalid value: 0: must be specified for an update"
    name = obj["metadata"].get("name", "")
    return ApiError(422, "Invalid", f'{resource.kind}.{resource.group} "{name}" is invalid: {text}')
