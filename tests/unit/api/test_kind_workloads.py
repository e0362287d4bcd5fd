"""StatefulSet, DaemonSet, Job, CronJob, ReplicationController, PodTemplate: defaults, faults, updates, rows."""

from datetime import UTC, datetime

import pytest

from sampan.api import meta, scale
from sampan.api.kinds import cronjob, daemonset, job, podtemplate, replicationcontroller, statefulset

NOW = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)
LABELS = {"app": "web"}


def template(**spec):
    return {"metadata": {"labels": dict(LABELS)}, "spec": {"containers": [{"name": "c", "image": "x:1"}]} | spec}


def workload(resource, **spec):
    selector = {} if resource in (job.RESOURCE, cronjob.RESOURCE) else {"selector": {"matchLabels": dict(LABELS)}}
    made = {
        "apiVersion": resource.api_version,
        "kind": resource.kind,
        "metadata": {
            "name": "web",
            "namespace": "default",
            "uid": "u-1",
            "resourceVersion": "7",
            "creationTimestamp": "2026-01-01T11:00:00Z",
        },
        "spec": {**selector, "template": template()} | spec,
    }
    resource.strategy.default(made)
    resource.strategy.prepare_create(made)
    return made


def a_job(**spec):
    return workload(job.RESOURCE, **{"template": template(restartPolicy="Never")} | spec)


def a_cron_job(**spec):
    inner = {"template": template(restartPolicy="Never")} | spec.pop("job", {})
    return workload(
        cronjob.RESOURCE, **{"schedule": "@hourly", "template": None, "jobTemplate": {"spec": inner}} | spec
    )


def faults(resource, obj):
    return [str(e) for e in resource.strategy.validate(obj)]


def changes(resource, new, old):
    resource.strategy.default(new)
    return [str(e) for e in resource.strategy.validate_update(new, old)]


def test_statefulset_defaults():
    spec = workload(statefulset.RESOURCE, volumeClaimTemplates=[{"metadata": {"name": "data"}, "spec": {}}])["spec"]
    assert (spec["replicas"], spec["revisionHistoryLimit"], spec["podManagementPolicy"]) == (1, 10, "OrderedReady")
    assert spec["updateStrategy"] == {"type": "RollingUpdate", "rollingUpdate": {"partition": 0}}
    assert spec["persistentVolumeClaimRetentionPolicy"] == {"whenDeleted": "Retain", "whenScaled": "Retain"}
    claim = spec["volumeClaimTemplates"][0]
    assert (claim["kind"], claim["spec"], claim["status"]) == (
        "PersistentVolumeClaim",
        {"volumeMode": "Filesystem"},
        {"phase": "Pending"},
    )


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({}, []),
        ({"replicas": -1}, ["spec.replicas: Invalid value: -1: must be greater than or equal to 0"]),
        (
            {"podManagementPolicy": "Any"},
            ["spec.podManagementPolicy: Invalid value: \"Any\": must be 'OrderedReady' or 'Parallel'"],
        ),
        (
            {"selector": {}},
            [
                "spec.selector: Invalid value: v1.LabelSelector{MatchLabels:map[string]string(nil), "
                "MatchExpressions:[]v1.LabelSelectorRequirement(nil)}: empty selector is invalid for statefulset"
            ],
        ),
        (
            {"selector": {"matchLabels": {"app": "x"}}},
            [
                'spec.template.metadata.labels: Invalid value: map[string]string{"app":"web"}: '
                "`selector` does not match template `labels`"
            ],
        ),
        (
            {"template": template(restartPolicy="Never")},
            ['spec.template.spec.restartPolicy: Unsupported value: "Never": supported values: "Always"'],
        ),
        (
            {"persistentVolumeClaimRetentionPolicy": {"whenDeleted": "Keep"}},
            [
                "spec.persistentVolumeClaimRetentionPolicy.whenDeleted: Unsupported value: "
                '"Keep": supported values: "Retain", "Delete"'
            ],
        ),
    ],
)
def test_statefulset_faults(spec, expected):
    assert faults(statefulset.RESOURCE, workload(statefulset.RESOURCE, **spec)) == expected


def test_most_of_a_statefulset_may_not_change():
    old = workload(statefulset.RESOURCE, serviceName="a")
    new = meta.copy(old)
    new["spec"] |= {"replicas": 5, "minReadySeconds": 3}
    assert changes(statefulset.RESOURCE, new, old) == []
    new["spec"]["serviceName"] = "b"
    assert changes(statefulset.RESOURCE, new, old) == [
        "spec: Forbidden: updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', "
        "'updateStrategy', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden"
    ]


def test_statefulset_status_and_row():
    made = workload(statefulset.RESOURCE, replicas=3)
    made["status"] = {"replicas": 2, "readyReplicas": 3, "availableReplicas": 1}
    assert [str(e) for e in statefulset.RESOURCE.strategy.validate_status(made, made)] == [
        "status.readyReplicas: Invalid value: 3: cannot be greater than status.replicas"
    ]
    assert statefulset.RESOURCE.strategy.row(made, NOW) == ["web", "3/3", "60m", "c", "x:1"]


def test_daemonset():
    made = workload(daemonset.RESOURCE)
    rolling = {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1, "maxSurge": 0}}
    assert (made["spec"]["updateStrategy"], made["spec"]["revisionHistoryLimit"]) == (rolling, 10)
    assert meta.annotations(made) == {"deprecated.daemonset.template.generation": "1"}
    assert faults(daemonset.RESOURCE, made) == []
    both = {"rollingUpdate": {"maxUnavailable": 1, "maxSurge": "25%"}}
    assert faults(daemonset.RESOURCE, workload(daemonset.RESOURCE, updateStrategy=both)) == [
        "spec.updateStrategy.rollingUpdate.maxSurge: Invalid value: intstr.IntOrString{Type:1, IntVal:0, "
        'StrVal:"25%"}: may not be set when maxUnavailable is non-zero'
    ]
    none = {"rollingUpdate": {"maxUnavailable": 0}}
    assert faults(daemonset.RESOURCE, workload(daemonset.RESOURCE, updateStrategy=none)) == [
        "spec.updateStrategy.rollingUpdate.maxUnavailable: Required value: cannot be 0 when maxSurge is 0"
    ]
    made["status"] |= {"desiredNumberScheduled": 2, "numberReady": 1, "numberAvailable": 1}
    row = daemonset.RESOURCE.strategy.row(made, NOW)
    assert row == ["web", 2, 0, 1, 0, 1, "<none>", "60m", "c", "x:1", "app=web"]


def test_a_changed_template_of_a_daemonset_counts():
    old = workload(daemonset.RESOURCE)
    for image, generation in (("x:1", "1"), ("x:2", "2")):
        new = meta.copy(old)
        new["spec"]["template"]["spec"]["containers"][0]["image"] = image
        daemonset.RESOURCE.strategy.prepare_update(new, old)
        assert meta.annotations(new)["deprecated.daemonset.template.generation"] == generation


def test_job_defaults_and_generated_selector():
    made = a_job()
    spec = made["spec"]
    kept = (
        "completions",
        "parallelism",
        "backoffLimit",
        "completionMode",
        "suspend",
        "manualSelector",
        "podReplacementPolicy",
    )
    assert [spec[key] for key in kept] == [1, 1, 6, "NonIndexed", False, False, "TerminatingOrFailed"]
    assert spec["selector"] == {"matchLabels": {"batch.kubernetes.io/controller-uid": "u-1"}}
    assert meta.labels(spec["template"]) == {
        "app": "web",
        "controller-uid": "u-1",
        "job-name": "web",
        "batch.kubernetes.io/controller-uid": "u-1",
        "batch.kubernetes.io/job-name": "web",
    }
    assert meta.labels(made) == LABELS
    assert a_job(parallelism=3)["spec"].get("completions") is None
    assert a_job(backoffLimitPerIndex=1)["spec"]["backoffLimit"] == 2**31 - 1


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({}, []),
        (
            {"template": template()},
            ['spec.template.spec.restartPolicy: Required value: valid values: "OnFailure", "Never"'],
        ),
        ({"parallelism": -1}, ["spec.parallelism: Invalid value: -1: must be greater than or equal to 0"]),
        (
            {"completionMode": "Indexed", "parallelism": 2},
            ["spec.completions: Required value: when completion mode is Indexed"],
        ),
        (
            {"completionMode": "Some"},
            ['spec.completionMode: Unsupported value: "Some": supported values: "NonIndexed", "Indexed"'],
        ),
        (
            {"backoffLimitPerIndex": 1},
            ["spec.backoffLimitPerIndex: Invalid value: 1: requires indexed completion mode"],
        ),
        (
            {"successPolicy": {"rules": [{"succeededIndexes": "0-9"}]}, "completionMode": "Indexed", "completions": 3},
            [
                'spec.successPolicy.rules[0].succeededIndexes: Invalid value: "0-9": '
                'error parsing succeededIndexes: too large index: "9"'
            ],
        ),
        (
            {
                "podFailurePolicy": {
                    "rules": [{"action": "FailJob", "onExitCodes": {"operator": "In", "values": [2, 1]}}]
                }
            },
            ["spec.podFailurePolicy.rules[0].onExitCodes.values: Invalid value: []int32{2, 1}: must be ordered"],
        ),
        (
            {
                "podFailurePolicy": {
                    "rules": [{"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget"}]}]
                },
                "template": template(restartPolicy="OnFailure"),
            },
            [
                'spec.template.spec.restartPolicy: Invalid value: "OnFailure": '
                'only "Never" is supported when podFailurePolicy is specified'
            ],
        ),
    ],
)
def test_job_faults(spec, expected):
    assert faults(job.RESOURCE, a_job(**spec)) == expected


def test_what_of_a_job_may_change():
    old = a_job(suspend=True)
    new = meta.copy(old)
    new["spec"] |= {"suspend": False, "parallelism": 4, "backoffLimit": 1, "activeDeadlineSeconds": 9}
    new["spec"]["template"]["spec"]["nodeSelector"] = {"disk": "fast"}
    assert changes(job.RESOURCE, new, old) == []
    old["status"] = {"startTime": "2026-01-01T11:00:00Z"}
    new["spec"]["completions"] = 3
    found = [text.split(": ")[0] for text in changes(job.RESOURCE, new, old)]
    assert found == ["spec.completions", "spec.template"]
    indexed = a_job(completionMode="Indexed", completions=2, parallelism=2)
    both = meta.copy(indexed)
    both["spec"] |= {"completions": 3, "parallelism": 3}
    assert changes(job.RESOURCE, both, indexed) == []
    both["spec"]["parallelism"] = 2
    assert changes(job.RESOURCE, both, indexed) == [
        "spec.completions: Invalid value: 3: can only be modified in tandem with spec.parallelism"
    ]


def test_job_rows():
    made = a_job(completions=3)
    row = job.RESOURCE.strategy.row
    assert row(made, NOW)[:5] == ["web", "Running", "0/3", "", "60m"]
    made["status"] = {"startTime": "2026-01-01T11:59:00Z", "succeeded": 1}
    assert row(made, NOW)[1:4] == ["Running", "1/3", "60s"]
    made["status"] |= {
        "completionTime": "2026-01-01T11:59:10Z",
        "conditions": [{"type": "SuccessCriteriaMet", "status": "True"}, {"type": "Complete", "status": "True"}],
    }
    assert row(made, NOW)[1:4] == ["Complete", "1/3", "10s"]
    assert row(a_job(parallelism=2), NOW)[2] == "0/1 of 2"
    assert row(made, NOW)[5:] == ["c", "x:1", "batch.kubernetes.io/controller-uid=u-1"]


def test_cron_job():
    made = a_cron_job()
    kept = ("concurrencyPolicy", "suspend", "successfulJobsHistoryLimit", "failedJobsHistoryLimit")
    assert [made["spec"][key] for key in kept] == ["Allow", False, 3, 1]
    assert faults(cronjob.RESOURCE, made) == []
    row = cronjob.RESOURCE.strategy.row
    assert row(made, NOW) == ["web", "@hourly", "<none>", "False", 0, "<none>", "60m", "c", "x:1", "<none>"]
    made["status"] = {"active": [{}], "lastScheduleTime": "2026-01-01T11:58:00Z"}
    made["spec"] |= {"timeZone": "Asia/Shanghai", "suspend": True}
    assert row(made, NOW)[2:6] == ["Asia/Shanghai", "True", 1, "2m"]


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"schedule": ""}, "spec.schedule: Required value"),
        ({"schedule": "a b"}, 'spec.schedule: Invalid value: "a b": expected exactly 5 fields, found 2: [a b]'),
        ({"timeZone": "Mars/Base"}, 'spec.timeZone: Invalid value: "Mars/Base": unknown time zone Mars/Base'),
        (
            {"concurrencyPolicy": "Never"},
            'spec.concurrencyPolicy: Unsupported value: "Never": supported values: "Allow", "Forbid", "Replace"',
        ),
        (
            {"job": {"template": template()}},
            'spec.jobTemplate.spec.template.spec.restartPolicy: Required value: valid values: "OnFailure", "Never"',
        ),
    ],
)
def test_cron_job_faults(spec, expected):
    assert faults(cronjob.RESOURCE, a_cron_job(**spec)) == [expected]


def test_warnings_name_the_place():
    made = a_cron_job(
        job={"template": template(restartPolicy="Never", nodeSelector={"beta.kubernetes.io/os": "linux"})}
    )
    (text,) = cronjob.RESOURCE.strategy.warnings(made)
    assert text.startswith("spec.jobTemplate.spec.template.spec.nodeSelector[beta.kubernetes.io/os]: deprecated")


def test_the_names_of_jobs_have_room():
    made = a_cron_job()
    made["metadata"]["name"] = "x" * 53
    assert faults(cronjob.RESOURCE, made) == [
        f'metadata.name: Invalid value: "{"x" * 53}": must be no more than 52 characters'
    ]


def test_replication_controller():
    made = workload(replicationcontroller.RESOURCE, selector=None, replicas=2)
    assert (made["spec"]["selector"], meta.labels(made)) == (LABELS, LABELS)
    assert faults(replicationcontroller.RESOURCE, made) == []
    assert scale.to_scale(made)["status"]["selector"] == "app=web"
    made["status"] = {"replicas": 1, "readyReplicas": 1}
    assert replicationcontroller.RESOURCE.strategy.row(made, NOW) == ["web", 2, 1, 1, "60m", "c", "x:1", "app=web"]
    other = workload(replicationcontroller.RESOURCE, selector={"app": "x"})
    assert faults(replicationcontroller.RESOURCE, other) == [
        'spec.template.metadata.labels: Invalid value: map[string]string{"app":"web"}: '
        "`selector` does not match template `labels`"
    ]
    empty = workload(replicationcontroller.RESOURCE, selector=None, template=None)
    assert faults(replicationcontroller.RESOURCE, empty) == [
        "spec.selector: Required value",
        "spec.template: Required value",
    ]


def test_pod_template():
    made = {"metadata": {"name": "pt", "namespace": "default"}, "template": template()}
    podtemplate.RESOURCE.strategy.default(made)
    assert faults(podtemplate.RESOURCE, made) == []
    assert podtemplate.RESOURCE.strategy.row(made, NOW) == ["pt", "c", "x:1", "app=web"]
