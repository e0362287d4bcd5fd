"""What a cluster is on disk: decided at the first `up`, read by every process afterwards."""

from __future__ import annotations

import json
import os
import re
import secrets
import socket
from collections.abc import Container
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sampan.app import claims
from sampan.app.claims import Claim, Pair
from sampan.base import fs
from sampan.base.errors import UserError
from sampan.node.network import NetworkPlan, choose_plan
from sampan.node.network.plan import INDEXES

DEFAULT_STATE = Path("/var/lib/sampan")
DEFAULT_RUN = Path("/run/sampan")
DEFAULT_CLUSTER = "default"
DOMAIN = "cluster.local"
API_PORT = 6443
NODE_PORTS = (30000, 32767)
MAX_NODES = 100
HISTORY_SECONDS = 86400.0
HISTORY_BYTES = 256 * 1024 * 1024
PROXY_LEAF = "gateway"  # in the cluster's pki: the proxies' client certificate
PROXY_USER = "sampan:proxy:sampan-system/gateway"  # … and whom it names: their kind
# (seconds, bytes) of history asked for, None where nothing is
Wanted = tuple[float | None, int | None]

_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?")


def state_root(given: Path | None = None) -> Path:
    """--state, else $SAMPAN_STATE, else /var/lib/sampan."""
    return (given or Path(os.environ.get("SAMPAN_STATE") or DEFAULT_STATE)).absolute()


@dataclass(frozen=True)
class Cluster:
    """One cluster. `root` is the state root that clusters share, `directory` this cluster's own part of it.

    `history`: seconds, and bytes on disk, for which past writes are kept; the first that is reached counts.
    `chosen_ports`: see `edge_ports`, None for a cluster of a version that had no gateway, until its next `up`.
    """

    name: str
    root: Path
    plan: NetworkPlan
    api_port: int
    history: tuple[float, int] = (HISTORY_SECONDS, HISTORY_BYTES)
    chosen_ports: Pair | None = None

    @property
    def directory(self) -> Path:
        return self.root / "clusters" / self.name

    @property
    def pki(self) -> Path:
        return self.directory / "pki"

    @property
    def kubeconfig(self) -> Path:
        return self.directory / "kubeconfig"

    @property
    def store(self) -> Path:
        return self.directory / "store.db"

    @property
    def logs(self) -> Path:
        """Log files of sampan's own processes."""
        return self.directory / "logs"

    @property
    def snapshots(self) -> Path:
        """The last configuration of each kind of proxy, keys included: 0700."""
        return self.directory / "xds"

    @property
    def images(self) -> Path:
        return self.root / "images"

    @property
    def edge_ports(self) -> Pair:
        """The host's ports for the default gateway, HTTP and HTTPS; 0 is none."""
        return self.chosen_ports or (0, 0)

    @property
    def run(self) -> Path:
        return self.plan.run

    @property
    def claim(self) -> Claim:
        return Claim(self.plan.index, self.api_port, self.edge_ports)

    @property
    def token(self) -> str:
        """The administrator's bearer token."""
        return (self.pki / "token").read_text().strip()

    @property
    def url(self) -> str:
        """Where the API is for programs of the host."""
        return f"https://127.0.0.1:{self.api_port}"

    @property
    def lan_url(self) -> str:
        """Where the API is for nodes and pods."""
        return f"https://{self.plan.host_ip}:{self.api_port}"

    def node_dir(self, node: str) -> Path:
        return self.directory / "nodes" / node

    def node_run(self, node: str) -> Path:
        return self.run / "nodes" / node

    def agent_socket(self, node: str) -> Path:
        return self.node_run(node) / "agent.sock"

    @property
    def server_socket(self) -> Path:
        """Where the server process answers those of sampan's own processes."""
        return self.run / "server.sock"

    def save(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        self.directory.chmod(0o711)
        content = {
            "index": self.plan.index,
            "nodes": list(self.plan.nodes),
            "apiPort": self.api_port,
            "historySeconds": self.history[0],
            "historyBytes": self.history[1],
        }
        if self.chosen_ports:
            content["edgePorts"] = list(self.chosen_ports)
        for file in ("cluster.json", "cluster.json.bak"):  # the second is for people who damaged the first
            fs.write_atomic(self.directory / file, json.dumps(content, indent=2).encode() + b"\n")
        self.pki.mkdir(mode=0o700, exist_ok=True)
        if not (self.pki / "token").exists():
            fs.write_atomic(self.pki / "token", secrets.token_urlsafe(32).encode(), 0o600)


def load(name: str, root: Path) -> Cluster | None:
    """The cluster as it was saved, None when there is none. Raises UserError when the file is damaged or unreadable."""
    path = root / "clusters" / name / "cluster.json"
    try:
        return _parse(name, root, json.loads(path.read_bytes()))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}", "sudo sampan …") from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        copy = path.with_suffix(".json.bak")
        raise UserError(f"{path} is damaged: {error!r}", f"cp {copy} {path}") from None


def _parse(name: str, root: Path, content: dict[str, Any]) -> Cluster:
    """Raises ValueError, KeyError or TypeError for what `save` did not write."""
    index, nodes, port = content["index"], tuple(content["nodes"]), content["apiPort"]
    if index not in INDEXES or not 0 < port < 65536 or nodes != _node_names(len(nodes)) or not nodes:
        raise ValueError("its index, nodes or apiPort cannot be")
    history = float(content.get("historySeconds", HISTORY_SECONDS)), int(content.get("historyBytes", HISTORY_BYTES))
    ports = _edge_ports(*content["edgePorts"]) if "edgePorts" in content else None
    return Cluster(name, root, NetworkPlan(name, index, nodes, DEFAULT_RUN / name), port, history, ports)


def _edge_ports(http: int, https: int) -> Pair:
    if not all(0 <= port < 65536 for port in (http, https)):
        raise ValueError("its edgePorts cannot be")
    return http, https


def load_or_fail(name: str, root: Path) -> Cluster:
    cluster = load(name, root)
    if cluster is None:
        others = names(root)
        hint = f"sampan up --cluster {name}" + (f"   (there is: {', '.join(others)})" if others else "")
        raise UserError(f'there is no cluster "{name}" in {root}', hint)
    return cluster


def names(root: Path) -> list[str]:
    """The clusters of this state root."""
    return sorted(p.parent.name for p in root.glob("clusters/*/cluster.json"))


def decide(name: str, root: Path, nodes: int | None, history: Wanted = (None, None)) -> Cluster:
    """The cluster to bring up: the saved one (perhaps with more nodes), or a new one on free networks and ports.

    `history`: see `Cluster`, None is as before. Raises UserError.
    """
    if not _NAME.fullmatch(name):
        raise UserError(
            f'"{name}" cannot be a cluster name: lower case letters, digits and "-", at most 32',
            "sampan up --cluster my-cluster",
        )
    if nodes is not None and not 1 <= nodes <= MAX_NODES:
        raise UserError(f"a cluster has 1 to {MAX_NODES} nodes, not {nodes}", "sampan up --nodes 3")
    saved = load(name, root)
    if saved is not None:
        have = len(saved.plan.nodes)
        if nodes is not None and nodes < have:
            raise UserError(
                f'cluster "{name}" has {have} nodes; nodes cannot be taken away',
                f"sampan down --cluster {name} --delete   (deletes its objects too)",
            )
        kept = history[0] or saved.history[0], history[1] or saved.history[1]
        return replace(saved, plan=replace(saved.plan, nodes=_node_names(nodes or have)), history=kept)
    others = list(claims.others(DEFAULT_RUN / name))
    taken = [other.plan.index for n in names(root) if (other := _healthy(n, root))]
    plan = choose_plan(name, _node_names(nodes or 1), [*taken, *(other.index for other in others)], DEFAULT_RUN)
    kept = history[0] or HISTORY_SECONDS, history[1] or HISTORY_BYTES
    return Cluster(name, root, plan, _free_port(API_PORT + plan.index, {other.api for other in others}), kept)


def _healthy(name: str, root: Path) -> Cluster | None:
    """Another cluster: that its file is damaged is no reason not to start this one."""
    try:
        return load(name, root)
    except UserError:
        return None


def _node_names(count: int) -> tuple[str, ...]:
    return tuple(f"node-{k}" for k in range(count))


def _free_port(first: int, taken: Container[int]) -> int:
    """The first TCP port from `first` on that nobody listens on, nor will in a moment."""
    for port in range(first, first + 200):
        if port in taken:
            continue
        with socket.socket() as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                sock.bind(("0.0.0.0", port))
            except OSError:
                continue
            return port
    raise UserError(f"no free port for the API between {first} and {first + 199}", "ss -ltn")
