"""apply, diff, replace, kustomize, lists, files of many objects, directories: what a manifest says becomes true."""

import json
import os

import pytest

CONFIG = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {name}\n  labels: {{set: one}}\ndata: {{{data}}}\n"


def config(name, data="k: v"):
    return CONFIG.format(name=name, data=data)


def test_three_way_merge_keeps_what_others_wrote_and_removes_what_the_file_dropped(cluster):
    assert cluster.apply(config("c", "a: '1', b: '2'")) == "configmap/c created\n"
    cluster.kubectl("patch", "cm", "c", "-p", '{"data":{"mine":"3"}}')
    assert cluster.apply(config("c", "a: '1', b: '2'")) == "configmap/c unchanged\n"
    assert cluster.apply(config("c", "a: '9'")) == "configmap/c configured\n"
    assert cluster.get("cm", "c")["data"] == {"a": "9", "mine": "3"}


def test_three_way_merge_of_a_deployment_follows_the_keys_of_its_lists(cluster):
    manifest = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "d"},
        "spec": {
            "replicas": 0,
            "selector": {"matchLabels": {"a": "b"}},
            "template": {
                "metadata": {"labels": {"a": "b"}},
                "spec": {
                    "containers": [
                        {
                            "name": "one",
                            "image": "x",
                            "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}],
                        },
                        {"name": "two", "image": "y"},
                    ]
                },
            },
        },
    }
    cluster.apply(json.dumps(manifest))
    cluster.kubectl("set", "env", "deploy/d", "-c", "one", "C=3")
    cluster.kubectl("scale", "deploy/d", "--replicas=0")
    del manifest["spec"]["replicas"]
    containers = manifest["spec"]["template"]["spec"]["containers"]
    del containers[1], containers[0]["env"][0]
    cluster.apply(json.dumps(manifest))
    spec = cluster.get("deploy", "d")["spec"]
    assert spec["replicas"] == 1, "dropped from the file: the default again"
    (one,) = spec["template"]["spec"]["containers"]
    assert one["env"] == [{"name": "B", "value": "2"}, {"name": "C", "value": "3"}]


def test_apply_warns_of_objects_it_did_not_make(cluster):
    cluster.kubectl("create", "cm", "c", "--from-literal=a=b")
    applied = cluster.apply(config("c"))
    assert applied == "configmap/c configured\n"
    assert (
        "resource configmaps/c is missing the kubectl.kubernetes.io/last-applied-configuration annotation"
        in applied.err
    )
    assert cluster.get("cm", "c")["data"] == {"a": "b", "k": "v"}


def test_dry_runs_change_nothing(cluster):
    assert cluster.apply(config("c"), "--dry-run=client") == "configmap/c created (dry run)\n"
    assert cluster.apply(config("c"), "--dry-run=server") == "configmap/c created (server dry run)\n"
    assert cluster.kubectl("get", "cm", "c", "--ignore-not-found") == ""
    cluster.apply(config("c"))
    assert cluster.apply(config("c", "k: w"), "--dry-run=server") == "configmap/c configured (server dry run)\n"
    assert cluster.apply(config("c", "k: v"), "--dry-run=server") == "configmap/c unchanged (server dry run)\n"
    assert cluster.get("cm", "c")["data"] == {"k": "v"}


def test_last_applied_can_be_seen_set_and_edited(cluster, tmp_path):
    cluster.apply(config("c"))
    seen = cluster.kubectl("apply", "view-last-applied", "cm/c")
    assert seen.startswith("apiVersion: v1\ndata:\n  k: v\nkind: ConfigMap\n")
    (tmp_path / "new.yaml").write_text(config("c", "k: w"))
    said = cluster.kubectl("apply", "set-last-applied", "-f", str(tmp_path / "new.yaml"))
    assert said == "configmap/c configured\n"
    assert json.loads(cluster.kubectl("apply", "view-last-applied", "cm/c", "-o", "json"))["data"] == {"k": "w"}
    assert cluster.get("cm", "c")["data"] == {"k": "v"}, "the annotation alone has changed"
    edited = edit(cluster, "s/k: w/k: z/", "apply", "edit-last-applied", "cm/c")
    assert edited == "configmap/c edited\n"
    assert json.loads(cluster.kubectl("apply", "view-last-applied", "cm/c", "-o", "json"))["data"] == {"k": "z"}
    cluster.kubectl("create", "cm", "plain")
    assert cluster.kubectl("apply", "view-last-applied", "cm/plain") == ""
    (tmp_path / "plain.yaml").write_text(config("plain"))
    refused = cluster.kubectl("apply", "set-last-applied", "-f", str(tmp_path / "plain.yaml"), check=False)
    assert "no last-applied-configuration annotation found on resource: plain" in refused.err
    cluster.kubectl("apply", "set-last-applied", "-f", str(tmp_path / "plain.yaml"), "--create-annotation")


def edit(cluster, script, *argv, check=True):
    """kubectl with an editor that runs a sed script over the file it is given."""
    os.environ["KUBE_EDITOR"] = f"sed -i '{script}'"
    try:
        return cluster.kubectl(*argv, check=check)
    finally:
        del os.environ["KUBE_EDITOR"]


def test_prune_by_label_deletes_what_the_files_no_longer_have(cluster):
    cluster.apply(config("a") + "---\n" + config("b"), "--prune", "-l", "set=one")
    said = cluster.apply(config("a"), "--prune", "-l", "set=one")
    assert said.splitlines()[:2] == ["configmap/a unchanged", "configmap/b pruned"]
    other = cluster.apply(config("a"), "--prune", check=False)
    assert other.code == 1
    assert "all resources selected for prune without explicitly passing --all" in other.err


def test_prune_only_what_is_allowed(cluster):
    cluster.apply(config("a"))
    cluster.kubectl("create", "sa", "s")
    said = cluster.apply(config("b"), "--prune", "--all", "--prune-allowlist=core/v1/ConfigMap")
    assert said == "configmap/b created\nconfigmap/a pruned\n"


def test_an_apply_set_prunes_what_left_it(cluster, monkeypatch):
    monkeypatch.setenv("KUBECTL_APPLYSET", "true")
    flags = ("--prune", "--applyset=configmaps/my-set", "-n", cluster.namespace)
    cluster.kubectl("create", "cm", "bystander")
    cluster.apply(config("a") + "---\n" + config("b"), *flags)
    parent = cluster.get("cm", "my-set")["metadata"]
    assert parent["labels"]["applyset.kubernetes.io/id"].startswith("applyset-")
    assert parent["annotations"]["applyset.kubernetes.io/contains-group-kinds"] == "ConfigMap"
    said = cluster.apply(config("a"), *flags)
    assert "configmap/b pruned" in said
    names = cluster.jsonpath("{.items[*].metadata.name}", "cm")
    assert names.split() == ["a", "bystander", "kube-root-ca.crt", "my-set"]


def test_force_recreates_what_cannot_be_changed(cluster):
    manifest = '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"c"},"data":{"a":"%s"},"immutable":true}'
    cluster.apply(manifest % "1")
    before = cluster.jsonpath("{.metadata.uid}", "cm", "c")
    refused = cluster.apply(manifest % "2", check=False)
    assert "data: Forbidden: field is immutable when `immutable` is set" in refused.err
    assert cluster.apply(manifest % "2", "--force").splitlines()[-1] == "configmap/c configured"
    assert cluster.jsonpath("{.metadata.uid}", "cm", "c") != before


def test_a_name_space_made_in_the_same_file_is_there_in_time(cluster):
    space = f"{cluster.namespace}-more"
    manifest = f"apiVersion: v1\nkind: Namespace\nmetadata: {{name: {space}}}\n---\n" + config("c").replace(
        "metadata:\n", f"metadata:\n  namespace: {space}\n"
    )
    assert cluster.apply(manifest).splitlines() == [f"namespace/{space} created", "configmap/c created"]
    wrong = cluster.kubectl("apply", "-n", "default", "-f", "-", stdin=manifest, check=False)
    assert "the namespace from the provided object" in wrong.err
    cluster.kubectl("delete", "ns", space, "--wait=false")


def test_lists_and_several_files_and_directories(cluster, tmp_path):
    items = [json.loads(json.dumps({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": n}})) for n in "xy"]
    manifest = json.dumps({"apiVersion": "v1", "kind": "List", "items": items})
    assert cluster.apply(manifest) == "configmap/x created\nconfigmap/y created\n"
    assert cluster.kubectl("get", "-f", "-", "-o", "name", stdin=manifest) == "configmap/x\nconfigmap/y\n"
    typed = json.dumps({"apiVersion": "v1", "kind": "ConfigMapList", "items": items})
    assert cluster.apply(typed) == "configmap/x unchanged\nconfigmap/y unchanged\n"
    (tmp_path / "deep").mkdir()
    (tmp_path / "a.yaml").write_text(config("a"))
    (tmp_path / "b.json").write_text('{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"b"}}')
    (tmp_path / "deep/c.yml").write_text(config("c") + "---\n" + config("d"))
    (tmp_path / "notes.txt").write_text("not a manifest")
    assert cluster.kubectl("apply", "-f", str(tmp_path)).split()[::2] == ["configmap/a", "configmap/b"]
    everything = cluster.kubectl("apply", "-R", "-f", str(tmp_path)).splitlines()
    assert everything == [
        "configmap/a unchanged",
        "configmap/b unchanged",
        "configmap/c created",
        "configmap/d created",
    ]
    both = cluster.kubectl("apply", "-f", f"{tmp_path}/a.yaml,{tmp_path}/b.json")
    assert both.split()[::2] == ["configmap/a", "configmap/b"]


def test_one_broken_object_does_not_stop_the_others(cluster, tmp_path):
    (tmp_path / "1.yaml").write_text(config("good"))
    (tmp_path / "2.yaml").write_text("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: Bad_}\n")
    (tmp_path / "3.yaml").write_text(config("fine"))
    done = cluster.kubectl("apply", "-f", str(tmp_path), check=False)
    assert done.code == 1
    assert done == "configmap/good created\nconfigmap/fine created\n"
    assert 'The ConfigMap "Bad_" is invalid: metadata.name' in done.err
    (tmp_path / "2.yaml").write_text("kind: [")
    done = cluster.kubectl("apply", "-f", str(tmp_path), check=False)
    assert "error parsing" in done.err
    assert done == "configmap/good unchanged\nconfigmap/fine unchanged\n"


def test_kustomize_builds_and_applies(cluster, tmp_path):
    (tmp_path / "base").mkdir()
    (tmp_path / "over").mkdir()
    (tmp_path / "base/cm.yaml").write_text(config("c"))
    (tmp_path / "base/kustomization.yaml").write_text("resources: [cm.yaml]\n")
    (tmp_path / "over/kustomization.yaml").write_text(
        "resources: [../base]\nnamePrefix: my-\nlabels: [{pairs: {team: blue}}]\n"
        "configMapGenerator: [{name: gen, literals: [a=b]}]\n"
        "patches:\n- target: {kind: ConfigMap, name: c}\n  patch: |\n    - {op: add, path: /data/more, value: yes-more}\n"
    )
    built = cluster.kubectl("kustomize", str(tmp_path / "over"))
    assert "name: my-c" in built
    said = cluster.kubectl("apply", "-k", str(tmp_path / "over")).splitlines()
    assert said[0] == "configmap/my-c created"
    assert said[1].startswith("configmap/my-gen-")
    made = cluster.get("cm", "my-c")
    assert made["data"] == {"k": "v", "more": "yes-more"}
    assert made["metadata"]["labels"] == {"set": "one", "team": "blue"}
    assert cluster.kubectl("get", "-k", str(tmp_path / "over"), "-o", "name").splitlines()[0] == "configmap/my-c"
    cluster.kubectl("delete", "-k", str(tmp_path / "over"))
    assert cluster.kubectl("get", "cm", "-l", "team=blue", "-o", "name") == ""


def test_diff_shows_what_apply_would_change(cluster):
    new = cluster.kubectl("diff", "-f", "-", stdin=config("c"), check=False)
    assert (new.code, "+  k: v" in new) == (1, True)
    cluster.apply(config("c"))
    same = cluster.kubectl("diff", "-f", "-", stdin=config("c"))
    assert (same.code, same, same.err) == (0, "", "")
    changed = cluster.kubectl("diff", "-f", "-", stdin=config("c", "k: w"), check=False)
    assert changed.code == 1
    lines = [line for line in changed.splitlines() if line[:1] in "+-" and not line.startswith(("+++", "---"))]
    assert lines == ["-  k: v", "+  k: w"]
    secret = '{"apiVersion":"v1","kind":"Secret","metadata":{"name":"s"},"stringData":{"p":"%s"}}'
    cluster.apply(secret % "one")
    hidden = cluster.kubectl("diff", "-f", "-", stdin=secret % "two", check=False)
    assert "*** (before)" in hidden
    pruned = cluster.kubectl("diff", "--prune", "-l", "set=one", "-f", "-", stdin=config("other"), check=False)
    assert "-  name: c" in pruned
    broken = cluster.kubectl("diff", "-f", "/not/there", check=False)
    assert broken.code > 1, "1 would mean that there are differences"
    invalid = cluster.kubectl("diff", "-f", "-", stdin=config("Bad_"), check=False)
    assert invalid.code > 1
    assert "Bad_" in invalid.err


def test_replace_writes_over_and_force_deletes_first(cluster):
    missing = cluster.kubectl("replace", "-f", "-", stdin=config("c"), check=False)
    assert 'Error from server (NotFound): error when replacing "STDIN": configmaps "c" not found' in missing.err
    cluster.kubectl("create", "cm", "c", "--from-literal=old=1")
    before = cluster.jsonpath("{.metadata.uid}", "cm", "c")
    assert cluster.kubectl("replace", "-f", "-", stdin=config("c")) == "configmap/c replaced\n"
    assert cluster.get("cm", "c")["data"] == {"k": "v"}
    assert cluster.jsonpath("{.metadata.uid}", "cm", "c") == before
    assert (
        cluster.kubectl("replace", "--dry-run=server", "-f", "-", stdin=config("c"))
        == "configmap/c replaced (server dry run)\n"
    )
    forced = cluster.kubectl("replace", "--force", "-f", "-", stdin=config("c"))
    assert forced.splitlines() == ['configmap "c" deleted', "configmap/c replaced"]
    assert cluster.jsonpath("{.metadata.uid}", "cm", "c") != before


def test_replace_of_an_older_version_is_a_conflict(cluster):
    cluster.apply(config("c"))
    old = cluster.kubectl("get", "cm", "c", "-o", "json")
    cluster.kubectl("label", "cm", "c", "moved=on")
    refused = cluster.kubectl("replace", "-f", "-", stdin=old, check=False)
    assert refused.err == (
        'Error from server (Conflict): error when replacing "STDIN": Operation cannot be fulfilled on configmaps "c": '
        "the object has been modified; please apply your changes to the latest version and try again\n"
    )


def test_edit_changes_what_the_editor_changed(cluster):
    cluster.apply(config("c"))
    assert edit(cluster, "s/k: v/k: w/", "edit", "cm/c") == "configmap/c edited\n"
    assert cluster.get("cm", "c")["data"] == {"k": "w"}
    assert edit(cluster, "s/nothing/else/", "edit", "cm", "c").err == "Edit cancelled, no changes made.\n"
    assert '"k": "x"' in edit(cluster, 's/"w"/"x"/', "edit", "cm/c", "-o", "json")
    refused = edit(cluster, "s/name: c/name: d/", "edit", "cm/c", check=False)
    assert refused.code == 1
    assert "At least one of apiVersion, kind and name was changed" in refused.err + refused
    assert cluster.get("cm", "c")["data"] == {"k": "x"}


def test_edit_creates(cluster, tmp_path):
    (tmp_path / "c.yaml").write_text(config("c"))
    said = edit(cluster, "s/k: v/k: edited/", "create", "--edit", "-f", str(tmp_path / "c.yaml"))
    assert said == "configmap/c created\n"
    assert cluster.get("cm", "c")["data"] == {"k": "edited"}


@pytest.mark.parametrize(
    ("kind", "patch", "data"),
    [
        ("strategic", '{"data":{"b":"2"}}', {"a": "1", "b": "2"}),
        ("strategic", '{"data":{"$patch":"replace","b":"2"}}', {"b": "2"}),
        ("merge", '{"data":{"a":null,"b":"2"}}', {"b": "2"}),
        ("json", '[{"op":"replace","path":"/data/a","value":"2"}]', {"a": "2"}),
        (
            "json",
            '[{"op":"test","path":"/data/a","value":"1"},{"op":"add","path":"/data/c","value":"3"}]',
            {"a": "1", "c": "3"},
        ),
        ("json", '[{"op":"move","from":"/data/a","path":"/data/z"}]', {"z": "1"}),
        ("json", '[{"op":"copy","from":"/data/a","path":"/data/z"}]', {"a": "1", "z": "1"}),
        ("json", '[{"op":"remove","path":"/data"}]', None),
    ],
)
def test_every_type_of_patch(cluster, kind, patch, data):
    cluster.kubectl("create", "cm", "c", "--from-literal=a=1")
    assert cluster.kubectl("patch", "cm/c", f"--type={kind}", "-p", patch) == "configmap/c patched\n"
    assert cluster.get("cm", "c").get("data") == data


@pytest.mark.parametrize(
    ("argv", "code", "text"),
    [
        (("-p", "{}"), 0, "configmap/c patched (no change)"),
        (("-p", "{"), 1, "Error from server (BadRequest): "),
        (("--type=json", "-p", '[{"op":"remove","path":"/nothing"}]'), 1, "the server rejected our request due to an error in our request"),
        (("--type=json", "-p", '[{"op":"test","path":"/data/a","value":"9"}]'), 1, "the server rejected our request due to an error in our request"),
        (("--type=json", "-p", "{}"), 1, "cannot unmarshal object into Go value of type"),
        (("--type=odd", "-p", "{}"), 1, '--type must be one of [json merge strategic], not "odd"'),
        ((), 1, "must specify --patch or --patch-file containing the contents of the patch"),
        (("-p", '{"metadata":{"name":"d"}}'), 1, "the name of the object (d) does not match the name on the URL (c)"),
        (("-p", '{"metadata":{"resourceVersion":"1"}}'), 1, "the object has been modified"),
        (("-p", '{"dat":{}}', "--field-manager=x"), 0, "configmap/c patched (no change)"),
        (("-p", '{"data":{"n":1}}'), 1, "cannot unmarshal number into Go struct field ConfigMap.data of type string"),
    ],
)  # fmt: skip
def test_patches_that_do_not_fit(cluster, argv, code, text):
    cluster.kubectl("create", "cm", "c", "--from-literal=a=1")
    done = cluster.kubectl("patch", "cm", "c", *argv, check=False)
    assert text in done + done.err
    assert done.code == code


def test_patches_of_subresources_files_and_dry_runs(cluster, tmp_path):
    cluster.kubectl("create", "deployment", "d", "--image=a", "--replicas=0")
    cluster.kubectl("patch", "deploy", "d", "--subresource=scale", "--type=merge", "-p", '{"spec":{"replicas":0}}')
    cluster.kubectl(
        "patch", "deploy", "d", "--subresource=status", "--type=merge", "-p", '{"status":{"collisionCount":7}}'
    )
    assert cluster.jsonpath("{.status.collisionCount}", "deploy", "d") == "7"
    assert cluster.jsonpath("{.spec.replicas}", "deploy", "d", "--subresource=scale") == "0"
    (tmp_path / "patch.yaml").write_text("metadata:\n  labels: {a: b}\n")
    dry = cluster.kubectl("patch", "deploy/d", "--patch-file", str(tmp_path / "patch.yaml"), "--dry-run=server")
    assert dry == "deployment.apps/d patched\n"
    cluster.kubectl("patch", "deploy/d", "--patch-file", str(tmp_path / "patch.yaml"))
    assert cluster.jsonpath("{.metadata.labels.a}", "deploy", "d") == "b"
    local = cluster.kubectl("patch", "--local", "-f", "-", "-p", '{"data":{"k":"w"}}', "-o", "yaml", stdin=config("c"))
    assert "k: w" in local
