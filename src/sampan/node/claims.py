"""Where the data of a pod's PersistentVolumeClaims is: directories of this machine (hostPath and local volumes)."""

from __future__ import annotations

from sampan.api import meta
from sampan.api.meta import Obj
from sampan.api.status import ApiError
from sampan.client.types import Client
from sampan.node.fields import ConfigError

CLAIM_TYPES = ("persistentVolumeClaim", "ephemeral")


class Claims:
    """Asks the API each time: a pod's volumes are made once."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def places(self, pod: Obj) -> dict[str, Obj]:
        """Volume name → a hostPath source (path, type) for each volume that is a claim. Raises ConfigError."""
        found = {}
        for volume in pod["spec"].get("volumes") or ():
            if any(kind in volume for kind in CLAIM_TYPES):
                try:
                    found[volume["name"]] = await self._place(pod, volume)
                except ConfigError as error:
                    text = f'MountVolume.SetUp failed for volume "{volume["name"]}" : {error}'
                    raise ConfigError(text) from None
        return found

    async def _place(self, pod: Obj, volume: Obj) -> Obj:
        namespace = meta.namespace(pod)
        own = f"{meta.name(pod)}-{volume['name']}"
        name = own if "ephemeral" in volume else str(volume["persistentVolumeClaim"]["claimName"])
        claim = await self._get("persistentvolumeclaims", name, namespace)
        if (claim.get("status") or {}).get("phase") != "Bound":
            raise ConfigError(f'PersistentVolumeClaim is not bound: "{namespace}/{name}"')
        bound = await self._get("persistentvolumes", claim["spec"]["volumeName"])
        spec = bound["spec"]
        if "hostPath" in spec:
            return dict(spec["hostPath"])
        if "local" in spec:
            return {"path": spec["local"]["path"], "type": "Directory"}
        raise ConfigError(f"PersistentVolume {meta.name(bound)} is neither a hostPath nor a local volume")

    async def _get(self, resource: str, name: str, namespace: str = "") -> Obj:
        try:
            return await self._client.get(resource, name, namespace)
        except ApiError as error:
            raise ConfigError(str(error)) from None
