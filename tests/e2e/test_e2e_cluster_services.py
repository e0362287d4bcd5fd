"""What a cluster gives to programs besides running them: storage, limits, budgets, metrics, autoscaling."""

import json
from pathlib import Path

from e2e import until

CLAIM = """
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: data}
spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}
"""


def user(name, script="sleep 1000"):
    return f"""
apiVersion: v1
kind: Pod
metadata: {{name: {name}}}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - {{name: c, image: busybox, command: [sh, -c, "{script}"], volumeMounts: [{{name: d, mountPath: /data}}]}}
  volumes: [{{name: d, persistentVolumeClaim: {{claimName: data}}}}]
"""


def deployment(name, replicas, script="sleep 1000", cpu="10m"):
    return f"""
apiVersion: apps/v1
kind: Deployment
metadata: {{name: {name}}}
spec:
  replicas: {replicas}
  selector: {{matchLabels: {{app: {name}}}}}
  template:
    metadata: {{labels: {{app: {name}}}}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - name: c
        image: busybox
        command: [sh, -c, "{script}"]
        resources: {{requests: {{cpu: {cpu}, memory: 1Mi}}}}
"""


def test_a_claim_keeps_its_data_from_pod_to_pod_and_goes_with_it(cluster):
    cluster.apply(CLAIM)
    row = cluster.kubectl("get", "pvc", "data", "--no-headers").split()
    assert row[:4] == ["data", "Pending", "standard", "<unset>"]
    cluster.apply(user("first", "echo kept > /data/file; sleep 1000"))
    cluster.kubectl("wait", "--for=condition=Ready", "pod/first", "--timeout=30s")
    volume = cluster.jsonpath("{.spec.volumeName}", "pvc", "data")
    place = Path(cluster.jsonpath("{.spec.hostPath.path}", "pv", volume))
    until(lambda: (place / "file").exists(), "the pod's file", 5)
    cluster.kubectl("delete", "pod", "first")
    cluster.apply(user("second"))
    cluster.kubectl("wait", "--for=condition=Ready", "pod/second", "--timeout=30s")
    assert cluster.exec("second", "cat", "/data/file") == "kept\n"
    cluster.kubectl("delete", "pvc", "data", "--wait=false")
    assert "Terminating" in cluster.kubectl("get", "pvc", "data")
    cluster.kubectl("delete", "pod", "second")
    cluster.kubectl("wait", "--for=delete", "pvc/data", f"pv/{volume}", "--timeout=10s")
    until(lambda: not place.exists(), "the directory is removed", 5)


def test_quotas_and_limit_ranges(cluster):
    cluster.kubectl("create", "quota", "small", "--hard=pods=1,count/configmaps=2")
    until(lambda: "pods: 0/1" in cluster.kubectl("get", "quota", "small"), "the quota is counted", 5)
    cluster.kubectl("run", "one", "--image=busybox", "--", "sleep", "1000")
    refused = cluster.kubectl("run", "two", "--image=busybox", check=False)
    why = "exceeded quota: small, requested: pods=1, used: pods=1, limited: pods=1"
    assert refused.err.strip() == f'Error from server (Forbidden): pods "two" is forbidden: {why}'
    shown = cluster.kubectl("describe", "quota", "small").split()
    assert shown[-6:] == ["count/configmaps", "1", "2", "pods", "1", "1"]
    cluster.kubectl("delete", "quota", "small")
    item = "{type: Container, max: {cpu: 500m}, default: {cpu: 200m}}"
    cluster.apply(f"apiVersion: v1\nkind: LimitRange\nmetadata: {{name: l}}\nspec: {{limits: [{item}]}}")
    cluster.kubectl("run", "three", "--image=busybox", "--", "sleep", "1000")
    assert cluster.jsonpath("{.spec.containers[0].resources.limits.cpu}", "pod", "three") == "200m"


def test_drain_waits_for_the_budget(cluster):
    cluster.apply(deployment("web", 2))
    cluster.kubectl("create", "pdb", "web", "--selector=app=web", "--min-available=2")
    cluster.kubectl("rollout", "status", "deploy/web", "--timeout=30s")
    until(lambda: cluster.get("pdb", "web")["status"].get("currentHealthy") == 2, "the budget is counted", 5)
    pod, node = cluster.jsonpath("{.items[0].metadata.name} {.items[0].spec.nodeName}", "pods").split()
    try:
        refused = cluster.kubectl("drain", node, "--pod-selector=app=web", "--timeout=2s", check=False)
        assert "Cannot evict pod as it would violate the pod's disruption budget." in refused.err
        assert cluster.jsonpath("{.metadata.deletionTimestamp}", "pod", pod) == ""
        cluster.kubectl("patch", "pdb", "web", "--type=merge", "-p", json.dumps({"spec": {"minAvailable": 1}}))
        drained = cluster.kubectl("drain", node, "--pod-selector=app=web", "--timeout=40s")
        assert f"node/{node} drained" in drained
        assert f"pod/{pod} evicted" in drained
    finally:
        cluster.kubectl("uncordon", node)


def test_top_and_autoscaling(cluster):
    cluster.apply(deployment("busy", 1, "while true; do true; done"))
    cluster.kubectl("rollout", "status", "deploy/busy", "--timeout=30s")
    lines = until(lambda: cluster.kubectl("top", "pods", "--containers", "--no-headers", check=False), "metrics", 10)
    _, container, cpu, memory = lines.split()
    assert container == "c"
    assert int(cpu.removesuffix("m")) > 50
    assert memory.endswith("Mi")
    assert len(cluster.kubectl("top", "nodes", "--no-headers").splitlines()) == 2
    cluster.kubectl("autoscale", "deploy", "busy", "--max=2", "--cpu-percent=50")
    until(lambda: cluster.get("deploy", "busy")["spec"]["replicas"] == 2, "the autoscaler scales up", 20)
    told = cluster.kubectl("describe", "hpa", "busy")
    assert "New size: 2; reason: cpu resource utilization (percentage of request) above target" in told
    assert "TooManyReplicas" in told
    cluster.kubectl("delete", "deploy,hpa", "busy", "--wait=false")


def test_ingresses_and_policies_are_kept_and_described(cluster):
    cluster.kubectl("create", "ingress", "web", "--class=nginx", "--rule=a.example.com/app*=web:80,tls=cert")
    shown = cluster.kubectl("get", "ingress", "web").split()
    assert shown[:6] == ["NAME", "CLASS", "HOSTS", "ADDRESS", "PORTS", "AGE"]
    assert shown[6:9] == ["web", "nginx", "a.example.com"]
    assert "/app" in cluster.kubectl("describe", "ingress", "web")
    bad = cluster.apply(
        "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: bad}\n"
        "spec: {rules: [{http: {paths: [{path: /, backend: {service: {name: a, port: {number: 1}}}}]}}]}",
        check=False,
    )
    assert "pathType: Required value" in bad.err
