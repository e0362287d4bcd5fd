"""Deployments: defaults, faults, rows."""

from datetime import UTC, datetime

import pytest

from sampan.api import meta
from sampan.api.kinds.deployment import RESOURCE

NOW = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)
strategy = RESOURCE.strategy


def deployment(template=None, **spec):
    made = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "default", "creationTimestamp": "2026-01-01T11:00:00Z"},
        "spec": {
            "selector": {"matchLabels": {"app": "web"}},
            "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {"containers": [{"name": "c", "image": "nginx:1.27"}]} | (template or {}),
            },
        }
        | spec,
    }
    strategy.default(made)
    return made


def faults(made):
    return [str(error) for error in strategy.validate(made)]


def test_defaults():
    spec = deployment()["spec"]
    assert spec["replicas"] == 1
    assert spec["strategy"] == {
        "type": "RollingUpdate",
        "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"},
    }
    assert spec["revisionHistoryLimit"] == 10
    assert spec["progressDeadlineSeconds"] == 600
    assert spec["template"]["spec"]["restartPolicy"] == "Always"
    assert deployment(strategy={"type": "Recreate"})["spec"]["strategy"] == {"type": "Recreate"}
    assert deployment(replicas=0)["spec"]["replicas"] == 0
    assert faults(deployment()) == []


NO_MATCH = "`selector` does not match template `labels`"
SURGE = "spec.strategy.rollingUpdate"
CASES = [
    ({"selector": None},
     ["spec.selector: Required value",
      f'spec.template.metadata.labels: Invalid value: map[string]string{{"app":"web"}}: {NO_MATCH}']),
    ({"selector": {"matchLabels": {"app": "other"}}},
     [f'spec.template.metadata.labels: Invalid value: map[string]string{{"app":"web"}}: {NO_MATCH}']),
    ({"selector": {}},
     ["spec.selector: Invalid value: v1.LabelSelector{MatchLabels:map[string]string(nil), "
      "MatchExpressions:[]v1.LabelSelectorRequirement(nil)}: empty selector is invalid for deployment"]),
    ({"replicas": -1}, ["spec.replicas: Invalid value: -1: must be greater than or equal to 0"]),
    ({"progressDeadlineSeconds": 5, "minReadySeconds": 5},
     ["spec.progressDeadlineSeconds: Invalid value: 5: must be greater than minReadySeconds"]),
    ({"strategy": {"type": "Recreate", "rollingUpdate": {"maxSurge": 1}}},
     ["spec.strategy.rollingUpdate: Forbidden: may not be specified when strategy `type` is 'Recreate'"]),
    ({"strategy": {"type": "Blue"}},
     ['spec.strategy: Unsupported value: apps.DeploymentStrategy{Type:"Blue", '
      'RollingUpdate:(*apps.RollingUpdateDeployment)(nil)}: supported values: "Recreate", "RollingUpdate"']),
    ({"strategy": {"rollingUpdate": {"maxSurge": 0, "maxUnavailable": 0}}},
     [f'{SURGE}.maxUnavailable: Invalid value: intstr.IntOrString{{Type:0, IntVal:0, StrVal:""}}: '
      "may not be 0 when `maxSurge` is 0"]),
    ({"strategy": {"rollingUpdate": {"maxUnavailable": "110%"}}},
     [f'{SURGE}.maxUnavailable: Invalid value: intstr.IntOrString{{Type:1, IntVal:0, StrVal:"110%"}}: '
      "must not be greater than 100%"]),
    ({"strategy": {"rollingUpdate": {"maxSurge": "some"}}},
     [f'{SURGE}.maxSurge: Invalid value: intstr.IntOrString{{Type:1, IntVal:0, StrVal:"some"}}: a valid percent string '
      "must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', regex used for validation is "
      "'[0-9]+%')"]),
]  # fmt: skip


@pytest.mark.parametrize(("spec", "expected"), CASES)
def test_faults(spec, expected):
    assert faults(deployment(**spec)) == expected


def test_faults_of_the_template():
    assert faults(deployment({"restartPolicy": "Never"})) == [
        'spec.template.spec.restartPolicy: Unsupported value: "Never": supported values: "Always"'
    ]
    assert faults(deployment({"containers": [{"name": "c"}]})) == [
        "spec.template.spec.containers[0].image: Required value"
    ]
    assert faults(deployment({"activeDeadlineSeconds": 5})) == [
        "spec.template.spec.activeDeadlineSeconds: Forbidden: activeDeadlineSeconds in ReplicaSet is not Supported"
    ]


def test_a_selector_with_expressions_is_understood():
    chosen = {"matchExpressions": [{"key": "app", "operator": "In", "values": ["web", "api"]}]}
    assert faults(deployment(selector=chosen)) == []
    wrong = {"matchExpressions": [{"key": "app", "operator": "Near"}]}
    assert faults(deployment(selector=wrong))[0] == (
        'spec.selector.matchExpressions[0].operator: Invalid value: "Near": not a valid selector operator'
    )


def test_the_selector_is_immutable():
    old = deployment()
    old["metadata"] |= {"uid": "u", "resourceVersion": "1"}
    new = meta.copy(old)
    new["spec"]["replicas"] = 5
    assert strategy.validate_update(new, old) == []
    new["spec"]["selector"]["matchLabels"]["tier"] = "a"
    new["spec"]["template"]["metadata"]["labels"]["tier"] = "a"
    assert [str(e) for e in strategy.validate_update(new, old)] == [
        'spec.selector: Invalid value: v1.LabelSelector{MatchLabels:map[string]string{"app":"web", "tier":"a"}, '
        "MatchExpressions:[]v1.LabelSelectorRequirement(nil)}: field is immutable"
    ]


def test_rows():
    made = deployment({"containers": [{"name": "a", "image": "x:1"}, {"name": "b", "image": "y:2"}]}, replicas=3)
    made["status"] = {"replicas": 3, "readyReplicas": 2, "updatedReplicas": 3, "availableReplicas": 1}
    assert strategy.row(made, NOW) == ["web", "2/3", 3, 1, "60m", "a,b", "x:1,y:2", "app=web"]
    assert strategy.row(deployment(), NOW)[1:4] == ["0/1", 0, 0]
    assert [c.name for c in strategy.columns] == [
        "Name", "Ready", "Up-to-date", "Available", "Age", "Containers", "Images", "Selector",
    ]  # fmt: skip


def test_warnings_of_the_template_have_its_path():
    twice = [{"name": "A", "value": "1"}, {"name": "A", "value": "2"}]
    made = deployment({"containers": [{"name": "c", "image": "x:1", "env": twice}]})
    assert strategy.warnings(made) == [
        'spec.template.spec.containers[0].env[1]: hides previous definition of "A", '
        "which may be dropped when using apply"
    ]


def test_a_change_of_the_spec_is_a_new_generation():
    assert RESOURCE.generation
    assert set(RESOURCE.subresources) == {"scale", "status"}
