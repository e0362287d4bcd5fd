"""A cluster's network in a namespace of our own that plays the host, with pods as the runtime makes them."""

from __future__ import annotations

import os
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from sampan.api.meta import Obj
from sampan.base.netns import CLONE_NEWNET, inside, pin, setns, unpin, unshare
from sampan.node.network import POD_BRIDGE, NetworkPlan, ensure_cluster_network, remove_cluster_network
from sampan.serviceproxy.model import NodeFacts

VIP = "10.97.0.50"


class Lab:
    """Nodes a (k=0) and b. Servers are threads whose sockets live in a pod; each answers "<own ip> <peer ip>"."""

    def __init__(self, run: Path) -> None:
        self.plan = NetworkPlan("spt-proxy", 1, ("a", "b"), run)
        self._stack = ExitStack()

    def facts(self, node: str) -> NodeFacts:
        plan = self.plan
        pods = plan.node_pod_cidr(node)
        return NodeFacts(node, plan.node_ip(node), pods, plan.pod_cidr, plan.service_cidr, plan.lb_cidr)

    def node(self, name: str) -> Path:
        return self.plan.node_netns(name)

    def nft(self, node: str, text: str) -> None:
        with inside(self.node(node)):
            done = subprocess.run(["nft", "-f", "-"], input=text.encode(), capture_output=True, check=False)
        assert done.returncode == 0, done.stderr.decode()[:2000]

    def ip(self, node: str, last: int) -> str:
        return self.plan.node_gateway(node)[:-1] + str(last)

    def pod(self, node: str, last: int) -> Path:
        """A pod's namespace: /32 on eth0, default route through the bridge, bridge port isolated."""
        ip, gateway = self.ip(node, last), self.plan.node_gateway(node)
        path = self.plan.run / f"pod-{ip}.net"
        with new_netns():
            pin("net", path, "thread-self")
            sh("sysctl -qw net.ipv4.tcp_timestamps=2; ip link set lo up")
        self._stack.callback(unpin, path)
        with inside(self.node(node)):
            sh(f"ip link add p{last} type veth peer name eth0 netns {path}")
            sh(f"ip link set p{last} master {POD_BRIDGE} up; bridge link set dev p{last} isolated on")
        with inside(path):
            sh(f"ip addr add {ip}/32 dev eth0; ip link set eth0 up")
            sh(f"ip route add {gateway} dev eth0; ip route add default via {gateway} dev eth0")
        return path

    def machine(self) -> Path:
        """A second machine at 198.51.100.2 whose default route is the host (198.51.100.1)."""
        path = self.plan.run / "machine.net"
        with new_netns():
            pin("net", path, "thread-self")
        self._stack.callback(unpin, path)
        sh(f"ip link add spt-out type veth peer name eth0 netns {path}")
        sh("ip addr add 198.51.100.1/24 dev spt-out; ip link set spt-out up")
        with inside(path):
            sh("ip addr add 198.51.100.2/24 dev eth0; ip link set eth0 up; ip route add default via 198.51.100.1")
        return path

    def tcp(self, netns: Path, ip: str, port: int = 80) -> socket.socket:
        with inside(netns):
            listener = socket.create_server((ip, port), backlog=512)
        self._stack.callback(listener.close)
        self._stack.callback(listener.shutdown, socket.SHUT_RDWR)
        threading.Thread(target=_serve_tcp, args=(listener,), daemon=True).start()
        return listener

    def udp(self, netns: Path, ip: str, port: int = 53) -> None:
        with inside(netns):
            server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            server.bind((ip, port))
        self._stack.callback(server.close)
        threading.Thread(target=_serve_udp, args=(server, ip), daemon=True).start()

    def close(self) -> None:
        self._stack.close()


@contextmanager
def lab(run: Path) -> Iterator[Lab]:
    """The lab; the calling thread is in its host's namespace. Leaves nothing behind."""
    with new_netns():
        sh("ip link set lo up")
        made = Lab(run)
        try:
            ensure_cluster_network(made.plan)
            yield made
        finally:
            made.close()
            remove_cluster_network(made.plan)


@contextmanager
def new_netns() -> Iterator[None]:
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    unshare(CLONE_NEWNET)
    try:
        yield
    finally:
        setns(home, CLONE_NEWNET)
        os.close(home)


def connect(netns: Path | str, address: tuple[str, int], seconds: float = 2) -> socket.socket:
    with inside(netns):
        client = socket.socket()
    client.settimeout(seconds)
    try:
        client.connect(address)
    except OSError:
        client.close()
        raise
    return client


def ask(netns: Path | str, ip: str, port: int = 80) -> tuple[str, str]:
    """(who answered, whom it saw as the client)."""
    with connect(netns, (ip, port)) as client:
        client.sendall(b"?")
        server, _, peer = client.recv(99).decode().partition(" ")
    return server, peer


def service(name: str = "web", **spec: object) -> Obj:
    """A ClusterIP Service at VIP with port 80; keyword arguments overwrite fields of its spec."""
    base = {"type": "ClusterIP", "clusterIP": VIP, "clusterIPs": [VIP], "ports": [{"port": 80, "protocol": "TCP"}]}
    return {"kind": "Service", "metadata": {"name": name, "namespace": "default"}, "spec": base | spec}


def endpoint_slice(
    addresses: dict[str, str], name: str = "web", port: int = 80, protocol: str = "TCP", **conditions: bool
) -> Obj:
    """`addresses`: ip → node."""
    return {
        "kind": "EndpointSlice",
        "metadata": {"name": f"{name}-x", "namespace": "default", "labels": {"kubernetes.io/service-name": name}},
        "addressType": "IPv4",
        "ports": [{"name": "", "port": port, "protocol": protocol}],
        "endpoints": [
            {"addresses": [ip], "nodeName": node, "conditions": {"ready": True} | conditions}
            for ip, node in addresses.items()
        ],
    }


def sh(command: str) -> None:
    subprocess.run(command, shell=True, check=True, capture_output=True)


def _serve_tcp(listener: socket.socket) -> None:
    while True:
        try:
            connection, peer = listener.accept()
        except OSError:
            return
        threading.Thread(target=_answer, args=(connection, peer[0]), daemon=True).start()


def _answer(connection: socket.socket, peer: str) -> None:
    with connection:
        own = connection.getsockname()[0]
        try:
            while connection.recv(99):
                connection.sendall(f"{own} {peer}".encode())
        except OSError:
            return


def _serve_udp(server: socket.socket, ip: str) -> None:
    while True:
        try:
            _, peer = server.recvfrom(99)
            server.sendto(f"{ip} {peer[0]}".encode(), peer)
        except OSError:
            return
