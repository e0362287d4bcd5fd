"""fieldsV1 sets: the algebra against plain Python sets of paths."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from sampan.api.managedfields import sets

PATHS = st.sets(
    st.lists(st.sampled_from(["f:a", "f:b", 'k:{"name":"x"}']), min_size=1, max_size=4).map(tuple), max_size=8
)
Path = tuple[str, ...]


def trie(paths: set[Path]) -> sets.Fields:
    """The canonical form of a set of paths."""
    root: dict[str, Any] = {}
    for path in paths:
        node = root
        for key in path:
            node = node.setdefault(key, {})
        node["."] = {}
    return _canonical(root)


def _canonical(node: dict[str, Any]) -> dict[str, Any]:
    return {key: {} if set(inner) == {"."} else _canonical(inner) if key != "." else {} for key, inner in node.items()}


@given(PATHS, PATHS)
def test_the_algebra_is_that_of_sets_of_paths(a: set[Path], b: set[Path]) -> None:
    assert sets.union(trie(a), trie(b)) == trie(a | b)
    assert sets.difference(trie(a), trie(b)) == trie(a - b)
    assert sets.intersection(trie(a), trie(b)) == trie(a & b)


def test_what_does_not_change_is_the_same_object() -> None:
    fields = {"f:spec": {"f:replicas": {}}}
    assert sets.difference(fields, {"f:status": {}}) is fields


def test_paths_are_shown_as_kubectl_does() -> None:
    fields = {
        "f:metadata": {"f:finalizers": {'v:"keep"': {}}},
        "f:spec": {"f:ports": {'k:{"port":80,"protocol":"TCP"}': {".": {}, "f:targetPort": {}}}},
    }
    assert list(sets.paths(fields)) == [
        '.metadata.finalizers[="keep"]',
        '.spec.ports[port=80,protocol="TCP"]',
        '.spec.ports[port=80,protocol="TCP"].targetPort',
    ]
