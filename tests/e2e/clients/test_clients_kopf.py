"""Two kopf operators run as processes against the cluster, unmodified: `kopf run` as their authors would."""

import contextlib
import re
import subprocess
import sys
from pathlib import Path

from e2e import until

OPERATORS = Path(__file__).parent / "operators"
SITES = """
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: sites.example.com}
spec:
  group: example.com
  scope: Namespaced
  names: {plural: sites, singular: site, kind: Site, shortNames: [si]}
  versions:
    - name: v1
      served: true
      storage: true
      subresources: {status: {}}
      additionalPrinterColumns:
        - {name: Replicas, type: integer, jsonPath: .spec.replicas}
      schema:
        openAPIV3Schema:
          type: object
          required: [spec]
          properties:
            spec:
              type: object
              required: [text]
              properties:
                text: {type: string}
                replicas: {type: integer, default: 0, minimum: 0}
            status: {type: object, x-kubernetes-preserve-unknown-fields: true}
"""
SITE = """
apiVersion: example.com/v1
kind: Site
metadata: {name: home}
spec: {text: first}
"""


@contextlib.contextmanager
def running(cluster, operator, log):
    """The operator watches the test's namespace until the block ends; its log goes to a file."""
    argv = [sys.executable, "-m", "kopf", "run", "--standalone", f"--namespace={cluster.namespace}", "--verbose"]
    with (
        log.open("w") as out,
        subprocess.Popen(
            [*argv, str(OPERATORS / operator)], env=cluster.env, stdout=out, stderr=subprocess.STDOUT
        ) as process,
    ):
        try:
            yield process
        finally:
            process.terminate()
            process.wait(20)
    assert "Traceback" not in log.read_text(), log.read_text()[-3000:]


def test_an_operator_makes_follows_and_buries_a_custom_resource(cluster, tmp_path):
    cluster.apply(SITES)
    cluster.kubectl("wait", "crd/sites.example.com", "--for=condition=Established", "--timeout=10s")

    def value(path, *what):
        return cluster.jsonpath(path, *what, "--ignore-not-found")

    with running(cluster, "sites.py", tmp_path / "log"):
        cluster.apply(SITE)
        until(lambda: value("{.status.create.page}", "site", "home") == "home", "the operator's answer in the status")
        assert value("{.data.index\\.html}", "cm", "home") == "first"
        assert value("{.metadata.ownerReferences[0].kind}", "deploy", "home") == "Site"
        assert value("{.metadata.finalizers[0]}", "site", "home") == "sites.example.com/kopf"
        cluster.apply(SITE.replace("first", "second"))
        until(lambda: value("{.data.index\\.html}", "cm", "home") == "second", "the new text")
        until(
            lambda: value("{.status.rewrite/spec\\.text}", "site", "home") == "first -> second",
            "the old and the new text",
        )
        cluster.kubectl("patch", "site", "home", "--type=merge", "-p", '{"spec":{"replicas":1}}')
        cluster.kubectl("wait", "deploy/home", "--for=jsonpath={.status.readyReplicas}=1", "--timeout=20s")
        until(lambda: "the site home is made" in cluster.kubectl("get", "events"), "the operator's event")
        cluster.kubectl("delete", "site", "home", "--timeout=20s")
        assert value("{.data.index\\.html}", "cm", "home-was-here") == "second"
        until(lambda: not value("{.metadata.name}", "deploy", "home"), "the garbage collector")
    cluster.kubectl("delete", "crd", "sites.example.com")


def test_an_operator_retries_ticks_and_indexes(cluster, tmp_path):
    log = tmp_path / "log"
    with running(cluster, "tending.py", log) as process:
        for name in ("one", "two"):
            cluster.kubectl("create", "cm", name, "--from-literal=colour=red")
            cluster.kubectl("label", "cm", name, "tended=yes")

        def annotations(name):
            return cluster.get("cm", name)["metadata"].get("annotations", {})

        for name in ("one", "two"):
            until(lambda name=name: annotations(name).get("tries") == "3", f"the third try for {name}")
            until(lambda name=name: annotations(name).get("ticks") == "3", f"three ticks of {name}")
            until(lambda name=name: annotations(name).get("same") in ("1", "2"), f"the daemon of {name}")
        cluster.apply(
            '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"lost","labels":{"tended":"yes"},"annotations":{"hopeless":""}}}'
        )
        until(lambda: re.search(r"'hopeless' failed permanently: this will never be", log.read_text()), "the failure")
        cluster.kubectl("delete", "cm", "one", "two", "lost", "--timeout=20s")
        assert process.poll() is None
