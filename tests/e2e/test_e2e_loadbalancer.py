"""LoadBalancer Services from this machine, from pods and from a second machine; the host's own ports."""

import json
import os
import signal
import socket
import subprocess
import time

import pytest
from e2e import Cluster, command, until

# Answers with the name of the pod and the address it saw as the client's.
PEER = """
import http.server, socket
class H(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = f"{socket.gethostname()} {self.client_address[0]}".encode()
        self.send_response(200); self.send_header("content-length", str(len(body))); self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_): pass
http.server.ThreadingHTTPServer(("", 8080), H).serve_forever()
"""
MACHINE, GATEWAY = "198.51.100.2", "198.51.100.1"


def pod(name, node, *argv):
    container = {"name": "main", "image": "busybox", "command": list(argv)}
    if argv[0] == "python3":
        container["readinessProbe"] = {"tcpSocket": {"port": 8080}, "periodSeconds": 1}
    metadata = {"name": name, "labels": {"app": name}}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"nodeName": node, "containers": [container], "terminationGracePeriodSeconds": 1}}  # fmt: skip


def service(name, app="web", annotations=None, **spec):
    spec = {"type": "LoadBalancer", "selector": {"app": app}, "ports": [{"port": 80, "targetPort": 8080}], **spec}
    return json.dumps({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "annotations": annotations or {}}, "spec": spec})  # fmt: skip


@pytest.fixture(scope="module")
def machine():
    """A second machine: a namespace behind a veth whose default route is this one. Runs programs there."""
    link = f"spt{os.getpid()}"
    holder = subprocess.Popen(["unshare", "--net", "sleep", "infinity"])
    there = f"/proc/{holder.pid}/ns/net"
    until(lambda: os.readlink(there) != os.readlink("/proc/self/ns/net"), "the namespace")
    run = lambda *argv: command("nsenter", f"--net={there}", *argv)
    command("ip", "link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", str(holder.pid))
    command("ip", "address", "add", f"{GATEWAY}/24", "dev", link)
    command("ip", "link", "set", link, "up")
    run("ip", "address", "add", f"{MACHINE}/24", "dev", "eth0")
    run("ip", "link", "set", "eth0", "up")
    run("ip", "route", "add", "default", "via", GATEWAY)
    yield run
    command("ip", "link", "del", link)
    holder.kill()
    holder.wait()


@pytest.fixture(scope="module")
def lb():
    """`web` runs on node-1; `box` and `far` are clients on node-0 and node-1."""
    cluster = Cluster("lb", nodes=2)
    try:
        cluster.said = cluster.up()
        for each in (
            pod("web", "node-1", "python3", "-c", PEER),
            pod("box", "node-0", "sleep", "1000"),
            pod("far", "node-1", "sleep", "1000"),
        ):
            cluster.apply(json.dumps(each))
        cluster.kubectl("wait", "--for=condition=Ready", "pod", "--all", "--timeout=60s")
        yield cluster
    finally:
        cluster.remove()


@pytest.fixture(autouse=True)
def _clean(lb):
    yield
    lb.kubectl("delete", "service", "-l", "component!=apiserver", "--ignore-not-found")
    lb.kubectl("delete", "events", "--all")


def address(lb, name):
    return lb.jsonpath("{.status.loadBalancer.ingress[0].ip}", "svc", name)


def asks(url):
    return ("curl", "-s", "--max-time", "5", url)


def answers(run, url, timeout=10):
    """What is answered, once it is: rules follow a new Service within milliseconds."""
    return until(lambda: run(*asks(url)) or None, f"{url} answers", timeout)


def reason(lb, why):
    return lb.jsonpath(f'{{.items[?(@.reason=="{why}")].message}}', "events")


def test_an_address_at_once_that_everybody_reaches(lb, machine):
    lb.apply(service("web"))
    ip = address(lb, "web")  # no waiting
    assert ip.startswith("172.30.")
    assert int(ip.rpartition(".")[2]) > 128
    assert ip in lb.kubectl("get", "svc", "web").splitlines()[1].split()[3]
    inside = lambda who: lambda *argv: lb.exec(who, *argv, check=False)
    for run in (command, machine, inside("box"), inside("far"), inside("web")):
        assert answers(run, f"http://{ip}").split()[0] == "web"
    described = until(lambda: (d := lb.kubectl("describe", "svc", "web")) and "IPAllocated" in d and d, "the event")
    assert f"LoadBalancer Ingress:     {ip} (VIP)" in described
    assert f'Assigned IP ["{ip}"]' in described
    assert f"balancer  default/web  {ip}  80" in lb.sampan("status", "--cluster", lb.name)
    trace = lb.sampan("trace", "--cluster", lb.name, "host", f"{ip}:80")
    assert f"load balancer address {ip} leads to node node-0" in trace
    assert "pod default/web on node node-1" in trace


def test_what_no_service_has_is_refused_at_once(lb, machine):
    lb.apply(service("web"))
    ip = address(lb, "web")
    answers(command, f"http://{ip}")
    nobody = f"{ip.rpartition('.')[0]}.250"
    for run in (command, machine, lambda *argv: lb.exec("box", *argv, check=False)):
        for url in (f"http://{nobody}", f"http://{ip}:81"):
            began = time.monotonic()
            assert run(*asks(url)).code == 7
            assert time.monotonic() - began < 2


def test_a_wanted_address_and_one_that_is_taken(lb):
    lb.apply(service("first"))
    base = address(lb, "first").rpartition(".")[0]
    lb.apply(service("wish", loadBalancerIP=f"{base}.200"))
    lb.apply(service("annotated", annotations={"metallb.io/loadBalancerIPs": f"{base}.201"}))
    assert (address(lb, "wish"), address(lb, "annotated")) == (f"{base}.200", f"{base}.201")
    lb.apply(service("late", loadBalancerIP=f"{base}.200"))
    lb.apply(service("outside", loadBalancerIP="192.0.2.77"))
    lb.apply(service("foreign", loadBalancerClass="example.com/lb"))
    assert "<pending>" in lb.kubectl("get", "svc", "late")
    assert address(lb, "foreign") == ""
    told = until(lambda: (m := reason(lb, "AllocationFailed")) and "outside" in m and m, "the events")
    assert f'Failed to allocate IP for "default/late": can\'t change sharing key for "{base}.200", address also in use by default/wish' in told  # fmt: skip
    assert 'Failed to allocate IP for "default/outside": ["192.0.2.77"] is not allowed in config' in told
    lb.kubectl("delete", "svc", "wish")
    assert address(lb, "late") == f"{base}.200"
    lb.kubectl("patch", "svc", "late", "-p", '{"spec":{"type":"ClusterIP","loadBalancerIP":null}}')
    until(lambda: not address(lb, "late"), "the status is empty")


def test_only_some_sources(lb, machine):
    lb.apply(service("web", loadBalancerSourceRanges=["198.51.100.0/24"]))
    url = f"http://{address(lb, 'web')}"
    assert answers(machine, url)
    waits = ("curl", "-s", "--max-time", "1", url)
    assert command(*waits).code == 28
    assert lb.exec("box", *waits, check=False).code == 28
    assert command(*asks(f"http://{lb.jsonpath('{.spec.clusterIP}', 'svc', 'web')}")).code == 0


def test_local_policy_keeps_the_client_and_follows_the_pods(lb, machine):
    lb.apply(service("web", externalTrafficPolicy="Local"))
    ip = address(lb, "web")
    assert answers(machine, f"http://{ip}") == f"web {MACHINE}"
    assert answers(command, f"http://{ip}").split()[1].endswith(".1")  # the host's address on the nodes' LAN
    route = lambda: str(command("ip", "route", "get", ip))
    assert ".3 dev" in route()  # node-1
    lb.apply(json.dumps(pod("web0", "node-0", "python3", "-c", PEER)).replace('"app": "web0"', '"app": "web"'))
    lb.kubectl("wait", "--for=condition=Ready", "pod/web0", "--timeout=30s")
    assert answers(machine, f"http://{ip}") == f"web {MACHINE}"  # no reason to move
    lb.kubectl("label", "pod", "web", "app=other", "--overwrite")
    until(lambda: ".2 dev" in route(), "the route leads to node-0")
    assert until(lambda: machine(*asks(f"http://{ip}")) == f"web0 {MACHINE}", "the other pod answers")
    lb.kubectl("delete", "pod", "web0")
    until(lambda: "proto 83" not in command("ip", "route", "show", ip), "no route of its own")
    assert machine(*asks(f"http://{ip}")).code == 7
    lb.kubectl("label", "pod", "web", "app=web", "--overwrite")
    assert answers(machine, f"http://{ip}") == f"web {MACHINE}"


def edge_ports(lb):
    return json.loads((lb.directory / "cluster.json").read_text())["edgePorts"]


def test_the_hosts_own_ports(lb, machine):
    http, https = edge_ports(lb)
    status = lb.sampan("status", "--cluster", lb.name)
    for text in (lb.said, status):
        assert f":{http} https://" in text
        assert f":{https}   (once there is an Ingress or a Gateway)" in text
    assert command(*asks(f"http://127.0.0.1:{http}")).code == 7
    ports = {"sampan.io/host-ports": f"{http}:80"}
    lb.apply(service("edge", annotations=ports, externalTrafficPolicy="Local"))
    assert answers(machine, f"http://{GATEWAY}:{http}") == f"web {MACHINE}"
    assert answers(command, f"http://localhost:{http}").split()[0] == "web"
    assert answers(command, f"http://{GATEWAY}:{http}") == f"web {GATEWAY}"
    assert answers(lambda *argv: lb.exec("box", *argv, check=False), f"http://{GATEWAY}:{http}").split()[0] == "web"
    with socket.socket() as late:
        late.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with pytest.raises(OSError, match="in use"):
            late.bind(("0.0.0.0", http))
    assert f"host port {http} leads to the load balancer of default/edge" in lb.sampan("trace", "--cluster", lb.name, "host", f"127.0.0.1:{http}")  # fmt: skip
    lb.kubectl("delete", "svc", "edge")
    until(lambda: command(*asks(f"http://127.0.0.1:{http}")).code == 7, "nobody is there any more")


def test_a_program_keeps_the_port_it_has(lb, machine):
    with socket.create_server(("127.0.0.1", 0)) as theirs:
        port = theirs.getsockname()[1]
        lb.apply(service("edge", annotations={"sampan.io/host-ports": f"{port}:80"}))
        text = f"host port {port}/tcp is in use by another program of this machine"
        until(lambda: text in reason(lb, "HostPortUnavailable"), "the event")
        socket.create_connection(("127.0.0.1", port)).close()
        theirs.accept()[0].close()
    assert answers(command, f"http://127.0.0.1:{port}", timeout=20).split()[0] == "web"


def test_addresses_outlive_the_server(lb, machine):
    http, _ = edge_ports(lb)
    for i in range(3):
        lb.apply(service(f"s{i}", annotations={"sampan.io/host-ports": f"{http}:80"} if i == 1 else None))
    before = {f"s{i}": address(lb, f"s{i}") for i in range(3)}
    answers(machine, f"http://{GATEWAY}:{http}")
    (pid,) = lb.pids("server")
    os.kill(pid, signal.SIGKILL)
    assert machine(*asks(f"http://{GATEWAY}:{http}")).startswith("web")  # the rules stay
    until(lambda: lb.kubectl("get", "svc", check=False).code == 0, "the server is back")
    lb.apply(service("a"))
    assert {name: address(lb, name) for name in before} == before
    assert address(lb, "a") not in before.values()
    until(lambda: f":{http} " in command("ss", "-ltnH"), "the port is held again")
    assert answers(machine, f"http://{GATEWAY}:{http}").startswith("web")


def test_a_program_that_took_the_port_meanwhile_is_not_robbed(lb):
    http, https = edge_ports(lb)
    lb.down()
    with socket.create_server(("0.0.0.0", http)):
        said = lb.up()
    new = edge_ports(lb)
    assert http not in new
    assert f"the gateway's ports {http}/{https} are taken by another program: {new[0]}/{new[1]} instead" in said
    assert "are taken" not in lb.up()
    lb.sampan("down", "--cluster", lb.name)
    taken = lb.sampan("up", "-d", "--cluster", lb.name, "--http-port", "0", "--https-port", "4430", "--no-kubeconfig-merge")  # fmt: skip
    assert "gateway   https://" in taken
    assert edge_ports(lb) == [0, 4430]
