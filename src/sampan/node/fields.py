"""Values of the downward API: fieldRef and resourceFieldRef.

Source: https://kubernetes.io/docs/concepts/workloads/pods/downward-api/
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from decimal import ROUND_CEILING

from sampan.api import meta
from sampan.api.meta import Obj
from sampan.api.quantity import Quantity
from sampan.base.errors import SampanError

_KEYED = re.compile(r"metadata\.(labels|annotations)\['(.+)'\]")


class ConfigError(SampanError):
    """A container's configuration cannot be made: CreateContainerConfigError, FailedMount."""


def field_value(pod: Obj, path: str, pod_ip: str, host_ip: str) -> str:
    """The text of a fieldRef. Raises ConfigError for a path that has none."""
    if keyed := _KEYED.fullmatch(path):
        return str((pod["metadata"].get(keyed[1]) or {}).get(keyed[2], ""))
    if path in ("metadata.labels", "metadata.annotations"):
        values = meta.labels(pod) if path == "metadata.labels" else meta.annotations(pod)
        return "\n".join(f"{k}={json.dumps(v, ensure_ascii=False)}" for k, v in sorted(values.items()))
    simple = {
        "metadata.name": meta.name(pod),
        "metadata.namespace": meta.namespace(pod),
        "metadata.uid": meta.uid(pod),
        "spec.nodeName": pod["spec"].get("nodeName", ""),
        "spec.serviceAccountName": pod["spec"].get("serviceAccountName", "default"),
        "status.hostIP": host_ip,
        "status.hostIPs": host_ip,
        "status.podIP": pod_ip,
        "status.podIPs": pod_ip,
    }
    if path not in simple:
        raise ConfigError(f"unsupported fieldPath: {path}")
    return str(simple[path])


def resource_value(container: Obj, ref: Obj, allocatable: Mapping[str, str]) -> str:
    """The whole number of a resourceFieldRef, rounded up; an unset limit is what the node can give."""
    kind, _, resource = ref["resource"].partition(".")
    resources = container.get("resources") or {}
    if kind not in ("limits", "requests"):
        raise ConfigError(f"unsupported container resource : {ref['resource']}")
    text = (resources.get(kind) or {}).get(resource)
    if text is None:
        text = (
            allocatable.get(resource, "0") if kind == "limits" else (resources.get("limits") or {}).get(resource, "0")
        )
    divisor = Quantity.parse(ref.get("divisor") or "1").amount or 1
    return str(int((Quantity.parse(text).amount / divisor).to_integral_value(ROUND_CEILING)))
