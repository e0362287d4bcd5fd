"""Server-side apply and reading in pages, through kubectl as it is."""

from __future__ import annotations

import base64
import json

import pytest

DEPLOYMENT = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, labels: {app: web}}
spec:
  replicas: 0
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers: [{name: main, image: cloud-user:1.0, ports: [{containerPort: 80}]}]
"""
REPLICAS = "  replicas: 0\n"
CONFLICT = 'error: Apply failed with 1 conflict: conflict with "kubectl" with subresource "scale" using apps/v1: .spec.replicas'


def server_side(cluster, manifest: str, *argv: str, check: bool = True):
    return cluster.apply(manifest, "--server-side", *argv, check=check)


def managers(cluster, *what: str) -> dict[str, dict]:
    found = json.loads(cluster.kubectl("get", *what, "-o", "json", "--show-managed-fields"))
    return {e["manager"]: e for e in found["metadata"]["managedFields"]}


def test_apply_conflict_force_and_giving_up_a_field(cluster):
    assert server_side(cluster, DEPLOYMENT) == "deployment.apps/web serverside-applied\n"
    assert managers(cluster, "deployment", "web")["kubectl"]["operation"] == "Apply"
    cluster.kubectl("scale", "deployment/web", "--replicas=1")
    refused = server_side(cluster, DEPLOYMENT, check=False)
    assert refused.code == 1
    assert refused.err.splitlines()[0] == CONFLICT
    server_side(cluster, DEPLOYMENT, "--force-conflicts")
    assert cluster.jsonpath("{.spec.replicas}", "deployment/web") == "0"
    # Who gives up the only claim to a field takes the field away: the default comes back.
    server_side(cluster, DEPLOYMENT.replace(REPLICAS, ""))
    assert cluster.jsonpath("{.spec.replicas}", "deployment/web") == "1"


def test_a_client_side_applied_object_moves_to_the_server(cluster):
    cluster.apply(DEPLOYMENT)
    assert "kubectl-client-side-apply" in managers(cluster, "deployment", "web")
    server_side(cluster, DEPLOYMENT)
    assert "kubectl-client-side-apply" not in managers(cluster, "deployment", "web")
    changed = server_side(cluster, DEPLOYMENT.replace("app: web}}\nspec", "app: web, team: a}}\nspec", 1))
    assert changed.endswith("serverside-applied\n")
    assert cluster.kubectl("diff", "--server-side", "-f", "-", stdin=DEPLOYMENT, check=False).code == 1
    assert cluster.jsonpath("{.metadata.labels.team}", "deployment/web") == "a"


def test_dry_run_and_prune_of_an_apply(cluster):
    assert "(server dry run)" in server_side(cluster, DEPLOYMENT, "--dry-run=server")
    assert cluster.kubectl("get", "deployments", "-o", "name") == ""
    both = "\n---\n".join(
        f"apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}, labels: {{set: s}}}}\n" for name in ("keep", "go")
    )
    cluster.apply(both)
    only = both.split("---")[0]
    pruned = cluster.apply(only, "--prune", "-l", "set=s", "--prune-allowlist=core/v1/ConfigMap")
    assert "configmap/go pruned" in pruned
    assert cluster.kubectl("get", "configmaps", "-l", "set=s", "-o", "name") == "configmap/keep\n"


def test_managed_fields_are_hidden_and_can_be_reset(cluster):
    cluster.kubectl("create", "configmap", "c", "--from-literal=k=v")
    assert "managedFields" not in cluster.kubectl("get", "configmap", "c", "-o", "yaml")
    assert managers(cluster, "configmap", "c")["kubectl-create"]["fieldsV1"] == {"f:data": {".": {}, "f:k": {}}}
    cluster.kubectl("patch", "configmap", "c", "--type=merge", "-p", '{"metadata":{"managedFields":[{}]}}')
    assert "managedFields" not in cluster.kubectl("get", "configmap", "c", "-o", "yaml", "--show-managed-fields")


def test_pages_show_the_world_of_the_first_one(cluster):
    path = f"/api/v1/namespaces/{cluster.namespace}/configmaps?labelSelector=p&limit=2"
    for name in "abc":
        cluster.apply(f"apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}, labels: {{p: ''}}}}\n")
    first = json.loads(cluster.kubectl("get", "--raw", path))
    cluster.kubectl("delete", "configmap", "c")
    second = json.loads(cluster.kubectl("get", "--raw", f"{path}&continue={first['metadata']['continue']}"))
    assert [i["metadata"]["name"] for i in first["items"] + second["items"]] == ["a", "b", "c"]
    assert second["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]
    token = base64.urlsafe_b64encode(b'{"v":"meta.k8s.io/v2"}').decode().rstrip("=")
    refused = cluster.kubectl("get", "--raw", f"{path}&continue={token}", check=False)
    assert "invalid continue token" in refused.err


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("resourceVersionMatch=Exact", "resourceVersionMatch is forbidden unless resourceVersion is provided"),
        ("resourceVersion=0&resourceVersionMatch=Exact", 'resourceVersionMatch "exact" is forbidden'),
        ("resourceVersion=999999999", "Too large resource version: 999999999, current: "),
        ("fieldSelector=spec.x%3D1", "field label not supported: spec.x"),
    ],
)
def test_what_a_list_cannot_ask(cluster, query, text):
    refused = cluster.kubectl("get", "--raw", f"/api/v1/namespaces/default/pods?{query}", check=False)
    assert refused.code == 1
    assert text in refused.err


def test_metrics_health_and_version(cluster):
    page = cluster.kubectl("get", "--raw", "/metrics")
    assert 'apiserver_request_total{verb="CREATE",resource="namespaces",code="201"}' in page
    assert 'apiserver_request_duration_seconds_bucket{verb="CREATE",resource="namespaces",le="+Inf"}' in page
    assert 'apiserver_longrunning_requests{verb="WATCH",resource="pods"}' in page
    assert "process_resident_memory_bytes " in page
    assert cluster.kubectl("get", "--raw", "/readyz?verbose").endswith("readyz check passed\n")
    assert json.loads(cluster.kubectl("get", "--raw", "/version"))["minor"] == "32"
