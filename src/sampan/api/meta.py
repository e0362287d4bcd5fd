"""Object metadata: small accessors over the dict that is a Kubernetes object.

Source: https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/object-meta/
"""

from datetime import UTC, datetime
from typing import Any, NamedTuple

import orjson

Obj = dict[str, Any]


class Key(NamedTuple):
    """What travels in queues. `namespace` is "" for cluster-scoped objects."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}" if self.namespace else self.name


def copy(obj: Obj) -> Obj:
    """A deep copy one may change. JSON round trip: ten times faster than copy.deepcopy."""
    result: Obj = orjson.loads(orjson.dumps(obj))
    return result


def name(obj: Obj) -> str:
    return str(obj["metadata"].get("name", ""))


def namespace(obj: Obj) -> str:
    return str(obj["metadata"].get("namespace", ""))


def key(obj: Obj) -> Key:
    metadata = obj["metadata"]
    return Key(metadata.get("namespace", ""), metadata.get("name", ""))


def uid(obj: Obj) -> str:
    return str(obj["metadata"].get("uid", ""))


def labels(obj: Obj) -> dict[str, str]:
    return obj["metadata"].get("labels") or {}


def annotations(obj: Obj) -> dict[str, str]:
    return obj["metadata"].get("annotations") or {}


def deleting(obj: Obj) -> bool:
    """Has deletion been asked for (deletionTimestamp set)?"""
    return "deletionTimestamp" in obj["metadata"]


def controller_of(obj: Obj) -> Obj | None:
    """The owner reference with controller: true, or None."""
    for reference in obj["metadata"].get("ownerReferences") or ():
        if reference.get("controller"):
            result: Obj = reference
            return result
    return None


def owner_reference(owner: Obj, controller: bool = True, block: bool = True) -> Obj:
    """The reference an owned object carries to `owner`."""
    return {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": name(owner),
        "uid": uid(owner),
        "controller": controller,
        "blockOwnerDeletion": block,
    }


def timestamp(moment: datetime) -> str:
    """RFC 3339 in UTC with whole seconds, as metav1.Time is written."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def microtime(moment: datetime) -> str:
    """RFC 3339 with six decimals, as metav1.MicroTime is written."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def parse_time(text: str) -> datetime:
    """The moment an RFC 3339 text names. Raises ValueError."""
    return datetime.fromisoformat(text)


def condition(obj: Obj, kind: str) -> Obj | None:
    """The entry of status.conditions with this type."""
    for entry in (obj.get("status") or {}).get("conditions") or ():
        if entry.get("type") == kind:
            result: Obj = entry
            return result
    return None


def is_true(obj: Obj, kind: str) -> bool:
    """Is the condition there and "True"?"""
    entry = condition(obj, kind)
    return entry is not None and entry.get("status") == "True"
