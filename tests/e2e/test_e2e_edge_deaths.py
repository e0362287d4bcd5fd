"""The gateway outlives its control plane, comes back by itself, and one broken neighbour harms nobody."""

import json
import os
import signal
import time
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import edge
import pytest
from e2e import Load, command, until

HOST = "web.example.com"
AWAY_SECONDS = 20


@pytest.fixture(scope="module")
def site():
    cluster = edge.start("death")
    try:
        cluster.apply(edge.backend("web", replicas=2))
        cluster.kubectl("rollout", "status", "deployment/web", "--timeout=60s")
        cluster.apply(edge.ingress("web", HOST, "web"))
        cluster.url = f"http://{edge.address(cluster)}/ping"
        until(lambda: edge.curl(cluster.url, host=HOST, check=False).status == 200, "it serves")
        yield cluster
    finally:
        cluster.remove()


@contextmanager
def without_server(cluster):
    """The control plane is dead, and nobody starts it again until the end."""
    (supervisor,) = cluster.pids("supervise")
    os.kill(supervisor, signal.SIGSTOP)
    try:
        for pid in cluster.pids("server"):
            os.kill(pid, signal.SIGKILL)
        yield
    finally:
        os.kill(supervisor, signal.SIGCONT)
        until(lambda: cluster.kubectl("get", "nodes", check=False).code == 0, "the API answers again")


def envoy(cluster):
    """The process of the gateway's Envoy, 0 when there is none. Needs no API."""
    for pid in map(int, command("pgrep", "-f", "envoy --config-path /tmp/envoy").split()):
        with suppress(OSError):
            if f"sampan/{cluster.name}/" in Path(f"/proc/{pid}/cgroup").read_text():
                return pid
    return 0


def test_the_control_plane_is_away_under_load(site):
    with Load(site.url, host=HOST) as load:
        time.sleep(0.5)
        with without_server(site):
            time.sleep(AWAY_SECONDS)
            alone = load.total
        assert alone > 100
        time.sleep(1)
    assert load.failed == []
    # What came back works: a change reaches the proxy.
    site.apply(edge.ingress("later", "later.example.com", "web"))
    until(lambda: edge.curl(site.url, host="later.example.com", check=False).status == 200, "a new Ingress is served")


def test_a_killed_envoy_is_back_with_its_configuration(site):
    before = envoy(site)
    os.kill(before, signal.SIGKILL)
    until(lambda: edge.curl(site.url, host=HOST, check=False).status == 200, "it serves again", timeout=10)
    assert envoy(site) not in (0, before)


def test_a_rolled_gateway_loses_no_request(site):
    with Load(site.url, host=HOST) as load:
        time.sleep(0.5)
        site.kubectl("rollout", "restart", "deployment/gateway", "-n", "sampan-system")
        site.kubectl("rollout", "status", "deployment/gateway", "-n", "sampan-system", "--timeout=60s")
        until(
            lambda: len(site.get("pods", "-n", "sampan-system")["items"]) == 1, "the old gateway has gone", timeout=60
        )
        time.sleep(0.5)
    assert load.failed == []


def test_an_envoy_that_starts_without_a_control_plane_serves_what_was_last(site):
    load, before = Load(site.url, host=HOST), restarts(site)
    with ExitStack() as stack:
        with without_server(site):
            os.kill(envoy(site), signal.SIGKILL)
            until(lambda: edge.curl(site.url, host=HOST, check=False).status == 200, "it serves the last", timeout=30)
            stack.enter_context(load)
        # The kubelet tells now what became of the pod meanwhile; that it was not ready once is of no interest any more.
        site.apply(edge.ingress("again", "again.example.com", "web"))
        until(lambda: edge.curl(site.url, host="again.example.com").status == 200, "it follows the server again")
        until(lambda: restarts(site) > before, "the API knows of the restart")
        time.sleep(0.5)
    assert load.failed == []


def restarts(cluster):
    (pod,) = cluster.get("pods", "-n", "sampan-system")["items"]
    return pod["status"]["containerStatuses"][0]["restartCount"]


def test_thirty_wrong_objects_beside_a_good_one(site):
    """Each names its own fault; the good one never blinks."""
    good = edge.ingress("good", "good.example.com", "web")
    wrong = [
        json.loads(edge.ingress(f"wrong-{n}", f"wrong-{n}.example.com", service, notes, **more))
        for n, (service, notes, more) in enumerate(WRONG)
    ]
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "wrong-tls"},
        "type": "Opaque",
        "stringData": {"tls.crt": "no certificate", "tls.key": "no key"},
    }
    site.apply(good)
    url = site.url
    until(lambda: edge.curl(url, host="good.example.com", check=False).status == 200, "the good one is served")
    with Load(url, host="good.example.com") as load:
        site.apply(json.dumps({"apiVersion": "v1", "kind": "List", "items": [secret, *wrong]}))
        silent = {obj["metadata"]["name"] for obj in wrong}

        def all_told():
            events = site.get("events", "--field-selector", "type=Warning")["items"]
            told = {e["involvedObject"]["name"] for e in events if e["involvedObject"]["kind"] == "Ingress"}
            return not silent - told or None

        until(all_told, f"each of {len(wrong)} Ingresses has its event")
        site.apply(edge.ingress("good-2", "good-2.example.com", "web"))
        until(lambda: edge.curl(url, host="good-2.example.com").status == 200, "new ones are taken as ever")
    assert load.failed == []
    texts = {
        e["involvedObject"]["name"]: e["message"]
        for e in site.get("events", "--field-selector", "type=Warning")["items"]
    }
    for number, (_, notes, _) in enumerate(WRONG):
        text = texts[f"wrong-{number}"]
        at_fault = [*notes, "spec.rules[0].http.paths[0]"]
        assert not notes or any(name in text for name in at_fault), (notes, text)


# (service, annotations, more): what is wrong is the annotation, else the Service, the port or the Secret.
WRONG = [
    ("web", {"configuration-snippet": "return 200;"}, {}),
    ("web", {"server-snippet": "return 200;"}, {}),
    ("web", {"auth-snippet": "x"}, {}),
    ("web", {"proxy-read-timeout": "soon"}, {}),
    ("web", {"proxy-connect-timeout": "-1s"}, {}),
    ("web", {"proxy-body-size": "huge"}, {}),
    ("web", {"backend-protocol": "FCGI"}, {}),
    ("web", {"backend-protocol": "SPDY"}, {}),
    ("web", {"whitelist-source-range": "10.0.0.0/99"}, {}),
    ("web", {"denylist-source-range": "everybody"}, {}),
    ("web", {"limit-rps": "many"}, {}),
    ("web", {"limit-rpm": "-5"}, {}),
    ("web", {"permanent-redirect": "not a url"}, {}),
    ("web", {"temporal-redirect": "::"}, {}),
    ("web", {"permanent-redirect": "https://example.com", "permanent-redirect-code": "200"}, {}),
    ("web", {"auth-type": "digest"}, {}),
    ("web", {"auth-type": "basic", "auth-secret": "nobody"}, {}),
    ("web", {"auth-url": "nowhere"}, {}),
    ("web", {"ssl-redirect": "perhaps"}, {}),
    ("web", {"enable-cors": "yes please"}, {}),
    ("web", {"affinity": "ip"}, {}),
    ("web", {"custom-http-errors": "teapot"}, {}),
    ("web", {"rewrite-target": "/$1"}, {"path": "/a(", "path_type": "ImplementationSpecific"}),
    ("web", {"use-regex": "true"}, {"path": "/(?=x)", "path_type": "ImplementationSpecific"}),
    ("web", {"rewrite-targte": "/"}, {}),
    ("web", {"enable-modsecurity": "true"}, {}),
    ("nobody", {}, {}),
    ("web", {}, {"port": 81}),
    ("web", {}, {"tls": "nobody"}),
    ("web", {}, {"tls": "wrong-tls"}),
]
