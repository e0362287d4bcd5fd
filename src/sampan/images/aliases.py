"""Well-known images that are the machine's own shell and tools.

What people take busybox, alpine or netshoot for (a shell, curl, nslookup) is on the machine already.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from fnmatch import fnmatchcase
from pathlib import Path

from sampan.images import names
from sampan.images.registry import Registry
from sampan.images.types import DEFAULT_PATH, ImageConfig, Images, Resolver

HOST = "host"

# Like the image's own entry point: a first word that is no program is an argument of curl.
_CURL = ("sh", "-c", 'command -v -- "$1" >/dev/null 2>&1 || set -- curl "$@"; exec "$@"', "curl")

# Pattern → (entrypoint, cmd). A pattern with a colon is matched against NAME:TAG, else against NAME.
DEFAULTS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "busybox": ((), ("sh",)),
    "alpine": ((), ("/bin/sh",)),
    "debian": ((), ("bash",)),
    "ubuntu": ((), ("/bin/bash",)),
    "bash": ((), ("bash",)),
    "odise/busybox-curl": ((), ("/bin/sh",)),
    "radial/busyboxplus": ((), ("/bin/sh",)),
    "yauritux/busybox-curl": ((), ("/bin/sh",)),
    "nicolaka/netshoot": ((), ("sh",)),
    "tutum/dnsutils": ((), ("bash",)),
    "registry.k8s.io/e2e-test-images/jessie-dnsutils": ((), ("sleep", "infinity")),
    "registry.k8s.io/e2e-test-images/agnhost": ((), ("sleep", "infinity")),
    "curlimages/curl": (_CURL, ("--help",)),
    "quay.io/curl/curl": (_CURL, ("--help",)),
    "registry.k8s.io/pause": (("sleep",), ("infinity",)),
    "gcr.io/google_containers/pause*": (("sleep",), ("infinity",)),
    "python": ((), ("python3",)),
    "sampan.io/envoy": ((sys.executable, "-m", "sampan.xds.launcher"), ()),  # the gateway's pods
}


class Aliases:
    """Aliases of the registry's file (the newest match first), then DEFAULTS.

    `tools` is a directory put at the end of PATH (`make_tools`); `images` resolves targets that are names.
    """

    def __init__(self, registry: Registry, tools: Path, images: Resolver) -> None:
        self._registry = registry
        self._tools = tools
        self._images = images

    def find(self, name: str) -> ImageConfig | None:
        parsed = names.parse(name)
        for pattern, target in reversed(self._registry.aliases().items()):
            if _matches(pattern, parsed):
                return self._target(parsed, target)
        for pattern, (entrypoint, cmd) in DEFAULTS.items():
            if _matches(pattern, parsed):
                return self._host(str(parsed), entrypoint, cmd)
        return None

    def _target(self, name: names.Name, target: str) -> ImageConfig | None:
        if target == HOST:
            return self._host(str(name), (), ("sh",))
        return self._images.find(target)

    def _host(self, name: str, entrypoint: tuple[str, ...], cmd: tuple[str, ...]) -> ImageConfig:
        path = f"{DEFAULT_PATH}:{self._tools}"
        digest = hashlib.sha256("\0".join((name, path, *entrypoint, "", *cmd)).encode()).hexdigest()
        return ImageConfig(
            name=name,
            id=f"sha256:{digest}",
            source="alias of this machine's shell and tools",
            entrypoint=entrypoint,
            cmd=cmd,
            env=(("PATH", path),),
        )


def _matches(pattern: str, name: names.Name) -> bool:
    if ":" in pattern:
        return fnmatchcase(f"{name.repository}:{name.tag or 'latest'}", pattern)
    return fnmatchcase(name.repository, pattern)


def make_tools(directory: Path, busybox: str = "/bin/busybox") -> None:
    """Fill `directory` with links for tools a bare machine lacks: busybox's applets, `python`. Links are kept."""
    directory.mkdir(parents=True, exist_ok=True, mode=0o755)
    links: dict[str, str] = {}
    if os.access(busybox, os.X_OK):
        applets = subprocess.run([busybox, "--list"], capture_output=True, text=True, check=False).stdout.split()
        links = dict.fromkeys(applets, busybox)
    if python := shutil.which("python3", path=DEFAULT_PATH):
        links["python"] = python
    present = set(os.listdir(directory))
    for name, target in links.items():
        if name not in present:
            try:
                os.symlink(target, directory / name)
            except FileExistsError:
                continue  # another agent of this machine was faster


def machine_images(directory: Path) -> Images:
    """All the images of this machine; `directory` is STATE/images (the composition root calls `make_tools` first)."""
    registry = Registry(directory)
    return Images([registry, Aliases(registry, directory / "tools", registry)], registry.version)
