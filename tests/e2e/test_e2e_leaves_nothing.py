"""A cluster leaves no trace on the machine, however it ended."""

import json
import os
import signal
import subprocess
import time

import pytest
from e2e import APP, SAMPAN, Cluster, command, traces, until


@pytest.fixture
def fresh():
    before = traces()
    cluster = Cluster("trace", nodes=2)
    cluster.register()
    yield cluster, before
    cluster.remove()


def busy(cluster):
    cluster.kubectl("apply", "-f", str(APP / "cloud-user.yaml"))
    cluster.kubectl("rollout", "status", "deployment/deployment-cloud-user", "--timeout=60s")
    http, _ = edge_ports(cluster)
    labels = cluster.get("deployment/deployment-cloud-user")["spec"]["selector"]["matchLabels"]
    metadata = {"name": "outside", "annotations": {"sampan.io/host-ports": f"{http}:80"}}
    ports = [{"port": 80, "targetPort": 8080}]
    spec = {"type": "LoadBalancer", "externalTrafficPolicy": "Local", "selector": labels, "ports": ports}
    cluster.apply(json.dumps({"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec}))
    until(lambda: command("curl", "-sf", f"http://127.0.0.1:{http}/actuator/info").code == 0, "the host's own port")


def edge_ports(cluster):
    return json.loads((cluster.directory / "cluster.json").read_text())["edgePorts"]


def test_up_and_down_twice(fresh):
    cluster, before = fresh
    for _ in range(2):
        cluster.up()
        busy(cluster)
        assert traces() != before
        cluster.down()
        assert traces() == before


def test_down_after_every_process_of_ours_was_killed(fresh):
    cluster, before = fresh
    cluster.up()
    busy(cluster)
    for what in ("supervise", "server", "agent"):
        for pid in cluster.pids(what):
            os.kill(pid, signal.SIGKILL)
    cluster.down()
    assert traces() == before


def test_up_killed_half_way_then_down(fresh):
    cluster, before = fresh
    argv = [
        *SAMPAN,
        "up",
        "--cluster",
        cluster.name,
        "--nodes",
        "2",
        "--no-kubeconfig-merge",
        "--state",
        str(cluster.state),
    ]
    process = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    until(lambda: cluster.pids("supervise"), "the supervisor runs")
    time.sleep(0.2)
    process.kill()
    process.wait()
    for pid in cluster.pids("supervise"):
        os.kill(pid, signal.SIGKILL)
    cluster.down()
    assert traces() == before


def test_ctrl_c_of_a_foreground_run_takes_all_down(fresh):
    cluster, before = fresh
    argv = [*SAMPAN, "up", "--cluster", cluster.name, "--no-kubeconfig-merge", "--state", str(cluster.state)]
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        lines = iter(process.stdout.readline, "")
        assert any("is ready after" in line for line in lines)
        process.send_signal(signal.SIGINT)
        rest, _ = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode in (0, 130), rest
    assert traces() == before


def test_two_clusters_side_by_side_choose_free_networks(fresh):
    first, before = fresh
    second = Cluster("trace2")
    second.register()
    try:
        first.up()
        second.up()
        for cluster in (first, second):
            cluster.kubectl("apply", "-f", str(APP / "bq-api-service.yaml"))
            cluster.kubectl("rollout", "status", "deployment/deployment-bq-api-service", "--timeout=60s")
        assert not set(edge_ports(first)) & set(edge_ports(second))
        ips = {c.name: c.jsonpath("{.spec.clusterIP}", "svc", "clusterip-bq-api-service") for c in (first, second)}
        assert ips[first.name].rsplit(".", 2)[0] != ips[second.name].rsplit(".", 2)[0]
        for ip in ips.values():
            assert "bq-api-service" in command("curl", "-s", "--max-time", "5", f"http://{ip}:8080/actuator/info")
    finally:
        second.remove()
    first.down()
    assert traces() == before
