"""The certificate authority of this machine, which signs what Ingresses, Gateways and Certificates ask for.

One for all clusters of a state directory, apart from theirs: who trusts it once trusts the next cluster too, and nobody
becomes the administrator of a cluster by a certificate of it.
"""

from __future__ import annotations

import socket
from datetime import datetime
from pathlib import Path

from sampan.base.fs import exclusive


def root_certificate(root: Path) -> Path:
    """Where it is, or will be. `root`: the state directory."""
    return root / "ca" / "ca.crt"


def ensure(root: Path, now: datetime) -> tuple[bytes, bytes]:
    """(certificate, key), PEM; made when there is none. Raises OSError."""
    certificate = root_certificate(root)
    key = certificate.with_suffix(".key")
    if not (certificate.exists() and key.exists()):
        from sampan.ca.authority import Authority  # cryptography is heavy

        with exclusive(root):
            certificate.parent.mkdir(mode=0o755, exist_ok=True)  # everybody may read the certificate; the key is 0600
            Authority.open(certificate.parent, f"sampan CA on {socket.gethostname()}"[:64], now)
    return certificate.read_bytes(), key.read_bytes()
