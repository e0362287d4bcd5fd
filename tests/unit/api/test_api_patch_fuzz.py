"""Goal: no patch and no selector a client can send does more than be applied or be refused with a 4xx.

Method: hypothesis makes patches from the words that mean something to the patch types, and texts from the characters
that mean something to selectors. A failure prints the input that repeats it.
"""

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sampan.api import patch, selectors
from sampan.api.kinds import SCHEME
from sampan.api.patch import merge
from sampan.api.status import ApiError

DEPLOYMENT = SCHEME.by_id["deployments.apps"]
CONTAINER = {"name": "c", "image": "i", "ports": [{"containerPort": 80, "protocol": "TCP"}], "args": ["a", "b"]}
ORIGINAL = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "web", "namespace": "default", "labels": {"a": "b"}, "finalizers": ["x/y"]},
    "spec": {
        "replicas": 1,
        "selector": {"matchLabels": {"a": "b"}},
        "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [CONTAINER], "volumes": []}},
    },
}
DIRECTIVES = ["$patch", "$retainKeys", "$deleteFromPrimitiveList/finalizers", "$setElementOrder/containers", "$patch "]
WORDS = [*DIRECTIVES, "metadata", "labels", "finalizers", "spec", "template", "containers", "name", "ports", "a", ""]
LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from(["delete", "replace", "merge", "c", "web", "b", ""]),
    st.text(max_size=3),
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(WORDS), inner, max_size=4),
    max_leaves=12,
)
POINTERS = st.lists(st.sampled_from([*WORDS, "0", "-", "1", "-1", "01", "~0", "~1", "~2", "é"]), max_size=5).map(
    lambda parts: "".join(f"/{part}" for part in parts)
)
OPERATIONS = st.lists(
    st.fixed_dictionaries(
        {"op": st.sampled_from(["add", "remove", "replace", "move", "copy", "test", "nope"])},
        optional={"path": POINTERS, "from": POINTERS, "value": VALUES},
    ),
    max_size=4,
)


def body_of(value):
    try:
        return orjson.dumps(value)
    except orjson.JSONEncodeError:  # an integer over 64 bits: JSON has it all the same
        import json

        return json.dumps(value).encode()


def attempt(call):
    """(result, None) or (None, the refusal)."""
    try:
        return call(), None
    except ApiError as error:
        return None, error


def judge(body, kind):
    """The patched object, or None when it was refused as it should be."""
    before = orjson.dumps(ORIGINAL)
    result, error = attempt(lambda: patch.apply(DEPLOYMENT, ORIGINAL, body, kind, "Warn")[0])
    assert error is None or (400 <= error.code < 500 and error.message)
    assert orjson.dumps(ORIGINAL) == before, "a patch must not change what it is applied to"
    return result


@pytest.mark.parametrize("kind", [patch.MERGE, patch.STRATEGIC])
@settings(max_examples=300, deadline=None)
@given(value=VALUES)
def test_a_merge_of_anything_is_applied_or_refused(kind, value):
    judge(body_of(value), kind)


@settings(max_examples=400, deadline=None)
@given(operations=OPERATIONS)
def test_a_json_patch_of_any_operations_is_applied_or_refused(operations):
    judge(body_of(operations), patch.JSON)


@pytest.mark.parametrize("kind", [patch.JSON, patch.MERGE, patch.STRATEGIC, "text/plain"])
@settings(max_examples=100, deadline=None)
@given(body=st.binary(max_size=60))
def test_bytes_that_are_no_patch_are_refused(kind, body):
    judge(body, kind)


@settings(max_examples=100, deadline=None)
@given(labels=st.dictionaries(st.sampled_from("abcd"), st.none() | st.sampled_from("xyz"), max_size=4))
def test_a_merge_patch_twice_is_the_same_as_once(labels):
    body = orjson.dumps({"metadata": {"labels": labels}})
    once = judge(body, patch.MERGE)
    twice, _ = patch.apply(DEPLOYMENT, once, body, patch.MERGE, "Warn")
    assert once == twice
    kept = {"a": "b"} | {k: v for k, v in labels.items() if v is not None}
    assert (once["metadata"].get("labels") or {}) == {k: v for k, v in kept.items() if labels.get(k, "") is not None}


WITHOUT_NULL = st.recursive(
    st.integers(0, 3) | st.text("ab", max_size=2),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
)
OBJECTS = st.dictionaries(st.sampled_from("abcd"), WITHOUT_NULL, max_size=4)


@settings(max_examples=400, deadline=None)
@given(old=OBJECTS, new=OBJECTS)
def test_a_difference_makes_the_one_of_the_other(old, new):
    made = merge.difference(old, new)
    assert (made == {}) == (old == new)
    assert merge.apply(orjson.loads(orjson.dumps(old)), made) == new


SELECTOR_TEXT = st.text(alphabet="ab01-_./ ,=!()<>inot\\é\0", max_size=30)


@settings(max_examples=600, deadline=None)
@given(text=SELECTOR_TEXT)
def test_any_label_selector_is_understood_or_refused(text):
    selector, error = attempt(lambda: selectors.parse_labels(text))
    if error:
        assert error.code == 400
    else:
        assert {selector.matches({"a": "b"}), selector.matches({})} <= {True, False}


@settings(max_examples=300, deadline=None)
@given(text=st.text(alphabet="metadata.nspc=!,\\ab\0é", max_size=30))
def test_any_field_selector_is_understood_or_refused(text):
    selector, error = attempt(lambda: selectors.parse_fields(text, DEPLOYMENT))
    if error:
        assert error.code == 400
    else:
        assert selector.matches(ORIGINAL) in (True, False)


@settings(max_examples=200, deadline=None)
@given(
    wanted=st.dictionaries(st.sampled_from("abc"), st.sampled_from("xyz"), min_size=1, max_size=3),
    labels=st.dictionaries(st.sampled_from("abc"), st.sampled_from("xyz"), max_size=3),
)
def test_the_text_of_equalities_means_what_the_map_means(wanted, labels):
    text = ",".join(f"{key}={value}" for key, value in wanted.items())
    expected = all(labels.get(key) == value for key, value in wanted.items())
    assert selectors.parse_labels(text).matches(labels) == expected
    assert selectors.from_map(wanted).matches(labels) == expected
