"""`sampan doctor`: does this machine have what sampan needs, and is anything left over from a dead cluster?"""

from __future__ import annotations

import os
import shutil
import socket
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from sampan.app.config import API_PORT, DEFAULT_RUN, NODE_PORTS, load, names, state_root
from sampan.app.supervisor import running
from sampan.base.errors import SampanError
from sampan.base.proc import run_now
from sampan.cli.options import StateDir


@dataclass(frozen=True)
class Finding:
    """`level`: "ok", "warn" (works, with less) or "fail"."""

    level: str
    text: str
    hint: str = ""


OK, WARN, FAIL = "ok", "warn", "fail"
MARKS = {OK: ("32", "✔"), WARN: ("33", "‼"), FAIL: ("31", "×")}
NAMESPACES = ("net", "mnt", "pid", "uts", "ipc")


def doctor(state: StateDir = None) -> int:
    """Check kernel features, programs, cgroups, ports and leftovers. Exit status 1 when something is missing."""
    worst = OK
    for name, check in CHECKS.items():
        for finding in check(state_root(state)):
            color, mark = MARKS[finding.level]
            shown = f"\x1b[{color}m{mark}\x1b[0m" if sys.stdout.isatty() else mark
            print(f"{shown} {name:<11} {finding.text}")
            if finding.hint:
                print(f"  {'':<11} hint: {finding.hint}")
            worst = FAIL if FAIL in (worst, finding.level) else worst
    return 1 if worst == FAIL else 0


def _root(root: Path) -> Iterator[Finding]:
    if os.geteuid() == 0:
        yield Finding(OK, "running as root")
    else:
        yield Finding(FAIL, "not root: namespaces, mounts and packet rules need it", "sudo sampan doctor")


def _kernel(root: Path) -> Iterator[Finding]:
    missing = [kind for kind in NAMESPACES if not Path(f"/proc/self/ns/{kind}").exists()]
    if missing:
        yield Finding(FAIL, f"this kernel lacks namespaces: {', '.join(missing)}")
    filesystems = Path("/proc/filesystems").read_text().split()
    if "overlay" in filesystems or not _fails(["modprobe", "overlay"]):
        yield Finding(OK, f"Linux {os.uname().release}: namespaces and overlayfs are there")
    else:
        yield Finding(FAIL, "this kernel has no overlayfs: pods could change the host's files", "modprobe overlay")


def _programs(root: Path) -> Iterator[Finding]:
    for program, package in (("nft", "nftables"), ("ip", "iproute2")):
        place = shutil.which(program, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
        if place:
            yield Finding(OK, f"{program} is {place}")
        else:
            yield Finding(FAIL, f"{program} is missing", f"apt-get install {package}")
    for program, use in (("kubectl", "to talk to the cluster"), ("busybox", "nslookup, wget, … in pods of busybox")):
        if not shutil.which(program):
            package = "kubernetes-client" if program == "kubectl" else program
            yield Finding(WARN, f"{program} is missing ({use})", f"apt-get install {package}")


def _nft(root: Path) -> Iterator[Finding]:
    if os.geteuid() != 0:
        return
    script = b"add table ip sampan-doctor\nadd chain ip sampan-doctor c { type nat hook output priority -100; }\n"
    try:
        run_now(["nft", "--check", "-f", "-"], script)
        yield Finding(OK, "nftables with NAT works")
    except SampanError as error:
        yield Finding(FAIL, f"nftables refuses NAT: {error}", "modprobe nf_tables nft_chain_nat")


def _cgroups(root: Path) -> Iterator[Finding]:
    if Path("/sys/fs/cgroup/cgroup.controllers").exists():
        have = Path("/sys/fs/cgroup/cgroup.controllers").read_text().split()
        version = 2
    else:
        have = [p.name for p in Path("/sys/fs/cgroup").glob("*") if p.is_dir()]
        version = 1
    missing = [c for c in ("cpu", "memory", "pids") if c not in have]
    if missing:
        text = f"cgroup v{version} lacks {', '.join(missing)}: those limits will not be enforced"
        yield Finding(WARN, text, "boot with cgroup_enable=memory" if "memory" in missing else "")
    else:
        yield Finding(OK, f"cgroup v{version} with cpu, memory and pids")


def _ports(root: Path) -> Iterator[Finding]:
    clusters = [c for name in names(root) if (c := load(name, root)) and running(c)]
    for cluster in clusters:
        yield Finding(OK, f"cluster {cluster.name} is up, API at {cluster.url}")
    if not clusters:
        with socket.socket() as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                sock.bind(("127.0.0.1", API_PORT))
                yield Finding(OK, f"port {API_PORT} is free for the API")
            except OSError:
                yield Finding(WARN, f"port {API_PORT} is taken: a new cluster takes the next free one")
    low, high = map(int, Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split())
    if low <= NODE_PORTS[1] and high >= NODE_PORTS[0]:
        yield Finding(
            WARN,
            f"outgoing connections use ports {low}-{high}, which meet the node ports {NODE_PORTS[0]}-{NODE_PORTS[1]}",
            "sysctl net.ipv4.ip_local_port_range='32768 60999'",
        )


def _leftovers(root: Path) -> Iterator[Finding]:
    found = False
    for directory in sorted(DEFAULT_RUN.glob("*")):
        cluster = load(directory.name, root)
        if cluster is None:
            yield Finding(WARN, f"{directory} belongs to a cluster of another state directory")
            found = True
        elif not running(cluster):
            found = True
            text = f"cluster {cluster.name} was not taken down: its pods, networks or mounts are still here"
            yield Finding(WARN, text, f"sampan up --cluster {cluster.name}   or: sampan down --cluster {cluster.name}")
    if not found:
        yield Finding(OK, "nothing is left over from earlier runs")


def _fails(command: list[str]) -> bool:
    try:
        run_now(command)
    except SampanError:
        return True
    return False


# In the order a newcomer meets the problems.
CHECKS: dict[str, Callable[[Path], Iterator[Finding]]] = {
    "privileges": _root,
    "kernel": _kernel,
    "programs": _programs,
    "nftables": _nft,
    "cgroups": _cgroups,
    "ports": _ports,
    "leftovers": _leftovers,
}
