"""Patches. The cases are the behaviours kubectl's apply, edit, set and patch rely on."""

import json as stdjson

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sampan.api import patch
from sampan.api.kinds import SCHEME
from sampan.api.patch import merge, strategic
from sampan.api.scheme import Resource
from sampan.api.status import ApiError

DEPLOYMENT = "io.k8s.api.apps.v1.Deployment"
POD = "io.k8s.api.core.v1.Pod"
SERVICE = "io.k8s.api.core.v1.Service"
CONFIGMAP = SCHEME.by_id["configmaps"]


def pod(*containers, **spec):
    return {"spec": {"containers": list(containers), **spec}}


def test_containers_merge_by_name_and_keep_what_the_patch_does_not_name():
    live = pod({"name": "a", "image": "1", "env": [{"name": "X", "value": "1"}]}, {"name": "b", "image": "1"})
    got = strategic.apply(POD, live, pod({"name": "a", "image": "2", "env": [{"name": "Y", "value": "2"}]}))
    first, second = got["spec"]["containers"]
    assert first["image"] == "2"
    assert {e["name"] for e in first["env"]} == {"X", "Y"}
    assert second == {"name": "b", "image": "1"}


def test_delete_directive_in_a_list():
    live = pod({"name": "a"}, {"name": "b"})
    got = strategic.apply(POD, live, pod({"name": "a", "$patch": "delete"}))
    assert got == pod({"name": "b"})


def test_replace_directive_in_a_list():
    live = pod({"name": "a"}, {"name": "b"})
    got = strategic.apply(POD, live, pod({"name": "c"}, {"$patch": "replace"}))
    assert got == pod({"name": "c"})


def test_replace_and_delete_directives_in_a_map():
    live = {"metadata": {"labels": {"a": "1"}, "annotations": {"k": "v"}}}
    change = {"metadata": {"labels": {"b": "2", "$patch": "replace"}, "annotations": {"$patch": "delete"}}}
    assert strategic.apply(POD, live, change) == {"metadata": {"labels": {"b": "2"}, "annotations": {}}}


def test_null_removes_and_unmatched_null_vanishes():
    live = {"metadata": {"labels": {"a": "1", "b": "2"}}}
    got = strategic.apply(POD, live, {"metadata": {"labels": {"a": None, "c": None}}, "spec": {"nodeName": None}})
    assert got == {"metadata": {"labels": {"b": "2"}}, "spec": {}}


def test_retain_keys_clears_the_other_members_of_a_union():
    live = {"spec": {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}}}
    change = {"spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}}
    assert strategic.apply(DEPLOYMENT, live, change) == {"spec": {"strategy": {"type": "Recreate"}}}


def test_retain_keys_in_a_list_of_volumes():
    live = pod(volumes=[{"name": "v", "emptyDir": {}}])
    change = pod(volumes=[{"name": "v", "$retainKeys": ["name", "hostPath"], "hostPath": {"path": "/x"}}])
    got = strategic.apply(POD, live, change)
    assert got["spec"]["volumes"] == [{"name": "v", "hostPath": {"path": "/x"}}]


def test_retain_keys_refuses_what_it_does_not_name():
    change = {"spec": {"strategy": {"$retainKeys": ["type"], "rollingUpdate": {}}}}
    with pytest.raises(ApiError, match="invalid patch format of retainKeys"):
        strategic.apply(DEPLOYMENT, {"spec": {"strategy": {"type": "Recreate"}}}, change)


def test_set_element_order_puts_server_items_among_the_patched_ones():
    live = pod({"name": "a"}, {"name": "injected"}, {"name": "c"})
    order = [{"name": "c"}, {"name": "b"}, {"name": "a"}]
    change = {"spec": {"$setElementOrder/containers": order, "containers": [{"name": "b", "image": "x"}]}}
    names = [c["name"] for c in strategic.apply(POD, live, change)["spec"]["containers"]]
    assert [n for n in names if n != "injected"] == ["c", "b", "a"]
    assert "injected" in names


def test_set_element_order_without_a_list_only_reorders():
    live = {"metadata": {"finalizers": ["x", "y", "z"]}}
    got = strategic.apply(POD, live, {"metadata": {"$setElementOrder/finalizers": ["z", "x"]}})
    assert [f for f in got["metadata"]["finalizers"] if f != "y"] == ["z", "x"]
    assert len(got["metadata"]["finalizers"]) == 3


def test_set_element_order_must_name_every_patched_item():
    change = {"spec": {"$setElementOrder/containers": [{"name": "a"}], "containers": [{"name": "b"}]}}
    with pytest.raises(ApiError, match=r"doesn't match \$setElementOrder list"):
        strategic.apply(POD, pod({"name": "a"}), change)


def test_delete_from_primitive_list():
    live = {"metadata": {"finalizers": ["x", "y", "z"]}}
    got = strategic.apply(POD, live, {"metadata": {"$deleteFromPrimitiveList/finalizers": ["y"]}})
    assert got["metadata"]["finalizers"] == ["x", "z"]


def test_primitive_lists_with_merge_strategy_union_and_atomic_lists_replace():
    live = {"metadata": {"finalizers": ["x"]}, "spec": {"containers": [{"name": "a", "args": ["1", "2"]}]}}
    change = {"metadata": {"finalizers": ["y", "x"]}, "spec": {"containers": [{"name": "a", "args": ["3"]}]}}
    got = strategic.apply(POD, live, change)
    assert sorted(got["metadata"]["finalizers"]) == ["x", "y"]
    assert got["spec"]["containers"][0]["args"] == ["3"]


def test_ports_with_the_same_number_survive_a_patch_of_another():
    udp, tcp = {"port": 53, "protocol": "UDP", "name": "dns"}, {"port": 53, "protocol": "TCP", "name": "dns-tcp"}
    live = {"spec": {"ports": [udp, tcp]}}
    got = strategic.apply(SERVICE, live, {"spec": {"ports": [{"port": 9153, "name": "metrics"}]}})
    assert sorted(p["name"] for p in got["spec"]["ports"]) == ["dns", "dns-tcp", "metrics"]


def test_missing_merge_key_is_named():
    with pytest.raises(ApiError) as caught:
        strategic.apply(POD, pod({"name": "a"}), pod({"image": "x"}))
    assert caught.value.message == "map: map[image:x] does not contain declared merge key: name"
    assert caught.value.code == 400


def test_unknown_directive():
    with pytest.raises(ApiError, match=r"unknown patch type: foo in map: map\[\$patch:foo\]"):
        strategic.apply(POD, {"metadata": {"labels": {}}}, {"metadata": {"labels": {"$patch": "foo"}}})


# The appendix of RFC 7386.
@pytest.mark.parametrize(
    ("original", "change", "result"),
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_merge_patch(original, change, result):
    assert merge.apply(original, change) == result


def call(body, kind, original=None, mode="Strict", resource: Resource = CONFIGMAP):
    original = original or {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"a": "1"}}
    return patch.apply(resource, original, stdjson.dumps(body).encode(), kind, mode)


def test_json_patch_changes_a_copy():
    original = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"a": "1"}}
    got, warnings = call([{"op": "replace", "path": "/data/a", "value": "2"}], patch.JSON, original)
    assert got["data"] == {"a": "2"}
    assert original["data"] == {"a": "1"}
    assert warnings == []


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"op": "add"}, 400),
        ([{"op": "nonsense", "path": "/a"}], 400),
        ([{"op": "test", "path": "/data/a", "value": "9"}], 422),
        ([{"op": "remove", "path": "/data/zzz"}], 422),
        ([{"op": "replace", "path": "/a/b/c", "value": 1}], 422),
        ([{"op": "test", "path": "/data/a", "value": "1"}] * 10001, 413),
    ],
)
def test_json_patch_faults(body, code):
    with pytest.raises(ApiError) as caught:
        call(body, patch.JSON)
    assert caught.value.code == code


def test_a_patch_with_an_unknown_field_is_refused_or_warned_about():
    with pytest.raises(ApiError) as caught:
        call({"spec": {"foo": "bar"}}, patch.STRATEGIC)
    text = 'patch: Invalid value: "map[spec:map[foo:bar]]": strict decoding error: unknown field "spec"'
    assert caught.value.message == f' "" is invalid: {text}'
    got, warnings = call({"spec": {"foo": "bar"}}, patch.MERGE, mode="Warn")
    assert warnings == ['unknown field "spec"']
    assert "spec" not in got
    assert call({"spec": {}}, patch.MERGE, mode="Ignore")[1] == []


def test_a_patch_that_makes_a_wrong_type_is_refused():
    with pytest.raises(ApiError, match=r"number into Go struct field ConfigMap\.data of type string"):
        call({"data": {"a": 1}}, patch.MERGE)


def test_unknown_patch_type():
    with pytest.raises(ApiError) as caught:
        call({}, "application/apply-patch+yaml")
    assert caught.value.code == 415


LABELS = st.dictionaries(st.sampled_from("abcde"), st.sampled_from("123"), max_size=5)


@given(LABELS, LABELS)
def test_a_strategic_patch_made_from_the_difference_gives_the_wanted_labels(before, after):
    change = {k: after.get(k) for k in before.keys() | after.keys() if before.get(k) != after.get(k)}
    got = strategic.apply(POD, {"metadata": {"labels": dict(before)}}, {"metadata": {"labels": change}})
    assert got["metadata"]["labels"] == after


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ('[{"op":"test","path":"/data/a","value":"2"}]', "1 is not equal to tested value 2"),
        ('[{"op":"remove","path":"/data/b/c"}]', "member 'b' not found"),
    ],
)
def test_json_patch_that_does_not_fit_says_why_without_showing_the_object(body, why):
    with pytest.raises(ApiError) as caught:
        patch.apply(CONFIGMAP, {"metadata": {}, "data": {"a": "1"}}, body.encode(), patch.JSON, "Strict")
    assert caught.value.message.endswith(f"in our request: {why}")


NAMES = st.lists(st.sampled_from("abcdefg"), unique=True, max_size=6)


@given(NAMES, NAMES)
def test_the_order_of_set_element_order_holds_and_nothing_is_lost(live, order):
    body = pod(*({"name": n} for n in live))
    change = {
        "spec": {
            "$setElementOrder/containers": [{"name": n} for n in order],
            "containers": [{"name": n, "image": "new"} for n in order],
        }
    }
    got = [c["name"] for c in strategic.apply(POD, body, change)["spec"]["containers"]]
    assert sorted(got) == sorted({*live, *order})
    assert [n for n in got if n in order] == order
    assert [n for n in got if n not in order] == [n for n in live if n not in order]


@pytest.mark.parametrize("kind", [patch.MERGE, patch.STRATEGIC])
def test_a_patch_nested_beyond_reason_is_refused(kind):
    for depth in (300, 900):
        body = b'{"data":' + b'{"a":' * depth + b"1" + b"}" * depth + b"}"
        with pytest.raises(ApiError) as caught:
            patch.apply(CONFIGMAP, {"metadata": {}, "data": {}}, body, kind, "Strict")
        assert caught.value.code == 400
