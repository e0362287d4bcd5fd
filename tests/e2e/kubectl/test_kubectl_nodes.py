"""cordon, drain, taint, label of nodes; namespaces; events; exec and logs; service accounts; configuration of kubectl itself."""

import json
import re
import time

import pytest
import yaml
from e2e import until


@pytest.fixture
def node(cluster):
    """A node that is schedulable and without taints again afterwards."""
    yield "node-1"
    cluster.kubectl("uncordon", "node-1")
    cluster.kubectl("taint", "node", "node-1", "odd-", check=False)


def test_cordon_and_uncordon(cluster, node):
    assert cluster.kubectl("cordon", node, "--dry-run=server").strip() == f"node/{node} cordoned (server dry run)"
    assert cluster.kubectl("cordon", node).strip() == f"node/{node} cordoned"
    assert cluster.kubectl("cordon", node).strip() == f"node/{node} already cordoned"
    assert re.search(rf"^{node} +Ready,SchedulingDisabled ", cluster.kubectl("get", "nodes"), re.M)
    described = cluster.kubectl("describe", "node", node)
    assert re.search(r"^Unschedulable: +true$", described, re.M)
    for word in (
        "Roles:",
        "Conditions:",
        "Addresses:",
        "Capacity:",
        "Allocatable:",
        "System Info:",
        "Allocated resources:",
    ):
        assert word in described
    assert cluster.kubectl("uncordon", node).strip() == f"node/{node} uncordoned"
    assert cluster.kubectl("uncordon", node).strip() == f"node/{node} already uncordoned"
    missing = cluster.kubectl("cordon", "none", check=False)
    assert missing.err == 'Error from server (NotFound): nodes "none" not found\n'


def test_taints_are_added_changed_and_removed(cluster, node):
    assert cluster.kubectl("taint", "node", node, "odd=a:PreferNoSchedule").strip() == f"node/{node} tainted"
    taken = cluster.kubectl("taint", "node", node, "odd=b:PreferNoSchedule", check=False)
    assert f"error: node {node} already has odd taint(s) with same effect(s) and --overwrite is false" in taken.err
    assert (
        cluster.kubectl("taint", "node", node, "odd=b:PreferNoSchedule", "--overwrite").strip()
        == f"node/{node} modified"
    )
    assert {"key": "odd", "value": "b", "effect": "PreferNoSchedule"} in cluster.get("node", node)["spec"]["taints"]
    assert cluster.kubectl("taint", "node", node, "odd:PreferNoSchedule-").strip() == f"node/{node} untainted"
    absent = cluster.kubectl("taint", "node", node, "odd-", check=False)
    assert 'taint "odd" not found' in absent.err
    wrong = cluster.kubectl("taint", "node", node, "odd=a:Never", check=False)
    assert "error: invalid taint effect: Never, unsupported taint effect" in wrong.err


DRAINED = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: d}
spec:
  replicas: 1
  selector: {matchLabels: {app: d}}
  template:
    metadata: {labels: {app: d}}
    spec:
      nodeName: node-1
      terminationGracePeriodSeconds: 0
      containers: [{name: c, image: busybox, command: [sleep, "600"]}]
---
apiVersion: v1
kind: Pod
metadata: {name: bare, labels: {app: d}}
spec:
  nodeName: node-1
  terminationGracePeriodSeconds: 0
  containers: [{name: c, image: busybox, command: [sleep, "600"]}]
"""


def test_drain_evicts_what_can_come_back_and_asks_about_the_rest(cluster, node):
    cluster.apply(DRAINED.replace("nodeName: node-1", "nodeSelector: {kubernetes.io/hostname: node-1}"))
    cluster.kubectl("wait", "pod", "-l", "app=d", "--for=condition=Ready", "--timeout=30s")
    flags = ("--pod-selector=app=d", "--timeout=30s")
    refused = cluster.kubectl("drain", node, *flags, check=False)
    assert refused.code == 1
    assert "cannot delete Pods that declare no controller (use --force to override): " in refused.err
    assert f"{cluster.namespace}/bare" in refused.err
    dry = cluster.kubectl("drain", node, *flags, "--force", "--dry-run=client")
    assert "(dry run)" in dry
    done = cluster.kubectl("drain", node, *flags, "--force")
    assert f"evicting pod {cluster.namespace}/bare" in done
    assert done.splitlines()[-1] == f"node/{node} drained"
    left = cluster.get("pods", "-l", "app=d")["items"]
    assert [pod["spec"].get("nodeName") for pod in left] == [None], "the new pod waits: its node takes none"


def test_nodes_are_labelled_and_selected(cluster, node):
    cluster.kubectl("label", "node", node, "disk=fast", "node-role.kubernetes.io/worker=")
    try:
        assert cluster.kubectl("get", "nodes", "-l", "disk=fast", "-o", "name").strip() == f"node/{node}"
        assert re.search(rf"^{node} +Ready +worker ", cluster.kubectl("get", "nodes"), re.M)
        assert cluster.kubectl("get", "nodes", "--field-selector=spec.unschedulable=true", "-o", "name") == ""
    finally:
        cluster.kubectl("label", "node", node, "disk-", "node-role.kubernetes.io/worker-")


# -- namespaces


def test_namespaces_come_and_go_with_all_they_hold(cluster):
    name = f"{cluster.namespace}-x"
    assert cluster.kubectl("create", "ns", name).strip() == f"namespace/{name} created"
    labels = cluster.get("ns", name)["metadata"]["labels"]
    assert labels == {"kubernetes.io/metadata.name": name}
    cluster.kubectl("create", "cm", "c", "-n", name)
    until(lambda: cluster.kubectl("get", "sa", "default", "-n", name, "--ignore-not-found"), "the default account")
    described = cluster.kubectl("describe", "ns", name)
    assert re.search(r"^Status: +Active$", described, re.M)
    assert "No resource quota." in described
    assert cluster.kubectl("delete", "ns", name).strip() == f'namespace "{name}" deleted'
    gone = cluster.kubectl("get", "cm", "-n", name)
    assert gone.err == f"No resources found in {name} namespace.\n"
    late = cluster.kubectl("create", "cm", "c", "-n", name, check=False)
    assert late.err == f'error: failed to create configmap: namespaces "{name}" not found\n'


def test_objects_keep_to_the_namespace_of_the_request(cluster):
    manifest = '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"c","namespace":"other"}}'
    refused = cluster.apply(manifest, "-n", "default", check=False)
    assert refused.err == (
        'error: the namespace from the provided object "other" does not match the namespace "default". '
        "You must pass '--namespace=other' to perform this operation.\n"
    )


# -- events


def test_events_are_listed_by_kubectl_get_and_kubectl_events(cluster):
    cluster.kubectl("run", "p", "--image=no-such-image:9")
    until(lambda: "Scheduled" in cluster.kubectl("get", "events"), "the event of the scheduler")
    head = cluster.kubectl("get", "events").splitlines()[0].split()
    assert head == ["LAST", "SEEN", "TYPE", "REASON", "OBJECT", "MESSAGE"]
    own = cluster.kubectl("events", "--for=pod/p")
    assert own.splitlines()[0].split() == head
    assert re.search(r" Normal +Scheduled +Pod/p +Successfully assigned", own)
    assert cluster.kubectl("events", "--for=pod/other").err == f"No events found in {cluster.namespace} namespace.\n"
    until(lambda: "Warning" in cluster.kubectl("events", "--types=Warning"), "the failing pull")
    assert "Normal" not in cluster.kubectl("events", "--types=Warning")
    assert json.loads(cluster.kubectl("events", "-o", "json"))["items"]
    wrong = cluster.kubectl("events", "--types=Odd", check=False)
    assert "valid --types are Normal or Warning" in wrong.err
    by_field = cluster.kubectl("get", "events", "--field-selector=involvedObject.name=p,reason=Scheduled", "-o", "name")
    assert len(by_field.split()) == 1
    assert cluster.kubectl("get", "events", "--field-selector=type=Odd", "-o", "name") == ""
    described = cluster.kubectl("describe", "pod", "p")
    assert re.search(r"^Events:\n +Type +Reason +Age +From +Message\n", described, re.M)
    cluster.kubectl("delete", "pod", "p", "--now")


# -- exec, logs


def test_exec_and_logs_of_pods_by_their_owners(cluster):
    cluster.kubectl("create", "deployment", "d", "--image=busybox", "--", "sh", "-c", "echo line; echo more; sleep 600")
    cluster.kubectl("rollout", "status", "deploy/d", "--timeout=30s")
    assert cluster.kubectl("exec", "deploy/d", "--", "echo", "hi") == "hi\n"
    assert cluster.kubectl("exec", "-i", "deploy/d", "-c", "busybox", "--", "cat", stdin="in") == "in"
    failed = cluster.kubectl("exec", "deploy/d", "--", "sh", "-c", "echo no >&2; exit 3", check=False)
    assert (failed.code, failed.err) == (3, "no\ncommand terminated with exit code 3\n")
    missing = cluster.kubectl("exec", "none", "--", "date", check=False)
    assert missing.err == 'Error from server (NotFound): pods "none" not found\n'
    kind = cluster.kubectl("exec", "svc/none", "--", "date", check=False)
    assert 'services "none" not found' in kind.err
    container = cluster.kubectl("exec", "deploy/d", "-c", "odd", "--", "date", check=False)
    assert re.search(r"container odd is not valid for pod d-", container.err)
    program = cluster.kubectl("exec", "deploy/d", "--", "no-such-program", check=False)
    assert program.code != 0
    assert "no-such-program" in program.err
    nothing = cluster.kubectl("exec", "deploy/d", check=False)
    assert "you must specify at least one command for the container" in nothing.err
    until(lambda: cluster.kubectl("logs", "deploy/d") == "line\nmore\n", "both lines")
    assert cluster.kubectl("logs", "deploy/d", "--tail=1") == "more\n"
    assert cluster.kubectl("logs", "-l", "app=d", "--prefix").startswith("[pod/d-")
    assert re.match(r"\d{4}-\d\d-\d\dT\S+ line", cluster.kubectl("logs", "deploy/d", "--timestamps"))
    assert cluster.kubectl("logs", "deploy/d", "--limit-bytes=4") == "line"
    previous = cluster.kubectl("logs", "deploy/d", "-p", check=False)
    assert re.search(r'previous terminated container "busybox" in pod "d-\S+" not found', previous.err)
    assert cluster.kubectl("logs", "deploy/d", "--since=1h", "--all-containers") == "line\nmore\n"


# -- service accounts


def test_every_namespace_has_a_default_service_account(cluster):
    until(lambda: cluster.kubectl("get", "sa", "default", "--ignore-not-found"), "the account")
    assert cluster.kubectl("create", "sa", "bot").strip() == "serviceaccount/bot created"
    cluster.apply(
        '{"apiVersion":"v1","kind":"Pod","metadata":{"name":"p"},"spec":{"serviceAccountName":"bot","containers":[{"name":"c","image":"x"}]}}'
    )
    assert cluster.jsonpath("{.spec.serviceAccount}", "pod", "p") == "bot"
    refused = cluster.kubectl(
        "run", "q", "--image=x", '--overrides={"spec":{"serviceAccountName":"none"}}', check=False
    )
    assert 'pods "q" is forbidden: error looking up service account' in refused.err
    assert re.search(r"^Name: +bot$", cluster.kubectl("describe", "sa", "bot"), re.M)
    cluster.kubectl("delete", "sa", "default")
    until(lambda: cluster.kubectl("get", "sa", "default", "--ignore-not-found"), "the account comes back")


# -- kubectl's own configuration


def test_config_reads_and_writes_contexts(cluster, tmp_path):
    config = f"--kubeconfig={tmp_path}/config"
    (tmp_path / "config").write_text(cluster.kubectl("config", "view", "--raw"))
    view = yaml.safe_load(cluster.kubectl("config", "view", config))
    assert view["users"][0]["user"].get("client-key-data", "DATA+OMITTED") in ("DATA+OMITTED", "REDACTED")
    current = cluster.kubectl("config", "current-context", config).strip()
    assert current.startswith("sampan-")
    assert current in cluster.kubectl("config", "get-contexts", config, "-o", "name").split()
    cluster.kubectl("config", "set-context", "other", f"--cluster={current}", "--namespace=kube-system", config)
    cluster.kubectl("config", "rename-context", "other", "third", config)
    assert cluster.kubectl("config", "use-context", "third", config).strip() == 'Switched to context "third".'
    assert cluster.kubectl("config", "view", "--minify", "-o", "jsonpath={..namespace}", config) == "kube-system"
    cluster.kubectl("config", "delete-context", "third", config)
    assert cluster.kubectl("config", "get-clusters", config).split()[0] == "NAME"
    unknown = cluster.kubectl("get", "ns", "--context=none", config, check=False)
    assert "context was not found for specified context: none" in unknown.err


def test_a_wrong_certificate_token_or_address_is_told_apart(cluster, tmp_path):
    server = cluster.kubectl("config", "view", "--minify", "-o", "jsonpath={.clusters[0].cluster.server}").strip()
    (tmp_path / "none").write_text("")
    nobody = (f"--server={server}", f"--kubeconfig={tmp_path}/none")
    unknown = cluster.kubectl("get", "ns", *nobody, "--token=wrong", check=False)
    assert "certificate signed by unknown authority" in unknown.err
    token = cluster.kubectl("get", "ns", *nobody, "--insecure-skip-tls-verify", "--token=wrong", check=False)
    assert "You must be logged in to the server" in token.err
    assert token.code == 1
    closed = cluster.kubectl("get", "ns", "--server=https://127.0.0.1:1", check=False)
    assert (
        "The connection to the server 127.0.0.1:1 was refused - did you specify the right host or port?" in closed.err
    )


def test_a_timeout_of_a_watch_ends_it_without_an_error(cluster):
    start = time.monotonic()
    done = cluster.kubectl("get", "cm", "-w", "--request-timeout=1", check=False)
    assert done.code == 0
    assert time.monotonic() - start < 5
