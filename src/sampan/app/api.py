"""A client of a cluster's API for programs of the host: the command line."""

from __future__ import annotations

from sampan.api.kinds import SCHEME
from sampan.app.config import Cluster
from sampan.client.http import HttpClient


def admin_client(cluster: Cluster) -> HttpClient:
    """With the administrator's certificate. Close it."""
    pki = cluster.pki
    return HttpClient(
        cluster.url,
        SCHEME,
        ca_file=pki / "ca.crt",
        cert_file=pki / "admin.crt",
        key_file=pki / "admin.key",
        user_agent="sampan-cli",
    )
