"""Node selectors and the terms of pod (anti-)affinity. Pure.

Source: https://kubernetes.io/docs/concepts/scheduling-eviction/assign-pod-node/
"""

from __future__ import annotations

from collections.abc import Iterable

from sampan.api import meta, selectors
from sampan.api.meta import Obj
from sampan.controllers.scheduling.snapshot import NodeInfo, Snapshot

_OPERATORS = {"In": "in", "NotIn": "notin", "Exists": "exists", "DoesNotExist": "!", "Gt": "gt", "Lt": "lt"}
REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"


def terms(pod: Obj, kind: str, when: str) -> list[Obj]:
    """The terms of spec.affinity.KIND.WHEN; those of a required node affinity are one level deeper."""
    found = ((pod["spec"].get("affinity") or {}).get(kind) or {}).get(when) or []
    return list(found["nodeSelectorTerms"] if isinstance(found, dict) else found)


def node_allowed(pod: Obj, info: NodeInfo) -> bool:
    """Do nodeSelector and the required node affinity admit this node?"""
    wanted = pod["spec"].get("nodeSelector") or {}
    if not wanted.items() <= info.labels.items():
        return False
    required = terms(pod, "nodeAffinity", REQUIRED)
    return not required or any(node_matches(term, info) for term in required)


def node_matches(term: Obj, info: NodeInfo) -> bool:
    """A NodeSelectorTerm: all expressions must hold; an empty term matches nothing."""
    return labels_match(term, info.labels, info.name)


def labels_match(term: Obj, labels: dict[str, str], name: str) -> bool:
    """The same for a node known by labels and name."""
    expressions, fields = term.get("matchExpressions") or (), term.get("matchFields") or ()
    if not expressions and not fields:
        return False
    return _holds(expressions, labels) and _holds(fields, {"metadata.name": name})


def _holds(expressions: Iterable[Obj], labels: dict[str, str]) -> bool:
    requirements = (
        selectors.Requirement(e["key"], _OPERATORS[e["operator"]], frozenset(e.get("values") or ()))
        for e in expressions
    )
    return all(r.matches(labels) for r in requirements)


def pod_matches(term: Obj, owner: Obj, other: Obj, snapshot: Snapshot) -> bool:
    """Is `other` among the pods that a PodAffinityTerm of `owner` means?"""
    namespace = meta.namespace(other)
    names = term.get("namespaces") or ()
    by_label = term.get("namespaceSelector")
    if by_label is not None:
        labels = snapshot.namespaces.get(namespace, {})
        inside = namespace in names or selectors.from_object(by_label).matches(labels)
    else:
        inside = namespace in (names or (meta.namespace(owner),))
    return inside and selectors.from_object(with_label_keys(term, owner)).matches(meta.labels(other))


def with_label_keys(term: Obj, owner: Obj) -> Obj | None:
    """The term's labelSelector, narrowed by matchLabelKeys to the owner's own values of those labels."""
    selector: Obj | None = term.get("labelSelector")
    keys = [k for k in term.get("matchLabelKeys") or () if k in meta.labels(owner)]
    if selector is None or not keys:
        return selector
    own = {k: meta.labels(owner)[k] for k in keys}
    return {**selector, "matchLabels": {**(selector.get("matchLabels") or {}), **own}}


def domains(term: Obj, owner: Obj, snapshot: Snapshot) -> set[str]:
    """The values of the term's topologyKey where a pod it means runs."""
    key = term["topologyKey"]
    return {
        info.labels[key]
        for info, other in snapshot.pods()
        if key in info.labels and pod_matches(term, owner, other, snapshot)
    }
