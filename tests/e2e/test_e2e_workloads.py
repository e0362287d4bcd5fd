"""StatefulSet, DaemonSet, Job, CronJob and ReplicationController with the real kubectl on two nodes."""

import re

import pytest
from e2e import until

LOOP = "trap 'exit 0' TERM; while true; do sleep 0.1; done"


def container(script, name="main"):
    return f"""{{name: {name}, image: busybox, command: [sh, -c, "{script}"]}}"""


def workload(kind, name, extra=""):
    return f"""
apiVersion: apps/v1
kind: {kind}
metadata: {{name: {name}}}
spec:
  selector: {{matchLabels: {{app: {name}}}}}
  {extra}
  template:
    metadata: {{labels: {{app: {name}}}}}
    spec:
      terminationGracePeriodSeconds: 1
      containers: [{container(LOOP)}]
"""


def job(name, spec="", pod="", script="true"):
    return f"""
apiVersion: batch/v1
kind: Job
metadata: {{name: {name}}}
spec:
  {spec or "backoffLimit: 0"}
  template:
    spec:
      restartPolicy: Never
      terminationGracePeriodSeconds: 1
      {pod}
      containers: [{container(script)}]
"""


@pytest.fixture
def web(cluster):
    """A StatefulSet of three behind a headless Service."""
    cluster.apply(
        "apiVersion: v1\nkind: Service\nmetadata: {name: nginx}\n"
        "spec: {clusterIP: None, selector: {app: web}, ports: [{port: 80, name: web}]}"
    )
    cluster.apply(workload("StatefulSet", "web", "replicas: 3\n  serviceName: nginx"))
    cluster.kubectl("rollout", "status", "sts/web", "--timeout=30s")
    return cluster


def names(cluster, what="pods", selector=""):
    return cluster.jsonpath("{.items[*].metadata.name}", what, *(["-l", selector] if selector else [])).split()


def test_a_statefulset_starts_in_order_and_each_pod_has_a_name_in_dns(web):
    assert names(web) == ["web-0", "web-1", "web-2"]
    started = web.jsonpath(
        "{.items[*].status.conditions[?(@.type=='PodScheduled')].lastTransitionTime}", "pods"
    ).split()
    assert started == sorted(started)
    events = web.kubectl("get", "events", "--field-selector", "involvedObject.name=web", "-o", "name")
    assert len(events.splitlines()) >= 3
    fqdn = f"web-0.nginx.{web.namespace}.svc.cluster.local"
    ip = web.jsonpath("{.status.podIP}", "pod", "web-0")
    shown = until(lambda: web.exec("web-2", "nslookup", fqdn, check=False), "web-0 in DNS")
    assert re.search(rf"Name:\s+{fqdn}\s+Address: {ip}", shown)
    assert web.exec("web-1", "hostname").strip() == "web-1"
    assert web.exec("web-1", "hostname", "-f").strip() == fqdn.replace("web-0", "web-1")
    table = web.kubectl("get", "sts", "-o", "wide").splitlines()
    assert table[0].split() == ["NAME", "READY", "AGE", "CONTAINERS", "IMAGES"]
    assert table[1].split()[:2] == ["web", "3/3"]


def test_a_statefulset_rolls_backwards_and_comes_back(web):
    before = web.jsonpath("{.items[*].metadata.uid}", "pods").split()
    web.kubectl("patch", "sts/web", "-p", '{"spec":{"updateStrategy":{"rollingUpdate":{"partition":2}}}}')
    assert web.kubectl("set", "env", "sts/web", "A=1").strip() == "statefulset.apps/web env updated"
    said = web.kubectl("rollout", "status", "sts/web", "--timeout=30s")
    assert said.splitlines()[-1] == "partitioned roll out complete: 1 new pods have been updated..."
    after = web.jsonpath("{.items[*].metadata.uid}", "pods").split()
    assert [a == b for a, b in zip(before, after, strict=True)] == [True, True, False]
    assert "1" in web.exec("web-2", "printenv", "A")
    history = web.kubectl("rollout", "history", "sts/web")
    assert re.findall(r"^(\d+) ", history, re.MULTILINE) == ["1", "2"]
    assert web.kubectl("rollout", "undo", "sts/web").strip() == "statefulset.apps/web rolled back"
    # `rollout status` of a partitioned update counts the two pods that never left the first revision: it is no wait.
    until(lambda: web.exec("web-2", "printenv", "A", check=False) == "", "the first revision of web-2")
    assert web.kubectl("scale", "sts/web", "--replicas=1").strip() == "statefulset.apps/web scaled"
    until(lambda: names(web) == ["web-0"], "one pod is left")


def test_immutable_fields_of_a_statefulset(web):
    refused = web.kubectl("patch", "sts/web", "-p", '{"spec":{"serviceName":"other"}}', check=False)
    assert refused.err.startswith('The StatefulSet "web" is invalid: spec: Forbidden: updates to statefulset spec')


def test_a_daemonset_has_a_pod_on_each_node_and_a_history(cluster):
    cluster.apply(workload("DaemonSet", "agent"))
    cluster.kubectl("rollout", "status", "ds/agent", "--timeout=30s")
    placed = cluster.jsonpath("{.items[*].spec.nodeName}", "pods").split()
    assert sorted(placed) == ["node-0", "node-1"]
    assert cluster.kubectl("get", "ds").splitlines()[1].split()[:6] == ["agent", "2", "2", "2", "2", "2"]
    cluster.kubectl("set", "env", "ds/agent", "A=1")
    said = cluster.kubectl("rollout", "status", "ds/agent", "--timeout=30s")
    assert said.splitlines()[-1] == 'daemon set "agent" successfully rolled out'
    assert "A:" in cluster.kubectl("rollout", "history", "ds/agent", "--revision=2")
    cluster.kubectl("rollout", "undo", "ds/agent", "--to-revision=1")
    cluster.kubectl("rollout", "status", "ds/agent", "--timeout=30s")
    assert "A" not in cluster.jsonpath("{.items[*].spec.containers[*].env}", "pods")
    cluster.kubectl("rollout", "restart", "ds/agent")
    cluster.kubectl("rollout", "status", "ds/agent", "--timeout=30s")


def test_a_cordoned_node_keeps_its_daemon(cluster):
    cluster.kubectl("cordon", "node-1")
    try:
        cluster.apply(workload("DaemonSet", "agent"))
        cluster.kubectl("rollout", "status", "ds/agent", "--timeout=30s")
        assert len(names(cluster)) == 2
    finally:
        cluster.kubectl("uncordon", "node-1")


def test_a_job_with_a_sidecar_completes(cluster):
    sidecar = container(LOOP, "side").replace("{", "{restartPolicy: Always, ", 1)
    cluster.apply(job("pi", pod=f"initContainers: [{sidecar}]", script="echo 3.14"))
    assert (
        cluster.kubectl("wait", "--for=condition=complete", "job/pi", "--timeout=20s").strip()
        == "job.batch/pi condition met"
    )
    assert cluster.kubectl("logs", "job/pi", "-c", "main").strip() == "3.14"
    row = cluster.kubectl("get", "jobs").splitlines()[1].split()
    assert row[:3] == ["pi", "Complete", "1/1"]
    described = cluster.kubectl("describe", "job", "pi")
    assert "Pods Statuses:    0 Active (0 Ready) / 1 Succeeded / 0 Failed" in described
    cluster.kubectl("delete", "job", "pi")
    until(lambda: names(cluster) == [], "its pod goes, too")


def test_an_indexed_job_knows_its_indexes(cluster):
    spec = "completions: 3\n  parallelism: 2\n  completionMode: Indexed"
    cluster.apply(job("many", spec, script="echo $JOB_COMPLETION_INDEX at $(hostname)"))
    cluster.kubectl("wait", "--for=condition=complete", "job/many", "--timeout=20s")
    assert cluster.jsonpath("{.status.completedIndexes}", "job", "many") == "0-2"
    logs = cluster.kubectl("logs", "-l", "job-name=many").splitlines()
    assert sorted(logs) == ["0 at many-0", "1 at many-1", "2 at many-2"]


def test_a_job_that_fails_says_why(cluster):
    cluster.apply(job("bad", script="exit 3"))
    cluster.kubectl("wait", "--for=condition=failed", "job/bad", "--timeout=20s")
    path = "{.status.conditions[?(@.type=='Failed')].reason} {.status.failed}"
    assert cluster.jsonpath(path, "job", "bad") == "BackoffLimitExceeded 1"
    refused = cluster.apply(job("never").replace("Never", "Always"), check=False)
    assert 'spec.template.spec.restartPolicy: Required value: valid values: "OnFailure", "Never"' in refused.err


def test_suspend_resume_and_time_to_live(cluster):
    cluster.apply(job("slow", "suspend: true\n  ttlSecondsAfterFinished: 1"))
    until(lambda: "Suspended" in cluster.kubectl("get", "job", "slow"), "the Job is suspended")
    assert names(cluster) == []
    cluster.kubectl("patch", "job/slow", "-p", '{"spec":{"suspend":false}}')
    until(lambda: names(cluster, "jobs") == [] and names(cluster) == [], "the Job and its pod are gone")


def test_a_cron_job_can_be_fired(cluster):
    said = cluster.kubectl(
        "create", "cronjob", "tick", "--image=busybox", "--schedule=@hourly", "--", "sh", "-c", "echo tock"
    )
    assert said.strip() == "cronjob.batch/tick created"
    assert cluster.kubectl("get", "cj").splitlines()[1].split()[:6] == [
        "tick",
        "@hourly",
        "<none>",
        "False",
        "0",
        "<none>",
    ]
    cluster.kubectl("create", "job", "now", "--from=cronjob/tick")
    cluster.kubectl("wait", "--for=condition=complete", "job/now", "--timeout=20s")
    assert cluster.kubectl("logs", "job/now").strip() == "tock"
    assert cluster.jsonpath("{.metadata.ownerReferences[0].name}", "job", "now") == "tick"
    # The schedule itself: every second is not cron, but @every is.
    cluster.kubectl("patch", "cj/tick", "-p", '{"spec":{"schedule":"@every 1s"}}')
    until(lambda: cluster.jsonpath("{.status.lastSuccessfulTime}", "cj", "tick"), "a Job by the schedule")
    cluster.kubectl("delete", "cj", "tick")
    until(lambda: names(cluster, "jobs") == [], "its Jobs go, too")
    refused = cluster.kubectl("create", "cronjob", "bad", "--image=busybox", "--schedule=* * *", check=False)
    assert 'spec.schedule: Invalid value: "* * *": expected exactly 5 fields, found 3: [* * *]' in refused.err


def test_a_replication_controller_scales(cluster):
    template = f"template: {{metadata: {{labels: {{app: old}}}}, spec: {{containers: [{container(LOOP)}]}}}}"
    made = cluster.apply(
        f"apiVersion: v1\nkind: ReplicationController\nmetadata: {{name: old}}\nspec: {{replicas: 1, {template}}}"
    )
    assert made.strip() == "replicationcontroller/old created"
    assert cluster.kubectl("scale", "rc/old", "--replicas=2").strip() == "replicationcontroller/old scaled"
    until(lambda: cluster.kubectl("get", "rc").splitlines()[1].split()[1:4] == ["2", "2", "2"], "two are ready")
