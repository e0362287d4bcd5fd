"""run, scale, rollout, set, expose, wait, label, annotate, delete: working with what runs."""

import json
import re
import subprocess
import time

import pytest
from e2e import until

NAMES = "jsonpath={.items[*].metadata.name}"


@pytest.fixture
def empty(cluster):
    """A Deployment `web` with a labelled template and no replica: nothing to wait for."""
    cluster.kubectl("create", "deployment", "web", "--image=one", "--replicas=0", "--port=80")
    return cluster


# -- run


def test_run_makes_a_pod_with_what_its_flags_say(cluster):
    argv = ["run", "p", "--image=busybox", "--port=80", "--env=A=1", "--labels=a=b", "--annotations=c=d"]
    assert cluster.kubectl(*argv, "--dry-run=server").strip() == "pod/p created (server dry run)"
    assert cluster.kubectl(*argv, "--", "sleep", "60").strip() == "pod/p created"
    pod = cluster.get("pod", "p")
    (container,) = pod["spec"]["containers"]
    assert container["args"] == ["sleep", "60"]
    assert container["ports"] == [{"containerPort": 80, "protocol": "TCP"}]
    assert container["env"] == [{"name": "A", "value": "1"}]
    assert pod["metadata"]["labels"] == {"a": "b"}
    cluster.kubectl("delete", "pod", "p", "--now")
    command = cluster.kubectl("run", "q", "--image=x", "--command", "--dry-run=client", "-o", "json", "--", "ls", "/")
    assert json.loads(command)["spec"]["containers"][0]["command"] == ["ls", "/"]
    override = cluster.kubectl("run", "q", "--image=x", "--dry-run=server", "-o", "json",
                               '--overrides={"spec":{"nodeSelector":{"x":"y"}}}')  # fmt: skip
    assert json.loads(override)["spec"]["nodeSelector"] == {"x": "y"}


def test_run_attached_shows_the_output_and_gives_the_exit_code(cluster):
    argv = ["run", "t", "--image=busybox", "--restart=Never", "-i", "--rm", "--quiet", "--"]
    told = cluster.kubectl(*argv, "cat", stdin="through the pod\n")
    assert told.splitlines()[0] == "through the pod"
    failed = cluster.kubectl(*argv, "sh", "-c", "exit 7", check=False)
    assert failed.code == 7
    until(lambda: not cluster.kubectl("get", "pods", "-o", "name"), "--rm")


def test_run_with_expose_makes_the_service_too(cluster):
    said = cluster.kubectl("run", "p", "--image=busybox", "--port=80", "--expose", "--", "sleep", "60")
    assert sorted(said.splitlines()) == ["pod/p created", "service/p created"]
    assert cluster.jsonpath("{.spec.selector.run}", "svc", "p") == "p"
    cluster.kubectl("delete", "pod/p", "svc/p", "--now")


@pytest.mark.parametrize(
    ("argv", "text"),
    [
        (["run", "p"], "required flag(s)"),
        (["run", "P_", "--image=x"], 'The Pod "P_" is invalid: \n* metadata.name: Invalid value: "P_"'),
        (["run", "p", "--image=a b"], 'Invalid image name "a b": invalid reference format'),
        (["run", "p", "--image=x", "--restart=Sometimes"], "invalid restart policy: Sometimes"),
        (["run", "p", "--image=x", "--env=9A"], "invalid env: 9A"),
        (["run", "p", "--image=x", "--expose"], "--port must be set when exposing a service"),
        (["run", "p", "--image=x", "--rm"], "--rm should only be used for attached containers"),
    ],
)
def test_run_refuses(cluster, argv, text):
    refused = cluster.kubectl(*argv, check=False)
    assert refused.code == 1
    assert text in refused.err


# -- scale, rollout, set


def test_scale_with_preconditions(empty):
    assert (
        empty.kubectl("scale", "deploy/web", "--replicas=0", "--current-replicas=0").strip()
        == "deployment.apps/web scaled"
    )
    refused = empty.kubectl("scale", "deploy/web", "--current-replicas=3", "--replicas=1", check=False)
    assert (refused.code, refused.err) == (1, "error: Expected replicas to be 3, was 0\n")
    version = empty.kubectl("scale", "deploy/web", "--resource-version=1", "--replicas=1", check=False)
    assert "Expected resource version to be 1, was" in version.err
    assert (
        empty.kubectl("scale", "deploy", "--all", "--replicas=0", "--dry-run=server").strip()
        == "deployment.apps/web scaled (server dry run)"
    )
    negative = empty.kubectl("scale", "deploy/web", "--replicas=-1", check=False)
    assert "The --replicas=COUNT flag is required, and COUNT must be greater than or equal to 0" in negative.err
    missing = empty.kubectl("scale", "deploy/none", "--replicas=1", check=False)
    assert missing.err == 'error: no objects passed to scale deployments.apps "none" not found\n'
    pods = empty.kubectl("scale", "ns/default", "--replicas=1", check=False)
    assert pods.code == 1
    assert "the server could not find the requested resource" in pods.err
    replica_set = until(lambda: empty.kubectl("get", "rs", "-o", "name").strip(), "the replica set")
    assert empty.kubectl("scale", replica_set, "--replicas=0").strip() == f"{replica_set} scaled"
    assert empty.kubectl("get", "rs").splitlines()[0].split() == ["NAME", "DESIRED", "CURRENT", "READY", "AGE"]
    wide = empty.kubectl("get", "rs", "-o", "wide").splitlines()[0].split()
    assert wide[5:] == ["CONTAINERS", "IMAGES", "SELECTOR"]


def test_rollouts_are_watched_recorded_and_undone(empty):
    assert "successfully rolled out" in empty.kubectl("rollout", "status", "deploy/web", "--timeout=10s")
    empty.kubectl("annotate", "deploy/web", "kubernetes.io/change-cause=the first")
    empty.kubectl("set", "image", "deploy/web", "one=two")
    empty.kubectl("rollout", "status", "deploy/web", "--timeout=10s")
    empty.kubectl("annotate", "deploy/web", "kubernetes.io/change-cause=the second", "--overwrite")

    def history():
        return [
            line.split(None, 1) for line in empty.kubectl("rollout", "history", "deploy/web").splitlines()[1:] if line
        ]

    expected = [["REVISION", "CHANGE-CAUSE"], ["1", "the first"], ["2", "the second"]]
    until(lambda: [[word.strip() for word in row] for row in history()] == expected, "the history")
    detail = empty.kubectl("rollout", "history", "deploy/web", "--revision=1")
    assert "deployment.apps/web with revision #1" in detail
    assert re.search(r"Image:\s+one", detail)
    undone = empty.kubectl("rollout", "undo", "deploy/web")
    assert undone.strip() == "deployment.apps/web rolled back"
    until(lambda: empty.jsonpath("{..image}", "deploy", "web") == "one", "the first image")
    until(lambda: [row[0] for row in history()] == ["REVISION", "2", "3"], "the first revision counts anew")
    same = empty.kubectl("rollout", "undo", "deploy/web", "--to-revision=3")
    assert "skipped rollback (current template already matches revision 3)" in same
    gone = empty.kubectl("rollout", "undo", "deploy/web", "--to-revision=99", check=False)
    assert "unable to find specified revision 99 in history" in gone.err


def test_rollouts_pause_resume_and_restart(empty):
    assert empty.kubectl("rollout", "pause", "deploy/web").strip() == "deployment.apps/web paused"
    twice = empty.kubectl("rollout", "pause", "deploy/web", check=False)
    assert twice.err == 'error: deployments.apps "web" is already paused\n'
    paused = empty.kubectl("rollout", "restart", "deploy/web", check=False)
    assert "can't restart paused deployment (run rollout resume first)" in paused.err
    assert empty.kubectl("rollout", "resume", "deploy/web").strip() == "deployment.apps/web resumed"
    assert empty.kubectl("rollout", "restart", "deploy", "-l", "app=web").strip() == "deployment.apps/web restarted"
    stamp = r"{.spec.template.metadata.annotations.kubectl\.kubernetes\.io/restartedAt}"
    assert re.match(r"\d{4}-\d\d-\d\dT", empty.jsonpath(stamp, "deploy", "web"))
    refused = empty.kubectl("rollout", "status", "ns/default", check=False)
    assert "no status viewer has been implemented for" in refused.err


def test_set_changes_image_environment_resources_selector_and_service_account(empty, tmp_path):
    def spec():
        return empty.get("deploy", "web")["spec"]["template"]["spec"]

    assert empty.kubectl("set", "image", "deploy/web", "*=three").strip() == "deployment.apps/web image updated"
    wrong = empty.kubectl("set", "image", "deploy/web", "none=three", check=False)
    assert 'error: unable to find container named "none"' in wrong.err
    empty.kubectl("set", "env", "deploy", "--all", "A=1", "B=2")
    assert empty.kubectl("set", "env", "deploy/web", "--list").splitlines()[1:] == ["A=1", "B=2"]
    empty.kubectl("create", "cm", "c", "--from-literal=key=value")
    empty.kubectl("set", "env", "deploy/web", "--from=configmap/c", "--prefix=P_", "A-")
    assert [entry["name"] for entry in spec()["containers"][0]["env"]] == ["B", "P_KEY"]
    assert "P_KEY from configmap c, key key" in empty.kubectl("set", "env", "deploy/web", "--list").replace("# ", "")
    empty.kubectl("set", "resources", "deploy/web", "--limits=cpu=200m,memory=64Mi", "--requests=cpu=100m")
    assert spec()["containers"][0]["resources"] == {
        "limits": {"cpu": "200m", "memory": "64Mi"},
        "requests": {"cpu": "100m"},
    }
    empty.kubectl("set", "serviceaccount", "deploy/web", "default")
    assert spec()["serviceAccountName"] == "default"
    empty.kubectl("create", "service", "clusterip", "svc", "--tcp=80")
    assert empty.kubectl("set", "selector", "svc/svc", "app=web,tier=x").strip() == "service/svc selector updated"
    assert empty.get("svc", "svc")["spec"]["selector"] == {"app": "web", "tier": "x"}
    empty.kubectl("create", "rolebinding", "rb", "--clusterrole=view", "--user=a")
    empty.kubectl("set", "subject", "rolebinding/rb", "--user=b", "--serviceaccount=default:x")
    assert [subject["name"] for subject in empty.get("rolebinding", "rb")["subjects"]] == ["a", "b", "x"]
    local = empty.kubectl("set", "image", "--local", "-f", "-", "one=nine", "-o", "yaml",
                          stdin=empty.kubectl("get", "deploy", "web", "-o", "yaml"))  # fmt: skip
    assert "image: nine" in local
    assert spec()["containers"][0]["image"] == "three"


def test_what_a_deployment_may_not_change(empty):
    refused = empty.kubectl(
        "patch", "deploy", "web", "-p", '{"spec":{"selector":{"matchLabels":{"x":"y"}}}}', check=False
    )
    assert 'The Deployment "web" is invalid' in refused.err
    assert "field is immutable" in refused.err
    labels = empty.kubectl(
        "patch", "deploy", "web", "-p", '{"spec":{"template":{"metadata":{"labels":{"app":"z"}}}}}', check=False
    )
    assert "`selector` does not match template `labels`" in labels.err


# -- expose


def test_expose_makes_services_of_deployments_pods_and_services(empty):
    assert empty.kubectl("expose", "deploy/web", "--port=8080", "--target-port=http").strip() == "service/web exposed"
    service = empty.get("svc", "web")["spec"]
    assert service["ports"] == [{"port": 8080, "protocol": "TCP", "targetPort": "http"}]
    assert service["selector"] == {"app": "web"}
    empty.kubectl("expose", "svc/web", "--name=web2", "--type=NodePort", "--session-affinity=ClientIP", "--port=80")
    again = empty.get("svc", "web2")["spec"]
    assert (again["type"], again["sessionAffinity"]) == ("NodePort", "ClientIP")
    assert 30000 <= again["ports"][0]["nodePort"] <= 32767
    empty.kubectl("expose", "deploy/web", "--name=headless", "--cluster-ip=None", "--labels=x=y")
    assert empty.get("svc", "headless")["spec"]["ports"][0]["port"] == 80, "the port of the pod template"
    taken = empty.kubectl("expose", "deploy/web", check=False)
    assert taken.err == 'Error from server (AlreadyExists): services "web" already exists\n'
    empty.kubectl("run", "p", "--image=x", "--labels=a=b")
    no_port = empty.kubectl("expose", "pod/p", check=False)
    assert "couldn't find port via --port flag or introspection" in no_port.err
    node = empty.kubectl("expose", "node/node-0", "--port=80", check=False)
    assert "cannot expose a Node" in node.err
    long = empty.kubectl("expose", "pod/p", "--port=80", "--name=" + "x" * 64, check=False)
    assert "must be no more than 63 characters" in long.err


def test_services_change_their_type_and_keep_their_address(cluster):
    cluster.kubectl("create", "service", "clusterip", "s", "--tcp=80")
    before = cluster.jsonpath("{.spec.clusterIP}", "svc", "s")
    cluster.kubectl("patch", "svc", "s", "-p", '{"spec":{"type":"NodePort"}}')
    assert cluster.jsonpath("{.spec.clusterIP}", "svc", "s") == before
    cluster.kubectl("patch", "svc", "s", "-p", '{"spec":{"type":"ClusterIP"}}')
    assert cluster.jsonpath("{.spec.ports[0].nodePort}", "svc", "s") == ""
    refused = cluster.kubectl("patch", "svc", "s", "-p", '{"spec":{"clusterIP":"10.96.0.99"}}', check=False)
    assert "may not change once set" in refused.err
    described = cluster.kubectl("describe", "svc", "s")
    assert re.search(r"^Type: +ClusterIP$", described, re.M)


# -- wait


def test_wait_for_conditions_values_creation_and_deletion(empty):
    def wait(*argv, check=True):
        return empty.kubectl("wait", *argv, check=check)

    assert (
        wait("deploy/web", "--for=condition=Available", "--timeout=10s").strip() == "deployment.apps/web condition met"
    )
    assert (
        wait("deploy/web", "--for=condition=Available=true", "--timeout=10s").strip()
        == "deployment.apps/web condition met"
    )
    assert (
        wait("deploy", "--all", "--for=jsonpath={.spec.replicas}=0", "--timeout=5s").strip()
        == "deployment.apps/web condition met"
    )
    assert (
        wait("deploy", "-l", "app=web", "--for=jsonpath={.status.observedGeneration}").strip()
        == "deployment.apps/web condition met"
    )
    late = wait("deploy/web", "--for=condition=Odd", "--timeout=300ms", check=False)
    assert (late.code, late.err) == (1, "error: timed out waiting for the condition on deployments/web\n")
    gone = wait("cm/none", "--for=condition=Ready", "--timeout=1s", check=False)
    assert gone.err == 'Error from server (NotFound): configmaps "none" not found\n'
    assert wait("cm/none", "--for=delete", "--timeout=1s").code == 0
    nothing = wait("jobs", "--all", "--for=condition=complete", "--timeout=1s", check=False)
    assert nothing.err == "error: no matching resources found\n"
    for argv, text in (
        (("--for=create", "cm/later"), "configmap/later condition met"),
        (("--for=jsonpath={.data.k}=v", "cm/later"), "configmap/later condition met"),
        (("--for=delete", "cm/later"), "configmap/later condition met"),
    ):
        with subprocess.Popen(
            ["kubectl", "wait", *argv, "--timeout=10s"], env=empty.env, stdout=subprocess.PIPE, text=True
        ) as process:
            time.sleep(0.4)
            match argv[0]:
                case "--for=create":
                    empty.kubectl("create", "cm", "later")
                case "--for=delete":
                    empty.kubectl("delete", "cm", "later")
                case _:
                    empty.kubectl("patch", "cm", "later", "-p", '{"data":{"k":"v"}}')
            assert process.communicate(timeout=10)[0].strip() == text


@pytest.mark.parametrize(
    ("argv", "text"),
    [
        (["wait", "cm/c", "--for=odd"], 'error: unrecognized condition: "odd"'),
        (["wait", "--for=delete"], "You must provide one or more resources"),
        (["wait", "cm/c", "--for=jsonpath={.a"], "unexpected path string"),
    ],
)
def test_wait_refuses(cluster, argv, text):
    refused = cluster.kubectl(*argv, check=False)
    assert refused.code == 1
    assert text in refused.err


# -- label and annotate


@pytest.mark.parametrize("verb", ["label", "annotate"])
def test_labels_and_annotations(cluster, verb):
    cluster.kubectl("create", "cm", "c")
    cluster.kubectl("create", "cm", "d")
    past = f"{verb}d" if verb == "annotate" else "labeled"
    field = "annotations" if verb == "annotate" else "labels"
    assert cluster.kubectl(verb, "cm/c", "a=1", "b=2").strip() == f"configmap/c {past}"
    taken = cluster.kubectl(verb, "cm/c", "a=3", check=False)
    assert taken.code == 1
    assert "--overwrite is false" in taken.err
    cluster.kubectl(verb, "cm", "c", "a=3", "b-", "--overwrite")
    assert cluster.get("cm", "c")["metadata"][field] == {"a": "3"}
    assert cluster.kubectl(verb, "cm/c", "--list").strip() == "a=3"
    dry = cluster.kubectl(verb, "cm/c", "x=y", "--dry-run=server")
    assert dry.strip() == f"configmap/c {past} (server dry run)"
    both = cluster.kubectl(verb, "cm", "--all", "every=one")
    assert {"configmap/c " + past, "configmap/d " + past} <= set(both.splitlines())
    if verb == "label":
        same = cluster.kubectl(verb, "cm/c", "a=3", "--overwrite")
        assert same.strip() == "configmap/c not labeled"
        gone = cluster.kubectl(verb, "cm/c", "none-")
        assert 'label "none" not found.' in gone
        wrong = cluster.kubectl(verb, "cm/c", "a=b c", check=False)
        assert "a valid label must be an empty string or consist of alphanumeric characters" in wrong.err
        assert cluster.kubectl(verb, "cm", "-l", "a=3", "z=1").strip() == "configmap/c labeled"
    version = cluster.kubectl(verb, "cm/c", "v=1", "--resource-version=1", check=False)
    assert "the object has been modified" in version.err
    by_field = cluster.kubectl(verb, "cm", "f=1", "--field-selector=metadata.name=d")
    assert by_field.strip() == f"configmap/d {past}"


# -- delete


def test_delete_by_name_selector_file_and_all(cluster):
    for name in "abcdef":
        cluster.kubectl("create", "cm", name)
    cluster.kubectl("label", "cm", "c", "d", "gone=soon")
    assert cluster.kubectl("delete", "cm", "a").strip() == 'configmap "a" deleted'
    assert cluster.kubectl("delete", "cm/b", "-o", "name").strip() == "configmap/b"
    assert cluster.kubectl("delete", "cm", "-l", "gone=soon").splitlines() == [
        'configmap "c" deleted',
        'configmap "d" deleted',
    ]
    manifest = '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"e"}}'
    assert cluster.kubectl("delete", "-f", "-", stdin=manifest).strip() == 'configmap "e" deleted'
    again = cluster.kubectl("delete", "-f", "-", stdin=manifest, check=False)
    assert again.err == 'Error from server (NotFound): error when deleting "STDIN": configmaps "e" not found\n'
    assert cluster.kubectl("delete", "cm", "e", "--ignore-not-found") == ""
    dry = cluster.kubectl("delete", "cm", "f", "--dry-run=server")
    assert dry.strip() == 'configmap "f" deleted (server dry run)'
    assert cluster.kubectl("delete", "cm", "--field-selector=metadata.name=f").strip() == 'configmap "f" deleted'
    assert cluster.kubectl("delete", "cm", "--all").strip() == 'configmap "kube-root-ca.crt" deleted'
    nothing = cluster.kubectl("delete", "cm", "-l", "gone=soon")
    assert (nothing, nothing.err) == ("No resources found\n", "") or nothing.err == "No resources found\n"


def test_delete_asks_when_told_to(cluster):
    cluster.kubectl("create", "cm", "a")
    no = cluster.kubectl("delete", "cm", "a", "-i", stdin="n\n", check=False)
    assert "Do you want to continue? (y/n): deletion is cancelled" in no.replace("\n", " ") or "cancelled" in no
    assert cluster.kubectl("get", "cm", "a", "-o", "name").strip() == "configmap/a"
    yes = cluster.kubectl("delete", "cm", "a", "--interactive", stdin="y\n")
    assert 'configmap "a" deleted' in yes


@pytest.mark.parametrize(
    ("argv", "text"),
    [
        (["delete"], "error: You must provide one or more resources by argument or filename."),
        (["delete", "cm"], "error: resource(s) were provided, but no name was specified"),
        (["delete", "cm", "none"], 'Error from server (NotFound): configmaps "none" not found'),
        (["delete", "cm", "a", "--all"], "name cannot be provided when a selector is specified"),
        (["delete", "ns", "kube-system"], 'namespaces "kube-system" is forbidden: this namespace may not be deleted'),
        (
            ["delete", "cm", "a", "--cascade=odd"],
            'error: invalid cascade value (odd). Must be "background", "foreground", or "orphan"',
        ),
        (
            ["delete", "cm", "a", "--now", "--grace-period=3"],
            "error: --now and --grace-period cannot be specified together",
        ),
    ],
)
def test_delete_refuses(cluster, argv, text):
    refused = cluster.kubectl(*argv, check=False)
    assert refused.code == 1
    assert text in refused.err


@pytest.mark.parametrize("cascade", ["background", "foreground", "orphan"])
def test_what_is_owned_goes_or_stays_with_its_owner(empty, cascade):
    owned = until(lambda: empty.kubectl("get", "rs", "-o", "name").strip(), "the replica set")
    empty.kubectl("delete", "deploy/web", f"--cascade={cascade}")
    if cascade == "orphan":
        left = empty.get(owned)
        assert "ownerReferences" not in left["metadata"]
    else:
        until(lambda: not empty.kubectl("get", "rs", "-o", "name"), f"{owned} is deleted")


def test_pods_are_deleted_gracefully_at_once_or_without_waiting(cluster):
    cluster.kubectl("run", "a", "--image=busybox", "--", "sleep", "600")
    cluster.kubectl("run", "b", "--image=busybox", "--", "sleep", "600")
    cluster.kubectl("wait", "pod", "--all", "--for=condition=Ready", "--timeout=30s")
    gone = cluster.kubectl("delete", "pod", "a", "--force", "--grace-period=0")
    assert gone.strip() == 'pod "a" force deleted'
    assert gone.err.startswith("Warning: Immediate deletion does not wait for confirmation")
    assert cluster.kubectl("delete", "pod", "b", "--grace-period=1", "--wait=false").strip() == 'pod "b" deleted'
    assert cluster.jsonpath("{.metadata.deletionGracePeriodSeconds}", "pod", "b", "--ignore-not-found") in ("1", "")
    until(lambda: not cluster.kubectl("get", "pods", "-o", "name"), "b is gone")


def test_finalizers_hold_an_object_until_they_are_gone(cluster):
    cluster.apply('{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"c","finalizers":["a.b/c"]}}')
    slow = cluster.kubectl("delete", "cm", "c", "--timeout=400ms", check=False)
    assert slow.err.splitlines()[-1] == "error: timed out waiting for the condition on configmaps/c"
    assert cluster.jsonpath("{.metadata.deletionTimestamp}", "cm", "c")
    cluster.kubectl("patch", "cm", "c", "--type=merge", "-p", '{"metadata":{"finalizers":null}}')
    assert cluster.kubectl("get", "cm", "c", "--ignore-not-found") == ""
