"""Where the runtime of one node keeps things. Standard library only."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

PINS = ("net", "uts", "ipc", "pid")


@dataclass(frozen=True)
class Paths:
    """`run` is gone after a reboot, `state` is not. `cluster_run` and `cluster_state` are hidden from pods."""

    run: Path
    state: Path

    @property
    def socket(self) -> Path:
        return self.run / "spawner.sock"

    @property
    def lock(self) -> Path:
        """Held by the living spawner; holds its pid."""
        return self.run / "spawner.lock"

    @property
    def staging(self) -> Path:
        """An empty directory: each container mounts its root here, in its own mount namespace."""
        return self.run / "root"

    def sandbox(self, uid: str) -> Path:
        return self.run / "sandboxes" / f"{uid}.json"

    def pin(self, uid: str, kind: str) -> Path:
        return self.run / "ns" / f"{uid}.{kind}"

    def fifo(self, container_id: str, stream: str) -> Path:
        return self.run / "io" / f"{container_id}.{stream}"

    def pod(self, uid: str) -> Path:
        return self.state / "pods" / uid

    def record(self, uid: str, name: str, attempt: int) -> Path:
        return self.pod(uid) / "containers" / f"{name}.{attempt}.json"

    def layer(self, uid: str, name: str, attempt: int) -> Path:
        return self.pod(uid) / "layers" / f"{name}.{attempt}"

    def etc(self, uid: str) -> dict[str, Path]:
        """The pod's own files, by their path in its containers."""
        pod = self.pod(uid)
        return {
            "/etc/hosts": pod / "etc-hosts",
            "/etc/resolv.conf": pod / "resolv.conf",
            "/etc/hostname": pod / "hostname",
        }
