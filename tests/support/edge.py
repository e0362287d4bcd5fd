"""A cluster with a gateway and upstreams that say what they saw, for the edge's end-to-end tests."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from e2e import ROOT, Cluster, until

GIN = ROOT / "examples/gin-demo"
BACKEND = "backend:1.0"


def start(name: str, nodes: int = 1) -> Cluster:
    """A cluster whose images `backend:1.0` and the article's are known; take it down with `remove`."""
    cluster = Cluster(name, nodes)
    support = Path(__file__).parent
    # root: the virtual environment's interpreter may be below /root
    cluster.register(BACKEND, "--user", "root", workdir=support, argv=(sys.executable, "-u", "backend.py"))
    cluster.register("2976560783/gin-demo:1.0", workdir=GIN, argv=("python3", "-u", "app.py"))
    cluster.up()
    return cluster


def backend(name: str, replicas: int = 1, grpc: bool = False) -> str:
    """The manifest of a Deployment of backends and its Service: http 80, grpc 50051 when asked for."""
    ports = [{"name": "http", "port": 80, "targetPort": 8080}]
    env = []
    if grpc:
        ports.append({"name": "grpc", "port": 50051, "targetPort": 50051})
        env.append({"name": "GRPC_PORT", "value": "50051"})
    labels = {"app": name}
    container = {
        "name": "backend",
        "image": BACKEND,
        "env": env,
        "securityContext": {"runAsUser": 0},
        "readinessProbe": {"tcpSocket": {"port": 8080}, "periodSeconds": 1},
    }
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
        },
    }
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name},
        "spec": {"selector": labels, "ports": ports},
    }
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": [deployment, service]})


def ingress(name: str, host: str, service: str, annotations: dict[str, str] | None = None, **more: object) -> str:
    """The manifest of an Ingress with one rule; `path`, `path_type`, `port`, `tls` (a Secret's name) may be given."""
    prefix = "nginx.ingress.kubernetes.io/"
    path = {
        "path": more.get("path", "/"),
        "pathType": more.get("path_type", "Prefix"),
        "backend": {"service": {"name": service, "port": {"number": more.get("port", 80)}}},
    }
    rule: dict = {"http": {"paths": [path]}}
    if host:
        rule["host"] = host
    spec: dict = {"ingressClassName": "nginx", "rules": [rule]}
    if "tls" in more:
        spec["tls"] = [{"hosts": [host], "secretName": more["tls"]}]
    keys = {k if "/" in k else prefix + k: v for k, v in (annotations or {}).items()}
    return json.dumps(
        {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "Ingress",
            "metadata": {"name": name, "annotations": keys},
            "spec": spec,
        }
    )


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: str
    json: dict = field(default_factory=dict)


def curl(url: str, *options: str, host: str = "", check: bool = True, timeout: int = 30) -> Answer:
    """One request by the real curl; `host` is sent as Host (and SNI for https). Status 0: no answer."""
    argv = ["curl", "-s", "-i", "-k", "--max-time", str(timeout), *options]
    if host and url.startswith("https://"):
        address = url.removeprefix("https://").split("/")[0]
        argv += ["--connect-to", f"{host}:443:{address}:443"]
        url = url.replace(address, host, 1)
    elif host:
        argv += ["-H", f"Host: {host}"]
    done = subprocess.run([*argv, url], capture_output=True, check=False, timeout=timeout + 10)
    assert done.returncode == 0 or not check, f"{argv} {url}: exit {done.returncode} {done.stderr!r}"
    head, _, body = done.stdout.decode(errors="replace").partition("\r\n\r\n")
    while head.startswith("HTTP/1.1 100"):
        head, _, body = body.partition("\r\n\r\n")
    lines = head.split("\r\n")
    status = int(lines[0].split()[1]) if lines[0].startswith("HTTP/") else 0
    headers = {k.lower(): v for k, _, v in (line.partition(": ") for line in lines[1:])}
    try:
        found = json.loads(body)
    except ValueError:
        found = {}
    return Answer(status, headers, body, found if isinstance(found, dict) else {})


def address(cluster: Cluster) -> str:
    """The gateway's address, once it has one and the gateway is ready."""
    found = until(
        lambda: cluster.jsonpath(
            "{.status.loadBalancer.ingress[0].ip}", "svc", "gateway", "-n", "sampan-system", "--ignore-not-found"
        ),
        "the gateway's Service has an address",
    )
    cluster.kubectl("rollout", "status", "deployment/gateway", "-n", "sampan-system", "--timeout=60s")
    return str(found)
