"""Validation of metadata, the same for every kind.

Source: k8s.io/apimachinery/pkg/api/validation/objectmeta.go (1.32).
"""

from __future__ import annotations

from sampan.api import fields, validation
from sampan.api.meta import Obj
from sampan.api.status import FieldError
from sampan.api.validation import Check, each, immutable

ANNOTATIONS_LIMIT = 256 * 1024
_BANNED_OWNERS = {("v1", "Event"): "/v1, Kind=Event"}
_OWNER_FIELDS = ("kind", "name", "uid")


def validate(metadata: Obj, namespaced: bool, name: Check = validation.dns_subdomain) -> list[FieldError]:
    """Faults of a new object's metadata, after its name was generated. `name` checks the kind's own name rule."""
    found: list[FieldError] = []
    if prefix := metadata.get("generateName"):
        # A suffix will follow, so a dash at the end is fine.
        probe = prefix[:-2] + "a" if len(prefix) > 1 and prefix.endswith("-") else prefix
        found += [fields.invalid("metadata.generateName", prefix, text) for text in name(probe)]
    if not metadata.get("name"):
        found.append(fields.required("metadata.name", "name or generateName is required"))
    else:
        found += each(name, "metadata.name", metadata["name"])
    found += _namespace(metadata.get("namespace", ""), namespaced)
    found += _common(metadata)
    return found + validate_finalizers(metadata)


def validate_update(new: Obj, old: Obj) -> list[FieldError]:
    """Faults of changed metadata. Both are the `metadata` of the object."""
    found: list[FieldError] = []
    if "deletionTimestamp" in old:
        extra = sorted(set(new.get("finalizers") or ()) - set(old.get("finalizers") or ()))
        if extra:
            rule = "no new finalizers can be added if the object is being deleted"
            text = f"{rule}, found new finalizers {fields.go(extra)}"
            found.append(fields.forbidden("metadata.finalizers", text))
    if not new.get("resourceVersion"):
        found.append(fields.invalid("metadata.resourceVersion", "", "must be specified for an update"))
    for key in ("name", "namespace", "uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds"):
        found += immutable(f"metadata.{key}", new.get(key, ""), old.get(key, ""))
    return found + _common(new)


def _namespace(namespace: str, namespaced: bool) -> list[FieldError]:
    if not namespaced:
        return [fields.forbidden("metadata.namespace", "not allowed on this type")] if namespace else []
    if not namespace:
        return [fields.required("metadata.namespace")]
    return each(validation.dns_label, "metadata.namespace", namespace)


def _common(metadata: Obj) -> list[FieldError]:
    annotations = metadata.get("annotations") or {}
    found = validation.nonnegative("metadata.generation", metadata.get("generation") or 0)
    found += validation.labels("metadata.labels", metadata.get("labels"))
    for key in annotations:
        # The rule is that of labels, except that case does not matter.
        found += [fields.invalid("metadata.annotations", key, t) for t in validation.qualified_name(key.lower())]
    if sum(len(k.encode()) + len(v.encode()) for k, v in annotations.items()) > ANNOTATIONS_LIMIT:
        found.append(fields.too_long("metadata.annotations", ANNOTATIONS_LIMIT))
    return found + _owners(metadata.get("ownerReferences") or [])


def _owners(references: list[Obj]) -> list[FieldError]:
    found: list[FieldError] = []
    controller = ""
    at = "metadata.ownerReferences"
    for reference in references:
        version = reference.get("apiVersion", "")
        if not version or version.count("/") > 1 or version.endswith("/"):
            found.append(fields.invalid(f"{at}.apiVersion", version, "version must not be empty"))
        for key in _OWNER_FIELDS:
            if not reference.get(key):
                found.append(fields.invalid(f"{at}.{key}", "", f"{key} must not be empty"))
        if banned := _BANNED_OWNERS.get((version, reference.get("kind", ""))):
            shown = fields.Raw(
                f"v1.OwnerReference{{APIVersion:{fields.go(version)}, Kind:{fields.go(reference['kind'])}}}"
            )
            found.append(fields.invalid(at, shown, f"{banned} is disallowed from being an owner"))
        if reference.get("controller"):
            this = f"{reference.get('kind', '')}/{reference.get('name', '')}"
            if controller:
                text = (
                    "Only one reference can have Controller set to true. "
                    f'Found "true" in references for {controller} and {this}'
                )
                found.append(fields.invalid(at, fields.Raw("[]v1.OwnerReference"), text))
            controller = controller or this
    return found


def validate_finalizers(metadata: Obj) -> list[FieldError]:
    finalizers = metadata.get("finalizers") or []
    found = [error for f in finalizers for error in each(validation.qualified_name, "metadata.finalizers", f)]
    if {"orphan", "foregroundDeletion"} <= set(finalizers):
        text = "finalizer orphan and foregroundDeletion cannot be both set"
        found.append(fields.invalid("metadata.finalizers", finalizers, text))
    return found
