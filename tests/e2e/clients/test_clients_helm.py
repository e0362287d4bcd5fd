"""helm, as it comes, installs, tests, upgrades, rolls back and removes a chart of the ordinary kind."""

import json
import shutil
import sys
from pathlib import Path

import pytest
from e2e import ROOT, command

CHART = ROOT / "examples/webapp/chart"
HELM = (
    str(Path(sys.executable).parent / "helm")
    if (Path(sys.executable).parent / "helm").exists()
    else shutil.which("helm")
)


@pytest.fixture
def helm(cluster, tmp_path):
    """helm for the cluster, with configuration of its own."""
    homes = {f"HELM_{what}_HOME": str(tmp_path / what) for what in ("CACHE", "CONFIG", "DATA")}

    def run(*argv, check=True):
        done = command(HELM, *argv, env=cluster.env | homes, timeout=90)
        assert not check or done.code == 0, f"helm {argv}: {done}\n{done.err}"
        return done

    return run


def test_a_chart_is_installed_tested_upgraded_rolled_back_and_removed(cluster, helm):
    helm("install", "web", str(CHART), "--wait", "--wait-for-jobs", "--timeout=60s")
    ready = cluster.get("deploy", "web-webapp")["status"]
    assert ready["readyReplicas"] == 2
    assert cluster.jsonpath("{.status.succeeded}", "job", "web-webapp-prepare") == "1"
    kinds = "sa,role,rolebinding,cm,svc,ingress,netpol,hpa,pdb"
    named = cluster.kubectl("get", kinds, "-l", "app.kubernetes.io/instance=web", "-o", "name").split()
    assert len(named) == 9
    cluster.kubectl("wait", "pdb/web-webapp", "--for=jsonpath={.status.disruptionsAllowed}=1", "--timeout=20s")
    tested = helm("test", "web", "--timeout=40s")
    assert "Phase:          Succeeded" in tested
    helm("upgrade", "web", str(CHART), "--set=page=Second", "--wait", "--timeout=60s")
    page = cluster.kubectl("exec", "deploy/web-webapp", "--", "cat", "/pages/index.html")
    assert page == "Second"
    helm("rollback", "web", "1", "--wait", "--timeout=60s")
    page = cluster.kubectl("exec", "deploy/web-webapp", "--", "cat", "/pages/index.html")
    assert page == "Hello from the chart"
    history = json.loads(helm("history", "web", "-o", "json"))
    assert [entry["status"] for entry in history] == ["superseded", "superseded", "deployed"]
    assert json.loads(helm("list", "-o", "json"))[0]["revision"] == "3"
    helm("uninstall", "web", "--wait", "--timeout=60s")
    assert cluster.kubectl("get", kinds, "-l", "app.kubernetes.io/instance=web", "-o", "name") == ""


def test_a_chart_that_does_not_fit_is_refused_before_anything_is_made(cluster, helm):
    refused = helm("install", "web", str(CHART), "--set=service.port=99999", "--no-hooks", check=False)
    assert refused.code == 1
    assert (
        'Service "web-webapp" is invalid: spec.ports[0].port: Invalid value: 99999: must be between 1 and 65535'
        in refused.err
    )
    assert helm("list", "--failed", "-q").strip() == "web"
    helm("uninstall", "web")


def test_the_manifest_for_kubectl_is_what_helm_renders(helm):
    rendered = helm("template", "web", str(CHART), "--namespace=default")
    manifest = (ROOT / "examples/webapp/webapp.yaml").read_text()
    assert manifest.split("\n", 1)[1] == rendered


def test_the_manifest_becomes_ready_without_helm(cluster):
    manifest = (ROOT / "examples/webapp/webapp.yaml").read_text()
    cluster.apply(manifest.replace("namespace: default", f"namespace: {cluster.namespace}"))
    cluster.kubectl("rollout", "status", "deploy/web-webapp", "--timeout=60s")
    cluster.kubectl("wait", "job/web-webapp-prepare", "--for=condition=Complete", "--timeout=30s")
    cluster.kubectl("wait", "pod/web-webapp-answers", "--for=jsonpath={.status.phase}=Succeeded", "--timeout=30s")
    account = cluster.kubectl(
        "auth", "can-i", "list", "configmaps", f"--as=system:serviceaccount:{cluster.namespace}:web-webapp"
    )
    assert account.strip() == "yes"
