"""LimitRanger: LimitRanges give containers their defaults and refuse what is out of bounds.

Source: https://kubernetes.io/docs/concepts/policy/limit-range/ (texts of limitranger)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from sampan.api import pods
from sampan.api.meta import Obj
from sampan.api.quantity import Quantity
from sampan.api.status import forbidden

if TYPE_CHECKING:
    from sampan.server.admission import Attributes

_ANNOTATION = "kubernetes.io/limit-ranger"
Amounts = Mapping[str, str]


def limit_ranger(request: Attributes) -> None:
    if request.resource.id not in ("pods", "persistentvolumeclaims") or request.obj is None:
        return
    if request.operation != "CREATE" and (request.resource.id == "pods" or request.subresource):
        return
    ranges = request.scan("limitranges", request.namespace)
    if not ranges:
        return
    items = [item for one in ranges for item in one["spec"].get("limits") or ()]
    if request.resource.id == "pods":
        for one in ranges:
            _set_defaults(request.obj, one)
        faults = [fault for item in items for fault in _pod_faults(request.obj, item)]
    else:
        asked = (request.obj["spec"].get("resources") or {}).get("requests") or {}
        faults = [fault for item in items for fault in _claim_faults(asked, item)]
    if faults:
        text = faults[0] if len(faults) == 1 else f"[{', '.join(faults)}]"
        raise forbidden(request.resource.id, request.name, text)


def _set_defaults(pod: Obj, limits: Obj) -> None:
    """Requests and limits of containers that do not say theirs; what was set is written into an annotation."""
    requests: dict[str, str] = {}
    maxima: dict[str, str] = {}
    for item in limits["spec"].get("limits") or ():
        if item["type"] == "Container":
            requests |= item.get("defaultRequest") or {}
            maxima |= item.get("default") or {}
    notes = []
    for kind, listed in (("container", "containers"), ("init container", "initContainers")):
        for container in pod["spec"].get(listed) or ():
            notes += _fill(container, "requests", requests, f"request for {kind} {container['name']}")
            notes += _fill(container, "limits", maxima, f"limit for {kind} {container['name']}")
    if notes:
        annotations = pod["metadata"]["annotations"] = pod["metadata"].get("annotations") or {}
        annotations[_ANNOTATION] = f"LimitRanger plugin set: {'; '.join(notes)}"


def _fill(container: Obj, key: str, defaults: Amounts, what: str) -> list[str]:
    resources = container["resources"] = container.get("resources") or {}
    present = resources.get(key) or {}
    added = {name: amount for name, amount in defaults.items() if name not in present}
    if not added:
        return []
    resources[key] = present | added
    return [f"{', '.join(sorted(added))} {what}"]


def _pod_faults(pod: Obj, item: Obj) -> Iterator[str]:
    if item["type"] == "Container":
        for listed in ("containers", "initContainers"):
            for container in pod["spec"].get(listed) or ():
                resources = container.get("resources") or {}
                yield from _faults(resources.get("requests") or {}, resources.get("limits") or {}, item)
    elif item["type"] == "Pod":
        requests, limits = (
            {name: str(amount) for name, amount in pods.totals(pod["spec"], key).items()}
            for key in ("requests", "limits")
        )
        yield from _faults(requests, limits, item)


def _faults(requests: Amounts, limits: Amounts, item: Obj) -> Iterator[str]:
    kind = item["type"]
    for name, bound in (item.get("min") or {}).items():
        text = f"minimum {name} usage per {kind} is {bound}"
        if name not in requests:
            yield f"{text}.  No request is specified"
        elif _less(requests[name], bound):
            yield f"{text}, but request is {requests[name]}"
        if name in limits and _less(limits[name], bound):
            yield f"{text}, but limit is {limits[name]}"
    for name, bound in (item.get("max") or {}).items():
        text = f"maximum {name} usage per {kind} is {bound}"
        if name not in limits:
            yield f"{text}.  No limit is specified"
        elif _less(bound, limits[name]):
            yield f"{text}, but limit is {limits[name]}"
        if name in requests and _less(bound, requests[name]):
            yield f"{text}, but request is {requests[name]}"
    for name, bound in (item.get("maxLimitRequestRatio") or {}).items():
        yield from _ratio(name, requests.get(name), limits.get(name), f"{bound}", kind)


def _ratio(name: str, request: str | None, limit: str | None, bound: str, kind: str) -> Iterator[str]:
    text = f"{name} max limit to request ratio per {kind} is {bound}, but"
    low, high = (Quantity.parse(amount or "0").amount for amount in (request, limit))
    for key, amount in (("request", low), ("limit", high)):
        if not amount:
            yield f"{text} no {key} is specified or {key} is 0"
            return
    ratio = high / low
    if ratio > Quantity.parse(bound).amount:
        yield f"{text} provided ratio is {ratio:.6f}"


def _claim_faults(asked: Amounts, item: Obj) -> Iterator[str]:
    if item["type"] != "PersistentVolumeClaim":
        return
    for word, bounds in (("minimum", item.get("min") or {}), ("maximum", item.get("max") or {})):
        for name, bound in bounds.items():
            text = f"{word} {name} usage per PersistentVolumeClaim is {bound}"
            if name not in asked:
                yield f"{text}.  No request is specified"
            elif _less(asked[name], bound) if word == "minimum" else _less(bound, asked[name]):
                yield f"{text}, but request is {asked[name]}"


def _less(left: str, right: str) -> bool:
    return Quantity.parse(left) < Quantity.parse(right)
