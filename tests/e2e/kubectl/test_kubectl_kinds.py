"""Kinds beyond the first ones: their create commands, columns, descriptions and refusals."""

import base64
import json
import re
import ssl
import urllib.request

import pytest
import yaml
from e2e import until

SUBCOMMANDS = {
    "quota q --hard=pods=9,requests.cpu=4 --scopes=NotBestEffort": "resourcequota/q created",
    "poddisruptionbudget p --selector=a=b --min-available=50%": "poddisruptionbudget.policy/p created",
    "ingress i --rule=example.com/path*=web:80,tls=crt --default-backend=web:http": "ingress.networking.k8s.io/i created",
    "clusterrole NS-c --verb=get --resource=pods --resource-name=x": "clusterrole.rbac.authorization.k8s.io/NS-c created",
    "clusterrole NS-n --verb=get --non-resource-url=/logs/*": "clusterrole.rbac.authorization.k8s.io/NS-n created",
    "clusterrole NS-a --aggregation-rule=tier=x": "clusterrole.rbac.authorization.k8s.io/NS-a created",
    "clusterrolebinding NS-b --clusterrole=view --group=g": "clusterrolebinding.rbac.authorization.k8s.io/NS-b created",
    "priorityclass NS-p --value=1000 --description=x": "priorityclass.scheduling.k8s.io/NS-p created",
}


@pytest.mark.parametrize("command", SUBCOMMANDS)
def test_every_subcommand_creates_once(cluster, command):
    argv = ["create", *command.replace("NS", cluster.namespace).split()]
    text = SUBCOMMANDS[command].replace("NS", cluster.namespace)
    assert cluster.kubectl(*argv, "--dry-run=client").strip() == f"{text} (dry run)"
    assert cluster.kubectl(*argv, "--dry-run=server").strip() == f"{text} (server dry run)"
    assert cluster.kubectl(*argv).strip() == text
    assert "already exists" in cluster.kubectl(*argv, check=False).err
    made = text.split()[0]
    assert cluster.kubectl("get", made, "-o", "name").strip() == made
    assert cluster.kubectl("describe", made).startswith("Name:")
    assert "deleted" in cluster.kubectl("delete", made)


@pytest.mark.parametrize(
    ("command", "text"),
    [
        ("create quota q --hard=pods", "Invalid argument syntax pods"),
        ("create quota q --hard=pods=-1", 'ResourceQuota "q" is invalid'),
        ("create quota q --scopes=Odd --hard=pods=1", "Odd"),
        ("create pdb p --selector=a=b", "one of min-available or max-unavailable must be specified"),
        ("create pdb p --selector=a=b --min-available=-1", "invalid format specified for min-available"),
        ("create ingress i --rule=x", "rule x is invalid and should be in format host/path=svcname:svcport[,tls[=secret]]"),
        ("create ingress i --rule=A_B/=s:80", 'Ingress.networking.k8s.io "i" is invalid: spec.rules[0].host: Invalid value: "A_B"'),
        ("create priorityclass system-x --value=1", "priority class names with 'system-' prefix are reserved for system use only"),
        ("create priorityclass x --value=2000000000", "maximum allowed value of a user defined priority is 1000000000"),
        ("create clusterrole c --verb=get", "error: one of resource or nonResourceURL must be specified"),
        ("create rolebinding b --role=r --clusterrole=c", "exactly one of clusterrole or role must be specified"),
        ("autoscale deploy/none --max=2", 'deployments.apps "none" not found'),
        ("create token none", 'serviceaccounts "none" not found'),
        ("create token default --duration=1s", "may not specify a duration less than 10 minutes"),
    ],
)  # fmt: skip
def test_what_cannot_be_created_is_refused(cluster, command, text):
    refused = cluster.kubectl(*command.split(), check=False)
    assert refused.code == 1
    assert text in refused.err


COLUMNS = {
    "pods": "NAME READY STATUS RESTARTS AGE",
    "pods -o wide": "NAME READY STATUS RESTARTS AGE IP NODE NOMINATED NODE READINESS GATES",
    "deploy": "NAME READY UP-TO-DATE AVAILABLE AGE",
    "deploy -o wide": "NAME READY UP-TO-DATE AVAILABLE AGE CONTAINERS IMAGES SELECTOR",
    "sts": "NAME READY AGE",
    "sts -o wide": "NAME READY AGE CONTAINERS IMAGES",
    "ds": "NAME DESIRED CURRENT READY UP-TO-DATE AVAILABLE NODE SELECTOR AGE",
    "rc": "NAME DESIRED CURRENT READY AGE",
    "jobs": "NAME STATUS COMPLETIONS DURATION AGE",
    "jobs -o wide": "NAME STATUS COMPLETIONS DURATION AGE CONTAINERS IMAGES SELECTOR",
    "cj": "NAME SCHEDULE TIMEZONE SUSPEND ACTIVE LAST SCHEDULE AGE",
    "podtemplates": "NAME CONTAINERS IMAGES POD LABELS",
    "controllerrevisions": "NAME CONTROLLER REVISION AGE",
    "hpa": "NAME REFERENCE TARGETS MINPODS MAXPODS REPLICAS AGE",
    "pdb": "NAME MIN AVAILABLE MAX UNAVAILABLE ALLOWED DISRUPTIONS AGE",
    "netpol": "NAME POD-SELECTOR AGE",
    "ing": "NAME CLASS HOSTS ADDRESS PORTS AGE",
    "ingressclasses": "NAME CONTROLLER PARAMETERS AGE",
    "pv": "NAME CAPACITY ACCESS MODES RECLAIM POLICY STATUS CLAIM STORAGECLASS VOLUMEATTRIBUTESCLASS REASON AGE",
    "pvc": "NAME STATUS VOLUME CAPACITY ACCESS MODES STORAGECLASS VOLUMEATTRIBUTESCLASS AGE",
    "sc": "NAME PROVISIONER RECLAIMPOLICY VOLUMEBINDINGMODE ALLOWVOLUMEEXPANSION AGE",
    "quota": "NAME REQUEST LIMIT AGE",
    "limits": "NAME CREATED AT",
    "pc": "NAME VALUE GLOBAL-DEFAULT AGE PREEMPTIONPOLICY",
    "csr": "NAME AGE SIGNERNAME REQUESTOR REQUESTEDDURATION CONDITION",
    "leases": "NAME HOLDER AGE",
    "roles": "NAME CREATED AT",
    "rolebindings": "NAME ROLE AGE",
    "crd": "NAME CREATED AT",
    "mutatingwebhookconfigurations": "NAME WEBHOOKS AGE",
    "validatingwebhookconfigurations": "NAME WEBHOOKS AGE",
    "runtimeclasses": "NAME HANDLER AGE",
}


TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"


def test_columns_of_every_kind(cluster):
    """The header of the Table of each kind. kubectl prints none where there is no object, so the server is asked itself."""
    config = yaml.safe_load((cluster.directory / "kubeconfig").read_text())
    server = config["clusters"][0]["cluster"]
    trusted = ssl.create_default_context(cadata=base64.b64decode(server["certificate-authority-data"]).decode())
    token = (cluster.directory / "pki/token").read_text().strip()

    def header(path, wide):
        request = urllib.request.Request(
            server["server"] + path, headers={"Accept": TABLE, "Authorization": f"Bearer {token}"}
        )
        with urllib.request.urlopen(request, context=trusted) as answer:
            return " ".join(
                c["name"].upper() for c in json.load(answer)["columnDefinitions"] if wide or not c["priority"]
            )

    served = {}
    for line in cluster.kubectl("api-resources", "--no-headers").splitlines():
        plural, *short, version, _, _ = line.split()
        if version.startswith("metrics"):
            continue  # pods and nodes again, as `kubectl top` asks for them
        path = f"/{'api' if version == 'v1' else 'apis'}/{version}/{plural}"
        served |= dict.fromkeys((plural, *",".join(short).split(",")), path)
    found = {what: header(served[what.split()[0]], "wide" in what) for what in COLUMNS}
    assert found == COLUMNS


# -- workloads by kubectl


def test_autoscale_makes_an_autoscaler_for_what_scales(cluster):
    cluster.kubectl("create", "deployment", "d", "--image=a", "--replicas=0")
    said = cluster.kubectl("autoscale", "deploy/d", "--min=1", "--max=3", "--cpu-percent=70")
    assert said.strip() == "horizontalpodautoscaler.autoscaling/d autoscaled"
    spec = cluster.get("hpa", "d")["spec"]
    assert (spec["minReplicas"], spec["maxReplicas"], spec["scaleTargetRef"]["kind"]) == (1, 3, "Deployment")
    assert spec["metrics"][0]["resource"]["target"] == {"type": "Utilization", "averageUtilization": 70}
    assert re.search(r"^d +Deployment/d +cpu: <unknown>/70% +1 +3 ", cluster.kubectl("get", "hpa"), re.M)
    again = cluster.kubectl("autoscale", "deploy/d", "--max=3", check=False)
    assert "already exists" in again.err
    wrong = cluster.kubectl("autoscale", "deploy/d", "--max=0", check=False)
    assert "--max=MAXPODS is required and must be at least 1, max: 0" in wrong.err


def test_jobs_are_made_of_cron_jobs_and_waited_for(cluster):
    cluster.kubectl("create", "cronjob", "c", "--image=busybox", "--schedule=0 0 1 1 *", "--", "echo", "done")
    cluster.kubectl("create", "job", "now", "--from=cronjob/c")
    owner = cluster.get("job", "now")["metadata"]
    assert owner["annotations"] == {"cronjob.kubernetes.io/instantiate": "manual"}
    assert owner["ownerReferences"][0]["kind"] == "CronJob"
    cluster.kubectl("wait", "job/now", "--for=condition=complete", "--timeout=30s")
    assert cluster.kubectl("logs", "job/now") == "done\n"
    assert re.search(r"^now +Complete +1/1 ", cluster.kubectl("get", "jobs"), re.M)
    assert re.search(
        r"^Pods Statuses: +0 Active \(0 Ready\) / 1 Succeeded / 0 Failed$",
        cluster.kubectl("describe", "job", "now"),
        re.M,
    )
    cluster.kubectl("patch", "cronjob", "c", "-p", '{"spec":{"suspend":true}}')
    assert cluster.kubectl("get", "cronjob", "c", "--no-headers").split()[7] == "True"
    cluster.kubectl("delete", "cronjob", "c")
    until(lambda: not cluster.kubectl("get", "jobs", "-o", "name"), "the job of the cron job")


SET = """
apiVersion: apps/v1
kind: {kind}
metadata: {{name: s}}
spec:
  {own}
  selector: {{matchLabels: {{app: s}}}}
  template:
    metadata: {{labels: {{app: s}}}}
    spec:
      nodeSelector: {{no: such-node}}
      containers: [{{name: c, image: {image}}}]
"""


@pytest.mark.parametrize(
    ("kind", "own"), [("StatefulSet", "serviceName: s\n  replicas: 0"), ("DaemonSet", "minReadySeconds: 0")]
)
def test_sets_keep_their_history(cluster, kind, own):
    name = f"{kind.lower()}.apps/s"
    assert cluster.apply(SET.format(kind=kind, own=own, image="one")).strip() == f"{name} created"
    until(lambda: len(cluster.get("controllerrevisions")["items"]) == 1, "the first revision")
    cluster.apply(SET.format(kind=kind, own=own, image="two"))
    until(lambda: len(cluster.get("controllerrevisions")["items"]) == 2, "the second revision")
    history = cluster.kubectl("rollout", "history", name).split()
    assert history[1:] == ["REVISION", "CHANGE-CAUSE", "1", "<none>", "2", "<none>"]
    assert re.search(r"Image:\s+one", cluster.kubectl("rollout", "history", name, "--revision=1"))
    assert cluster.kubectl("rollout", "undo", name).strip() == f"{name} rolled back"
    assert cluster.jsonpath("{..image}", name) == "one"
    assert cluster.kubectl("rollout", "restart", name).strip() == f"{name} restarted"
    described = cluster.kubectl("describe", name)
    assert re.search(r"^Selector: +app=s$", described, re.M)


def test_replication_controllers_scale_and_are_exposed(cluster):
    cluster.apply(
        "apiVersion: v1\nkind: ReplicationController\nmetadata: {name: rc}\nspec:\n  replicas: 0\n  selector: {app: rc}\n"
        "  template:\n    metadata: {labels: {app: rc}}\n    spec: {containers: [{name: c, image: x, ports: [{containerPort: 80}]}]}\n"
    )
    assert (
        cluster.kubectl("scale", "rc/rc", "--replicas=0", "--current-replicas=0").strip()
        == "replicationcontroller/rc scaled"
    )
    assert cluster.kubectl("expose", "rc", "rc").strip() == "service/rc exposed"
    assert cluster.get("svc", "rc")["spec"]["ports"][0]["port"] == 80
    assert re.search(r"^replicationcontroller/rc +0 +0 +0 ", cluster.kubectl("get", "all"), re.M)


# -- warnings and versions that are gone


def test_warnings_are_printed_and_can_be_errors(cluster):
    cluster.kubectl("create", "service", "clusterip", "s", "--tcp=80")
    told = cluster.kubectl("get", "endpoints")
    assert told.err.startswith("Warning: v1 Endpoints is deprecated in v1.33+")
    strict = cluster.kubectl("get", "endpoints", "--warnings-as-errors", check=False)
    assert strict.code == 1
    assert "1 warning received" in strict.err.splitlines()[-1]


@pytest.mark.parametrize(
    ("version", "kind"),
    [("extensions/v1beta1", "Ingress"), ("batch/v1beta1", "CronJob"), ("policy/v1beta1", "PodDisruptionBudget"),
     ("autoscaling/v2beta2", "HorizontalPodAutoscaler"), ("apiextensions.k8s.io/v1beta1", "CustomResourceDefinition")],
)  # fmt: skip
def test_versions_that_kubernetes_removed_are_not_served(cluster, version, kind):
    manifest = f"apiVersion: {version}\nkind: {kind}\nmetadata: {{name: x}}\n"
    refused = cluster.apply(manifest, check=False)
    assert f'no matches for kind "{kind}" in version "{version}"' in refused.err
    assert "ensure CRDs are installed first" in refused.err
