"""Questions about pods."""

import pytest

from sampan.api import pods


def container(name="c", restart=None, **amounts):
    """amounts: cpu="100m" is a request, limit_cpu="1" a limit."""
    requests = {k: v for k, v in amounts.items() if not k.startswith("limit_")}
    limits = {k.removeprefix("limit_"): v for k, v in amounts.items() if k.startswith("limit_")}
    made = {"name": name, "resources": {"requests": requests, "limits": limits}}
    return made | ({"restartPolicy": restart} if restart else {})


def pod(*containers, init=(), status=None, **spec):
    made = {"metadata": {"name": "p"}, "spec": {"containers": list(containers), "initContainers": list(init), **spec}}
    return made | ({"status": status} if status else {})


def shown(amounts):
    return {name: str(amount) for name, amount in amounts.items()}


def test_requests_are_summed_over_containers():
    assert shown(pods.requests(pod(container(cpu="100m", memory="1Gi"), container("d", cpu="0.4")))) == {
        "cpu": "500m",
        "memory": "1Gi",
    }


def test_a_hungry_init_container_counts_instead_of_the_sum():
    assert shown(pods.requests(pod(container(cpu="100m"), init=[container("i", cpu="2")]))) == {"cpu": "2"}


def test_a_sidecar_counts_beside_containers_and_beside_later_init_containers():
    sidecar, later = container("s", "Always", cpu="1"), container("i", cpu="3")
    assert shown(pods.requests(pod(container(cpu="2"), init=[sidecar]))) == {"cpu": "3"}
    assert shown(pods.requests(pod(container(cpu="2"), init=[sidecar, later]))) == {"cpu": "4"}
    # An init container that is done before the sidecar starts does not run beside it.
    assert shown(pods.requests(pod(container(cpu="1"), init=[later, sidecar]))) == {"cpu": "3"}


def test_overhead_and_pod_level_requests():
    assert shown(pods.requests(pod(container(cpu="1"), overhead={"cpu": "250m"}))) == {"cpu": "1250m"}
    assert shown(pods.requests(pod(container(cpu="1"), resources={"requests": {"cpu": "4"}}))) == {"cpu": "4"}


@pytest.mark.parametrize(
    ("containers", "expected"),
    [
        ([container()], "BestEffort"),
        ([container(cpu="1")], "Burstable"),
        ([container(cpu="1", memory="1Gi", limit_cpu="1000m", limit_memory="1024Mi")], "Guaranteed"),
        ([container(cpu="1", memory="1Gi", limit_cpu="2", limit_memory="1Gi")], "Burstable"),
        ([container(limit_cpu="1", limit_memory="1Gi"), container("d")], "Burstable"),
        ([container(limit_cpu="1")], "Burstable"),
    ],
)
def test_qos_class(containers, expected):
    assert pods.qos_class(pod(*containers)) == expected


def test_the_qos_class_in_the_status_wins():
    assert pods.qos_class(pod(container(), status={"qosClass": "Burstable"})) == "Burstable"


def test_port_number_by_name_looks_at_containers_and_sidecars_and_the_protocol():
    web = {"name": "web", "ports": [{"name": "http", "containerPort": 8080, "protocol": "TCP"}]}
    side = {"name": "s", "restartPolicy": "Always", "ports": [{"name": "metrics", "containerPort": 9090}]}
    init = {"name": "i", "ports": [{"name": "setup", "containerPort": 1}]}
    asked = pod(web, init=[side, init])
    assert pods.port_number(asked, "http", "TCP") == 8080
    assert pods.port_number(asked, "metrics", "TCP") == 9090
    assert pods.port_number(asked, "http", "UDP") is None
    assert pods.port_number(asked, "setup", "TCP") is None
    assert pods.port_number(asked, 80, "TCP") == 80


@pytest.mark.parametrize(
    ("asked", "spec", "status", "expected"),
    [
        (None, {"nodeName": "n", "terminationGracePeriodSeconds": 30}, None, 30),
        (5, {"nodeName": "n", "terminationGracePeriodSeconds": 30}, None, 5),
        (0, {"nodeName": "n", "terminationGracePeriodSeconds": 30}, None, 0),
        (30, {"terminationGracePeriodSeconds": 30}, None, 0),
        (30, {"nodeName": "n"}, {"phase": "Succeeded"}, 0),
        (None, {"nodeName": "n", "terminationGracePeriodSeconds": -1}, None, 1),
    ],
)
def test_deletion_grace_period(asked, spec, status, expected):
    assert pods.deletion_grace_period(pod(container(), status=status, **spec), asked) == expected


def test_containers_are_found_by_name_wherever_they_stand():
    asked = pod(container("main"), init=[container("first")])
    assert pods.container(asked, "first")["name"] == "first"
    assert pods.container(asked, "other") is None
    assert [path for path, _ in pods.containers(asked["spec"])] == ["initContainers[0]", "containers[0]"]


def test_readiness():
    ready = {"conditions": [{"type": "Ready", "status": "True"}]}
    assert pods.is_ready(pod(container(), status=ready))
    assert not pods.is_ready(pod(container()))


def test_activity():
    assert pods.is_active(pod(container(), status={"phase": "Running"}))
    assert not pods.is_active(pod(container(), status={"phase": "Failed"}))
    going = pod(container(), status={"phase": "Running"})
    going["metadata"]["deletionTimestamp"] = "2026-01-01T12:00:00Z"
    assert not pods.is_active(going)
