"""Fields that take one of a few words: what `kubectl explain` shows as ENUM.

The published definitions name these words in prose only; kube-apiserver adds them to the documents it serves.
Source: the types marked `+enum` in k8s.io/api (1.32).
"""

from __future__ import annotations

# (values, fields that take them: GROUP.VERSION.TYPE.FIELD)
TABLE: tuple[tuple[str, str], ...] = (
    (
        "Always IfNotPresent Never",
        "core.v1.Container.imagePullPolicy core.v1.EphemeralContainer.imagePullPolicy "
        "core.v1.ImageVolumeSource.pullPolicy",
    ),
    ("Always Never OnFailure", "core.v1.PodSpec.restartPolicy"),
    ("ClusterFirst ClusterFirstWithHostNet Default None", "core.v1.PodSpec.dnsPolicy"),
    ("Never PreemptLowerPriority", "core.v1.PodSpec.preemptionPolicy scheduling.v1.PriorityClass.preemptionPolicy"),
    (
        "FallbackToLogsOnError File",
        "core.v1.Container.terminationMessagePolicy core.v1.EphemeralContainer.terminationMessagePolicy",
    ),
    (
        "SCTP TCP UDP",
        "core.v1.ContainerPort.protocol core.v1.ServicePort.protocol core.v1.EndpointPort.protocol "
        "core.v1.PortStatus.protocol discovery.v1.EndpointPort.protocol networking.v1.NetworkPolicyPort.protocol",
    ),
    ("HTTP HTTPS", "core.v1.HTTPGetAction.scheme"),
    ("Bidirectional HostToContainer None", "core.v1.VolumeMount.mountPropagation"),
    ("Failed Pending Running Succeeded Unknown", "core.v1.PodStatus.phase"),
    ("BestEffort Burstable Guaranteed", "core.v1.PodStatus.qosClass"),
    ("Active Terminating", "core.v1.NamespaceStatus.phase"),
    ("NoExecute NoSchedule PreferNoSchedule", "core.v1.Taint.effect core.v1.Toleration.effect"),
    ("Equal Exists", "core.v1.Toleration.operator"),
    ("DoesNotExist Exists Gt In Lt NotIn", "core.v1.NodeSelectorRequirement.operator"),
    ("DoNotSchedule ScheduleAnyway", "core.v1.TopologySpreadConstraint.whenUnsatisfiable"),
    (
        "Honor Ignore",
        "core.v1.TopologySpreadConstraint.nodeAffinityPolicy core.v1.TopologySpreadConstraint.nodeTaintsPolicy",
    ),
    ("Localhost RuntimeDefault Unconfined", "core.v1.SeccompProfile.type core.v1.AppArmorProfile.type"),
    ("Default Unmasked", "core.v1.SecurityContext.procMount"),
    ("Always OnRootMismatch", "core.v1.PodSecurityContext.fsGroupChangePolicy"),
    ("Merge Strict", "core.v1.PodSecurityContext.supplementalGroupsPolicy"),
    ("ClusterIP ExternalName LoadBalancer NodePort", "core.v1.ServiceSpec.type"),
    ("ClientIP None", "core.v1.ServiceSpec.sessionAffinity"),
    ("Cluster Local", "core.v1.ServiceSpec.externalTrafficPolicy core.v1.ServiceSpec.internalTrafficPolicy"),
    ("PreferDualStack RequireDualStack SingleStack", "core.v1.ServiceSpec.ipFamilyPolicy"),
    ("Block Filesystem", "core.v1.PersistentVolumeSpec.volumeMode core.v1.PersistentVolumeClaimSpec.volumeMode"),
    (
        "Delete Recycle Retain",
        "core.v1.PersistentVolumeSpec.persistentVolumeReclaimPolicy storage.v1.StorageClass.reclaimPolicy",
    ),
    ("Available Bound Failed Pending Released", "core.v1.PersistentVolumeStatus.phase"),
    ("Bound Lost Pending", "core.v1.PersistentVolumeClaimStatus.phase"),
    ("Immediate WaitForFirstConsumer", "storage.v1.StorageClass.volumeBindingMode"),
    ("DoesNotExist Exists In NotIn", "core.v1.ScopedResourceSelectorRequirement.operator"),
    (
        "BestEffort CrossNamespacePodAffinity NotBestEffort NotTerminating PriorityClass Terminating",
        "core.v1.ScopedResourceSelectorRequirement.scopeName",
    ),
    ("Recreate RollingUpdate", "apps.v1.DeploymentStrategy.type"),
    ("OnDelete RollingUpdate", "apps.v1.DaemonSetUpdateStrategy.type apps.v1.StatefulSetUpdateStrategy.type"),
    ("OrderedReady Parallel", "apps.v1.StatefulSetSpec.podManagementPolicy"),
    ("Allow Forbid Replace", "batch.v1.CronJobSpec.concurrencyPolicy"),
    ("Indexed NonIndexed", "batch.v1.JobSpec.completionMode"),
    ("Failed TerminatingOrFailed", "batch.v1.JobSpec.podReplacementPolicy"),
    ("Count FailIndex FailJob Ignore", "batch.v1.PodFailurePolicyRule.action"),
    ("In NotIn", "batch.v1.PodFailurePolicyOnExitCodesRequirement.operator"),
    ("Exact ImplementationSpecific Prefix", "networking.v1.HTTPIngressPath.pathType"),
    ("FQDN IPv4 IPv6", "discovery.v1.EndpointSlice.addressType"),
    ("AlwaysAllow IfHealthyBudget", "policy.v1.PodDisruptionBudgetSpec.unhealthyPodEvictionPolicy"),
    (
        "Fail Ignore",
        "admissionregistration.v1.MutatingWebhook.failurePolicy "
        "admissionregistration.v1.ValidatingWebhook.failurePolicy "
        "admissionregistration.v1.ValidatingAdmissionPolicySpec.failurePolicy",
    ),
    (
        "Equivalent Exact",
        "admissionregistration.v1.MutatingWebhook.matchPolicy admissionregistration.v1.ValidatingWebhook.matchPolicy "
        "admissionregistration.v1.MatchResources.matchPolicy",
    ),
    (
        "None NoneOnDryRun Some Unknown",
        "admissionregistration.v1.MutatingWebhook.sideEffects admissionregistration.v1.ValidatingWebhook.sideEffects",
    ),
    ("IfNeeded Never", "admissionregistration.v1.MutatingWebhook.reinvocationPolicy"),
)

_PREFIX = "io.k8s.api."
VALUES: dict[tuple[str, str], list[str]] = {
    (_PREFIX + path.rpartition(".")[0], path.rpartition(".")[2]): values.split()
    for values, paths in TABLE
    for path in paths.split()
}
