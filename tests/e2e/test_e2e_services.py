"""Services of every kind, from inside pods and from this machine."""

import json
import re

import pytest
from e2e import answered_by, command, fetch, until

WEB = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
        - name: web
          image: cloud-user:1.0
          ports: [{name: http, containerPort: 8080}]
          readinessProbe: {httpGet: {path: /actuator/info, port: http}, periodSeconds: 1}
"""


def service(name, **spec):
    return json.dumps({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": spec})


PORTS = [{"name": "http", "port": 80, "targetPort": "http"}]


@pytest.fixture
def web(cluster):
    cluster.apply(WEB)
    cluster.kubectl("run", "box", "--image=busybox", "--", "sleep", "1000")
    cluster.kubectl("rollout", "status", "deployment/web", "--timeout=60s")
    cluster.kubectl("wait", "--for=condition=Ready", "pod/box", "--timeout=30s")
    return cluster


def pod_ips(cluster):
    return sorted(cluster.jsonpath("{.items[*].status.podIP}", "pods", "-l", "app=web").split())


def ip_of(cluster, name):
    return cluster.jsonpath("{.spec.clusterIP}", "svc", name)


def test_a_headless_service_resolves_to_its_pods_and_their_ports(web):
    web.apply(service("db", clusterIP="None", selector={"app": "web"}, ports=PORTS))
    name = f"db.{web.namespace}.svc.cluster.local"
    lookup = lambda: sorted(re.findall(r"Address: (10\.\S+)$", web.exec("box", "nslookup", name), re.MULTILINE))
    until(lambda: lookup() == pod_ips(web), "both pods' addresses")
    shown = web.exec("box", "nslookup", "-type=srv", f"_http._tcp.{name}")
    for ip in pod_ips(web):
        assert re.search(rf"service = 0 100 8080 {ip.replace('.', '-')}\.{name}", shown)


def test_an_external_name_is_a_cname(web):
    web.apply(service("ext", type="ExternalName", externalName=f"inner.{web.namespace}.svc.cluster.local"))
    web.apply(service("inner", selector={"app": "web"}, ports=PORTS))
    until(lambda: web.exec("box", "curl", "-sf", "http://ext/actuator/info", check=False).code == 0, "it answers")


def test_hand_written_slices_and_endpoints_are_served(web):
    ip = pod_ips(web)[0]
    for name in ("manual", "legacy"):
        web.apply(service(name, ports=[{"port": 80, "targetPort": 8080}]))
    web.apply(
        json.dumps(
            {
                "apiVersion": "discovery.k8s.io/v1",
                "kind": "EndpointSlice",
                "metadata": {"name": "manual-1", "labels": {"kubernetes.io/service-name": "manual"}},
                "addressType": "IPv4",
                "ports": [{"port": 8080}],
                "endpoints": [{"addresses": [ip]}],
            }
        )
    )
    subsets = [{"addresses": [{"ip": ip}], "ports": [{"port": 8080}]}]
    web.apply(json.dumps({"apiVersion": "v1", "kind": "Endpoints", "metadata": {"name": "legacy"}, "subsets": subsets}))
    for name in ("manual", "legacy"):
        url = f"http://{ip_of(web, name)}/actuator/info"
        until(lambda url=url: command("curl", "-sf", "--max-time", "2", url).code == 0, f"{name} answers")
    mirrored = web.get("endpointslices", "-l", "kubernetes.io/service-name=legacy")["items"]
    assert mirrored[0]["metadata"]["labels"]["endpointslice.kubernetes.io/managed-by"].startswith(
        "endpointslicemirroring"
    )


def test_session_affinity_keeps_a_client_with_its_pod(web):
    web.apply(service("sticky", sessionAffinity="ClientIP", selector={"app": "web"}, ports=PORTS))
    url = f"http://{ip_of(web, 'sticky')}/actuator/info"
    until(lambda: command("curl", "-sf", "--max-time", "2", url).code == 0, "it answers")
    assert len(answered_by(url, 20)) == 1


def test_without_endpoints_connections_are_refused_at_once(web):
    web.apply(service("empty", selector={"app": "nobody"}, ports=PORTS))
    ask = lambda: web.exec("box", "curl", "-s", "--max-time", "5", "http://empty", check=False).code
    until(lambda: ask() == 7, "refused")
    assert command("curl", "-s", "--max-time", "5", f"http://{ip_of(web, 'empty')}").code == 7


def test_a_pod_reaches_itself_through_its_own_service(web):
    web.kubectl("scale", "deployment/web", "--replicas=1")
    web.apply(service("self", selector={"app": "web"}, ports=PORTS))
    until(lambda: len(pod_ips(web)) == 1, "one pod left")
    pod = web.jsonpath("{.items[0].metadata.name}", "pods", "-l", "app=web")
    asked = lambda: web.exec(pod, "curl", "-s", "--max-time", "2", "http://self/actuator/info", check=False)
    until(lambda: pod in asked(), "the pod answers itself")


UDP = "import socket; s=socket.socket(2,2); s.bind(('',5353))\nwhile 1:\n d,a=s.recvfrom(99); s.sendto(b'echo '+d,a)"


def test_udp(web):
    web.kubectl("run", "echo", "--image=busybox", "--labels=app=echo", "--command", "--", "python3", "-c", UDP)
    web.apply(service("echo", selector={"app": "echo"}, ports=[{"port": 53, "targetPort": 5353, "protocol": "UDP"}]))
    ask = (
        "import socket; s=socket.socket(2,2); s.settimeout(1); s.sendto(b'hi',('echo',53)); print(s.recv(99).decode())"
    )
    until(lambda: web.exec("box", "python3", "-c", ask, check=False).strip() == "echo hi", "the UDP answer")


def test_pods_reach_pods_on_the_other_node_and_the_api(web):
    nodes = web.jsonpath("{.items[*].spec.nodeName}", "pods", "-l", "app=web").split()
    assert len(set(nodes)) == 2
    for ip in pod_ips(web):
        assert "hostname" in web.exec("box", "curl", "-s", f"http://{ip}:8080/actuator/info")
    assert web.exec("box", "curl", "-sk", "https://kubernetes.default/healthz") == "ok"


def test_a_node_port_goes_with_its_service(web):
    web.apply(service("np", type="NodePort", selector={"app": "web"}, ports=[PORTS[0] | {"nodePort": 30777}]))
    url = "http://127.0.0.1:30777/actuator/info"
    until(lambda: command("curl", "-sf", "--max-time", "2", url).code == 0, "the node port answers")
    again = web.apply(
        service("np2", type="NodePort", selector={"app": "web"}, ports=[PORTS[0] | {"nodePort": 30777}]), check=False
    )
    assert "spec.ports[0].nodePort: Invalid value: 30777: provided port is already allocated" in again.err
    assert "app" in fetch(url)
    web.kubectl("delete", "svc", "np")
    until(lambda: command("curl", "-s", "--max-time", "2", url).code == 7, "refused once the Service is gone")
