"""What one metric of an autoscaler measures now, and the count it asks for.

Source: k8s.io/kubernetes/pkg/controller/podautoscaler/{horizontal,replica_calculator}.go (names and texts)
"""

from __future__ import annotations

from dataclasses import dataclass

from sampan.api import meta, pods
from sampan.api.kinds.horizontalpodautoscaler import SOURCES
from sampan.api.meta import Obj
from sampan.api.quantity import Quantity
from sampan.controllers.autoscaling_math import replicas_for


class Unknown(Exception):
    """A metric that cannot be computed; the text says why. `reason` as in conditions and events."""

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(text)
        self.reason = reason


@dataclass(frozen=True)
class Reading:
    """`replicas` asked for; `name` as in messages; `status` for status.currentMetrics."""

    replicas: int
    name: str
    status: Obj


def read(metric: Obj, selected: list[Obj], measured: dict[str, Obj], current: int) -> Reading:
    """`measured`: PodMetrics by pod name. Raises Unknown."""
    kind = metric["type"]
    if kind not in ("Resource", "ContainerResource"):
        what = {"External": "get external metric", "Object": "get object metric", "Pods": "get pods metric"}[kind]
        text = f"unable to {what}: no custom metrics API is served here"
        raise Unknown(f"FailedGet{kind}Metric", text)
    source = metric[SOURCES[kind]]
    return _Resource(kind, source, source.get("container", "")).read(selected, measured, current)


@dataclass(frozen=True)
class _Resource:
    kind: str
    source: Obj
    container: str

    def read(self, selected: list[Obj], measured: dict[str, Obj], current: int) -> Reading:
        resource, target = self.source["name"], self.source["target"]
        alive = [p for p in selected if pods.is_active(p)]
        used = {meta.name(p): self._used(measured[meta.name(p)]) for p in alive if meta.name(p) in measured}
        # Pods that start burn cpu: until they are ready they tell nothing about the load.
        counted = {
            meta.name(p): used[meta.name(p)]
            for p in alive
            if meta.name(p) in used and (resource != "cpu" or pods.is_ready(p))
        }
        if not counted:
            text = f"unable to get metrics for resource {resource}: no metrics returned from resource metrics API"
            raise Unknown(f"FailedGet{self.kind}Metric", f"failed to get {resource} utilization: {text}")
        missing = [meta.name(p) for p in alive if meta.name(p) not in counted]
        average = sum(counted.values()) / len(counted)
        shown: Obj = {"averageValue": _text(resource, average)}
        if (percent := target.get("averageUtilization")) is not None:
            requests = {meta.name(p): self._request(p) for p in alive}
            wanted = replicas_for(percent / 100, counted, requests, missing, current)
            utilization = int(100 * sum(counted.values()) / sum(requests[name] for name in counted))
            shown = {"averageUtilization": utilization, **shown}
            name = f"{resource} resource utilization (percentage of request)"
        else:
            goal = float(Quantity.parse(target["averageValue"]).amount)
            wanted = replicas_for(goal, counted, dict.fromkeys(map(meta.name, alive), 1.0), missing, current)
            name = f"{resource} resource"
        if self.container:
            name = name.replace("resource", "container resource", 1)
        status = {"name": resource, "current": shown} | ({"container": self.container} if self.container else {})
        return Reading(wanted, name, {"type": self.kind, SOURCES[self.kind]: status})

    def _used(self, metrics: Obj) -> float:
        found = (c for c in metrics["containers"] if self.container in ("", c["name"]))
        return float(sum(Quantity.parse(c["usage"][self.source["name"]]).amount for c in found))

    def _request(self, pod: Obj) -> float:
        resource, total = self.source["name"], 0.0
        for container in pod["spec"]["containers"]:
            if self.container not in ("", container["name"]):
                continue
            asked = ((container.get("resources") or {}).get("requests") or {}).get(resource)
            if asked is None:
                text = f"missing request for {resource} in container {container['name']} of Pod {meta.name(pod)}"
                raise Unknown(f"FailedGet{self.kind}Metric", f"failed to get {resource} utilization: {text}")
            total += float(Quantity.parse(asked).amount)
        if not total:
            text = f"failed to get {resource} utilization: the pods of the target request none"
            raise Unknown(f"FailedGet{self.kind}Metric", text)
        return total


def _text(resource: str, amount: float) -> str:
    return f"{-int(-amount * 1000 // 1)}m" if resource == "cpu" else str(int(amount))
