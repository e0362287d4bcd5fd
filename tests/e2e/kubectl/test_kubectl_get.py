"""get: every output, every selector, sorting, paging, watching."""

import json
import re
import subprocess
import time

import pytest

CONFIG = """
apiVersion: v1
kind: ConfigMap
metadata:
  name: {name}
  labels: {{tier: "{tier}", app: shop}}
data: {{k: "{name}-value"}}
"""


@pytest.fixture
def shop(cluster):
    """ConfigMaps b, c, a, of tiers 2, 3 and 1."""
    cluster.apply("---".join(CONFIG.format(name=name, tier=tier) for name, tier in (("b", 2), ("c", 3), ("a", 1))))
    return cluster


def shown(cluster, *argv):
    return cluster.kubectl("get", "cm", "-l", "app=shop", *argv)


def test_the_plain_table_and_what_can_be_added_to_it(shop):
    rows = [line.split() for line in shown(shop).splitlines()]
    assert [row[:2] for row in rows] == [["NAME", "DATA"], ["a", "1"], ["b", "1"], ["c", "1"]]
    assert rows[0][2] == "AGE"
    assert [line.split()[0] for line in shown(shop, "--no-headers").splitlines()] == ["a", "b", "c"]
    assert shown(shop, "--show-kind", "--no-headers").startswith("configmap/a ")
    labelled = shown(shop, "--show-labels")
    assert labelled.splitlines()[0].split()[-1] == "LABELS"
    assert labelled.splitlines()[1].split()[-1] == "app=shop,tier=1"
    columns = shown(shop, "-L", "tier,none").splitlines()
    assert columns[0].split() == ["NAME", "DATA", "AGE", "TIER", "NONE"]
    assert columns[2].split()[3:] == ["2"]
    assert shown(shop, "-o", "wide").splitlines()[0].split() == ["NAME", "DATA", "AGE"]


def test_names_json_and_yaml(shop):
    assert shown(shop, "-o", "name").split() == ["configmap/a", "configmap/b", "configmap/c"]
    many = json.loads(shown(shop, "-o", "json"))
    assert (many["kind"], many["apiVersion"]) == ("List", "v1")
    assert [item["metadata"]["name"] for item in many["items"]] == ["a", "b", "c"]
    one = shop.kubectl("get", "cm", "a", "-o", "yaml")
    assert one.startswith("apiVersion: v1\ndata:\n  k: a-value\nkind: ConfigMap\nmetadata:\n")
    assert "managedFields" not in one
    assert "managedFields" in shop.kubectl("get", "cm", "a", "-o", "yaml", "--show-managed-fields")
    assert json.loads(shop.kubectl("get", "cm/a", "cm/c", "-o", "json"))["items"][1]["metadata"]["name"] == "c"


@pytest.mark.parametrize(
    ("output", "text"),
    [
        ("jsonpath={.items[*].metadata.name}", "a b c"),
        ('jsonpath={range .items[*]}{.metadata.name}{"="}{.data.k}{";"}{end}', "a=a-value;b=b-value;c=c-value;"),
        ('jsonpath={.items[?(@.metadata.labels.tier=="2")].metadata.name}', "b"),
        ("jsonpath={.items[-1:].metadata.name}", "c"),
        ("go-template={{range .items}}{{.metadata.name}},{{end}}", "a,b,c,"),
        ("template={{len .items}}", "3"),
        ('go-template={{index (index .items 0).data "k" | printf "%q"}}', '"a-value"'),
        ("custom-columns=N:.metadata.name,V:.data.k", "N     V\na     a-value\nb     b-value\nc     c-value\n"),
        ("custom-columns=N:.metadata.name,M:.data.missing", "N     M\na     <none>\nb     <none>\nc     <none>\n"),
    ],
)
def test_templates(shop, output, text):
    assert shown(shop, "-o", output) == text


def test_templates_from_files(shop, tmp_path):
    (tmp_path / "columns").write_text("NAME VALUE\n.metadata.name .data.k\n")
    assert shown(shop, "-o", f"custom-columns-file={tmp_path}/columns").splitlines()[1].split() == ["a", "a-value"]
    (tmp_path / "path").write_text("{.items[0].data.k}")
    assert shown(shop, "-o", f"jsonpath-file={tmp_path}/path") == "a-value"
    (tmp_path / "template").write_text("{{range .items}}{{.kind}} {{end}}")
    assert shown(shop, "-o", f"go-template-file={tmp_path}/template") == "ConfigMap ConfigMap ConfigMap "
    assert json.loads(shown(shop, "-o", "jsonpath-as-json={.items[*].metadata.name}")) == ["a", "b", "c"]


def test_templates_that_fail(shop):
    missing = shop.kubectl(
        "get", "cm", "a", "-o", "jsonpath={.missing}", "--allow-missing-template-keys=false", check=False
    )
    assert missing.code == 1
    assert "missing is not found" in missing.err
    broken = shop.kubectl("get", "cm", "a", "-o", "go-template={{.a", check=False)
    assert "error parsing template" in broken.err
    unknown = shop.kubectl("get", "cm", "a", "-o", "pretty", check=False)
    assert 'unable to match a printer suitable for the output format "pretty"' in unknown.err


@pytest.mark.parametrize(
    ("selector", "names"),
    [
        ("tier=1", "a"),
        ("tier==1", "a"),
        ("app=shop,tier!=1", "b c"),
        ("tier in (1,3)", "a c"),
        ("app,tier notin (1,3)", "b"),
        ("app=shop,!tier", ""),
        ("tier", "a b c"),
        ("tier>2", "c"),
        ("tier<2", "a"),
    ],
)
def test_label_selectors(shop, selector, names):
    assert shop.kubectl("get", "cm", "-l", selector, "-o", "jsonpath={.items[*].metadata.name}") == names


@pytest.mark.parametrize(
    ("selector", "names"),
    [
        ("metadata.name=b", "b"),
        ("metadata.name!=b", "a c"),
        ("metadata.name!=a,metadata.name!=b", "c"),
    ],
)
def test_field_selectors(shop, selector, names):
    assert shown(shop, "--field-selector", selector, "-o", "jsonpath={.items[*].metadata.name}") == names


@pytest.mark.parametrize(
    ("argv", "why"),
    [
        (
            ("--field-selector=data.k=v",),
            '"data.k" is not a known field selector: only "metadata.name", "metadata.namespace"',
        ),
        (("-l", "a in (b"), "unable to parse requirement: found '', expected: ',', ')' or identifier"),
        (("-l", "a=b=c"), "found '=', expected: ',' or 'end of string'"),
        (("a", "-l", "x=y"), "name cannot be provided when a selector is specified"),
    ],
)
def test_selectors_that_are_refused(cluster, argv, why):
    refused = cluster.kubectl("get", "cm", *argv, check=False)
    assert refused.code == 1
    assert why in refused.err


def test_sorting(shop):
    by_tier = shown(shop, "--sort-by=.metadata.labels.tier", "-o", "jsonpath={.items[*].metadata.name}")
    assert by_tier == "a b c"
    assert [line.split()[0] for line in shown(shop, "--sort-by={.data.k}", "--no-headers").splitlines()] == [
        "a",
        "b",
        "c",
    ]
    created = shown(shop, "--sort-by=.metadata.creationTimestamp", "-o", "name").split()
    assert sorted(created) == ["configmap/a", "configmap/b", "configmap/c"]
    missing = shop.kubectl("get", "cm", "-l", "app=shop", "--sort-by=.metadata.nothing", "-o", "name", check=False)
    assert "couldn't find any field with path" in missing.err


def test_paging_gives_the_same_list(shop):
    assert shown(shop, "--chunk-size=1", "-o", "name") == shown(shop, "--chunk-size=0", "-o", "name")
    base = f"/api/v1/namespaces/{shop.namespace}/configmaps?labelSelector=app%3Dshop&limit=2"
    first = json.loads(shop.kubectl("get", "--raw", base))
    assert [item["metadata"]["name"] for item in first["items"]] == ["a", "b"]
    rest = json.loads(shop.kubectl("get", "--raw", f"{base}&continue={first['metadata']['continue']}"))
    assert [item["metadata"]["name"] for item in rest["items"]] == ["c"]
    assert "continue" not in rest["metadata"]


def test_nothing_found(cluster):
    empty = cluster.kubectl("get", "pods")
    assert (empty, empty.err) == ("", f"No resources found in {cluster.namespace} namespace.\n")
    assert cluster.kubectl("get", "pods", "--ignore-not-found").err == ""
    assert json.loads(cluster.kubectl("get", "pods", "-o", "json"))["items"] == []
    assert cluster.kubectl("get", "pods", "-o", "name").err == ""
    missing = cluster.kubectl("get", "pods", "missing", check=False)
    assert (missing.code, missing.err) == (1, 'Error from server (NotFound): pods "missing" not found\n')
    ignored = cluster.kubectl("get", "pods", "missing", "--ignore-not-found")
    assert (ignored, ignored.err) == ("", "")
    group = cluster.kubectl("get", "deploy", "missing", check=False)
    assert group.err == 'Error from server (NotFound): deployments.apps "missing" not found\n'
    kind = cluster.kubectl("get", "gadgets", check=False)
    assert kind.err == 'error: the server doesn\'t have a resource type "gadgets"\n'
    nothing = cluster.kubectl("get", check=False)
    assert "You must specify the type of resource to get" in nothing.err
    elsewhere = cluster.kubectl("get", "pods", "-n", "not-there")
    assert elsewhere.err == "No resources found in not-there namespace.\n"


def test_several_kinds_and_partial_failure(shop):
    both = shop.kubectl("get", "cm/a", "ns/default", "-o", "name")
    assert both.split() == ["configmap/a", "namespace/default"]
    tables = shop.kubectl("get", "cm,sa")
    assert re.search(r"^configmap/a +1 ", tables, re.M)
    assert re.search(r"^serviceaccount/default +0 ", tables, re.M)
    some = shop.kubectl("get", "cm", "a", "missing", check=False)
    assert some.code == 1
    assert some.splitlines()[1].startswith("a ")
    assert some.err == 'Error from server (NotFound): configmaps "missing" not found\n'


def test_all_namespaces(shop):
    rows = [line.split() for line in shop.kubectl("get", "cm", "-A", "-l", "app=shop").splitlines()]
    assert rows[0] == ["NAMESPACE", "NAME", "DATA", "AGE"]
    assert rows[1][:2] == [shop.namespace, "a"]
    named = shop.kubectl("get", "cm", "a", "-A", check=False)
    assert named.err == "error: a resource cannot be retrieved by name across all namespaces\n"
    assert shop.kubectl("get", "ns", "--all-namespaces").split()[:3] == ["NAME", "STATUS", "AGE"]


def watching(cluster, *argv):
    return subprocess.Popen(
        ["kubectl", "get", "cm", *argv], env=cluster.env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def test_a_watch_shows_what_is_there_and_what_changes(shop):
    watch = watching(shop, "-l", "app=shop", "-w", "--output-watch-events", "--request-timeout=4s")
    try:
        head = [watch.stdout.readline().split()[:2] for _ in range(4)]
        assert head == [["EVENT", "NAME"], ["ADDED", "a"], ["ADDED", "b"], ["ADDED", "c"]]
        shop.kubectl("patch", "cm", "b", "-p", '{"data":{"more":"1"}}')
        assert watch.stdout.readline().split()[:3] == ["MODIFIED", "b", "2"]
        shop.kubectl("delete", "cm", "b")
        assert watch.stdout.readline().split()[:2] == ["DELETED", "b"]
    finally:
        watch.kill()
        watch.communicate()


def test_watch_only_leaves_out_what_is_there(shop):
    watch = watching(shop, "--watch-only", "-o", "name", "--request-timeout=8s")
    try:
        time.sleep(0.5)
        shop.kubectl("create", "cm", "d")
        assert watch.stdout.readline() == "configmap/d\n"
    finally:
        watch.kill()
        watch.communicate()


def test_one_object_is_watched_by_name_as_json(shop):
    watch = watching(shop, "a", "-w", "-o", "jsonpath={.metadata.name}{.data}{'\\n'}", "--request-timeout=8s")
    try:
        assert watch.stdout.readline() == 'a{"k":"a-value"}\n'
        shop.kubectl("patch", "cm", "c", "-p", '{"data":{"k":"other"}}')
        shop.kubectl("patch", "cm", "a", "-p", '{"data":{"k":"new"}}')
        assert watch.stdout.readline() == 'a{"k":"new"}\n'
    finally:
        watch.kill()
        watch.communicate()


def test_get_from_files_and_kustomizations(shop, tmp_path):
    (tmp_path / "a.yaml").write_text(CONFIG.format(name="a", tier=1))
    (tmp_path / "deeper").mkdir()
    (tmp_path / "deeper/b.yaml").write_text(CONFIG.format(name="b", tier=2))
    (tmp_path / "kustomization.yaml").write_text("resources: [a.yaml]\n")
    assert shop.kubectl("get", "-f", str(tmp_path / "a.yaml"), "-o", "name").split() == ["configmap/a"]
    assert shop.kubectl("get", "-k", str(tmp_path), "-o", "name").split() == ["configmap/a"]
    recursive = shop.kubectl("get", "-R", "-f", str(tmp_path), "-o", "name", check=False)
    assert recursive.split() == ["configmap/a", "configmap/b"]


@pytest.mark.parametrize(
    ("resource", "columns"),
    [
        ("nodes", "NAME STATUS ROLES AGE VERSION"),
        (
            "nodes -o wide",
            "NAME STATUS ROLES AGE VERSION INTERNAL-IP EXTERNAL-IP OS-IMAGE KERNEL-VERSION CONTAINER-RUNTIME",
        ),
        ("ns", "NAME STATUS AGE"),
        ("sa", "NAME SECRETS AGE"),
        ("svc -n default", "NAME TYPE CLUSTER-IP EXTERNAL-IP PORT(S) AGE"),
        ("endpointslices -n default", "NAME ADDRESSTYPE PORTS ENDPOINTS AGE"),
        ("leases -n kube-node-lease", "NAME HOLDER AGE"),
        ("clusterroles", "NAME CREATED AT"),
        ("clusterrolebindings", "NAME ROLE AGE"),
        ("clusterrolebindings -o wide", "NAME ROLE AGE USERS GROUPS SERVICEACCOUNTS"),
    ],
)
def test_columns_of_kinds_that_are_always_there(cluster, resource, columns):
    assert cluster.kubectl("get", *resource.split()).splitlines()[0].split() == columns.split()
