"""Proxies and load generators of Debian to compare with: downloaded when missing, unpacked beside us, never installed.

Installing would start services on ports that people use. `find` returns the program's path, or None when there is
neither a program nor an apt-get with a network; whoever asks says then which row is left out.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from functools import cache
from pathlib import Path

HOME = Path(__file__).resolve().parent.parent / ".venv/peers"
ROOT = HOME / "root"
PACKAGES = ("nginx", "haproxy", "wrk")
PROGRAMS = {"nginx": "usr/sbin/nginx", "haproxy": "usr/sbin/haproxy", "wrk": "usr/bin/wrk"}


def find(program: str) -> Path | None:
    if installed := shutil.which(program, path=f"{os.environ.get('PATH', '')}:/usr/sbin"):
        return Path(installed)
    unpacked = ROOT / PROGRAMS[program]
    if not unpacked.exists():
        _unpack()
    return unpacked if unpacked.exists() else None


def environment() -> dict[str, str]:
    """For the libraries that came with them."""
    return os.environ | {"LD_LIBRARY_PATH": str(ROOT / "usr/lib" / f"{os.uname().machine}-linux-gnu")}


@cache
def _unpack() -> None:
    """Once a run: without a network it does not get better by trying again."""
    if not shutil.which("apt-get"):
        return
    archives = HOME / "archives"
    (archives / "partial").mkdir(parents=True, exist_ok=True)
    options = ["-y", "-o", f"Dir::Cache::archives={archives}/", "-o", "APT::Sandbox::User=root"]
    install = ["apt-get", *options, "--no-install-recommends", "--download-only", "install", *PACKAGES]
    for command in (install, ["apt-get", "update"], install):
        if subprocess.run(command, capture_output=True, check=False).returncode == 0 and command is install:
            break
    for package in archives.glob("*.deb"):
        subprocess.run(["dpkg-deb", "-x", str(package), str(ROOT)], check=True)
