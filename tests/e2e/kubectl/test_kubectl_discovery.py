"""version, api-resources, api-versions, explain, cluster-info, rest mapping, raw paths, proxy, auth: what is served and by what name."""

import contextlib
import json
import re
import subprocess
import urllib.request

import pytest
from e2e import until


def test_version_names_client_and_server(cluster):
    shown = json.loads(cluster.kubectl("version", "-o", "json"))
    assert {"clientVersion", "serverVersion", "kustomizeVersion"} <= shown.keys()
    server = shown["serverVersion"]
    assert server["major"] == "1"
    assert re.fullmatch(r"v1\.\d+\.\d+.*", server["gitVersion"])
    assert re.search(r"Server Version: v1\.\d+", cluster.kubectl("version"))
    assert not cluster.kubectl("version").err, "client and server are within one minor version of each other"
    assert "Server Version" not in cluster.kubectl("version", "--client")


API_RESOURCES = [
    ("configmaps", "cm", "v1", "true", "ConfigMap"),
    ("endpoints", "ep", "v1", "true", "Endpoints"),
    ("events", "ev", "v1", "true", "Event"),
    ("namespaces", "ns", "v1", "false", "Namespace"),
    ("nodes", "no", "v1", "false", "Node"),
    ("pods", "po", "v1", "true", "Pod"),
    ("podtemplates", "", "v1", "true", "PodTemplate"),
    ("replicationcontrollers", "rc", "v1", "true", "ReplicationController"),
    ("secrets", "", "v1", "true", "Secret"),
    ("serviceaccounts", "sa", "v1", "true", "ServiceAccount"),
    ("services", "svc", "v1", "true", "Service"),
    ("controllerrevisions", "", "apps/v1", "true", "ControllerRevision"),
    ("daemonsets", "ds", "apps/v1", "true", "DaemonSet"),
    ("deployments", "deploy", "apps/v1", "true", "Deployment"),
    ("replicasets", "rs", "apps/v1", "true", "ReplicaSet"),
    ("statefulsets", "sts", "apps/v1", "true", "StatefulSet"),
    ("tokenreviews", "", "authentication.k8s.io/v1", "false", "TokenReview"),
    ("localsubjectaccessreviews", "", "authorization.k8s.io/v1", "true", "LocalSubjectAccessReview"),
    ("cronjobs", "cj", "batch/v1", "true", "CronJob"),
    ("jobs", "", "batch/v1", "true", "Job"),
    ("leases", "", "coordination.k8s.io/v1", "true", "Lease"),
    ("endpointslices", "", "discovery.k8s.io/v1", "true", "EndpointSlice"),
    ("clusterroles", "", "rbac.authorization.k8s.io/v1", "false", "ClusterRole"),
    ("roles", "", "rbac.authorization.k8s.io/v1", "true", "Role"),
]


def test_api_resources_lists_names_short_names_scope_and_kind(cluster):
    rows = [line.split() for line in cluster.kubectl("api-resources").splitlines()]
    assert rows[0] == ["NAME", "SHORTNAMES", "APIVERSION", "NAMESPACED", "KIND"]
    for expected in API_RESOURCES:
        assert [word for word in expected if word] in rows


def test_api_resources_can_be_filtered(cluster):
    names = cluster.kubectl("api-resources", "--namespaced=false", "-o", "name").split()
    assert "nodes" in names
    assert "pods" not in names
    apps = cluster.kubectl("api-resources", "--api-group=apps", "-o", "name").split()
    assert apps == [
        f"{plural}.apps"
        for plural in ("controllerrevisions", "daemonsets", "deployments", "replicasets", "statefulsets")
    ]
    assert "tokenreviews.authentication.k8s.io" not in cluster.kubectl("api-resources", "--verbs=list", "-o", "name")
    in_all = cluster.kubectl("api-resources", "--categories=all", "-o", "name").split()
    assert {"pods", "services", "deployments.apps", "jobs.batch"} <= set(in_all)
    assert "configmaps" not in in_all
    wide = cluster.kubectl("api-resources", "--api-group=apps", "-o", "wide", "--no-headers", "--sort-by=kind")
    assert "create,delete,deletecollection,get,list,patch,update,watch" in wide.splitlines()[0]


def test_api_versions_are_sorted_and_resources_of_kube_system_are_served(cluster):
    versions = cluster.kubectl("api-versions").split()
    assert versions == sorted(versions)
    assert {"v1", "apps/v1", "batch/v1", "rbac.authorization.k8s.io/v1"} <= set(versions)


@pytest.mark.parametrize(
    "name", ["svc/x", "service/x", "services/x", "services.v1./x", "service.v1./x"], ids=lambda name: name
)
def test_a_resource_is_found_by_every_way_of_naming_it(cluster, name):
    cluster.kubectl("create", "service", "clusterip", "x", "--tcp=80")
    assert cluster.kubectl("get", name, "-o", "name").strip() == "service/x"


def test_a_resource_is_found_with_its_group_and_version(cluster):
    cluster.kubectl("create", "deployment", "d", "--image=busybox", "--replicas=0")
    for name in ("deploy", "deployment", "deployments", "deployment.apps", "deployments.apps", "deployments.v1.apps"):
        assert cluster.kubectl("get", name, "-o", "name").strip() == "deployment.apps/d", name
    wrong = cluster.kubectl("get", "deployments.v1beta1.extensions", check=False)
    assert wrong.err == 'error: the server doesn\'t have a resource type "deployments"\n'
    both = cluster.kubectl("get", "deployments", "svc/x", check=False)
    assert both.code == 1
    assert "there is no need to specify a resource type as a separate argument" in both.err


def test_the_category_all_has_workloads_and_services_but_no_configuration(cluster):
    cluster.kubectl("create", "deployment", "d", "--image=busybox", "--replicas=0")
    cluster.kubectl("create", "service", "clusterip", "s", "--tcp=80")
    until(lambda: "replicaset.apps/d-" in cluster.kubectl("get", "all"), "the replica set")
    shown = cluster.kubectl("get", "all", "-o", "name").split()
    assert [name.partition("/")[0] for name in shown] == ["service", "deployment.apps", "replicaset.apps"]


def test_explain_prints_descriptions_and_fields(cluster):
    shown = cluster.kubectl("explain", "pods")
    assert shown.startswith("KIND:       Pod\nVERSION:    v1\n\nDESCRIPTION:\n    Pod is a collection of containers")
    assert "\n  spec\t<PodSpec>\n    Specification of the desired behavior of the pod." in shown
    deployment = cluster.kubectl("explain", "deployment")
    assert deployment.startswith("GROUP:      apps\nKIND:       Deployment\nVERSION:    v1\n")
    leaf = cluster.kubectl("explain", "pod.spec.containers.ports.hostPort")
    assert "FIELD: hostPort <integer>" in leaf
    named = cluster.kubectl("explain", "deploy.spec.strategy.type")
    assert "FIELD: type <string>\nENUM:\n    Recreate\n    RollingUpdate" in named
    assert "-required-" in cluster.kubectl("explain", "pod.spec.containers")
    recursive = cluster.kubectl("explain", "po", "--recursive")
    assert "\n    containers\t<[]Container> -required-\n      args\t<[]string>\n" in recursive
    versioned = cluster.kubectl("explain", "cronjob", "--api-version=batch/v1")
    assert versioned.startswith("GROUP:      batch\nKIND:       CronJob\nVERSION:    v1\n")
    older = cluster.kubectl("explain", "svc.spec.ports", "--output=plaintext-openapiv2")
    assert re.search(r"RESOURCE: +ports <\[\]Object>", older)


@pytest.mark.parametrize(
    ("what", "why"),
    [
        ("nothing", 'the server doesn\'t have a resource type "nothing"'),
        ("pods.spec.nothing", 'error: field "nothing" does not exist'),
    ],
)
def test_explain_refuses_what_is_not_there(cluster, what, why):
    refused = cluster.kubectl("explain", what, check=False)
    assert (refused.code, refused.err.strip()) == (1, why)


def test_cluster_info_names_the_control_plane_and_dumps(cluster, tmp_path):
    shown = cluster.kubectl("cluster-info")
    assert re.search(r"Kubernetes control plane is running at https://127\.0\.0\.1:\d+", shown)
    assert "CoreDNS is running at https://" in shown
    cluster.kubectl("create", "configmap", "c")
    cluster.kubectl("cluster-info", "dump", f"--output-directory={tmp_path}", f"--namespaces={cluster.namespace}")
    assert {path.name for path in tmp_path.iterdir()} == {"nodes.json", cluster.namespace}
    found = {path.name for path in (tmp_path / cluster.namespace).iterdir()}
    assert found == {
        f"{kind}.json"
        for kind in (
            "daemonsets",
            "deployments",
            "events",
            "pods",
            "replicasets",
            "replication-controllers",
            "services",
        )
    }


def test_raw_paths_answer(cluster):
    def raw(path):
        return cluster.kubectl("get", "--raw", path)

    assert raw("/livez") == raw("/readyz") == raw("/healthz") == "ok"
    assert raw("/readyz?verbose").endswith("readyz check passed\n")
    assert json.loads(raw("/apis/apps"))["preferredVersion"]["groupVersion"] == "apps/v1"
    assert "/apis/apps/v1" in json.loads(raw("/"))["paths"]
    assert json.loads(raw(f"/api/v1/namespaces/{cluster.namespace}"))["metadata"]["name"] == cluster.namespace
    assert json.loads(raw("/api"))["versions"] == ["v1"]
    assert json.loads(raw("/openapi/v2"))["swagger"] == "2.0"
    assert "api/v1" in json.loads(raw("/openapi/v3"))["paths"]
    assert "apiserver_request_total" in raw("/metrics")
    gone = cluster.kubectl("get", "--raw", "/not/there", check=False)
    assert gone.err == "Error from server (NotFound): the server could not find the requested resource\n"


def test_raw_bodies_are_created_replaced_and_deleted(cluster):
    base = f"/api/v1/namespaces/{cluster.namespace}/configmaps"
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "raw"}, "data": {"k": "1"}}
    cluster.kubectl("create", "--raw", base, "-f", "-", stdin=json.dumps(body))
    body["data"] = {"k": "2"}
    cluster.kubectl("replace", "--raw", f"{base}/raw", "-f", "-", stdin=json.dumps(body))
    assert cluster.jsonpath("{.data.k}", "cm", "raw") == "2"
    assert json.loads(cluster.kubectl("delete", "--raw", f"{base}/raw"))["status"] == "Success"
    assert cluster.kubectl("get", "cm", "raw", "--ignore-not-found") == ""


@contextlib.contextmanager
def proxied(cluster, *argv):
    """`kubectl proxy` on a free port; gives its address."""
    with subprocess.Popen(
        ["kubectl", "proxy", "--port=0", *argv], env=cluster.env, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            line = process.stdout.readline()
            yield "http://" + line.rpartition(" ")[2].strip()
        finally:
            process.terminate()


def test_the_proxy_serves_the_api_and_files_under_a_prefix(cluster, tmp_path):
    (tmp_path / "page.txt").write_text("a page")
    with proxied(cluster, f"--www={tmp_path}", "--www-prefix=/files/") as url:
        with urllib.request.urlopen(f"{url}/api/v1/namespaces/{cluster.namespace}", timeout=5) as answer:
            assert json.load(answer)["metadata"]["name"] == cluster.namespace
        with urllib.request.urlopen(f"{url}/files/page.txt", timeout=5) as answer:
            assert answer.read() == b"a page"
    with proxied(cluster, "--api-prefix=/kube/") as url:
        with urllib.request.urlopen(f"{url}/kube/healthz", timeout=5) as answer:
            assert answer.read() == b"ok"
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(f"{url}/api/v1", timeout=5)


def test_a_request_that_takes_too_long_is_given_up(cluster):
    assert cluster.kubectl("get", "ns", "default", "--request-timeout=5s", "-o", "name").strip() == "namespace/default"
    for good in ("1", "1s", "1m"):
        cluster.kubectl("get", "ns", f"--request-timeout={good}")
    wrong = cluster.kubectl("get", "ns", "--request-timeout=1p", check=False)
    assert wrong.code == 1
    assert "Invalid timeout value. Timeout must be a single integer in seconds" in wrong.err


def test_auth_can_i_answers_and_whoami_names_the_user(cluster):
    assert cluster.kubectl("auth", "can-i", "create", "pods").strip() == "yes"
    assert cluster.kubectl("auth", "can-i", "get", "/healthz").strip() == "yes"
    assert cluster.kubectl("auth", "can-i", "get", "pods", "--subresource=log", "--quiet") == ""
    odd = cluster.kubectl("auth", "can-i", "create", "gadgets")
    assert odd.err == "Warning: the server doesn't have a resource type 'gadgets'\n\n"
    scope = cluster.kubectl("auth", "can-i", "get", "nodes")
    assert scope.err == "Warning: resource 'nodes' is not namespace scoped\n\n"
    listed = cluster.kubectl("auth", "can-i", "--list")
    assert listed.splitlines()[0].split() == ["Resources", "Non-Resource", "URLs", "Resource", "Names", "Verbs"]
    assert re.search(r"^\*\.\* +\[\] +\[\] +\[\*\]$", listed, re.M)
    who = json.loads(cluster.kubectl("auth", "whoami", "-o", "json"))
    assert who["kind"] == "SelfSubjectReview"
    assert "system:authenticated" in who["status"]["userInfo"]["groups"]
