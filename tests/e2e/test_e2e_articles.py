"""The flows of the articles people learn Services from, with their columns (feature-map 1.2)."""

import re

import pytest
from e2e import APP, answered_by, fetch, until

UUIDISH = r"[0-9a-z]{5,10}-[0-9a-z]{5}"


@pytest.fixture
def applied(cluster):
    cluster.kubectl("apply", "-f", str(APP / "cloud-user.yaml"))
    cluster.kubectl("apply", "-f", str(APP / "bq-api-service.yaml"))
    for name in ("deployment-cloud-user", "deployment-bq-api-service"):
        cluster.kubectl("rollout", "status", f"deployment/{name}", "--timeout=60s")
    yield cluster
    # Node ports are the cluster's, not the namespace's: give 31001 back before the next test.
    cluster.kubectl("delete", "service", "--all")


def cluster_ip(cluster, name="clusterip-cloud-user"):
    return cluster.jsonpath("{.spec.clusterIP}", "svc", name)


def test_apply_says_created_then_unchanged_then_configured(cluster):
    manifest = (APP / "cloud-user.yaml").read_text().replace("31001", "31002")
    first = cluster.apply(manifest)
    assert first.splitlines() == [
        "deployment.apps/deployment-cloud-user created",
        "service/clusterip-cloud-user created",
        "service/nodeport-cloud-user created",
    ]
    cluster.kubectl("rollout", "status", "deployment/deployment-cloud-user", "--timeout=60s")
    assert cluster.apply(manifest).splitlines() == [
        "deployment.apps/deployment-cloud-user unchanged",
        "service/clusterip-cloud-user unchanged",
        "service/nodeport-cloud-user unchanged",
    ]
    again = cluster.apply(manifest.replace("replicas: 2", "replicas: 3")).splitlines()
    assert again[0] == "deployment.apps/deployment-cloud-user configured"
    assert again[1] == "service/clusterip-cloud-user unchanged"


def test_pods_are_listed_with_ip_and_node_and_reachable_by_ip(applied):
    lines = applied.kubectl("get", "pods", "-o", "wide", "-l", "app=cloud-user").splitlines()
    assert lines[0].split() == [
        "NAME",
        "READY",
        "STATUS",
        "RESTARTS",
        "AGE",
        "IP",
        "NODE",
        "NOMINATED",
        "NODE",
        "READINESS",
        "GATES",
    ]
    nodes = set()
    for line in lines[1:]:
        row = re.fullmatch(
            rf"(deployment-cloud-user-{UUIDISH}) +1/1 +Running +0 +\d+[sm]\S* +([\d.]+) +(node-\d) +<none> +<none>",
            line,
        )
        assert row, line
        nodes.add(row[3])
        assert fetch(f"http://{row[2]}:8080/actuator/info")["hostname"] == row[1]
    assert nodes == {"node-0", "node-1"}


def test_services_have_the_columns_and_a_cluster_ip_balances(applied):
    lines = applied.kubectl("get", "svc", "-o", "wide").splitlines()
    assert lines[0].split() == ["NAME", "TYPE", "CLUSTER-IP", "EXTERNAL-IP", "PORT(S)", "AGE", "SELECTOR"]
    assert re.fullmatch(r"clusterip-cloud-user +ClusterIP +10\.\S+ +<none> +8080/TCP +\S+ +app=cloud-user", lines[2])
    assert re.fullmatch(
        r"nodeport-cloud-user +NodePort +10\.\S+ +<none> +8080:31001/TCP +\S+ +app=cloud-user", lines[3]
    )
    counts = answered_by(f"http://{cluster_ip(applied)}:8080/actuator/info", 60)
    assert len(counts) == 2
    assert min(counts.values()) > 10


def test_endpoints_are_listed_with_the_deprecation_warning(applied):
    applied.kubectl("scale", "deployment/deployment-cloud-user", "--replicas=4")
    applied.kubectl("rollout", "status", "deployment/deployment-cloud-user", "--timeout=60s")
    shown = applied.kubectl("get", "ep", "clusterip-cloud-user")
    assert shown.splitlines()[0].split() == ["NAME", "ENDPOINTS", "AGE"]
    address = r"10\.\d+\.\d+\.\d+:8080"
    assert re.search(rf"clusterip-cloud-user +{address},{address},{address} \+ 1 more\.\.\. ", shown)
    assert "Warning: v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice" in shown.err


def test_describe_matches_by_prefix_and_shows_endpoints(applied):
    shown = applied.kubectl("describe", "svc", "nodeport-cloud")
    for field in (
        r"Name: +nodeport-cloud-user",
        r"Type: +NodePort",
        r"IP Family Policy: +SingleStack",
        r"IP Families: +IPv4",
        r"Port: +http +8080/TCP",
        r"TargetPort: +http/TCP",
        r"NodePort: +http +31001/TCP",
        r"Endpoints: +10\.\d+\.\d+\.\d+:8080,10\.\d+\.\d+\.\d+:8080",
        r"Session Affinity: +None",
        r"External Traffic Policy: +Cluster",
        r"Events: +<none>",
    ):
        assert re.search(field, shown), f"{field} is not in\n{shown}"


def test_a_node_port_answers_on_localhost_and_on_every_node(applied):
    nodes = applied.jsonpath("{.items[*].status.addresses[?(@.type=='InternalIP')].address}", "nodes").split()
    assert len(nodes) == 2
    for address in ("127.0.0.1", *nodes):
        counts = answered_by(f"http://{address}:31001/actuator/info", 20)
        assert len(counts) == 2, address


def test_a_service_calls_another_by_name(applied):
    url = f"http://{cluster_ip(applied, 'clusterip-bq-api-service')}:8080/ext-service/user-service/info"
    answer = fetch(url)
    assert answer["returnCode"] == 0
    assert re.fullmatch(r"user service is running in the host: deployment-cloud-user-\S+", answer["returnMsg"])
    hosts = {fetch(url)["data"]["hostname"] for _ in range(20)}
    assert len(hosts) == 2


@pytest.fixture
def dns_test(applied):
    loop = "while true; do echo hello docker; sleep 1; done"
    said = applied.kubectl(
        "run", "dns-test", "--image=odise/busybox-curl", "--restart=Never", "--", "/bin/sh", "-c", loop
    )
    assert said.strip() == "pod/dns-test created"
    applied.kubectl("wait", "--for=condition=Ready", "pod/dns-test", "--timeout=30s")
    return applied


def test_a_shell_pod_reaches_pods_services_and_names(dns_test):
    until(lambda: "hello docker" in dns_test.kubectl("logs", "dns-test"), "the pod's log")
    assert dns_test.exec("dns-test", "hostname").strip() == "dns-test"
    pod_ip = dns_test.jsonpath("{.items[0].status.podIP}", "pods", "-l", "app=cloud-user")
    assert '"hostname"' in dns_test.exec("dns-test", "curl", "-s", f"{pod_ip}:8080/actuator/info")
    hosts = {dns_test.exec("dns-test", "curl", "-s", "clusterip-cloud-user:8080/actuator/info") for _ in range(12)}
    assert len(hosts) == 2


def test_nslookup_shows_the_name_and_the_pointer(dns_test):
    ip = cluster_ip(dns_test)
    fqdn = f"clusterip-cloud-user.{dns_test.namespace}.svc.cluster.local"
    shown = dns_test.exec("dns-test", "nslookup", fqdn)
    dns = dns_test.jsonpath("{.spec.clusterIP}", "svc", "-n", "kube-system", "kube-dns")
    assert re.search(rf"Server:\s+{dns}", shown)
    assert re.search(rf"Name:\s+{fqdn}\s+Address: {ip}", shown)
    assert f"name = {fqdn}" in dns_test.exec("dns-test", "nslookup", ip)
    assert "name = kube-dns.kube-system.svc.cluster.local" in dns_test.exec("dns-test", "nslookup", dns)


def test_a_cluster_ip_does_not_answer_ping(dns_test):
    shown = dns_test.exec("dns-test", "busybox", "ping", "-c", "2", "-W", "1", cluster_ip(dns_test), check=False)
    assert "100% packet loss" in shown
    assert shown.code == 1


def test_scaling_and_get_all(applied):
    said = applied.kubectl("scale", "deployment/deployment-cloud-user", "--replicas=4")
    assert said.strip() == "deployment.apps/deployment-cloud-user scaled"
    applied.kubectl("rollout", "status", "deployment/deployment-cloud-user", "--timeout=60s")
    shown = applied.kubectl("get", "all")
    assert re.search(r"deployment.apps/deployment-cloud-user +4/4 +4 +4 ", shown)
    assert re.search(r"replicaset.apps/deployment-cloud-user-[0-9a-z]+ +4 +4 +4 ", shown)
    url = f"http://{cluster_ip(applied)}:8080/actuator/info"
    assert until(lambda: len(answered_by(url, 60)) == 4, "all four pods take traffic")


def test_rollout_history_and_undo(applied):
    name = "deployment/deployment-cloud-user"
    applied.kubectl("set", "env", name, "APP_NAME=second")
    applied.kubectl("rollout", "status", name, "--timeout=60s")
    history = applied.kubectl("rollout", "history", name)
    assert re.search(r"^1 +<none>$", history, re.MULTILINE)
    assert re.search(r"^2 +<none>$", history, re.MULTILINE)
    url = f"http://{cluster_ip(applied)}:8080/actuator/info"
    until(lambda: {fetch(url)["app"] for _ in range(5)} == {"second"}, "the second revision answers")
    assert applied.kubectl("rollout", "undo", name).strip() == "deployment.apps/deployment-cloud-user rolled back"
    applied.kubectl("rollout", "status", name, "--timeout=60s")
    until(lambda: {fetch(url)["app"] for _ in range(5)} == {"cloud-user"}, "the first revision answers again")


def test_service_environment_variables_are_there(dns_test):
    environment = dict(line.split("=", 1) for line in dns_test.exec("dns-test", "env").splitlines() if "=" in line)
    ip = cluster_ip(dns_test)
    assert environment["CLUSTERIP_CLOUD_USER_SERVICE_HOST"] == ip
    assert environment["CLUSTERIP_CLOUD_USER_SERVICE_PORT"] == "8080"
    assert environment["CLUSTERIP_CLOUD_USER_SERVICE_PORT_HTTP"] == "8080"
    assert environment["CLUSTERIP_CLOUD_USER_PORT_8080_TCP_ADDR"] == ip
    assert environment["KUBERNETES_SERVICE_HOST"] == dns_test.jsonpath(
        "{.spec.clusterIP}", "svc", "-n", "default", "kubernetes"
    )
