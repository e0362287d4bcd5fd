"""What a Pod object says: the questions that controllers, the scheduler, the node and the service proxy ask it.

All functions are pure and take the Pod as the API gives it. Sources: k8s.io/kubernetes/pkg/api/v1/pod,
k8s.io/component-helpers/resource, pkg/apis/core/v1/helper/qos (1.32).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from sampan.api import meta
from sampan.api.meta import Obj
from sampan.api.quantity import Quantity

Resources = dict[str, Quantity]

CONTAINER_LISTS = ("initContainers", "containers", "ephemeralContainers")


def phase(pod: Obj) -> str:
    """Pending, Running, Succeeded, Failed or Unknown; "" before the first status."""
    return str((pod.get("status") or {}).get("phase", ""))


def is_terminal(pod: Obj) -> bool:
    """Has the pod ended for good (Succeeded or Failed)?"""
    return phase(pod) in ("Succeeded", "Failed")


def is_ready(pod: Obj) -> bool:
    """Is the Ready condition True?"""
    return meta.is_true(pod, "Ready")


def is_active(pod: Obj) -> bool:
    """Neither ended nor being deleted: counts towards a controller's replicas."""
    return not is_terminal(pod) and not meta.deleting(pod)


def node_name(pod: Obj) -> str:
    """The node the pod is bound to, "" when it waits for the scheduler."""
    return str(pod["spec"].get("nodeName", ""))


def ip(pod: Obj) -> str:
    """The pod's address, "" while it has none."""
    return str((pod.get("status") or {}).get("podIP", ""))


def is_host_network(pod: Obj) -> bool:
    return bool(pod["spec"].get("hostNetwork"))


def is_sidecar(container: Obj) -> bool:
    """Is this init container restartable (restartPolicy: Always), that is, does it run beside the others?"""
    return container.get("restartPolicy") == "Always"


def containers(spec: Obj) -> Iterator[tuple[str, Obj]]:
    """Every container of a PodSpec with its field path below the spec: ("containers[0]", {...}); init ones first."""
    for listed in CONTAINER_LISTS:
        for i, container in enumerate(spec.get(listed) or ()):
            yield f"{listed}[{i}]", container


def container(pod: Obj, name: str) -> Obj | None:
    """The container with this name: regular, init or ephemeral."""
    return next((c for _, c in containers(pod["spec"]) if c["name"] == name), None)


def port_number(pod: Obj, target: int | str, protocol: str) -> int | None:
    """What a targetPort means in this pod: a number is itself, a name is looked up among the ports of the containers
    and sidecars. None when no port has that name."""
    if isinstance(target, int):
        return target
    sidecars = [c for c in pod["spec"].get("initContainers") or () if is_sidecar(c)]
    for holder in [*pod["spec"]["containers"], *sidecars]:
        for port in holder.get("ports") or ():
            if port.get("name") == target and port.get("protocol", "TCP") == protocol:
                return int(port["containerPort"])
    return None


def deletion_grace_period(pod: Obj, asked: int | None) -> int:
    """Seconds a deleted pod gets, where `asked` is gracePeriodSeconds of the DeleteOptions.

    0, that is, removed at once, when no kubelet has anything to stop: unscheduled or already ended.
    """
    if not node_name(pod) or is_terminal(pod):
        return 0
    period = asked if asked is not None else pod["spec"].get("terminationGracePeriodSeconds", 0)
    return 1 if period < 0 else int(period)


def _parse(amounts: Mapping[str, str] | None) -> Resources:
    return {name: Quantity.parse(text) for name, text in (amounts or {}).items()}


def _sum(left: Resources, right: Resources) -> Resources:
    return left | {name: left.get(name, Quantity.ZERO) + amount for name, amount in right.items()}


def _max(left: Resources, right: Resources) -> Resources:
    return left | {name: max(left.get(name, Quantity.ZERO), amount) for name, amount in right.items()}


def totals(spec: Obj, key: str) -> Resources:
    """The `requests` or `limits` of all containers together: the most that is held at any moment."""
    running: Resources = {}
    for each in spec["containers"]:
        running = _sum(running, _parse((each.get("resources") or {}).get(key)))
    # Sidecars run beside the containers; an init container runs beside the sidecars started before it.
    sidecars: Resources = {}
    starting: Resources = {}
    for each in spec.get("initContainers") or ():
        needs = _parse((each.get("resources") or {}).get(key))
        if is_sidecar(each):
            sidecars = _sum(sidecars, needs)
            needs = sidecars
        else:
            needs = _sum(needs, sidecars)
        starting = _max(starting, needs)
    return _max(_sum(running, sidecars), starting)


def requests(pod: Obj) -> Resources:
    """What the scheduler reserves: max(containers + sidecars, the hungriest moment of the start), plus overhead.

    Pod-level `spec.resources.requests` stand over the sum.
    """
    spec = pod["spec"]
    total = totals(spec, "requests") | _parse((spec.get("resources") or {}).get("requests"))
    return _sum(total, _parse(spec.get("overhead")))


def qos_class(pod: Obj) -> str:
    """Guaranteed, Burstable or BestEffort: the one in the status, else computed from cpu and memory of the spec."""
    return str((pod.get("status") or {}).get("qosClass") or compute_qos_class(pod["spec"]))


def compute_qos_class(spec: Obj) -> str:
    """BestEffort: nothing asked. Guaranteed: every container limits cpu and memory and requests as much."""
    pod_level = spec.get("resources") or {}
    if pod_level.get("requests") or pod_level.get("limits"):
        holders = [spec]
    else:
        holders = [*(spec.get("containers") or ()), *(spec.get("initContainers") or ())]
    asked = False
    guaranteed = True
    for holder in holders:
        resources = holder.get("resources") or {}
        wanted, capped = _compute(resources.get("requests")), _compute(resources.get("limits"))
        asked = asked or bool(wanted or capped)
        guaranteed = guaranteed and set(capped) == {"cpu", "memory"} and capped | wanted == capped
    return "BestEffort" if not asked else "Guaranteed" if guaranteed else "Burstable"


def _compute(amounts: Mapping[str, str] | None) -> Resources:
    return {k: v for k, v in _parse(amounts).items() if k in ("cpu", "memory") and v > Quantity.ZERO}
