"""Defaults of pods, checked against what kube-apiserver stores."""

import pytest

from sampan.api import meta
from sampan.api.kinds.pod import RESOURCE
from sampan.api.kinds.podspec_defaults import default_pod_template, pull_policy

default = RESOURCE.strategy.default


def pod(container=None, **spec):
    base = {"name": "c", "image": "nginx:1.27"} | (container or {})
    made = {"metadata": {"name": "p", "namespace": "default"}, "spec": {"containers": [base], **spec}}
    default(made)
    return made


def only(made):
    return made["spec"]["containers"][0]


def test_the_smallest_pod_becomes_the_one_kubectl_shows():
    assert pod()["spec"] == {
        "containers": [
            {
                "name": "c",
                "image": "nginx:1.27",
                "imagePullPolicy": "IfNotPresent",
                "resources": {},
                "terminationMessagePath": "/dev/termination-log",
                "terminationMessagePolicy": "File",
            }
        ],
        "dnsPolicy": "ClusterFirst",
        "enableServiceLinks": True,
        "restartPolicy": "Always",
        "schedulerName": "default-scheduler",
        "securityContext": {},
        "terminationGracePeriodSeconds": 30,
    }


def test_defaulting_twice_is_defaulting_once():
    probe = {"httpGet": {"port": 80}}
    once = pod(
        {"livenessProbe": probe, "ports": [{"containerPort": 80}], "resources": {"limits": {"cpu": "0.5"}}},
        volumes=[{"name": "a"}, {"name": "b", "configMap": {"name": "x"}}],
    )
    twice = meta.copy(once)
    default(twice)
    assert twice == once


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        ("nginx", "Always"),
        ("nginx:latest", "Always"),
        ("nginx:1.27", "IfNotPresent"),
        ("localhost:5000/nginx", "Always"),
        ("localhost:5000/nginx:v1", "IfNotPresent"),
        ("nginx@sha256:abc", "IfNotPresent"),
        ("nginx:latest@sha256:abc", "Always"),
    ],
)
def test_pull_policy_follows_the_tag(image, expected):
    assert pull_policy(image) == expected


def test_probes():
    made = only(pod({"readinessProbe": {"httpGet": {"port": 80}}, "livenessProbe": {"grpc": {"port": 1}}}))
    assert made["readinessProbe"] == {
        "httpGet": {"port": 80, "path": "/", "scheme": "HTTP"},
        "timeoutSeconds": 1,
        "periodSeconds": 10,
        "successThreshold": 1,
        "failureThreshold": 3,
    }
    assert made["livenessProbe"]["grpc"] == {"port": 1, "service": ""}


def test_what_is_said_stays():
    made = pod({"imagePullPolicy": "Never"}, restartPolicy="Never", terminationGracePeriodSeconds=0)
    assert only(made)["imagePullPolicy"] == "Never"
    assert made["spec"]["restartPolicy"] == "Never"
    assert made["spec"]["terminationGracePeriodSeconds"] == 0


def test_amounts_are_canonical_and_limits_become_requests():
    resources = {"limits": {"cpu": "0.5", "memory": "1024Mi"}, "requests": {"cpu": "100m"}}
    assert only(pod({"resources": resources}))["resources"] == {
        "limits": {"cpu": "500m", "memory": "1Gi"},
        "requests": {"cpu": "100m", "memory": "1Gi"},
    }


def test_a_template_keeps_requests_for_its_pods_to_default():
    container = {"name": "c", "image": "x:1", "resources": {"limits": {"cpu": "1"}}}
    template = {"spec": {"containers": [container]}}
    default_pod_template(template)
    assert "requests" not in container["resources"]
    assert "enableServiceLinks" not in template["spec"]


def test_host_network_opens_the_ports_on_the_host():
    made = only(pod({"ports": [{"containerPort": 80}, {"containerPort": 81, "hostPort": 81}]}, hostNetwork=True))
    assert [p["hostPort"] for p in made["ports"]] == [80, 81]
    assert made["ports"][0]["protocol"] == "TCP"


def test_volumes():
    token = {"serviceAccountToken": {"path": "token"}}
    volumes = pod(
        volumes=[
            {"name": "a"},
            {"name": "b", "secret": {"secretName": "s"}},
            {"name": "c", "hostPath": {"path": "/x"}},
            {"name": "d", "projected": {"sources": [token, {"downwardAPI": {"items": [{"fieldRef": {}}]}}]}},
        ]
    )["spec"]["volumes"]
    assert volumes[0] == {"name": "a", "emptyDir": {}}
    assert volumes[1]["secret"]["defaultMode"] == 420
    assert volumes[2]["hostPath"]["type"] == ""
    sources = volumes[3]["projected"]["sources"]
    assert sources[0]["serviceAccountToken"]["expirationSeconds"] == 3600
    assert sources[1]["downwardAPI"]["items"][0]["fieldRef"]["apiVersion"] == "v1"


def test_environment_references_get_their_version():
    env = [
        {"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
        {"name": "B", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}},
    ]
    made = only(pod({"env": env}))
    assert made["env"][0]["valueFrom"]["fieldRef"]["apiVersion"] == "v1"
    assert made["env"][1]["valueFrom"]["resourceFieldRef"]["divisor"] == "0"


def test_the_old_name_of_the_service_account_is_kept_in_step():
    spec = pod(serviceAccount="robot")["spec"]
    assert spec["serviceAccountName"] == spec["serviceAccount"] == "robot"


def test_creation_sets_the_first_status():
    made = pod(schedulingGates=[{"name": "example.com/wait"}])
    made["status"] = {"phase": "Running"}
    RESOURCE.strategy.prepare_create(made)
    assert made["status"]["phase"] == "Pending"
    assert made["status"]["qosClass"] == "BestEffort"
    assert made["status"]["conditions"][0]["reason"] == "SchedulingGated"
