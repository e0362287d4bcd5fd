"""The `sampan` command: what it prints, where it ends, and how its errors look."""

import json
import os
import re
from concurrent.futures import ThreadPoolExecutor

import yaml
from e2e import APP, SAMPAN, Cluster, command


def test_status_names_what_runs(shared):
    shown = shared.sampan("status", "--cluster", shared.name)
    assert re.search(rf"^cluster +{shared.name}: up \(supervisor \d+\)$", shown, re.MULTILINE)
    assert len(re.findall(r"^node +node-\d  Ready  172\.30\.", shown, re.MULTILINE)) == 2
    assert shared.sampan("kubeconfig", "--cluster", shared.name).strip() == str(shared.directory / "kubeconfig")
    assert (shared.directory / "kubeconfig").stat().st_mode & 0o777 == 0o600


def test_up_again_says_that_it_is_up(shared):
    assert "is up already" in shared.up()


def test_trace_walks_to_the_process_or_says_where_it_ends(cluster):
    cluster.kubectl("apply", "-f", str(APP / "bq-api-service.yaml"))
    cluster.kubectl("rollout", "status", "deployment/deployment-bq-api-service", "--timeout=60s")
    cluster.kubectl("run", "box", "--image=busybox", "--", "sleep", "1000")
    cluster.kubectl("wait", "--for=condition=Ready", "pod/box", "--timeout=30s")
    run = lambda *argv: cluster.sampan("trace", "--cluster", cluster.name, "-n", cluster.namespace, *argv, check=False)
    shown = run("box", "clusterip-bq-api-service:8080")
    assert shown.code == 0, shown
    stages = [line.split()[1] for line in shown.splitlines() if line[0] in "✔×"]
    assert stages[0] == "from"
    assert stages[-1] == "endpoint"
    assert {"dns", "service", "rule"} <= set(stages)
    assert re.search(r"runs python3 -u app.py \(pid \d+\)", shown)
    for target, why in {
        "nobody:80": "nobody",
        "clusterip-bq-api-service:81": "8081|port|81",
    }.items():
        ended = run("box", target)
        assert ended.code == 1
        assert ended.splitlines()[-1].startswith("×")
        assert re.search(why, ended.splitlines()[-1])
    assert run("host", f"{cluster.jsonpath('{.spec.clusterIP}', 'svc', 'clusterip-bq-api-service')}:8080").code == 0


def test_errors_say_what_failed_and_what_mends_it(shared):
    for argv, error, hint in (
        (("status", "--cluster", "nobody"), 'there is no cluster "nobody"', "sampan up --cluster nobody"),
        (("up", "--cluster", "Not/Valid"), "cannot be a cluster name", "sampan up --cluster"),
        (("up", "--nodes", "0", "--cluster", "zero"), "a cluster has 1 to", "--nodes"),
        (("trace", "--cluster", shared.name, "box", "web"), "is not HOST:PORT", "sampan trace"),
        (("image", "rm", "nobody"), 'no image "nobody" is registered', "sampan image ls"),
    ):
        result = command(*SAMPAN, *argv, "--state", str(shared.state))
        assert result.code == 1, argv
        assert error in result.err.splitlines()[0], result.err
        assert re.search(rf"^hint: .*{re.escape(hint)}", result.err, re.MULTILINE), result.err
        assert "Traceback" not in result.err


def test_usage_errors_point_at_the_help():
    for argv, error, hint in (
        (("nosuch",), "No such command 'nosuch'", "sampan --help"),
        (("up", "--nope"), "No such option: --nope", "sampan up --help"),
        (("trace",), "Missing argument", "sampan trace --help"),
    ):
        result = command(*SAMPAN, *argv)
        assert result.code == 2, argv
        assert error in result.err
        assert f"hint:  {hint}" in result.err
    assert "Usage: sampan" in command(*SAMPAN, "--help")


def test_doctor_passes_on_a_machine_that_runs_clusters(shared):
    shown = shared.sampan("doctor")
    assert "× " not in shown
    assert f"cluster {shared.name} is up" in shown


def test_images_are_listed_inspected_and_removed(shared):
    shared.register("tmp/prog:2", "--env", "A=b")
    assert re.search(
        r"^tmp/prog:2 +python3 -u app.py ", command(*SAMPAN, "image", "ls", "--state", str(shared.state)), re.MULTILINE
    )
    inspected = command(*SAMPAN, "image", "inspect", "tmp/prog:2", "--state", str(shared.state))
    assert '"entrypoint"' in inspected
    assert command(*SAMPAN, "image", "rm", "tmp/prog:2", "--state", str(shared.state)).code == 0
    assert command(*SAMPAN, "image", "inspect", "tmp/prog:2", "--state", str(shared.state)).code == 1


def test_up_merges_its_context_and_down_takes_it_out_again(own_cluster, tmp_path):
    mine = tmp_path / "config"
    mine.write_text(
        yaml.safe_dump({"clusters": [], "contexts": [{"name": "other", "context": {}}], "current-context": "other"})
    )
    env = os.environ | {"KUBECONFIG": str(mine)}
    context = f"sampan-{own_cluster.name}"
    where = ("--cluster", own_cluster.name, "--state", str(own_cluster.state))
    assert command(*SAMPAN, "up", "-d", *where, env=env).code == 0
    assert "node-0" in command("kubectl", "--context", context, "get", "nodes", env=env)
    merged = yaml.safe_load(mine.read_text())
    assert [c["name"] for c in merged["contexts"]] == ["other", context]
    assert mine.stat().st_mode & 0o777 == 0o600
    assert command(*SAMPAN, "down", *where, env=env).code == 0
    left = yaml.safe_load(mine.read_text())
    assert [c["name"] for c in left["contexts"]] == ["other"]


def test_clusters_of_different_state_directories_may_start_at_the_same_moment():
    clusters = [Cluster(f"twin{n}") for n in range(3)]
    try:
        with ThreadPoolExecutor() as pool:
            list(pool.map(Cluster.up, clusters))
        for each in clusters:
            assert "Ready" in each.kubectl("get", "nodes", "--no-headers")
        plans = [json.loads((each.directory / "cluster.json").read_text()) for each in clusters]
        assert len({plan["index"] for plan in plans}) == len(clusters)
        assert len({plan["apiPort"] for plan in plans}) == len(clusters)
    finally:
        for each in clusters:
            each.remove()
