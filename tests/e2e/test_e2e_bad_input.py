"""Bad input gets the text kubectl users know, is refused whole, and disturbs nothing else."""

import re

import pytest
from e2e import until

SERVICE = """
apiVersion: v1
kind: Service
metadata: {name: web}
spec:
  selector: {app: web}
  ports: [{port: 80}]
"""
DEPLOYMENT = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 1
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, image: "cloud-user:1.0"}]}
"""

REFUSED = {
    "unknown field": (
        SERVICE.replace("ports:", "tls: [{secretName: x}]\n  ports:"),
        r'strict decoding error: unknown field "spec.tls"',
    ),
    "wrong type": (
        DEPLOYMENT.replace("replicas: 1", "replicas: many"),
        r"cannot unmarshal string into Go struct field",
    ),
    "selector does not match": (
        DEPLOYMENT.replace("{app: web}}\n  template", "{app: other}}\n  template"),
        r'The Deployment "web" is invalid: spec.template.metadata.labels: Invalid value: .*"app":"web".*: '
        r"`selector` does not match template `labels`",
    ),
    "selector missing": (
        DEPLOYMENT.replace("  selector: {matchLabels: {app: web}}\n", ""),
        r"spec.selector: Required value",
    ),
    "headless node port": (
        SERVICE.replace("spec:", "spec:\n  type: NodePort\n  clusterIP: None"),
        r"spec.clusterIPs\[0\]: Invalid value: \"None\": may not be set to 'None' for NodePort services",
    ),
    "node port of a cluster ip": (
        SERVICE.replace("{port: 80}", "{port: 80, nodePort: 30080}"),
        r"spec.ports\[0\].nodePort: Forbidden: may not be used when `type` is 'ClusterIP'",
    ),
    "node port out of range": (
        SERVICE.replace("spec:", "spec:\n  type: NodePort").replace("{port: 80}", "{port: 80, nodePort: 8001}"),
        r"spec.ports\[0\].nodePort: Invalid value: 8001: provided port is not in the valid range. "
        r"The range of valid ports is 30000-32767",
    ),
    "no ports": (SERVICE.replace("  ports: [{port: 80}]\n", ""), r"spec.ports: Required value"),
    "port too large": (
        SERVICE.replace("80", "80000"),
        r"spec.ports\[0\].port: Invalid value: 80000: must be between 1 and",
    ),
    "bad name": (
        SERVICE.replace("name: web", "name: Web_1"),
        r'metadata.name: Invalid value: "Web_1": a DNS-1035 label',
    ),
    "unknown kind": (
        SERVICE.replace("v1\nkind: Service", "example.com/v1\nkind: Gadget"),
        r'no matches for kind "Gadget" in version "example.com/v1"',
    ),
    "malformed yaml": ("apiVersion: v1\nkind: [", r"error parsing STDIN: error converting YAML to JSON"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_is_refused_with_the_known_text(cluster, case):
    manifest, text = REFUSED[case]
    result = cluster.apply(manifest, check=False)
    assert result.code == 1
    assert re.search(text, result.err), result.err
    assert cluster.kubectl("get", "deployments,services", "-o", "name") == ""


def test_one_bad_object_of_a_file_does_not_stop_the_others(cluster):
    bad, _ = REFUSED["node port out of range"]
    result = cluster.apply(f"{bad.replace('name: web', 'name: bad')}\n---{SERVICE}", check=False)
    assert result.code == 1
    assert "service/web created" in result
    assert "provided port is not in the valid range" in result.err


def test_an_object_of_ten_megabytes_is_refused_and_the_server_goes_on(cluster):
    manifest = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: big}\ndata: {x: '" + "a" * 10_000_000 + "'}\n"
    result = cluster.kubectl("create", "-f", "-", stdin=manifest, check=False)
    assert result.code == 1
    assert re.search(r"Request entity too large: limit is 3145728", result.err), result.err[-500:]
    assert cluster.kubectl("get", "configmaps", "-o", "name").split() in ([], ["configmap/kube-root-ca.crt"])


def test_an_unknown_image_is_named_with_what_mends_it_and_runs_once_registered(cluster, tmp_path):
    cluster.kubectl("run", "lost", "--image=nobody/knows:1")
    until(
        lambda: re.search(r"lost +0/1 +(ErrImagePull|ImagePullBackOff) ", cluster.kubectl("get", "pods")),
        "ErrImagePull",
    )
    until(
        lambda: re.search(
            r"Failed .*sampan image register nobody/knows:1 --workdir DIR -- COMMAND",
            cluster.kubectl("describe", "pod", "lost"),
        ),
        "an event that names the command",
    )
    cluster.register("nobody/knows:1")
    cluster.kubectl("wait", "--for=condition=Ready", "pod/lost", "--timeout=30s")


def test_a_program_that_ends_at_once_is_a_crash_loop(cluster):
    cluster.kubectl("run", "crash", "--image=busybox", "--", "sh", "-c", "echo boom; exit 3")
    until(lambda: re.search(r"crash +0/1 +CrashLoopBackOff +[1-9]", cluster.kubectl("get", "pods")), "CrashLoopBackOff")
    shown = cluster.kubectl("describe", "pod", "crash")
    assert re.search(r"Last State: +Terminated\s+Reason: +Error\s+Exit Code: +3", shown)
    assert "Back-off restarting failed container crash in pod crash_" in shown
    assert cluster.kubectl("logs", "crash", "--previous").strip() == "boom"


def test_a_program_that_is_not_there_says_so(cluster):
    cluster.kubectl("run", "typo", "--image=busybox", "--restart=Never", "--", "no-such-program")
    until(
        lambda: "StartError" in cluster.kubectl("get", "pods") or "RunContainerError" in cluster.kubectl("get", "pods"),
        "a start error",
    )
    assert '"no-such-program": executable file not found in $PATH' in cluster.kubectl("describe", "pod", "typo")


def test_names_that_are_not_there(cluster):
    result = cluster.kubectl("get", "pod", "nobody", check=False)
    assert (result.code, result.err.strip()) == (1, 'Error from server (NotFound): pods "nobody" not found')
    result = cluster.kubectl("get", "gadgets", check=False)
    assert 'error: the server doesn\'t have a resource type "gadgets"' in result.err
    result = cluster.kubectl("create", "configmap", "x", "-n", "nowhere", check=False)
    assert 'namespaces "nowhere" not found' in result.err
