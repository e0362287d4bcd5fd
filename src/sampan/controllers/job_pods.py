"""The pods of a Job: what they look like, how they ended, which index each works on. Pure.

Source: https://kubernetes.io/docs/concepts/workloads/controllers/job/
"""

from __future__ import annotations

from collections.abc import Iterable

from sampan.api import meta, pods
from sampan.api.meta import Obj
from sampan.controllers.pod_template import pod_from_template

# A pod keeps this finalizer until its end has been counted: what vanishes uncounted would never be known.
FINALIZER = "batch.kubernetes.io/job-tracking"
INDEX = "batch.kubernetes.io/job-completion-index"
FAILURES = "batch.kubernetes.io/job-index-failure-count"
_INDEX_ENV = "JOB_COMPLETION_INDEX"


def is_indexed(job: Obj) -> bool:
    return bool(job["spec"].get("completionMode") == "Indexed")


def is_tracked(pod: Obj) -> bool:
    return FINALIZER in (pod["metadata"].get("finalizers") or ())


def index(pod: Obj) -> int | None:
    text = meta.annotations(pod).get(INDEX, "")
    return int(text) if text.isdecimal() else None


def waits_for_end(job: Obj) -> bool:
    """Is a pod replaced only when it has ended, not while it terminates?"""
    return bool(job["spec"].get("podReplacementPolicy") == "Failed")


def has_failed(job: Obj, pod: Obj) -> bool:
    """Ended badly, or being deleted: such a pod may never tell how it ended."""
    if pods.is_terminal(pod):
        return pods.phase(pod) == "Failed"
    return meta.deleting(pod) and (not waits_for_end(job) or not pods.node_name(pod))


def has_ended(job: Obj, pod: Obj) -> bool:
    return pods.phase(pod) == "Succeeded" or has_failed(job, pod)


def restarts(candidates: Iterable[Obj]) -> int:
    """How often containers of these pods were restarted in place (restartPolicy OnFailure)."""
    kinds = ("initContainerStatuses", "containerStatuses")
    return sum(
        status.get("restartCount", 0)
        for p in candidates
        for kind in kinds
        for status in (p.get("status") or {}).get(kind) or ()
    )


def new_pod(job: Obj, number: int | None, failures: int | None) -> Obj:
    """The next pod; of an indexed Job the one that works on `number`, which failed so often (None: not limited)."""
    pod = pod_from_template(job, job["spec"]["template"])
    metadata = pod["metadata"]
    metadata["finalizers"] = [*(metadata.get("finalizers") or ()), FINALIZER]
    if number is None:
        return pod
    name = f"{meta.name(job)}-{number}"
    metadata["generateName"] = f"{name}-"
    metadata["labels"] = {**(metadata.get("labels") or {}), INDEX: str(number)}
    metadata["annotations"] = {**(metadata.get("annotations") or {}), INDEX: str(number)}
    if failures is not None:
        metadata["annotations"][FAILURES] = str(failures)
    pod["spec"]["hostname"] = name
    source = {"fieldRef": {"fieldPath": f"metadata.labels['{INDEX}']"}}
    for _, container in pods.containers(pod["spec"]):
        env = container.get("env") or []
        if all(variable["name"] != _INDEX_ENV for variable in env):
            container["env"] = [*env, {"name": _INDEX_ENV, "valueFrom": source}]
    return pod


def failures(pod: Obj) -> int:
    """How often the pod's index had failed before it."""
    text = meta.annotations(pod).get(FAILURES, "0")
    return int(text) if text.isdecimal() else 0


def ended_at(pod: Obj) -> str:
    """When the last container ended (RFC 3339 in UTC), "" when it does not say."""
    statuses = (pod.get("status") or {}).get("containerStatuses") or ()
    return max((((s.get("state") or {}).get("terminated") or {}).get("finishedAt") or "" for s in statuses), default="")


def failure_rule(job: Obj, pod: Obj) -> tuple[str, str]:
    """(action, message) of the podFailurePolicy's first rule that matches a failed pod; ("Count", "") without one."""
    for i, rule in enumerate((job["spec"].get("podFailurePolicy") or {}).get("rules") or ()):
        if why := _matches(rule, pod):
            return rule["action"], f"{why} matching {rule['action']} rule at index {i}"
    return "Count", ""


def _matches(rule: Obj, pod: Obj) -> str:
    """What the rule found in the pod, "" for nothing."""
    codes = rule.get("onExitCodes")
    if codes is None:
        for pattern in rule.get("onPodConditions") or ():
            condition = meta.condition(pod, pattern["type"])
            if condition and condition["status"] == pattern.get("status", "True"):
                return f"Pod {meta.key(pod)} has condition {pattern['type']}"
        return ""
    for kind in ("containerStatuses", "initContainerStatuses"):
        for status in (pod.get("status") or {}).get(kind) or ():
            ended = (status.get("state") or {}).get("terminated")
            wanted = codes.get("containerName")
            if ended is None or not ended.get("exitCode") or wanted not in (None, status["name"]):
                continue
            if (ended["exitCode"] in codes["values"]) == (codes["operator"] == "In"):
                return f"Container {status['name']} for pod {meta.key(pod)} failed with exit code {ended['exitCode']}"
    return ""
