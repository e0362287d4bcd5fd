"""HorizontalPodAutoscaler: sets the size of workloads by what their pods use.

Source: https://kubernetes.io/docs/concepts/workloads/autoscaling/horizontal-pod-autoscale/
"""

from __future__ import annotations

from collections.abc import Iterable

from sampan.api import meta, selectors
from sampan.api.meta import Key, Obj
from sampan.api.status import ApiError
from sampan.client.env import After, Controller, Env
from sampan.controllers import autoscaling_math as rules
from sampan.controllers.autoscaling_metrics import Reading, Unknown, read
from sampan.controllers.keys import no_key, own_key
from sampan.controllers.writes import set_condition, write_status

AUTOSCALERS, METRICS = "horizontalpodautoscalers.autoscaling", "pods.metrics.k8s.io"
PERIOD = 15.0
_REMEMBER = 3600.0
_TARGETS = {
    ("apps", "Deployment"): "deployments.apps",
    ("apps", "ReplicaSet"): "replicasets.apps",
    ("apps", "StatefulSet"): "statefulsets.apps",
    ("", "ReplicationController"): "replicationcontrollers",
}


def controller() -> Controller:
    return Controller("horizontal-pod-autoscaler", {AUTOSCALERS: own_key, "pods": no_key}, Autoscaler().reconcile)


class Autoscaler:
    """Remembers what it recommended and did, and when each autoscaler is due: its own writes must not wake it."""

    def __init__(self) -> None:
        self._memory: dict[str, rules.Memory] = {}
        self._due: dict[str, tuple[Obj, float]] = {}

    async def reconcile(self, key: Key, env: Env) -> After | None:
        autoscaler = env.caches[AUTOSCALERS].get(key)
        if autoscaler is None or meta.deleting(autoscaler):
            return None
        uid, now = meta.uid(autoscaler), env.clock.monotonic()
        self._forget(env.caches[AUTOSCALERS].list())
        spec, due = self._due.get(uid, ({}, 0.0))
        if spec == autoscaler["spec"] and now < due:
            return After(due - now)
        self._due[uid] = autoscaler["spec"], now + PERIOD
        await _Round(autoscaler, self._memory.setdefault(uid, rules.Memory()), env).run()
        return After(PERIOD)

    def _forget(self, present: Iterable[Obj]) -> None:
        alive = {meta.uid(obj) for obj in present}
        for known in (self._memory, self._due):
            for uid in known.keys() - alive:
                del known[uid]


class _Round:
    """One look at one autoscaler."""

    def __init__(self, autoscaler: Obj, memory: rules.Memory, env: Env) -> None:
        self._autoscaler, self._memory, self._env = autoscaler, memory, env
        self._spec = autoscaler["spec"]
        old = autoscaler.get("status") or {}
        self._conditions: list[Obj] = list(old.get("conditions") or [])
        self._stamp = meta.timestamp(env.clock.now())
        self._now = env.clock.monotonic()
        self._status = {k: old[k] for k in ("lastScaleTime", "desiredReplicas", "currentReplicas") if k in old}
        self._metrics: list[Obj] = []

    async def run(self) -> None:
        try:
            target = await self._target()
        except ApiError as error:
            text = f"the HPA controller was unable to get the target's current scale: {error}"
            self._set("AbleToScale", "False", "FailedGetScale", text)
            self._event("Warning", "FailedGetScale", str(error))
        else:
            text = "the HPA controller was able to get the target's current scale"
            self._set("AbleToScale", "True", "SucceededGetScale", text)
            await self._scale(*target)
        await self._write()

    async def _target(self) -> tuple[str, Obj]:
        """Resource and object of what is scaled. Raises ApiError."""
        reference = self._spec["scaleTargetRef"]
        group = reference.get("apiVersion", "").rpartition("/")[0]
        resource = _TARGETS.get((group, reference["kind"]))
        if resource is None:
            kind = f"{reference['kind']}.{group}" if group else reference["kind"]
            raise ApiError(404, "NotFound", f"no matches for kind {kind} with replicas to scale")
        return resource, await self._env.client.get(resource, reference["name"], meta.namespace(self._autoscaler))

    async def _scale(self, resource: str, target: Obj) -> None:
        current = target["spec"].get("replicas", 1)
        self._status["currentReplicas"] = (target.get("status") or {}).get("replicas", 0)
        if current == 0:
            text = "scaling is disabled since the replica count of the target is zero"
            self._set("ScalingActive", "False", "ScalingDisabled", text)
            self._status["desiredReplicas"] = 0
            return
        least, most = self._spec["minReplicas"], self._spec["maxReplicas"]
        if current > most:
            wanted, why = most, "Current number of replicas above Spec.MaxReplicas"
        elif current < least:
            wanted, why = least, "Current number of replicas below Spec.MinReplicas"
        else:
            readings = await self._readings(target, current)
            if not readings:
                self._status["desiredReplicas"] = current
                return
            wanted, why = self._decide(readings, current)
        self._status["desiredReplicas"] = wanted
        if wanted != current:
            await self._rescale(resource, target, wanted, why)

    async def _readings(self, target: Obj, current: int) -> list[Reading]:
        """Of all metrics that can be read; none when one is unknown and the others would scale down."""
        namespace = meta.namespace(self._autoscaler)
        selector = selectors.of_workload(target)
        selected = [p for p in self._env.caches["pods"].list(namespace) if selector.matches(meta.labels(p))]
        page = await self._env.client.list(METRICS, namespace)
        measured = {meta.name(m): m for m in page.items}
        found: list[Reading] = []
        unknown: list[Unknown] = []
        for metric in self._spec["metrics"]:
            try:
                found.append(read(metric, selected, measured, current))
            except Unknown as error:
                unknown.append(error)
        self._metrics = [reading.status for reading in found]
        if unknown:
            first = unknown[0]
            self._event("Warning", first.reason, str(first))
        if unknown and (not found or max(r.replicas for r in found) < current):
            text = f"the HPA was unable to compute the replica count: {unknown[0]}"
            self._set("ScalingActive", "False", unknown[0].reason, text)
            message = f"invalid metrics ({len(unknown)} invalid out of {len(self._spec['metrics'])}), first error is: "
            self._event("Warning", "FailedComputeMetricsReplicas", f"{message}{unknown[0]}")
            return []
        return found

    def _decide(self, readings: list[Reading], current: int) -> tuple[int, str]:
        best = max(readings, key=lambda reading: reading.replicas)
        text = f"the HPA was able to successfully calculate a replica count from {best.name}"
        self._set("ScalingActive", "True", "ValidMetricFound", text)
        why = f"{best.name} above target" if best.replicas > current else "All metrics below target"
        memory = self._memory
        memory.forget(self._now - _REMEMBER)
        steady = rules.stabilized(self._spec, memory, self._now, current, best.replicas)
        memory.recommended.append((self._now, best.replicas))
        if steady != best.replicas:
            direction, extreme, kind = (
                ("higher", "highest", "ScaleDownStabilized")
                if steady > best.replicas
                else ("lower", "lowest", "ScaleUpStabilized")
            )
            text = f"recent recommendations were {direction} than current one, "
            text += f"applying the {extreme} recent recommendation"
            self._set("AbleToScale", "True", kind, text)
        else:
            self._set("AbleToScale", "True", "ReadyForNewScale", "recommended size matches current size")
        return self._within(rules.limited(self._spec, memory, self._now, current, steady), steady, current), why

    def _within(self, wanted: int, steady: int, current: int) -> int:
        """Between the bounds, and what limited it."""
        least, most = self._spec["minReplicas"], self._spec["maxReplicas"]
        word = "increasing" if steady > current else "decreasing"
        if steady > most and wanted >= most:
            text = "the desired replica count is more than the maximum replica count"
            state, reason = "True", "TooManyReplicas"
        elif steady < least and wanted <= least:
            text = "the desired replica count is less than the minimum replica count"
            state, reason = "True", "TooFewReplicas"
        elif wanted != steady:
            reason = "ScaleUpLimit" if steady > current else "ScaleDownLimit"
            state, text = "True", f"the desired replica count is {word} faster than the maximum scale rate"
        else:
            state, reason, text = "False", "DesiredWithinRange", "the desired count is within the acceptable range"
        self._set("ScalingLimited", state, reason, text)
        return int(max(least, min(most, wanted)))

    async def _rescale(self, resource: str, target: Obj, wanted: int, why: str) -> None:
        current = target["spec"].get("replicas", 1)
        namespace = meta.namespace(target)
        try:
            await self._env.client.patch(resource, meta.name(target), namespace, {"spec": {"replicas": wanted}})
        except ApiError as error:
            text = f"the HPA controller was unable to update the target scale: {error}"
            self._set("AbleToScale", "False", "FailedUpdateScale", text)
            self._event("Warning", "FailedRescale", f"New size: {wanted}; reason: {why}; error: {error}")
            return
        text = f"the HPA controller was able to update the target scale to {wanted}"
        self._set("AbleToScale", "True", "SucceededRescale", text)
        self._event("Normal", "SuccessfulRescale", f"New size: {wanted}; reason: {why}")
        self._memory.changes.append((self._now, wanted - current))
        self._status["lastScaleTime"] = self._stamp

    def _set(self, kind: str, state: str, reason: str, text: str) -> None:
        self._conditions = set_condition(self._conditions, kind, state, reason, text, self._stamp)

    def _event(self, kind: str, reason: str, text: str) -> None:
        self._env.events.event(self._autoscaler, kind, reason, text)

    async def _write(self) -> None:
        status = {"desiredReplicas": 0, **self._status, "conditions": self._conditions}
        if self._metrics:
            status["currentMetrics"] = self._metrics
        await write_status(self._env, AUTOSCALERS, self._autoscaler, status)
