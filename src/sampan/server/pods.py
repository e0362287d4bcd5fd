"""The pod's subresource that binds it to a node: the scheduler's.

Source: kubernetes/pkg/registry/core/pod/storage/storage.go
"""

from __future__ import annotations

from sampan.api import fields
from sampan.api.meta import Obj, condition, copy, deleting, timestamp
from sampan.api.status import conflict, invalid
from sampan.server.registry import Registry
from sampan.server.types import Held, Options


async def bind(registry: Registry, namespace: str, name: str, body: Obj, options: Options) -> Held:
    """Give the pod its node. Raises ApiError 409 when it has one or is being deleted, 422 for a bad target."""
    target = body.get("target") or {}
    node = target.get("name") or ""
    if target.get("kind") not in (None, "", "Node"):
        raise invalid("", "Binding", name, [fields.not_supported("target.kind", target["kind"], ("Node", "<empty>"))])
    if not node:
        raise invalid("", "Binding", name, [fields.required("target.name")])
    now = timestamp(registry.clock.now())

    def change(old: Obj) -> Obj:
        if deleting(old):
            raise conflict("pods/binding", name, f"pod {name} is being deleted, cannot be assigned to a host")
        if taken := old["spec"].get("nodeName"):
            raise conflict("pods/binding", name, f'pod {name} is already assigned to node "{taken}"')
        pod = copy(old)
        pod["spec"]["nodeName"] = node
        pod["metadata"].setdefault("annotations", {}).update((body.get("metadata") or {}).get("annotations") or {})
        status = pod.setdefault("status", {})
        others = [c for c in status.get("conditions") or () if c.get("type") != "PodScheduled"]
        before = condition(old, "PodScheduled") or {}
        since = before.get("lastTransitionTime", now) if before.get("status") == "True" else now
        scheduled = {"type": "PodScheduled", "status": "True", "lastProbeTime": None, "lastTransitionTime": since}
        status["conditions"] = [*others, scheduled]
        return pod

    return await registry.modify("pods", name, namespace, change, options, "binding")
