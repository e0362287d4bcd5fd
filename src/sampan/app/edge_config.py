"""What the edge's control plane is given of its cluster: the gateway's own settings, the default certificate."""

from __future__ import annotations

import sys
from datetime import timedelta

from sampan.app.config import PROXY_LEAF, Cluster
from sampan.base import fs
from sampan.base.clock import Clock
from sampan.gateway.deployment import Edge
from sampan.ir import Secret

XDS_PORT = 15012  # Istio's number for the same: TLS, with the proxies' client certificate
DEFAULT_CERTIFICATE = "ingress-default"  # in the cluster's pki
DEFAULT_CERTIFICATE_NAME = "Kubernetes Ingress Controller Fake Certificate"  # what users know from ingress-nginx
DEFAULT_CERTIFICATE_DAYS = 3650


def edge_config(cluster: Cluster) -> Edge:
    """What the gateway's own objects are made of."""
    pki, plan = cluster.pki, cluster.plan
    return Edge(
        xds=f"{plan.host_ip}:{XDS_PORT}",
        certificate=(pki / f"{PROXY_LEAF}.crt").read_bytes(),
        key=(pki / f"{PROXY_LEAF}.key").read_bytes(),
        ca=(pki / "ca.crt").read_bytes(),
        snapshots=str(cluster.snapshots),
        host_ports=cluster.edge_ports,
        first_node=plan.nodes[0],
        python=sys.executable,
    )


def default_certificate(cluster: Cluster, clock: Clock) -> Secret:
    """For hosts whose Ingress brings none: self-signed, made once a cluster."""
    from sampan.ca import issuing, keys

    crt, key_file = cluster.pki / f"{DEFAULT_CERTIFICATE}.crt", cluster.pki / f"{DEFAULT_CERTIFICATE}.key"
    if not (crt.exists() and key_file.exists()):
        key = keys.generate("ECDSA")
        names = issuing.Wanted(
            DEFAULT_CERTIFICATE_NAME, subject={"organizations": ("Acme Co",)}, dns=("ingress.local",)
        )
        terms = issuing.Terms(clock.now(), timedelta(days=DEFAULT_CERTIFICATE_DAYS), usages=("server auth",))
        made = issuing.self_sign(issuing.request(names, key), key, terms)
        fs.write_atomic(key_file, keys.encode(key), 0o600)
        fs.write_atomic(crt, made.chain)
    return Secret("ingress/default-certificate", crt.read_bytes(), key_file.read_bytes())
