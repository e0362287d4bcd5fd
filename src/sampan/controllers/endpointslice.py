"""EndpointSlices of Services with a selector.

Source: https://kubernetes.io/docs/concepts/services-networking/endpoint-slices/
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from sampan.api import meta
from sampan.api.meta import Key, Obj
from sampan.client.env import After, Cache, Controller, Env
from sampan.controllers import service_endpoints as endpoints
from sampan.controllers import slices
from sampan.controllers.keys import no_key, own_key
from sampan.controllers.own_writes import DOUBT, OwnWrites
from sampan.controllers.slice_writer import managed_slices, service_of_slice, write_changes

MANAGER = "endpointslice-controller.k8s.io"
LIMIT = 100


def controller() -> Controller:
    def managed(obj: Obj, caches: Mapping[str, Cache]) -> Iterable[Key]:
        return service_of_slice(obj, MANAGER)

    return Controller(
        "endpoint-slice-controller",
        {
            "services": own_key,
            "pods": endpoints.service_of_pod,
            slices.RESOURCE: managed,
            # Read for zones only: a node's heartbeat is no reason to look at every Service.
            "nodes": no_key,
        },
        EndpointSlices().reconcile,
    )


class EndpointSlices:
    """The controller; it remembers nothing but the slices it just made."""

    def __init__(self) -> None:
        self._writes = OwnWrites(slices.RESOURCE)

    async def reconcile(self, key: Key, env: Env) -> After | None:
        service = env.caches["services"].get(key)
        unseen = await self._writes.unseen(key, env)
        existing = [*managed_slices(env.caches[slices.RESOURCE], key, MANAGER, service), *unseen]
        if service is None:
            await write_changes(env, self._writes, key, slices.Changes(delete=existing))
            return None
        if meta.deleting(service) or not service["spec"].get("selector"):
            return None
        if service["spec"].get("type") == "ExternalName":
            return None
        behind = endpoints.selected(service, env.caches["pods"].list(key.namespace))
        wanted = slices.group(_entries(service, behind, env))
        served = {w.family for w in wanted}
        wanted += [slices.Wanted(f, []) for f in endpoints.families(service) if f not in served]
        changes = slices.distribute(slice_base(service), wanted, existing, LIMIT)
        await write_changes(env, self._writes, key, changes)
        return After(DOUBT) if unseen or changes.create else None


def _entries(service: Obj, behind: list[Obj], env: Env) -> Iterator[tuple[str, list[Obj], Obj]]:
    nodes = env.caches["nodes"]
    for pod in sorted(behind, key=meta.name):
        ports = endpoints.ports(service, pod)
        if not ports and service["spec"].get("ports"):
            continue
        for family in endpoints.families(service):
            if address := endpoints.pod_address(pod, family):
                yield family, ports, endpoints.endpoint(service, pod, address, lambda n: nodes.get(Key("", n)))


def slice_base(service: Obj) -> Obj:
    labels = dict(meta.labels(service)) | {slices.SERVICE_NAME: meta.name(service), slices.MANAGED_BY: MANAGER}
    if endpoints.is_headless(service):
        labels[endpoints.HEADLESS_LABEL] = ""
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "generateName": f"{meta.name(service)}-",
            "namespace": meta.namespace(service),
            "labels": labels,
            "ownerReferences": [meta.owner_reference(service)],
        },
    }
