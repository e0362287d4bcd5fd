"""Custom resources as kubectl's users meet them: from a definition to its end, with kubectl's own words."""

import json
import subprocess
import threading
import time

import pytest
from e2e import until

CRD = """
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {{name: {plural}.e2e.example.com}}
spec:
  group: e2e.example.com
  scope: Namespaced
  names: {{plural: {plural}, kind: {kind}, shortNames: [{short}], categories: [e2e-things]}}
  versions:
  - name: v1beta1
    served: true
    storage: false
    deprecated: true
    schema:
      openAPIV3Schema:
        type: object
        properties: {{spec: {{type: object, properties: {{crew: {{type: integer}}}}}}}}
  - name: v1
    served: true
    storage: true
    subresources:
      status: {{}}
      scale: {{specReplicasPath: .spec.crew, statusReplicasPath: .status.aboard, labelSelectorPath: .status.selector}}
    additionalPrinterColumns:
    - {{name: Crew, type: integer, jsonPath: .spec.crew}}
    - {{name: Ready, type: string, jsonPath: '.status.conditions[?(@.type=="Ready")].status'}}
    - {{name: Sail, type: string, jsonPath: .spec.sail, priority: 1}}
    - {{name: Age, type: date, jsonPath: .metadata.creationTimestamp}}
    selectableFields: [{{jsonPath: .spec.sail}}]
    schema:
      openAPIV3Schema:
        type: object
        description: A boat of the harbour.
        required: [spec]
        properties:
          spec:
            type: object
            required: [crew]
            x-kubernetes-validations:
            - {{rule: "self.crew <= self.seats", messageExpression: "'only ' + string(self.seats) + ' seats'"}}
            properties:
              crew: {{type: integer, minimum: 0, description: Who sails it.}}
              seats: {{type: integer, default: 10}}
              sail: {{type: string, enum: [red, white], default: white}}
              port: {{type: string, x-kubernetes-validations: [{{rule: self == oldSelf, message: the home port stays}}]}}
              cargo: {{type: object, x-kubernetes-preserve-unknown-fields: true}}
          status:
            type: object
            properties:
              aboard: {{type: integer}}
              selector: {{type: string}}
              conditions: {{type: array, items: {{type: object, properties: {{type: {{type: string}}, status: {{type: string}}}}}}}}
"""


def definition(plural="boats", kind="Boat", short="bt"):
    return CRD.format(plural=plural, kind=kind, short=short)


def boat(name="a", version="v1", kind="Boat", **spec):
    body = {"apiVersion": f"e2e.example.com/{version}", "kind": kind, "metadata": {"name": name}, "spec": spec}
    return json.dumps(body)


@pytest.fixture
def boats(cluster):
    cluster.apply(definition())
    cluster.kubectl("wait", "--for=condition=Established", "crd/boats.e2e.example.com", "--timeout=10s")
    yield cluster
    cluster.kubectl("delete", "crd", "boats.e2e.example.com", "--ignore-not-found", "--timeout=20s")


def test_a_kind_of_ones_own(boats):
    boats.apply(boat(crew=3, cargo={"any": {"thing": 1}}))
    found = boats.get("boat", "a")
    assert found["spec"] == {"crew": 3, "seats": 10, "sail": "white", "cargo": {"any": {"thing": 1}}}
    assert found["metadata"]["generation"] == 1
    listed = boats.kubectl("get", "bt").splitlines()
    assert listed[0].split() == ["NAME", "CREW", "READY", "AGE"]
    assert listed[1].split()[:2] == ["a", "3"]
    status = '{"status": {"aboard": 2, "selector": "boat=a", "conditions": [{"type": "Ready", "status": "True"}]}}'
    boats.kubectl("patch", "boat", "a", "--subresource=status", "--type=merge", "-p", status)
    wide = boats.kubectl("get", "boats", "-o", "wide").splitlines()
    assert wide[0].split() == ["NAME", "CREW", "READY", "SAIL", "AGE"]
    assert wide[1].split()[:4] == ["a", "3", "True", "white"]
    boats.kubectl("wait", "boat/a", "--for=condition=Ready", "--timeout=5s")
    boats.kubectl("scale", "boat/a", "--replicas=4")
    assert boats.get("boat", "a")["spec"]["crew"] == 4
    assert boats.get("boat", "a")["metadata"]["generation"] == 2
    assert "boat.e2e.example.com/a" in boats.kubectl("get", "e2e-things", "-o", "name")
    assert boats.kubectl("get", "boats", "--field-selector", "spec.sail=white", "-o", "name").strip()
    assert not boats.kubectl("get", "boats", "--field-selector", "spec.sail=red", "-o", "name").strip()


@pytest.mark.parametrize(
    ("spec", "text"),
    [
        ({"crew": "x"}, 'spec.crew: Invalid value: "string": spec.crew in body must be of type integer: "string"'),
        ({}, "spec.crew: Required value"),
        ({"crew": 1, "sail": "blue"}, 'spec.sail: Unsupported value: "blue": supported values: "red", "white"'),
        ({"crew": -1}, "spec.crew in body should be greater than or equal to 0"),
        ({"crew": 11}, 'The Boat "a" is invalid: spec: Invalid value: "object": only 10 seats'),
        ({"crew": 1, "keel": 1}, 'strict decoding error: unknown field "spec.keel"'),
    ],
)
def test_what_does_not_fit_is_refused_in_the_words_users_know(boats, spec, text):
    refused = boats.apply(boat(**spec), check=False)
    assert refused.code == 1
    assert text in refused.err


def test_changes_that_a_rule_forbids(boats):
    boats.apply(boat(crew=1, port="bergen"))
    refused = boats.apply(boat(crew=1, port="oslo"), check=False)
    assert 'spec.port: Invalid value: "string": the home port stays' in refused.err
    refused = boats.kubectl("patch", "boat", "a", "--type=strategic", "-p", "{}", check=False)
    assert "application/strategic-merge-patch+json is not supported by e2e.example.com/v1" in refused.err
    warned = boats.kubectl("create", "--validate=warn", "-f", "-", stdin=boat("b", crew=1, keel=1))
    assert 'Warning: unknown field "spec.keel"' in warned.err
    boats.kubectl("patch", "boat", "a", "--type=json", "-p", '[{"op": "replace", "path": "/spec/crew", "value": 2}]')
    assert boats.get("boat", "a")["spec"]["crew"] == 2


def test_other_versions_and_explain(boats):
    boats.apply(boat(crew=2))
    old = boats.kubectl("get", "boats.v1beta1.e2e.example.com", "a", "-o", "json")
    assert "e2e.example.com/v1beta1 Boat is deprecated; use e2e.example.com/v1 Boat" in old.err
    assert (json.loads(old)["apiVersion"], json.loads(old)["spec"]) == ("e2e.example.com/v1beta1", {"crew": 2})
    boats.apply(boat("b", version="v1beta1", crew=1))
    assert boats.get("boat", "b")["spec"] == {"crew": 1, "seats": 10, "sail": "white"}
    assert "A boat of the harbour." in boats.kubectl("explain", "boat")
    assert "Who sails it." in boats.kubectl("explain", "boats.spec.crew")
    applied = boats.kubectl("apply", "--server-side", "-f", "-", stdin=boat("c", crew=1))
    assert applied.strip() == "boat.e2e.example.com/c serverside-applied"


def test_a_definition_takes_its_objects_with_it_and_comes_back(cluster):
    cluster.apply(definition("rafts", "Raft", "rf"))
    cluster.kubectl("wait", "--for=condition=Established", "crd/rafts.e2e.example.com", "--timeout=10s")
    cluster.apply(boat(kind="Raft", crew=1))
    assert "customresourcedefinition" in cluster.kubectl("delete", "crd", "rafts.e2e.example.com", "--timeout=20s")
    gone = cluster.kubectl("get", "rafts", check=False)
    assert gone.code == 1
    cluster.apply(definition("rafts", "Raft", "rf"))
    cluster.kubectl("wait", "--for=condition=Established", "crd/rafts.e2e.example.com", "--timeout=10s")
    assert cluster.kubectl("get", "rafts", "-o", "name") == ""
    cluster.kubectl("delete", "crd", "rafts.e2e.example.com", "--timeout=20s")


def test_namespaces_and_owners_count_custom_resources(boats):
    boats.kubectl("create", "namespace", "e2e-dock")
    boats.kubectl("apply", "-n", "e2e-dock", "-f", "-", stdin=boat("owner", crew=1))
    uid = boats.jsonpath("{.metadata.uid}", "boat", "owner", "-n", "e2e-dock")
    reference = {"apiVersion": "e2e.example.com/v1", "kind": "Boat", "name": "owner", "uid": uid}
    rope = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "rope", "ownerReferences": [reference]}}
    boats.kubectl("apply", "-n", "e2e-dock", "-f", "-", stdin=json.dumps(rope))
    boats.kubectl("delete", "boat", "owner", "-n", "e2e-dock")
    until(lambda: boats.kubectl("get", "cm", "rope", "-n", "e2e-dock", check=False).code == 1, "the rope goes too", 10)
    boats.kubectl("apply", "-n", "e2e-dock", "-f", "-", stdin=boat("left", crew=1))
    boats.kubectl("delete", "namespace", "e2e-dock", "--timeout=20s")
    assert "left" not in boats.kubectl("get", "boats", "-A", "-o", "name")


def test_a_watch_sees_custom_resources(boats):
    command = ["kubectl", "get", "boats", "-w", "-o", "custom-columns=N:.metadata.name,C:.spec.crew", "--no-headers"]
    watch = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=boats.env)
    seen = []
    reader = threading.Thread(target=lambda: seen.extend(line.split() for line in watch.stdout))
    reader.start()
    try:
        time.sleep(0.5)
        boats.apply(boat(crew=1))
        boats.apply(boat(crew=2))
        time.sleep(0.5)
    finally:
        watch.terminate()
        watch.wait(5)
        reader.join(5)
    assert seen == [["a", "1"], ["a", "2"]]


def test_definitions_outlive_the_server(boats):
    boats.apply(boat(crew=1))
    before = boats.pids("server")
    subprocess.run(["kill", "-9", *map(str, before)], check=True)
    until(lambda: boats.pids("server") not in ([], before), "the server is back", 15)
    until(lambda: boats.kubectl("get", "boats", check=False).code == 0, "and serves", 15)
    assert boats.get("boat", "a")["spec"]["crew"] == 1
    refused = boats.apply(boat("b", crew=99), check=False)
    assert "only 10 seats" in refused.err
