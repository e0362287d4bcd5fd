"""create with every subcommand, its outputs, dry runs and errors; run, expose, autoscale's siblings are in files of their own."""

import base64
import json
import subprocess

import pytest

SUBCOMMANDS = {
    "configmap c --from-literal=k=v": "configmap/c created",
    "secret generic s --from-literal=k=v": "secret/s created",
    "secret docker-registry r --docker-username=u --docker-password=p --docker-email=e@x.y": "secret/r created",
    "serviceaccount a": "serviceaccount/a created",
    "service clusterip svc --tcp=5678:8080": "service/svc created",
    "service clusterip headless --clusterip=None": "service/headless created",
    "service nodeport np --tcp=80:8080": "service/np created",
    "service loadbalancer lb --tcp=80": "service/lb created",
    "service externalname en --external-name=example.com": "service/en created",
    "deployment d --image=nginx --replicas=0 --port=80": "deployment.apps/d created",
    "job j --image=busybox -- true": "job.batch/j created",
    "cronjob cj --image=busybox --schedule=0/5_*_*_*_?": "cronjob.batch/cj created",
    "role r --verb=get,list --resource=pods": "role.rbac.authorization.k8s.io/r created",
    "rolebinding rb --role=r --user=u --group=g --serviceaccount=default:a": "rolebinding.rbac.authorization.k8s.io/rb created",
}


@pytest.mark.parametrize("command", SUBCOMMANDS)
def test_every_subcommand_creates_once(cluster, command):
    """First a dry run on either side (which leaves nothing), then for real, then a second time."""
    argv = ["create", *(part.replace("_", " ") for part in command.split())]
    at = argv.index("--") if "--" in argv else len(argv)

    def run(*flags, check=True):
        return cluster.kubectl(*argv[:at], *flags, *argv[at:], check=check)

    text = SUBCOMMANDS[command]
    assert run("--dry-run=client").strip() == f"{text} (dry run)"
    assert run("--dry-run=server").strip() == f"{text} (server dry run)"
    assert run("--dry-run=server", "-o", "name").strip() == text.split()[0]
    assert run().strip() == text
    again = run(check=False)
    assert again.code == 1
    assert "already exists" in again.err


REFUSED = {
    "create": "error: must specify one of -f and -k",
    "create configmap": "error: exactly one NAME is required, got 0",
    "create configmap a b": "error: exactly one NAME is required, got 2",
    "create configmap c --from-literal=k": "error: invalid literal source k, expected key=value",
    "create configmap c --from-literal=k=1 --from-literal=k=2": 'error: cannot add key "k", another key by that name already exists in Data for ConfigMap "c"',
    "create configmap c --from-literal=k/=1": 'error: "k/" is not a valid key name for a ConfigMap',
    "create configmap C_x": 'error: failed to create configmap: ConfigMap "C_x" is invalid: metadata.name: Invalid value: "C_x": a lowercase RFC 1123 subdomain',
    "create configmap c --from-file=/not/there": "error: error reading /not/there: no such file or directory",
    "create configmap c --from-env-file=/not/there": "no such file or directory",
    "create secret": "Create a secret with specified type.",
    "create secret generic s --type=kubernetes.io/tls": 'error: failed to create secret Secret "s" is invalid: [data[tls.crt]: Required value, data[tls.key]: Required value]',
    "create secret generic s --type=kubernetes.io/dockerconfigjson --from-literal=.dockerconfigjson=x": 'Secret "s" is invalid: data[.dockerconfigjson]: Invalid value: "<secret contents redacted>"',
    "create secret tls t --cert=/not/there --key=/not/there": "no such file or directory",
    "create secret docker-registry r": "error: either --from-file or the combination of --docker-username, --docker-password and --docker-server is required",
    "create service clusterip s": "error: at least one tcp port specifier must be provided",
    "create service clusterip s --tcp=0": 'Service "s" is invalid: [spec.ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive',
    "create service clusterip 9s --tcp=80": 'Service "9s" is invalid: metadata.name: Invalid value: "9s": a DNS-1035 label must consist of lower case alphanumeric characters',
    "create service clusterip s --tcp=80 --clusterip=1.2.3.4": "failed to allocate IP 1.2.3.4: the provided IP (1.2.3.4) is not in the valid range",
    "create service nodeport n --tcp=80 --node-port=80": 'Service "n" is invalid: spec.ports[0].nodePort: Invalid value: 80: provided port is not in the valid range. The range of valid ports is 30000-32767',
    "create service externalname e": "required flag(s)",
    "create service externalname e --external-name=A_B": "error: invalid service external name A_B",
    "create deployment d": "required flag(s)",
    "create deployment d --image=a --image=b -- x": "error: cannot specify multiple --image options and command",
    "create deployment D --image=a": 'error: failed to create deployment: Deployment.apps "D" is invalid',
    "create job j": "error: either --image or --from must be specified",
    "create job j --from=cronjob/none": 'Error from server (NotFound): cronjobs.batch "none" not found',
    "create cronjob c --image=b --schedule=never": 'CronJob.batch "c" is invalid: spec.schedule: Invalid value: "never"',
    "create role r --verb=get": "error: at least one resource must be specified",
    "create role r --resource=pods": "error: at least one verb must be specified",
    "create role r --verb=get --resource=gadgets": 'the server doesn\'t have a resource type "gadgets"',
    "create rolebinding b": "error: exactly one of clusterrole or role must be specified",
    "create namespace": "error: exactly one NAME is required, got 0",
    "create namespace A_b": 'Namespace "A_b" is invalid: metadata.name: Invalid value: "A_b": a lowercase RFC 1123 label',
    "create namespace default": 'Error from server (AlreadyExists): namespaces "default" already exists',
    "create configmap c -n nowhere": 'error: failed to create configmap: namespaces "nowhere" not found',
    "create configmap c --dry-run=maybe": 'error: Invalid dry-run value (maybe). Must be "none", "server", or "client".',
    "create -f /not/there.yaml": 'error: the path "/not/there.yaml" does not exist',
    "create -f - --edit --raw=/api": "--raw and --edit are mutually exclusive",
}


@pytest.mark.parametrize("command", REFUSED)
def test_what_cannot_be_created_is_refused(cluster, command):
    refused = cluster.kubectl(*command.split(), check=False)
    said = refused.err or str(refused)
    assert REFUSED[command] in said
    if command != "create secret":
        assert refused.code == 1


def test_config_maps_from_files_and_environments(cluster, tmp_path):
    (tmp_path / "one.conf").write_text("alpha\n")
    (tmp_path / "two.bin").write_bytes(b"\xff\xfe")
    (tmp_path / "env").write_text("# a comment\nA=1\nB=two words\n")
    cluster.kubectl("create", "cm", "files", f"--from-file={tmp_path}/one.conf", f"--from-file=key={tmp_path}/two.bin")
    files = cluster.get("cm", "files")
    assert files["data"] == {"one.conf": "alpha\n"}
    assert files["binaryData"] == {"key": base64.b64encode(b"\xff\xfe").decode()}
    cluster.kubectl("create", "cm", "env", f"--from-env-file={tmp_path}/env")
    assert cluster.get("cm", "env")["data"] == {"A": "1", "B": "two words"}
    cluster.kubectl("create", "cm", "dir", f"--from-file={tmp_path}")
    assert set(cluster.get("cm", "dir")["data"]) == {"one.conf", "env"}
    hashed = cluster.kubectl("create", "cm", "h", "--from-literal=a=b", "--append-hash", "-o", "name").strip()
    assert hashed == "configmap/h-7gtg8d7c2h" or len(hashed) == len("configmap/h-") + 10
    described = cluster.kubectl("describe", "cm", "files")
    assert "one.conf:\n----\nalpha\n" in described
    assert "BinaryData\n====\nkey: 2 bytes" in described


def test_secrets_of_every_type(cluster, tmp_path):
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=x",
         "-keyout", tmp_path / "key", "-out", tmp_path / "crt"], check=True, capture_output=True,
    )  # fmt: skip
    cluster.kubectl("create", "secret", "tls", "t", f"--cert={tmp_path}/crt", f"--key={tmp_path}/key")
    cluster.kubectl("create", "secret", "generic", "g", "--from-literal=user=me", "--type=my/type")
    cluster.kubectl("create", "secret", "docker-registry", "r", "--docker-server=r.io", "--docker-username=u",
                    "--docker-password=p")  # fmt: skip
    rows = [line.split()[:3] for line in cluster.kubectl("get", "secrets", "--no-headers").splitlines()]
    assert rows == [
        ["g", "my/type", "1"],
        ["r", "kubernetes.io/dockerconfigjson", "1"],
        ["t", "kubernetes.io/tls", "2"],
    ]
    assert cluster.jsonpath("{.data.user}", "secret", "g") == base64.b64encode(b"me").decode()
    auths = json.loads(base64.b64decode(cluster.jsonpath(r"{.data.\.dockerconfigjson}", "secret", "r")))
    assert auths["auths"]["r.io"]["auth"] == base64.b64encode(b"u:p").decode()
    described = cluster.kubectl("describe", "secret", "g")
    assert "user:  2 bytes" in described
    assert "me" not in described.split("====")[1].replace("bytes", "").replace("user", "")
    plain = '{"apiVersion":"v1","kind":"Secret","metadata":{"name":"p"},"stringData":{"a":"b"}}'
    cluster.apply(plain)
    assert cluster.get("secret", "p")["data"] == {"a": "Yg=="}
    assert "stringData" not in cluster.get("secret", "p")
    assert cluster.kubectl("get", "secrets", "--field-selector=type=my/type", "-o", "name").strip() == "secret/g"


def test_immutable_configuration_stays_as_it_is(cluster):
    cluster.apply('{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"c"},"data":{"a":"b"},"immutable":true}')
    refused = cluster.kubectl("patch", "cm", "c", "-p", '{"data":{"a":"c"}}', check=False)
    assert refused.err == 'The ConfigMap "c" is invalid: data: Forbidden: field is immutable when `immutable` is set\n'
    back = cluster.kubectl("patch", "cm", "c", "-p", '{"immutable":false}', check=False)
    assert "immutable: Forbidden: field is immutable when `immutable` is set" in back.err
    cluster.kubectl("label", "cm", "c", "still=labelled")


def test_a_type_of_a_secret_is_for_good(cluster):
    cluster.kubectl("create", "secret", "generic", "s", "--from-literal=k=v")
    refused = cluster.kubectl("patch", "secret", "s", "-p", '{"type":"other"}', check=False)
    assert 'The Secret "s" is invalid: type: Invalid value: "other": field is immutable' in refused.err


def test_output_of_a_dry_run_is_the_object(cluster):
    mine = json.loads(cluster.kubectl("create", "deployment", "d", "--image=a", "--dry-run=client", "-o", "json"))
    assert (mine["spec"]["replicas"], mine["spec"]["strategy"], "uid" in mine["metadata"]) == (1, {}, False)
    its = json.loads(cluster.kubectl("create", "deployment", "d", "--image=a", "--dry-run=server", "-o", "json"))
    assert its["spec"]["strategy"]["type"] == "RollingUpdate"
    assert its["metadata"]["uid"]
    assert cluster.kubectl("get", "deploy", "--ignore-not-found") == ""


def test_objects_from_generate_name_need_create(cluster):
    manifest = '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"generateName":"many-"}}'
    first = cluster.kubectl("create", "-f", "-", "-o", "name", stdin=manifest).strip()
    second = cluster.kubectl("create", "-f", "-", "-o", "name", stdin=manifest).strip()
    assert first != second
    assert first.startswith("configmap/many-")
    refused = cluster.apply(manifest, check=False)
    assert refused.err.startswith("error: from many-: cannot use generate name with apply")


def test_create_saves_the_configuration_and_a_field_manager_when_asked(cluster):
    manifest = '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"c"},"data":{"a":"b"}}'
    cluster.kubectl("create", "-f", "-", "--save-config", "--field-manager=me", stdin=manifest)
    made = json.loads(cluster.kubectl("get", "cm", "c", "-o", "json", "--show-managed-fields"))
    assert json.loads(made["metadata"]["annotations"]["kubectl.kubernetes.io/last-applied-configuration"])["data"] == {
        "a": "b"
    }
    assert made["metadata"]["managedFields"][0]["manager"] == "me"


@pytest.mark.parametrize(
    ("mode", "code", "text"),
    [
        ("true", 1, 'strict decoding error: unknown field "dat"'),
        ("strict", 1, 'strict decoding error: unknown field "dat"'),
        ("warn", 0, 'Warning: unknown field "dat"'),
        ("ignore", 0, ""),
        ("false", 0, ""),
    ],
)
def test_validation_is_strict_warns_or_ignores(cluster, mode, code, text):
    manifest = '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"c"},"dat":{"a":"b"}}'
    done = cluster.kubectl("create", "-f", "-", f"--validate={mode}", stdin=manifest, check=False)
    assert done.code == code
    assert text in done.err
    assert bool(done.err) == bool(text)


def test_duplicate_fields_are_warned_of(cluster):
    """kubectl itself drops duplicates on the way from YAML to JSON; a raw body keeps them."""
    body = '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"c"},"data":{"a":"b","a":"c"}}'
    path = f"/api/v1/namespaces/{cluster.namespace}/configmaps"
    made = cluster.kubectl("create", "--raw", path, "-f", "-", stdin=body)
    assert 'Warning: duplicate field "data.a"' in made.err
    strict = cluster.kubectl("create", "--raw", path + "?fieldValidation=Strict", "-f", "-", stdin=body, check=False)
    assert 'strict decoding error: duplicate field "data.a"' in strict.err


@pytest.mark.parametrize(
    ("manifest", "text"),
    [
        ("{", "error: error parsing STDIN"),
        ("kind: ConfigMap\nmetadata: {name: c}", "apiVersion not set"),
        ("apiVersion: v1\nmetadata: {name: c}", "kind not set"),
        ("apiVersion: v1\nkind: Gadget\nmetadata: {name: c}", 'no matches for kind "Gadget" in version "v1"'),
        ("apiVersion: gone/v1\nkind: Gadget\nmetadata: {name: c}", 'no matches for kind "Gadget" in version "gone/v1"'),
        ("apiVersion: v1\nkind: ConfigMap\nmetadata: {}", 'The ConfigMap "" is invalid: metadata.name: Required value: name or generateName is required'),
        ("apiVersion: extensions/v1beta1\nkind: Deployment\nmetadata: {name: d}", 'no matches for kind "Deployment" in version "extensions/v1beta1"'),
        ("", "error: no objects passed to create"),
    ],
)  # fmt: skip
def test_files_that_are_no_objects(cluster, manifest, text):
    refused = cluster.kubectl("create", "-f", "-", stdin=manifest, check=False)
    assert refused.code == 1
    assert text in refused.err
