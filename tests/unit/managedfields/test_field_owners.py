"""Who owns what after updates and server-side applies."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest

from sampan.api.managedfields import entries, schema
from sampan.api.managedfields.entries import Writer
from sampan.api.status import ApiError

DEPLOYMENT = schema.of_definition("io.k8s.api.apps.v1.Deployment")
SERVICE = schema.of_definition("io.k8s.api.core.v1.Service")
POD = schema.of_definition("io.k8s.api.core.v1.Pod")


def deployment(replicas: int | None = 1, image: str = "a", **labels: str) -> dict[str, Any]:
    spec: dict[str, Any] = {
        "selector": {"matchLabels": {"app": "web"}},
        "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "c", "image": image}]}},
    }
    if replicas is not None:
        spec["replicas"] = replicas
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "default"} | ({"labels": labels} if labels else {}),
        "spec": spec,
    }


def by(manager: str, subresource: str = "", version: str = "apps/v1") -> Writer:
    return Writer(manager, version, subresource, status=True)


def owners(found: list[dict[str, Any]]) -> dict[str, Any]:
    return {e["manager"]: e["fieldsV1"] for e in found}


def test_a_creator_owns_what_it_wrote_as_kube_apiserver_lists_it() -> None:
    made = entries.update(DEPLOYMENT, [], {}, {**deployment(app="x"), "status": {"replicas": 3}}, by("kubectl"), "t")
    assert owners(made) == {
        "kubectl": {
            "f:metadata": {"f:labels": {".": {}, "f:app": {}}},
            "f:spec": {
                "f:replicas": {},
                "f:selector": {},
                "f:template": {
                    "f:metadata": {"f:labels": {".": {}, "f:app": {}}},
                    "f:spec": {"f:containers": {'k:{"name":"c"}': {".": {}, "f:image": {}, "f:name": {}}}},
                },
            },
        }
    }
    assert {k: made[0][k] for k in ("operation", "apiVersion", "time", "fieldsType")} == {
        "operation": "Update",
        "apiVersion": "apps/v1",
        "time": "t",
        "fieldsType": "FieldsV1",
    }


def test_an_update_moves_fields_and_drops_who_has_none_left() -> None:
    made = entries.update(DEPLOYMENT, [], {}, deployment(1), by("a"), "t1")
    scaled = entries.update(DEPLOYMENT, made, deployment(1), deployment(2), by("b", "scale"), "t2")
    assert owners(scaled)["b"] == {"f:spec": {"f:replicas": {}}}
    assert "f:replicas" not in owners(scaled)["a"]["f:spec"]
    again = entries.update(DEPLOYMENT, scaled, deployment(2), deployment(3), by("a"), "t3")
    assert set(owners(again)) == {"a"}


def test_without_a_change_the_owners_stay_the_very_same() -> None:
    made = entries.update(DEPLOYMENT, [], {}, deployment(), by("a"), "t1")
    assert entries.update(DEPLOYMENT, made, deployment(), deployment(), by("b"), "t2") is made


def test_the_status_belongs_to_its_subresource() -> None:
    made = entries.update(DEPLOYMENT, [], {}, deployment(), by("a"), "t1")
    after = {**deployment(), "status": {"conditions": [{"type": "Available", "status": "True"}]}}
    found = entries.update(DEPLOYMENT, made, deployment(), after, by("c", "status"), "t2")
    key = 'k:{"type":"Available"}'
    assert owners(found)["c"] == {"f:status": {"f:conditions": {".": {}, key: {".": {}, "f:status": {}, "f:type": {}}}}}
    assert found[-1]["subresource"] == "status"


def test_an_apply_conflicts_with_an_updater_and_says_how() -> None:
    made = entries.update(DEPLOYMENT, [], {}, deployment(1), by("kubectl-client-side-apply"), "t1")
    with pytest.raises(ApiError) as error:
        entries.apply(DEPLOYMENT, made, deployment(1), deployment(2), by("kubectl"), "t2", False)
    assert error.value.code == 409
    assert error.value.message == (
        'Apply failed with 1 conflict: conflict with "kubectl-client-side-apply" using apps/v1: .spec.replicas'
    )
    assert error.value.details["causes"] == [
        {
            "reason": "FieldManagerConflict",
            "message": 'conflict with "kubectl-client-side-apply" using apps/v1',
            "field": ".spec.replicas",
        }
    ]


def test_several_conflicts_are_listed_by_manager() -> None:
    made = entries.update(DEPLOYMENT, [], {}, deployment(1), by("b"), "t1")
    made = entries.update(DEPLOYMENT, made, deployment(1), deployment(5), by("a", "scale"), "t2")
    with pytest.raises(ApiError) as error:
        entries.apply(DEPLOYMENT, made, deployment(5), deployment(2, "new"), by("k"), "t3", False)
    assert error.value.message.splitlines() == [
        'Apply failed with 2 conflicts: conflicts with "a" with subresource "scale" using apps/v1:',
        "- .spec.replicas",
        'conflicts with "b" using apps/v1:',
        '- .spec.template.spec.containers[name="c"].image',
    ]


def test_force_takes_the_field_and_equal_values_are_shared() -> None:
    made = entries.update(DEPLOYMENT, [], {}, deployment(1), by("a"), "t1")
    taken = entries.apply(DEPLOYMENT, made, deployment(1), deployment(2), by("k"), "t2", True)
    assert taken.obj["spec"]["replicas"] == 2
    assert "f:replicas" not in owners(taken.entries)["a"]["f:spec"]
    assert "f:selector" in owners(taken.entries)["a"]["f:spec"]
    assert "f:selector" in owners(taken.entries)["k"]["f:spec"]


def test_what_an_applier_no_longer_says_goes_unless_another_owns_it() -> None:
    first = entries.apply(DEPLOYMENT, [], {}, deployment(2, app="x", team="y"), by("k"), "t1", False)
    other = entries.apply(
        DEPLOYMENT,
        first.entries,
        first.obj,
        {**deployment(None), "metadata": {"labels": {"team": "y"}}},
        by("o"),
        "t",
        False,
    )
    later = entries.apply(DEPLOYMENT, other.entries, other.obj, deployment(None), by("k"), "t2", False)
    assert later.obj["metadata"]["labels"] == {"team": "y"}
    assert "replicas" not in later.obj["spec"]
    assert later.obj["metadata"]["name"] == "web"


def test_the_same_apply_again_changes_nothing() -> None:
    first = entries.apply(DEPLOYMENT, [], {}, deployment(), by("k"), "t1", False)
    again = entries.apply(DEPLOYMENT, first.entries, first.obj, deployment(), by("k"), "t2", False)
    assert again.obj == first.obj
    assert again.entries is first.entries


def test_lists_merge_by_their_keys_and_keep_a_sensible_order() -> None:
    def service(*ports: tuple[str, int, str]) -> dict[str, Any]:
        listed = [{"name": n, "port": p, "protocol": q} for n, p, q in ports]
        return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"}, "spec": {"ports": listed}}

    live = service(("dns", 53, "UDP"), ("dns-tcp", 53, "TCP"), ("web", 80, "TCP"))
    made = entries.update(SERVICE, [], {}, live, Writer("a", "v1"), "t1")
    done = entries.apply(
        SERVICE, made, live, service(("tls", 443, "TCP"), ("dns-tcp", 53, "TCP")), Writer("k", "v1"), "t2", False
    )
    assert [p["name"] for p in done.obj["spec"]["ports"]] == ["dns", "tls", "dns-tcp", "web"]
    gone = entries.apply(
        SERVICE, done.entries, done.obj, service(("dns-tcp", 53, "TCP")), Writer("k", "v1"), "t3", False
    )
    assert [p["name"] for p in gone.obj["spec"]["ports"]] == ["dns", "dns-tcp", "web"]


@pytest.mark.parametrize(
    ("live", "config", "merged"),
    [
        ("a", "b", "ab"),
        ("abc", "ca", "bca"),
        ("ab", "xay", "xaby"),
        ("abc", "c", "abc"),
        ("", "ab", "ab"),
        ("ab", "ba", "ba"),
    ],
)
def test_the_order_of_merged_sets(live: str, config: str, merged: str) -> None:
    before = {"metadata": {"finalizers": list(live)}}
    wanted = {"metadata": {"name": "p", "finalizers": list(config)}}
    done = entries.apply(POD, [], before, wanted, Writer("k", "v1"), "t", False)
    assert "".join(done.obj["metadata"]["finalizers"]) == merged


def test_a_key_that_the_api_defaults_may_be_left_out() -> None:
    live = {"metadata": {}, "spec": {"ports": [{"port": 80, "protocol": "TCP", "targetPort": 80}]}}
    config = {"metadata": {"name": "s"}, "spec": {"ports": [{"port": 80, "targetPort": 8080}]}}
    done = entries.apply(SERVICE, [], live, config, Writer("k", "v1"), "t", False)
    assert done.obj["spec"]["ports"] == [{"port": 80, "protocol": "TCP", "targetPort": 8080}]


def test_a_removed_item_stays_as_long_as_another_owns_a_part_of_it() -> None:
    def pod(**container: Any) -> dict[str, Any]:
        return {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "p"},
            "spec": {"containers": [{"name": "c", **container}]},
        }

    first = entries.apply(POD, [], {}, pod(image="i", tty=True), Writer("k", "v1"), "t1", False)
    both = entries.apply(POD, first.entries, first.obj, pod(image="i"), Writer("o", "v1"), "t2", False)
    nothing = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}}
    later = entries.apply(POD, both.entries, both.obj, nothing, Writer("k", "v1"), "t3", False)
    assert later.obj["spec"]["containers"] == [{"name": "c", "image": "i"}]
    assert set(owners(later.entries)) == {"o"}


def test_neither_live_object_nor_configuration_is_changed() -> None:
    live, config = deployment(1, app="x"), deployment(2, "b")
    before = deepcopy((live, config))
    made = entries.update(DEPLOYMENT, [], {}, live, by("k"), "t")
    entries.apply(DEPLOYMENT, made, live, config, by("o"), "t2", True)
    assert (live, config) == before


def test_old_updaters_become_one() -> None:
    found: list[dict[str, Any]] = []
    obj: dict[str, Any] = {"metadata": {"labels": {}}}
    for i in range(15):
        new = {"metadata": {"labels": {**obj["metadata"]["labels"], f"l{i}": "x"}}}
        found = entries.update(DEPLOYMENT, found, obj, new, by(f"m{i}"), f"t{i:02}")
        obj = new
    names = [e["manager"] for e in found]
    assert len(names) == 10
    assert names.count("ancient-changes") == 1
    owned = {key for e in found for key in e["fieldsV1"]["f:metadata"]["f:labels"]} - {"."}
    assert owned == {f"f:l{i}" for i in range(15)}


def test_a_custom_resource_without_a_schema_has_atomic_lists_and_open_maps() -> None:
    kind = schema.of_object({"x-kubernetes-preserve-unknown-fields": True, "type": "object"})
    live = {"metadata": {}, "spec": {"list": [1], "map": {"a": 1}}}
    made = entries.update(kind, [], {}, live, Writer("a", "x/v1"), "t")
    assert owners(made)["a"]["f:spec"]["f:list"] == {}
    config = {"metadata": {"name": "w"}, "spec": {"map": {"b": 2}}}
    done = entries.apply(kind, made, live, config, Writer("k", "x/v1"), "t", False)
    assert done.obj["spec"] == {"list": [1], "map": {"a": 1, "b": 2}}


@pytest.mark.parametrize(
    ("asked", "agent", "manager"),
    [
        ("me", "kubectl/v1.32", "me"),
        ("", "kubectl/v1.32 (linux)", "kubectl"),
        ("", "", "unknown"),
        ("", "x" * 200, "x" * 128),
    ],
)
def test_the_manager_is_named_by_the_request_or_its_agent(asked: str, agent: str, manager: str) -> None:
    assert entries.manager_name(asked, agent) == manager
