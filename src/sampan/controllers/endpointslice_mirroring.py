"""Endpoints that a person wrote for a Service without a selector, mirrored to EndpointSlices.

Source: https://kubernetes.io/docs/concepts/services-networking/service/#endpointslice-mirroring
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from sampan.api import meta
from sampan.api.meta import Key, Obj
from sampan.client.env import After, Cache, Controller, Env
from sampan.controllers import slices
from sampan.controllers.keys import own_key
from sampan.controllers.own_writes import DOUBT, OwnWrites
from sampan.controllers.service_endpoints import address_family
from sampan.controllers.slice_writer import managed_slices, service_of_slice, write_changes

MANAGER = "endpointslicemirroring-controller.k8s.io"
SKIP_LABEL = "endpointslice.kubernetes.io/skip-mirror"
LEADER = "control-plane.alpha.kubernetes.io/leader"
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
LIMIT = 1000


def controller() -> Controller:
    def mirrored(obj: Obj, caches: Mapping[str, Cache]) -> Iterable[Key]:
        return service_of_slice(obj, MANAGER)

    return Controller(
        "endpoint-slice-mirroring-controller",
        {"endpoints": own_key, "services": own_key, slices.RESOURCE: mirrored},
        Mirror().reconcile,
    )


class Mirror:
    """The controller; it remembers nothing but the slices it just made."""

    def __init__(self) -> None:
        self._writes = OwnWrites(slices.RESOURCE)

    async def reconcile(self, key: Key, env: Env) -> After | None:
        source = env.caches["endpoints"].get(key)
        service = env.caches["services"].get(key)
        unseen = await self._writes.unseen(key, env)
        existing = [*managed_slices(env.caches[slices.RESOURCE], key, MANAGER, source), *unseen]
        if source is None or not _is_mirrored(source, service):
            changes = slices.Changes(delete=existing)
        else:
            wanted = slices.group(_entries(source))
            changes = slices.distribute(_base(source), wanted, existing, LIMIT)
        await write_changes(env, self._writes, key, changes)
        return After(DOUBT) if unseen or changes.create else None


def _is_mirrored(source: Obj, service: Obj | None) -> bool:
    if service is None or service["spec"].get("selector") or meta.deleting(source):
        return False
    return meta.labels(source).get(SKIP_LABEL) != "true" and LEADER not in meta.annotations(source)


def _entries(source: Obj) -> Iterator[tuple[str, list[Obj], Obj]]:
    for subset in source.get("subsets") or ():
        ports = [{"name": "", "protocol": "TCP"} | port for port in subset.get("ports") or ()]
        for field, ready in (("addresses", True), ("notReadyAddresses", False)):
            for address in subset.get(field) or ():
                yield address_family(address["ip"]), ports, _endpoint(address, ready)


def _endpoint(address: Obj, ready: bool) -> Obj:
    entry: Obj = {"addresses": [address["ip"]], "conditions": {"ready": ready}}
    return entry | {k: address[k] for k in ("hostname", "nodeName", "targetRef") if address.get(k)}


def _base(source: Obj) -> Obj:
    labels = dict(meta.labels(source)) | {slices.SERVICE_NAME: meta.name(source), slices.MANAGED_BY: MANAGER}
    annotations = {k: v for k, v in meta.annotations(source).items() if k != LAST_APPLIED}
    metadata: Obj = {
        "generateName": f"{meta.name(source)}-",
        "namespace": meta.namespace(source),
        "labels": labels,
        "ownerReferences": [meta.owner_reference(source)],
    }
    if annotations:
        metadata["annotations"] = annotations
    return {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "metadata": metadata}
