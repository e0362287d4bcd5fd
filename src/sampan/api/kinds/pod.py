"""Pod (core/v1).

Source: k8s.io/kubernetes/pkg/registry/core/pod/strategy.go (1.32). Its service account, priority and tolerations come
from admission, which is the server's.
"""

from __future__ import annotations

from collections.abc import Callable

from sampan.api import fields, pods
from sampan.api.kinds import pod_table, pod_update
from sampan.api.kinds.pod_warnings import pod_warnings
from sampan.api.kinds.podspec_defaults import default_pod
from sampan.api.kinds.podspec_validation import validate_pod
from sampan.api.meta import Obj
from sampan.api.scheme import Resource, Strategy
from sampan.api.status import FieldError


def _prepare_create(pod: Obj) -> None:
    spec = pod["spec"]
    pod["status"] = {"phase": "Pending", "qosClass": pods.compute_qos_class(spec)}
    if spec.get("schedulingGates"):
        gated = {"type": "PodScheduled", "status": "False", "reason": "SchedulingGated"}
        gated["message"] = "Scheduling is blocked due to non-empty scheduling gates"
        pod["status"]["conditions"] = [gated]


def _validate(pod: Obj) -> list[FieldError]:
    found = validate_pod(pod)
    spec = pod["spec"]
    if spec.get("ephemeralContainers"):
        found.append(fields.forbidden("spec.ephemeralContainers", "cannot be set on create"))
    if spec.get("nodeName") and spec.get("schedulingGates"):
        text = "cannot be set until all schedulingGates have been cleared"
        found.append(fields.forbidden("spec.nodeName", text))
    return found


def _spec_field(name: str) -> Callable[[Obj], str]:
    return lambda pod: str(pod["spec"].get(name, ""))


def _status_field(name: str) -> Callable[[Obj], str]:
    return lambda pod: str((pod.get("status") or {}).get(name, ""))


RESOURCE = Resource(
    group="",
    version="v1",
    kind="Pod",
    plural="pods",
    definition="io.k8s.api.core.v1.Pod",
    singular="pod",
    short=("po",),
    categories=("all",),
    subresources=(
        *("attach", "binding", "ephemeralcontainers", "eviction", "exec", "log", "portforward", "proxy", "status"),
    ),
    fields={
        "spec.nodeName": pods.node_name,
        "spec.restartPolicy": _spec_field("restartPolicy"),
        "spec.schedulerName": _spec_field("schedulerName"),
        "spec.serviceAccountName": _spec_field("serviceAccountName"),
        "spec.hostNetwork": lambda pod: "true" if pods.is_host_network(pod) else "false",
        "status.phase": pods.phase,
        "status.podIP": pods.ip,
        "status.nominatedNodeName": _status_field("nominatedNodeName"),
    },
    strategy=Strategy(
        columns=pod_table.COLUMNS,
        row=pod_table.row,
        default=default_pod,
        prepare_create=_prepare_create,
        validate=_validate,
        validate_update=pod_update.validate_update,
        validate_status=pod_update.validate_status,
        validate_ephemeral=pod_update.validate_ephemeral,
        warnings=pod_warnings,
    ),
)
