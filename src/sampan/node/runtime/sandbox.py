"""A pod's namespaces, its veth and address, and its own files in /etc. Blocking functions, a few milliseconds each.

`create` leaves its thread in foreign namespaces: run it in a thread that ends afterwards (`in_fresh_thread`).
"""

from __future__ import annotations

import asyncio
import os
import shutil
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from sampan.base.errors import SampanError
from sampan.base.netns import CLONE_NEWIPC, CLONE_NEWNET, CLONE_NEWUTS, libc, pin, unpin, unshare
from sampan.node.runtime.netlink import Netlink
from sampan.node.runtime.paths import PINS, Paths
from sampan.node.runtime.records import save
from sampan.node.runtime.types import SandboxSpec

SYSCTLS = (
    ("net.ipv4.ip_unprivileged_port_start", "0"),
    ("net.ipv4.ping_group_range", "0 2147483647"),
    # A pod may reach another directly and through a ClusterIP: with a timestamp offset for each pair of addresses the
    # second connection would look like an old one (PAWS) and stall.
    ("net.ipv4.tcp_timestamps", "2"),
)


@dataclass(frozen=True)
class Uplink:
    """The node's side: pods hang on `bridge` and route through `gateway`, its address."""

    bridge: str
    gateway: str


async def in_fresh_thread(work: Callable[[], None]) -> None:
    """Run `work` in a thread of its own, which starts in the caller's namespaces and ends with them changed."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[None] = loop.create_future()

    def finish(error: BaseException | None) -> None:
        if done.cancelled():
            return
        if error is None:
            done.set_result(None)
        else:
            done.set_exception(error)

    def body() -> None:
        error: BaseException | None = None
        try:
            work()
        except BaseException as raised:
            error = raised
        loop.call_soon_threadsafe(finish, error)

    threading.Thread(target=body, name="sandbox", daemon=True).start()
    await done


def create(paths: Paths, uplink: Uplink, spec: SandboxSpec) -> None:
    """Make everything of a sandbox but its cgroup; it exists once its file is written. Raises SampanError."""
    step = "write its files"
    try:
        paths.pod(spec.uid).mkdir(parents=True, exist_ok=True)
        write_files(paths, spec.uid, spec.hosts, spec.resolv_conf)
        paths.etc(spec.uid)["/etc/hostname"].write_text(f"{spec.hostname}\n")
        step = "make its namespaces"
        if spec.host_network:
            _pin(paths, spec.uid, "net")
        if spec.host_ipc:
            _pin(paths, spec.uid, "ipc")
        with Netlink() as node:
            own = (CLONE_NEWNET, not spec.host_network), (CLONE_NEWIPC, not spec.host_ipc)
            unshare(CLONE_NEWUTS | sum(flag for flag, wanted in own if wanted))
            name = spec.hostname.encode()
            libc.sethostname(name, len(name))
            _pin(paths, spec.uid, "uts")
            if not spec.host_ipc:
                _pin(paths, spec.uid, "ipc")
            if not spec.host_network:
                _pin(paths, spec.uid, "net")
                step = "connect it to the node's network"
                _connect(node, uplink, spec)
        step = "set its sysctls"
        for key, value in (*(() if spec.host_network else SYSCTLS), *spec.sysctls):
            _sysctl(key, value)
        save(paths.sandbox(spec.uid), asdict(spec))
    except OSError as error:
        raise SampanError(f"failed to create pod sandbox: cannot {step}: {error.strerror or error}") from error


def write_files(paths: Paths, uid: str, hosts: str, resolv_conf: str) -> None:
    """In place: containers have these very files mounted."""
    files = paths.etc(uid)
    for target, text in (("/etc/hosts", hosts), ("/etc/resolv.conf", resolv_conf)):
        if not files[target].exists() or files[target].read_text() != text:
            files[target].write_text(text)


def remove(paths: Paths, uid: str) -> None:
    """Undo `create` as far as it came, in the node's network namespace; the pod's processes have ended. Idempotent."""
    paths.sandbox(uid).unlink(missing_ok=True)
    with Netlink() as node:
        node.delete(veth_name(uid))
    for kind in PINS:
        unpin(paths.pin(uid, kind))
    for file in paths.etc(uid).values():
        file.unlink(missing_ok=True)
    shutil.rmtree(paths.pod(uid) / "layers", ignore_errors=True)


def veth_name(uid: str) -> str:
    """The node's end of a pod's veth: `v` and ten hex digits of the uid."""
    return "v" + uid.replace("-", "")[:10]


def _pin(paths: Paths, uid: str, kind: str) -> None:
    unpin(paths.pin(uid, kind))  # left by an attempt that failed half-way
    pin(kind, paths.pin(uid, kind), "thread-self")


def _connect(node: Netlink, uplink: Uplink, spec: SandboxSpec) -> None:
    """veth, address and routes. `node` was opened in the node's namespace, this thread is in the pod's."""
    Path("/proc/sys/net/ipv6/conf/default/disable_ipv6").write_text("1")  # eth0 has no IPv6; lo keeps ::1
    bridge, mtu = node.link(uplink.bridge)
    node.delete(veth_name(spec.uid))
    here = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    try:
        node.add_veth(veth_name(spec.uid), "eth0", here, mtu, bridge)
    finally:
        os.close(here)
    port, _ = node.link(veth_name(spec.uid))
    node.isolate(port)
    node.up(port)
    with Netlink() as pod:
        pod.up(1)  # lo is always the first
        eth0, _ = pod.link("eth0")
        pod.add_address(eth0, spec.ip)
        pod.up(eth0)
        pod.add_route(eth0, to=uplink.gateway)
        pod.add_route(eth0, gateway=uplink.gateway)


def _sysctl(key: str, value: str) -> None:
    try:
        Path("/proc/sys", *key.split(".")).write_text(value)
    except OSError as error:
        raise OSError(error.errno, f"sysctl {key}={value}: {error.strerror}") from None
