"""The objects that the edge itself consists of: the gateway's namespace, Deployment, Service and credentials. Pure.

An ordinary Deployment: `kubectl scale`, `logs` and `rollout restart` do what they always do.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sampan.api.meta import Obj

NAMESPACE, NAME = "sampan-system", "gateway"
KIND = f"{NAMESPACE}/{NAME}"  # the xDS name of this kind of proxy
LABELS = {"app.kubernetes.io/name": "gateway", "app.kubernetes.io/managed-by": "sampan"}
IMAGE = "sampan.io/envoy"
HTTP, HTTPS, READY = 80, 443, 15021
HOST_PORTS = "sampan.io/host-ports"
CREDENTIALS = "gateway-xds"
CREDENTIALS_DIR = "/etc/sampan/xds"
SNAPSHOT_DIR = "/var/lib/sampan-xds"
SNAPSHOT = "gateway.snapshot"
GRACE_SECONDS = 30
HOLD_SECONDS = 1  # everybody knows by then that the pod is leaving
USER = 65534  # what Envoy runs as


@dataclass(frozen=True, slots=True)
class Edge:
    """`xds`: HOST:PORT of the control plane. `certificate`, `key`, `ca`: PEM, for the proxy's connection to it.

    `snapshots`: the host's directory with the last configuration. `host_ports`: (HTTP, HTTPS) of the host, 0 none.
    `first_node`: where the gateway rather runs, so that its address need not move. `python`: the interpreter that has
    sampan.
    """

    xds: str
    certificate: bytes
    ca: bytes
    snapshots: str
    host_ports: tuple[int, int]
    first_node: str
    python: str
    key: bytes = field(repr=False)


def manifests(edge: Edge, streams: Iterable[tuple[str, int]] = ()) -> list[tuple[str, Obj]]:
    """(resource, object) in the order of creation. `streams`: (protocol, port) of tcp-services and udp-services."""
    return [
        ("namespaces", {"metadata": {"name": NAMESPACE}}),
        ("serviceaccounts", {"metadata": _meta(NAME), "automountServiceAccountToken": False}),
        ("secrets", _credentials(edge)),
        ("services", _service(edge, streams)),
        ("deployments.apps", _deployment(edge)),
    ]


def _meta(name: str, annotations: Mapping[str, str] | None = None) -> Obj:
    made: Obj = {"name": name, "namespace": NAMESPACE, "labels": LABELS}
    return made | ({"annotations": dict(annotations)} if annotations else {})


def _credentials(edge: Edge) -> Obj:
    data = {"tls.crt": edge.certificate, "tls.key": edge.key, "ca.crt": edge.ca}
    encoded = {name: base64.b64encode(value).decode() for name, value in data.items()}
    return {"metadata": _meta(CREDENTIALS), "type": "kubernetes.io/tls", "data": encoded}


def _service(edge: Edge, streams: Iterable[tuple[str, int]]) -> Obj:
    pairs = [f"{host}:{port}" for host, port in zip(edge.host_ports, (HTTP, HTTPS), strict=True) if host]
    ports = [_port("http", HTTP), _port("https", HTTPS)]
    ports += [_port(f"{protocol}-{port}", port, protocol.upper()) for protocol, port in sorted(streams)]
    return {
        "metadata": _meta(NAME, {HOST_PORTS: ",".join(pairs)}),
        "spec": {
            "type": "LoadBalancer",
            # The clients' own addresses reach the proxy: allow lists and rate limits go by them.
            "externalTrafficPolicy": "Local",
            "selector": LABELS,
            "ports": ports,
        },
    }


def _port(name: str, number: int, protocol: str = "TCP") -> Obj:
    return {"name": name, "port": number, "targetPort": number, "protocol": protocol}


def _deployment(edge: Edge) -> Obj:
    files = {"cert": "tls.crt", "key": "tls.key", "ca": "ca.crt"}
    args = [
        f"--kind={KIND}",
        f"--server={edge.xds}",
        *(f"--{option}={CREDENTIALS_DIR}/{file}" for option, file in files.items()),
        f"--snapshot={SNAPSHOT_DIR}/{SNAPSHOT}",
        f"--user={USER}",
        f"--drain-seconds={GRACE_SECONDS}",
    ]
    drain = [edge.python, "-m", "sampan.xds.drain", f"--hold={HOLD_SECONDS}", f"--seconds={GRACE_SECONDS - 2}"]
    container: dict[str, Any] = {
        "name": "envoy",
        "image": IMAGE,
        "args": args,
        "ports": [
            {"name": "http", "containerPort": HTTP},
            {"name": "https", "containerPort": HTTPS},
            {"name": "status", "containerPort": READY},
        ],
        "readinessProbe": {"httpGet": {"path": "/healthz/ready", "port": READY}, "periodSeconds": 1},
        "lifecycle": {"preStop": {"exec": {"command": drain}}},
        # The interpreter may be below /root; the launcher gives its rights up before it becomes Envoy.
        "securityContext": {"runAsUser": 0, "runAsGroup": 0},
        "volumeMounts": [
            {"name": "xds", "mountPath": CREDENTIALS_DIR, "readOnly": True},
            {"name": "snapshots", "mountPath": SNAPSHOT_DIR, "readOnly": True},
        ],
    }
    spec: dict[str, Any] = {
        "serviceAccountName": NAME,
        "securityContext": {"fsGroup": USER},  # reads the credentials
        "terminationGracePeriodSeconds": GRACE_SECONDS,
        "priorityClassName": "system-cluster-critical",
        "affinity": {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [_rather(edge.first_node)]}},
        "containers": [container],
        "volumes": [
            {"name": "xds", "secret": {"secretName": CREDENTIALS, "defaultMode": 0o440}},
            {"name": "snapshots", "hostPath": {"path": edge.snapshots, "type": "DirectoryOrCreate"}},
        ],
    }
    return {
        "metadata": _meta(NAME),
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": LABELS},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
            "template": {"metadata": {"labels": LABELS}, "spec": spec},
        },
    }


def _rather(node: str) -> Obj:
    term = {"key": "kubernetes.io/hostname", "operator": "In", "values": [node]}
    return {"weight": 100, "preference": {"matchExpressions": [term]}}
