"""`sampan ca`: the authority that signs certificates on this machine, and how to trust it."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from sampan.app import localca
from sampan.app.config import state_root
from sampan.base.clock import SystemClock
from sampan.base.errors import UserError
from sampan.cli.options import StateDir

# (system, where it wants certificates, what takes them in)
_STORES = (
    ("Debian, Ubuntu", "/usr/local/share/ca-certificates/sampan.crt", "update-ca-certificates"),
    ("Fedora, RHEL", "/etc/pki/ca-trust/source/anchors/sampan.crt", "update-ca-trust"),
    ("Arch", "/etc/ca-certificates/trust-source/anchors/sampan.crt", "update-ca-trust"),
)
_FIREFOX = "Settings > Privacy & Security > View Certificates > Authorities > Import"
_CHROME = 'certutil -d sql:$HOME/.pki/nssdb -A -t C,, -n "sampan CA" -i'


def ca(
    pem: Annotated[bool, typer.Option("--pem", help="Print the root certificate itself.")] = False,
    state: StateDir = None,
) -> None:
    """Print where the root certificate is, and how to trust what sampan signs."""
    root = state_root(state)
    path = localca.root_certificate(root)
    try:
        if not path.exists():
            root.mkdir(parents=True, exist_ok=True)
            localca.ensure(root, SystemClock().now())
        print(path.read_text() if pem else _explain(path), end="")
    except OSError as error:
        raise UserError(f"the authority of {root} cannot be made: {error.strerror}", "sudo sampan ca") from None


def _explain(path: Path) -> str:
    here = shlex.quote(str(path))
    lines = [str(path), "", "Trust it", f"  one program     curl --cacert {here} https://…", "  this machine"]
    lines += [f"    {name:<15} sudo cp {here} {place} && sudo {command}" for name, place, command in _STORES]
    lines += [f"  Chrome          {_CHROME} {here}", f"  Firefox         {_FIREFOX}"]
    lines += [f"  Python, Node    SSL_CERT_FILE={here}   NODE_EXTRA_CA_CERTS={here}"]
    return "\n".join(lines) + "\n"
