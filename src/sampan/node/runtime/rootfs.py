"""A container's root: a writable layer over the machine's files, with its own /proc, /dev, /run and mounts.

`enter` runs in the container's first process, in its new mount and PID namespaces. Standard library only.
Sources: the kernel's overlayfs.rst, pivot_root(2); masked paths as the OCI runtimes have them.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from sampan.base.netns import (
    MS_BIND,
    MS_NODEV,
    MS_NOEXEC,
    MS_NOSUID,
    MS_PRIVATE,
    MS_RDONLY,
    MS_REC,
    MS_REMOUNT,
    MS_SLAVE,
    mount,
    pivot_root,
    umount,
)
from sampan.node.runtime.types import Mount

HOST = "/run/.host"  # where the machine's root is while the container's is being built
OWN = ("/proc", "/sys", "/dev", "/run")
ENGINES = ("/snap", "/var/lib/docker", "/var/lib/containerd", "/var/lib/containers", "/var/lib/kubelet")
NOT_FILES = frozenset({"autofs", "nsfs", "overlay", "rpc_pipefs", "nfsd", "proc", "sysfs", "cgroup", "cgroup2", "bpf"})

DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
LINKS = {
    "ptmx": "pts/ptmx",
    "fd": "/proc/self/fd",
    "stdin": "/proc/self/fd/0",
    "stdout": "/proc/self/fd/1",
    "stderr": "/proc/self/fd/2",
    "core": "/proc/kcore",
}
MASKED = (
    "/proc/acpi",
    "/proc/asound",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
)
READ_ONLY = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")


@dataclass(frozen=True)
class Root:
    """`layer` holds what the container writes; `etc` are files by their place; `cgroups` is Cgroups.binds()."""

    staging: Path
    layer: Path
    mounts: tuple[Mount, ...]
    etc: dict[str, Path]
    hide: tuple[str, ...]
    cgroups: list[tuple[str, str]]
    cwd: str = "/"
    privileged: bool = False
    read_only: bool = False


def enter(root: Root) -> None:
    """Build it and make it "/". Raises OSError; FileNotFoundError names a mount's missing source."""
    mount("", "/", flags=MS_REC | MS_SLAVE)
    mounts = [(_source(each), each) for each in sorted(root.mounts, key=lambda each: each.target.count("/"))]
    safe = 0 if root.privileged else MS_NODEV
    places = _overlay_all(root, safe)
    mount("tmpfs", f"{root.staging}/run", "tmpfs", MS_NOSUID | MS_NODEV, "mode=755")
    os.mkdir(f"{root.staging}{HOST}")
    os.chdir(root.staging)
    pivot_root(".", HOST.lstrip("/"))
    os.chdir("/")
    os.mkdir("/run/lock")
    os.chmod("/run/lock", 0o1777)
    _proc_and_sys(root)
    _dev(root.privileged)
    for path in root.hide:
        if os.path.isdir(path):
            mount("tmpfs", path, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=711,size=64k")
    _etc(root)
    for source, each in mounts:
        _bind(source, each, safe)
    if not os.path.isdir(root.cwd):
        os.makedirs(root.cwd)
    if root.read_only:
        for place in places - {each.target.rstrip("/") or "/" for each in root.mounts}:
            mount("", place, flags=MS_REMOUNT | MS_BIND | MS_RDONLY | safe)
    umount(HOST)
    os.rmdir(HOST)


def filesystems(mountinfo: str) -> list[str]:
    """The mount points below "/" whose files a container sees through its layer, parents first."""
    found = set()
    for line in mountinfo.splitlines():
        left, _, right = line.partition(" - ")
        place = left.split()[4].encode().decode("unicode_escape")  # a blank is \040
        if place != "/" and right.split()[0] not in NOT_FILES and not _below(place, (*OWN, *ENGINES)):
            found.add(place)
    return sorted(found)


def _below(path: str, parents: tuple[str, ...]) -> bool:
    return any(path == parent or path.startswith(parent + "/") for parent in parents)


def _overlay_all(root: Root, flags: int) -> set[str]:
    """Mount the layer over "/" and over every file system below it; returns where."""
    layer = _overlay("/", root.staging, root.layer, flags)
    places = {"/"}
    for place in filesystems(Path("/proc/self/mountinfo").read_text()):
        target = Path(f"{root.staging}{place}")
        if _below(str(root.staging), (place,)) or not target.exists():
            continue
        if os.path.isdir(place):
            try:
                _overlay(place, target, layer, flags)
                places.add(place)
                continue
            except OSError:  # a kind of file system that overlayfs does not take: shown, but not writable
                pass
        mount(place, str(target), flags=MS_BIND)
        mount("", str(target), flags=MS_REMOUNT | MS_BIND | MS_RDONLY | flags)
    return places


def _overlay(lower: str, target: Path, layer: Path, flags: int) -> Path:
    """Returns the layer used: a tmpfs of this container's own when the disk's file system cannot be one."""
    try:
        _mount_overlay(lower, target, layer, flags)
    except OSError:
        if lower != "/":
            raise
        layer = target.with_name("upper")
        layer.mkdir(exist_ok=True)
        mount("tmpfs", str(layer), "tmpfs", MS_NOSUID, "mode=711")
        _mount_overlay(lower, target, layer, flags)
    return layer


def _mount_overlay(lower: str, target: Path, layer: Path, flags: int) -> None:
    name = lower.strip("/").replace("/", "-") or "root"
    upper, work = layer / name / "upper", layer / name / "work"
    upper.mkdir(parents=True, exist_ok=True)
    work.mkdir(exist_ok=True)
    info = os.stat(lower)  # the top directory's owner and mode are the upper one's: /tmp must stay 1777
    os.chown(upper, info.st_uid, info.st_gid)
    os.chmod(upper, info.st_mode & 0o7777)
    # volatile: no syncing of a layer that is thrown away
    options = f"lowerdir={_escape(lower)},upperdir={_escape(str(upper))},workdir={_escape(str(work))},volatile"
    mount("overlay", str(target), "overlay", flags, options)


def _escape(path: str) -> str:
    return path.replace("\\", "\\\\").replace(":", "\\:").replace(",", "\\,")


def _proc_and_sys(root: Root) -> None:
    plain = MS_NOSUID | MS_NODEV | MS_NOEXEC
    mount("proc", "/proc", "proc", plain)
    mount("sysfs", "/sys", "sysfs", plain if root.privileged else plain | MS_RDONLY)
    mount("tmpfs", "/sys/fs/cgroup", "tmpfs", plain, "mode=755")
    for source, target in root.cgroups:
        os.makedirs(target, exist_ok=True)
        mount(HOST + source, target, flags=MS_BIND)
        mount("", target, flags=MS_REMOUNT | MS_BIND | MS_RDONLY | plain)
    if root.privileged:
        return
    mount("", "/sys/fs/cgroup", flags=MS_REMOUNT | MS_BIND | MS_RDONLY | plain)
    for path in MASKED:
        if os.path.isdir(path):
            mount("tmpfs", path, "tmpfs", plain | MS_RDONLY, "size=0,mode=555")
        elif os.path.exists(path):
            mount(f"{HOST}/dev/null", path, flags=MS_BIND)
    for path in READ_ONLY:
        if os.path.exists(path):
            mount(path, path, flags=MS_BIND)
            mount("", path, flags=MS_REMOUNT | MS_BIND | MS_RDONLY | plain)


def _dev(privileged: bool) -> None:
    if privileged:
        mount(f"{HOST}/dev", "/dev", flags=MS_BIND)
    else:  # nodev: what a program makes with mknod opens nothing; the nodes that work are the machine's, bound
        mount("tmpfs", "/dev", "tmpfs", MS_NOSUID | MS_NODEV, "mode=755,size=64k")
        for name in DEVICES:
            Path("/dev", name).touch()
            mount(f"{HOST}/dev/{name}", f"/dev/{name}", flags=MS_BIND)
        for name, target in LINKS.items():
            os.symlink(target, f"/dev/{name}")
    for name, kind, options in (
        ("pts", "devpts", "newinstance,ptmxmode=0666,mode=0620,gid=5"),
        ("shm", "tmpfs", "mode=1777,size=64m"),
        ("mqueue", "mqueue", ""),
    ):
        if not privileged:
            os.mkdir(f"/dev/{name}")
        if os.path.isdir(f"/dev/{name}"):
            mount(kind, f"/dev/{name}", kind, MS_NOSUID | MS_NOEXEC, options)


def _etc(root: Root) -> None:
    for target, source in root.etc.items():
        if os.path.islink(target):  # resolv.conf is often a link into /run, which is not the machine's here
            os.unlink(target)
        _ensure(target, directory=False)
        mount(f"{HOST}{source}", target, flags=MS_BIND)


def _source(each: Mount) -> str:
    """Links are followed on the machine, before the container's root is "/"."""
    if each.propagation == "Bidirectional":
        raise OSError(f'mount at "{each.target}": mountPropagation Bidirectional is not supported, use HostToContainer')
    path = os.path.realpath(each.source)
    if not os.path.exists(path):
        raise FileNotFoundError(f'mount at "{each.target}": the source "{each.source}" does not exist')
    return path


def _bind(source: str, each: Mount, safe: int) -> None:
    target = _ensure(each.target, directory=os.path.isdir(HOST + source))
    mount(HOST + source, target, flags=MS_BIND | MS_REC)
    if each.propagation != "HostToContainer":
        mount("", target, flags=MS_PRIVATE | MS_REC)
    flags = safe | (MS_RDONLY if each.read_only else 0)
    if flags:
        mount("", target, flags=MS_REMOUNT | MS_BIND | flags)


def _ensure(target: str, *, directory: bool) -> str:
    """Make a place to mount on, in the layer; returns it with its links followed."""
    path = os.path.realpath(target)
    os.makedirs(path if directory else os.path.dirname(path), exist_ok=True)
    if not directory and not os.path.exists(path):
        Path(path).touch()
    return path
