"""Nothing is lost: rolling updates without preStop, and kill -9 of every process of ours, under traffic."""

import os
import signal
import time

import pytest
from e2e import APP, Load, command, fetch, until

NAME = "deployment/deployment-cloud-user"
ASK = "while sleep 0.1; do curl -sf clusterip-cloud-user:8080/actuator/info >/dev/null && echo answered || echo lost; done"


@pytest.fixture
def web(own_cluster):
    own_cluster.kubectl("apply", "-f", str(APP / "cloud-user.yaml"))
    own_cluster.kubectl("rollout", "status", NAME, "--timeout=60s")
    ip = own_cluster.jsonpath("{.spec.clusterIP}", "svc", "clusterip-cloud-user")
    own_cluster.url = f"http://{ip}:8080/actuator/info"
    until(lambda: len({fetch(own_cluster.url)["hostname"] for _ in range(10)}) == 2, "both pods answer")
    return own_cluster


def identities(cluster):
    """Each pod's uid, restart count and process: what must not change when only sampan's processes die."""
    pods = cluster.get("pods")["items"]
    statuses = {p["metadata"]["uid"]: p["status"]["containerStatuses"][0] for p in pods}
    return {uid: (s["restartCount"], s["containerID"]) for uid, s in statuses.items()}


@pytest.mark.parametrize("own_cluster", [2], indirect=True)
def test_ten_thousand_requests_during_rolling_updates(web):
    with Load(web.url) as load:
        while load.total < 10_000 and not load.failed:
            web.kubectl("rollout", "restart", NAME)
            web.kubectl("rollout", "status", NAME, "--timeout=120s")
            time.sleep(1)  # kubectl restarts a Deployment once a second at most
    assert load.failed == []
    assert load.total >= 10_000
    assert len(load.answered) > 2, "the update must have replaced pods under load"


@pytest.mark.parametrize("own_cluster", [2], indirect=True)
def test_a_pod_ends_only_when_the_slowest_node_sends_it_nothing_more(web):
    """The host's requests go by the rules of node 0, whose agent stands still while a pod of node 1 is deleted."""
    pod = next(p["metadata"]["name"] for p in web.get("pods")["items"] if p["spec"]["nodeName"] == "node-1")
    slow = int(command("pgrep", "-f", f"sampan agent --node node-0 --cluster {web.name} "))
    with Load(web.url) as load:
        until(lambda: pod in load.answered, "the pod answers")
        os.kill(slow, signal.SIGSTOP)
        try:
            web.kubectl("delete", "pod", pod, "--wait=false")
            time.sleep(1.5)
            assert pod in web.kubectl("get", "pods"), "it went before node 0 knew"
        finally:
            os.kill(slow, signal.SIGCONT)
        web.kubectl("wait", "--for=delete", f"pod/{pod}", "--timeout=20s")
        time.sleep(0.5)
    assert load.failed == []


@pytest.mark.parametrize("victims", [("server",), ("agent",), ("server", "agent")], ids="+".join)
def test_killed_processes_lose_no_request_and_restart_no_pod(web, victims):
    before = identities(web)
    with Load(web.url) as load:
        time.sleep(0.5)
        for victim in victims:
            pids = web.pids(victim)
            assert pids, f"no process of {victim}"
            for pid in pids:
                os.kill(pid, signal.SIGKILL)
        started = load.total
        until(lambda: web.kubectl("get", "nodes", check=False).code == 0, "the API answers again")
        until(lambda: all(web.pids(victim) for victim in victims), "the processes are back")
        time.sleep(3)
        assert identities(web) == before
        assert all(p["status"]["containerStatuses"][0]["ready"] for p in web.get("pods")["items"])
    assert load.failed == []
    assert load.total > started
    # What came back works: a change still reaches the rules.
    web.kubectl("scale", NAME, "--replicas=3")
    web.kubectl("rollout", "status", NAME, "--timeout=60s")
    until(lambda: len({fetch(web.url)["hostname"] for _ in range(20)}) == 3, "the third pod answers")


def test_names_resolve_from_pods_while_the_agent_is_replaced(web):
    web.kubectl("run", "box", "--image=busybox", "--", "sh", "-c", ASK)
    web.kubectl("wait", "--for=condition=Ready", "pod/box", "--timeout=30s")
    until(lambda: "answered" in web.kubectl("logs", "box"), "the first answers")
    for _ in range(2):
        for pid in web.pids("agent"):
            os.kill(pid, signal.SIGKILL)
        time.sleep(3)
    counts = web.kubectl("logs", "box").split()
    assert counts.count("lost") == 0
    assert counts.count("answered") > 30


def test_pods_start_again_with_their_count_raised_after_the_machine_lost_everything(web):
    """What a reboot leaves: the state directory and nothing else. `down` leaves just that."""
    before = {p["metadata"]["uid"]: p["status"]["podIP"] for p in web.get("pods")["items"]}
    web.down()
    web.up()
    web.kubectl("rollout", "status", NAME, "--timeout=60s")

    def back():
        pods = web.get("pods")["items"]
        return {p["metadata"]["uid"]: p["status"].get("podIP") for p in pods} == before and all(
            p["status"]["containerStatuses"][0]["restartCount"] == 1 for p in pods
        )

    until(back, "the same pods with the same IPs and one restart")
    assert " 1 (" in web.kubectl("get", "pods")
    until(lambda: len({fetch(web.url)["hostname"] for _ in range(10)}) == 2, "both pods answer again")
