"""Which PersistentVolume a claim may have. Pure.

Source: https://kubernetes.io/docs/concepts/storage/persistent-volumes/#binding
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from sampan.api import meta, selectors
from sampan.api.kinds.persistentvolume import storage_class
from sampan.api.kinds.persistentvolumeclaim import size
from sampan.api.meta import Key, Obj
from sampan.api.quantity import Quantity
from sampan.controllers.scheduling.affinity import labels_match

LOCAL = "sampan.io/local-directory"
SELECTED_NODE = "volume.kubernetes.io/selected-node"
BIND_COMPLETED = "pv.kubernetes.io/bind-completed"


def claim_key(volume: Obj) -> Key | None:
    """The claim a volume is kept for or bound to."""
    reference = volume["spec"].get("claimRef")
    return Key(reference.get("namespace", ""), reference.get("name", "")) if reference else None


def kept_for(volume: Obj, claim: Obj) -> bool:
    """Does the volume's claimRef mean this claim (with its uid, or none yet)?"""
    uid = (volume["spec"].get("claimRef") or {}).get("uid")
    return claim_key(volume) == meta.key(claim) and uid in (None, "", meta.uid(claim))


def is_bound(claim: Obj) -> bool:
    """Has the claim its volume, both sides agreed?"""
    return bool(claim["spec"].get("volumeName")) and BIND_COMPLETED in meta.annotations(claim)


def node_allows(volume: Obj, labels: dict[str, str], name: str) -> bool:
    """Can the volume be reached from this node?"""
    terms = ((volume["spec"].get("nodeAffinity") or {}).get("required") or {}).get("nodeSelectorTerms")
    return not terms or any(labels_match(term, labels, name) for term in terms)


def capacity(volume: Obj) -> Quantity:
    return Quantity.parse(volume["spec"]["capacity"]["storage"])


def best(claim: Obj, volumes: Iterable[Obj], reachable: Callable[[Obj], bool] = lambda volume: True) -> Obj | None:
    """The volume kept for the claim, else the smallest free one that fits; only one that is `reachable`."""
    fitting = []
    for volume in volumes:
        if not reachable(volume):
            continue
        if claim_key(volume) is not None:
            if kept_for(volume, claim):
                return volume
        elif fits(claim, volume):
            fitting.append(volume)
    return min(fitting, key=lambda v: (capacity(v).amount, meta.name(v)), default=None)


def fits(claim: Obj, volume: Obj) -> bool:
    """Free, big enough, of the same class and mode, with the access modes and labels that are asked for."""
    wanted, has = claim["spec"], volume["spec"]
    if meta.deleting(volume) or (volume.get("status") or {}).get("phase") not in ("Available", "Pending"):
        return False
    if storage_class(claim) != storage_class(volume) or wanted.get("volumeMode") != has.get("volumeMode"):
        return False
    if not set(wanted["accessModes"]) <= set(has["accessModes"]) or capacity(volume) < size(wanted):
        return False
    selector = wanted.get("selector")
    return selector is None or selectors.from_object(selector).matches(meta.labels(volume))
