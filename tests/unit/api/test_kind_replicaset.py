"""ReplicaSets, and the scale subresource they share with Deployments."""

from datetime import UTC, datetime

import pytest

from sampan.api import meta, scale
from sampan.api.kinds.replicaset import RESOURCE
from sampan.api.status import ApiError

NOW = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)
strategy = RESOURCE.strategy


def replica_set(**spec):
    made = {
        "kind": "ReplicaSet",
        "metadata": {
            "name": "web",
            "namespace": "default",
            "uid": "u",
            "resourceVersion": "7",
            "creationTimestamp": "2026-01-01T11:00:00Z",
        },
        "spec": {
            "selector": {"matchLabels": {"app": "web"}},
            "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {"containers": [{"name": "c", "image": "nginx:1.27"}]},
            },
        }
        | spec,
    }
    strategy.default(made)
    return made


def test_defaults_and_faults():
    assert replica_set()["spec"]["replicas"] == 1
    assert strategy.validate(replica_set()) == []
    found = strategy.validate(replica_set(selector={"matchLabels": {"app": "x"}}, minReadySeconds=-1))
    assert [str(e) for e in found] == [
        "spec.minReadySeconds: Invalid value: -1: must be greater than or equal to 0",
        'spec.template.metadata.labels: Invalid value: map[string]string{"app":"web"}: '
        "`selector` does not match template `labels`",
    ]


def test_the_selector_is_immutable():
    old = replica_set()
    new = meta.copy(old)
    new["spec"]["selector"] = {"matchExpressions": [{"key": "app", "operator": "Exists"}]}
    assert [e.field for e in strategy.validate_update(new, old)] == ["spec.selector"]


def test_counts_of_the_status_must_add_up():
    old = replica_set()
    new = old | {"status": {"replicas": 1, "readyReplicas": 2, "availableReplicas": 3}}
    assert [str(e) for e in strategy.validate_status(new, old)] == [
        "status.readyReplicas: Invalid value: 2: cannot be greater than status.replicas",
        "status.availableReplicas: Invalid value: 3: cannot be greater than status.replicas",
        "status.availableReplicas: Invalid value: 3: cannot be greater than readyReplicas",
    ]


def test_rows():
    made = replica_set(replicas=3)
    made["status"] = {"replicas": 2, "readyReplicas": 1}
    assert strategy.row(made, NOW) == ["web", 3, 2, 1, "60m", "c", "nginx:1.27", "app=web"]
    strategy.prepare_create(made)
    assert made["status"] == {"replicas": 0}


def test_to_scale():
    made = replica_set(replicas=3)
    made["status"] = {"replicas": 2}
    assert scale.to_scale(made) == {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {
            "name": "web",
            "namespace": "default",
            "uid": "u",
            "resourceVersion": "7",
            "creationTimestamp": "2026-01-01T11:00:00Z",
        },
        "spec": {"replicas": 3},
        "status": {"replicas": 2, "selector": "app=web"},
    }


def test_apply_scale_changes_a_copy():
    made = replica_set(replicas=3)
    new = scale.apply_scale(made, {"metadata": {"resourceVersion": "6"}, "spec": {"replicas": 5}})
    assert new["spec"]["replicas"] == 5
    assert new["metadata"]["resourceVersion"] == "6"
    assert made["spec"]["replicas"] == 3
    # Zero is left out by some encoders.
    assert scale.apply_scale(made, {"spec": {}})["spec"]["replicas"] == 0


def test_apply_scale_refuses():
    with pytest.raises(ApiError, match=r'Scale.autoscaling "web" is invalid: spec.replicas: Invalid value: -1: must'):
        scale.apply_scale(replica_set(), {"spec": {"replicas": -1}})
    with pytest.raises(ApiError, match="Precondition failed: UID"):
        scale.apply_scale(replica_set(), {"metadata": {"uid": "other"}, "spec": {"replicas": 1}})


def test_selector_text():
    selector = {
        "matchLabels": {"tier": "b", "app": "a"},
        "matchExpressions": [
            {"key": "zone", "operator": "NotIn", "values": ["y", "x"]},
            {"key": "env", "operator": "In", "values": ["p", "d"]},
            {"key": "old", "operator": "DoesNotExist"},
            {"key": "new", "operator": "Exists"},
        ],
    }
    assert scale.selector_text(selector) == "app=a,env in (d,p),new,!old,tier=b,zone notin (x,y)"
    assert scale.selector_text(None) == "<none>"
