"""Storage, quota, autoscaling, disruption and networking kinds: defaults, faults in the server's words, tables."""

from datetime import UTC, datetime

import pytest

from sampan.api.kinds import SCHEME
from sampan.api.kinds.horizontalpodautoscaler_v1 import from_v2, to_v2
from sampan.api.meta import copy

NOW = datetime(2026, 11, 20, 12, 0, 10, tzinfo=UTC)
CLAIM = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
HPA = {"scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}, "maxReplicas": 3}
PATH = {"path": "/", "pathType": "Prefix", "backend": {"service": {"name": "web", "port": {"number": 80}}}}


def made(resource, name="x", **fields):
    row = SCHEME.by_id[resource]
    metadata = {"name": name, "creationTimestamp": "2026-11-20T12:00:00Z"}
    metadata |= {"namespace": "d"} if row.namespaced else {}
    obj = copy({"apiVersion": row.api_version, "kind": row.kind, "metadata": metadata, **fields})
    row.strategy.default(obj)
    row.strategy.prepare_create(obj)
    return obj


def faults(resource, **fields):
    return [str(e) for e in SCHEME.by_id[resource].strategy.validate(made(resource, **fields))]


def changed(resource, old, **spec):
    new = copy(old)
    new["metadata"]["resourceVersion"] = "1"
    new["spec"] |= spec
    return [str(e) for e in SCHEME.by_id[resource].strategy.validate_update(new, old)]


def row(resource, obj):
    return SCHEME.by_id[resource].strategy.row(obj, NOW)


@pytest.mark.parametrize(
    ("resource", "fields", "fault"),
    [
        (
            "persistentvolumeclaims",
            {"spec": {}},
            "spec.accessModes: Required value: at least 1 access mode is required",
        ),
        (
            "persistentvolumeclaims",
            {"spec": CLAIM | {"accessModes": ["Some"]}},
            'spec.accessModes: Unsupported value: "Some": supported values: "ReadOnlyMany", "ReadWriteMany", '
            '"ReadWriteOnce", "ReadWriteOncePod"',
        ),
        (
            "persistentvolumes",
            {"spec": {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "local": {"path": "/a"}}},
            "spec.nodeAffinity: Required value: Local volume requires node affinity",
        ),
        ("persistentvolumes", {"spec": {}}, "spec: Required value: must specify a volume type"),
        ("storageclasses.storage.k8s.io", {}, "provisioner: Required value"),
        (
            "horizontalpodautoscalers.autoscaling",
            {"spec": HPA | {"minReplicas": 5}},
            "spec.maxReplicas: Invalid value: 3: must be greater than or equal to `minReplicas`",
        ),
        (
            "horizontalpodautoscalers.autoscaling",
            {"spec": HPA | {"metrics": [{"type": "Resource"}]}},
            "spec.metrics[0].resource: Required value: must populate information for the given metric source",
        ),
        (
            "ingresses.networking.k8s.io",
            {"spec": {"rules": [{"http": {"paths": [PATH | {"pathType": None}]}}]}},
            "spec.rules[0].http.paths[0].pathType: Required value: pathType must be specified",
        ),
        (
            "ingresses.networking.k8s.io",
            {"spec": {"rules": [{"host": "1.2.3.4"}]}},
            'spec.rules[0].host: Invalid value: "1.2.3.4": must be a DNS name, not an IP address',
        ),
        (
            "poddisruptionbudgets.policy",
            {"spec": {"maxUnavailable": "x"}},
            'spec.maxUnavailable: Invalid value: intstr.IntOrString{Type:1, IntVal:0, StrVal:"x"}: a valid percent '
            "string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', regex used for "
            "validation is '[0-9]+%')",
        ),
        (
            "resourcequotas",
            {"spec": {"hard": {"cats": "1"}}},
            'spec.hard[cats]: Invalid value: "cats": must be a standard resource for quota',
        ),
        (
            "limitranges",
            {"spec": {"limits": [{"type": "Container", "min": {"cpu": "2"}, "max": {"cpu": "1"}}]}},
            'spec.limits[0].min[cpu]: Invalid value: "2": min value 2 is greater than max value 1',
        ),
        (
            "priorityclasses.scheduling.k8s.io",
            {"value": 2_000_000_000},
            "value: Forbidden: maximum allowed value of a user defined priority is 1000000000",
        ),
        (
            "networkpolicies.networking.k8s.io",
            {"spec": {"ingress": [{"from": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["11.0.0.0/16"]}}]}]}},
            'spec.ingress[0].from[0].ipBlock.except[0]: Invalid value: "11.0.0.0/16": must be a strict subset of `cidr`',
        ),
    ],
)
def test_faults_are_told_in_the_servers_words(resource, fields, fault):
    assert fault in faults(resource, **fields)


@pytest.mark.parametrize(
    ("resource", "fields"),
    [
        ("persistentvolumeclaims", {"spec": CLAIM}),
        ("horizontalpodautoscalers.autoscaling", {"spec": HPA}),
        ("ingresses.networking.k8s.io", {"spec": {"rules": [{"host": "*.a.io", "http": {"paths": [PATH]}}]}}),
        ("poddisruptionbudgets.policy", {"spec": {"minAvailable": "50%", "selector": {}}}),
        ("resourcequotas", {"spec": {"hard": {"count/deployments.apps": "1", "pods": "2", "limits.cpu": "1"}}}),
    ],
)
def test_good_ones_have_no_faults(resource, fields):
    assert faults(resource, **fields) == []


def test_a_bound_claim_may_grow_and_nothing_else():
    claim = made("persistentvolumeclaims", spec=CLAIM)
    claim["status"] = {"phase": "Bound", "capacity": {"storage": "1Gi"}}
    more = {"requests": {"storage": "2Gi"}}
    assert changed("persistentvolumeclaims", claim, resources=more) == []
    assert changed("persistentvolumeclaims", claim, accessModes=["ReadWriteMany"])[0].startswith(
        "spec: Forbidden: spec is immutable after creation except resources.requests"
    )
    less = changed("persistentvolumeclaims", claim, resources={"requests": {"storage": "1Mi"}})
    assert less == ["spec.resources.requests.storage: Forbidden: field can not be less than status.capacity"]


def test_limit_ranges_fill_what_follows_from_their_bounds():
    limits = made("limitranges", spec={"limits": [{"type": "Container", "max": {"cpu": "1"}, "min": {"cpu": "100m"}}]})
    (item,) = limits["spec"]["limits"]
    assert (item["default"], item["defaultRequest"]) == ({"cpu": "1"}, {"cpu": "1"})


def test_network_policies_are_about_egress_only_when_they_have_rules_for_it():
    policy = made("networkpolicies.networking.k8s.io", spec={"egress": [{"ports": [{"port": 53}]}]})
    assert policy["spec"]["policyTypes"] == ["Ingress", "Egress"]
    assert policy["spec"]["egress"][0]["ports"] == [{"port": 53, "protocol": "TCP"}]


def test_tables():
    ingress = made("ingresses.networking.k8s.io", spec={"rules": [{"host": "a.io"}], "tls": [{}]})
    assert row("ingresses.networking.k8s.io", ingress) == ["x", "<none>", "a.io", "", "80, 443", "10s"]
    autoscaler = made("horizontalpodautoscalers.autoscaling", spec=HPA)
    shown = ["x", "Deployment/web", "cpu: <unknown>/80%", "1", 3, 0, "10s"]
    assert row("horizontalpodautoscalers.autoscaling", autoscaler) == shown
    quota = made("resourcequotas", spec={"hard": {"pods": "2"}})
    quota["status"] = {"hard": {"pods": "2", "limits.cpu": "1"}, "used": {"pods": "1"}}
    assert row("resourcequotas", quota) == ["x", "pods: 1/2", "limits.cpu: 0/1", "10s"]


def test_the_old_form_of_an_autoscaler_keeps_what_it_has_no_fields_for():
    memory = {"name": "memory", "target": {"type": "AverageValue", "averageValue": "1Gi"}}
    cpu = {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 50}}
    metrics = [{"type": "Resource", "resource": cpu}, {"type": "Resource", "resource": memory}]
    spec = HPA | {"metrics": metrics, "behavior": {"scaleUp": {"selectPolicy": "Disabled"}}}
    new = made("horizontalpodautoscalers.autoscaling", spec=spec)
    old = from_v2(new)
    assert old["spec"]["targetCPUUtilizationPercentage"] == 50
    assert set(old["spec"]) == {"scaleTargetRef", "minReplicas", "maxReplicas", "targetCPUUtilizationPercentage"}
    assert to_v2(old)["spec"] == new["spec"]
    assert to_v2(old)["metadata"] == new["metadata"]
