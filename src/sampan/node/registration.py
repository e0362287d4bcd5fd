"""The node's own Node object and Lease.

Source: https://kubernetes.io/docs/reference/node/node-status/ (a Lease every 10 s, the status every 5 min or on change)
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sampan.api import meta
from sampan.api.meta import Key, Obj
from sampan.api.status import ApiError
from sampan.base import log
from sampan.base.clock import Clock, either
from sampan.base.errors import SampanError
from sampan.client.informer import Informer
from sampan.client.types import Client
from sampan.node.machine import Machine

_log = log.get("node")
LEASES, LEASE_NAMESPACE = "leases.coordination.k8s.io", "kube-node-lease"
LEASE_SECONDS, RENEW_SECONDS, STATUS_SECONDS = 40, 10.0, 300.0
FIRST_RETRY, LAST_RETRY = 0.05, 5.0

# type → (status, reason, message)
_CONDITIONS = {
    "MemoryPressure": ("False", "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
    "DiskPressure": ("False", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
    "PIDPressure": ("False", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
    "Ready": ("True", "KubeletReady", "kubelet is posting ready status"),
}


@dataclass(frozen=True)
class Identity:
    """What makes this node: `version` is shown as kubeletVersion; `labels` are put beside the usual ones."""

    name: str
    ip: str
    pod_cidr: str
    version: str
    labels: Mapping[str, str] = field(default_factory=dict)
    max_pods: int = 110


def capacity(machine: Machine, max_pods: int) -> dict[str, str]:
    return {
        "cpu": str(machine.cpus),
        "memory": f"{machine.memory >> 10}Ki",
        "ephemeral-storage": f"{machine.disk >> 10}Ki",
        "pods": str(max_pods),
        "hugepages-1Gi": "0",
        "hugepages-2Mi": "0",
    }


def node_object(identity: Identity, machine: Machine) -> Obj:
    """The Node without its status."""
    labels = {
        "kubernetes.io/hostname": identity.name,
        "kubernetes.io/os": "linux",
        "kubernetes.io/arch": machine.architecture,
        "beta.kubernetes.io/os": "linux",
        "beta.kubernetes.io/arch": machine.architecture,
    }
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": identity.name, "labels": labels | dict(identity.labels)},
        "spec": {"podCIDR": identity.pod_cidr, "podCIDRs": [identity.pod_cidr]},
    }


def node_status(identity: Identity, machine: Machine, old: Obj, now: datetime) -> Obj:
    """The Node's status; `old` is the present one, whose transition times are kept."""
    moment = meta.timestamp(now)
    before = {c["type"]: c for c in old.get("conditions") or ()}
    conditions = []
    for kind, (status, reason, message) in _CONDITIONS.items():
        same = before.get(kind, {}).get("status") == status
        conditions.append(
            {
                "type": kind,
                "status": status,
                "lastHeartbeatTime": moment,
                "lastTransitionTime": before[kind]["lastTransitionTime"] if same else moment,
                "reason": reason,
                "message": message,
            }
        )
    room = capacity(machine, identity.max_pods)
    return {
        "capacity": room,
        "allocatable": room,
        "conditions": conditions,
        "addresses": [{"type": "InternalIP", "address": identity.ip}, {"type": "Hostname", "address": identity.name}],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": 0}},
        "nodeInfo": {
            "machineID": machine.machine_id,
            "systemUUID": machine.machine_id,
            "bootID": machine.boot_id,
            "kernelVersion": machine.kernel,
            "osImage": machine.os_image,
            "containerRuntimeVersion": f"sampan://{identity.version.lstrip('v')}",
            "kubeletVersion": identity.version,
            "kubeProxyVersion": identity.version,
            "operatingSystem": "linux",
            "architecture": machine.architecture,
        },
    }


class Registration:
    """Keeps the Node and its Lease true: `run()` for ever; `registered` is set once the API has both."""

    def __init__(self, identity: Identity, machine: Machine, client: Client, clock: Clock) -> None:
        self.registered = asyncio.Event()
        self._identity = identity
        self._machine = machine
        self._client = client
        self._clock = clock
        self._node = Informer(client, "nodes", clock=clock, fields=f"metadata.name={identity.name}")
        self._status_at = float("-inf")
        self._doubted = asyncio.Event()
        self._node.add_handler(self._seen)

    async def watch(self) -> None:
        """Follow our own Node: somebody who declares it not ready, or deletes it, is answered at once."""
        await self._node.run()

    async def run(self) -> None:
        retry = FIRST_RETRY
        while True:
            try:
                if not self.registered.is_set() or self._doubted.is_set():
                    await self._register()
                if self._clock.monotonic() - self._status_at >= STATUS_SECONDS or self._doubted.is_set():
                    await self._post_status()
                await self._renew()
                self.registered.set()
                retry = FIRST_RETRY
                await either(self._clock, self._doubted, RENEW_SECONDS)
            except (SampanError, OSError) as error:
                level = logging.WARNING if retry == FIRST_RETRY else logging.DEBUG
                _log.log(level, "node %s cannot write its Node or Lease: %s", self._identity.name, error)
                await self._clock.sleep(retry)
                retry = min(retry * 2, LAST_RETRY)

    def _seen(self, old: Obj | None, new: Obj | None) -> None:
        if self.registered.is_set() and (new is None or not meta.is_true(new, "Ready")):
            self._doubted.set()

    async def _register(self) -> None:
        wanted = node_object(self._identity, self._machine)
        try:
            await self._client.create("nodes", wanted)
        except ApiError as error:
            if error.reason != "AlreadyExists":
                raise
            change = {"metadata": {"labels": wanted["metadata"]["labels"]}}
            await self._client.patch("nodes", self._identity.name, "", change)
        self._status_at = float("-inf")

    async def _post_status(self) -> None:
        self._doubted.clear()
        node = self._node.get(Key("", self._identity.name)) or await self._client.get("nodes", self._identity.name)
        status = node_status(self._identity, self._machine, node.get("status") or {}, self._clock.now())
        await self._client.patch("nodes", self._identity.name, "", {"status": status}, subresource="status")
        self._status_at = self._clock.monotonic()

    async def _renew(self) -> None:
        name = self._identity.name
        renewed = {"renewTime": meta.microtime(self._clock.now())}
        try:
            await self._client.patch(LEASES, name, LEASE_NAMESPACE, {"spec": renewed})
        except ApiError as error:
            if error.code != 404:
                raise
            node = await self._client.get("nodes", name)
            spec: dict[str, Any] = {"holderIdentity": name, "leaseDurationSeconds": LEASE_SECONDS} | renewed
            owner = meta.owner_reference({"apiVersion": "v1", "kind": "Node"} | node)
            owner = {k: v for k, v in owner.items() if k not in ("controller", "blockOwnerDeletion")}
            metadata = {"name": name, "namespace": LEASE_NAMESPACE, "ownerReferences": [owner]}
            lease = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": spec}
            await self._client.create(LEASES, lease)
