"""The scale subresource over the registry."""

from __future__ import annotations

from sampan.api import patch as patches
from sampan.api import scale
from sampan.api.meta import Obj
from sampan.api.scheme import Resource, Strategy
from sampan.server.registry import Registry
from sampan.server.types import Held, Options

# Not a resource of its own, but decoded and patched like one.
SCALE = Resource(
    group="autoscaling",
    version="v1",
    kind="Scale",
    plural="scales",
    definition="io.k8s.api.autoscaling.v1.Scale",
    strategy=Strategy(columns=(), row=lambda obj, now: []),
)


async def replace(
    registry: Registry, resource: Resource, namespace: str, name: str, body: Obj, options: Options
) -> Held:
    """Set the count that the Scale in `body` says. Raises ApiError 404, 409, 422."""

    def change(old: Obj) -> Obj:
        return scale.apply_scale(old, body, resource.scale)

    return await registry.modify(resource.ref, name, namespace, change, options, "scale")


async def patch(
    registry: Registry, resource: Resource, namespace: str, name: str, body: bytes, kind: str, options: Options
) -> Held:
    """Patch the object's Scale. Raises ApiError 400, 404, 409, 415, 422."""

    def change(old: Obj) -> Obj:
        new, _ = patches.apply(SCALE, scale.to_scale(old, resource.scale), body, kind, options.validation)
        return scale.apply_scale(old, new, resource.scale)

    return await registry.modify(resource.ref, name, namespace, change, options, "scale")
