"""What users get wrong in pods, and the texts they know."""

import pytest

from sampan.api import meta
from sampan.api.kinds.pod import RESOURCE

strategy = RESOURCE.strategy
C = "spec.containers[0]"


def pod(container=None, *, name="p", metadata=None, **spec):
    base = {"name": "c", "image": "nginx:1.27"} | (container or {})
    made = {
        "metadata": {"name": name, "namespace": "default"} | (metadata or {}),
        "spec": {"containers": [base], **spec},
    }
    strategy.default(made)
    return made


def faults(made):
    return [str(error) for error in strategy.validate(made)]


def test_a_full_and_good_pod_has_no_faults():
    container = {
        "env": [{"name": "A", "value": "1"}, {"name": "B", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}],
        "envFrom": [{"configMapRef": {"name": "cm"}}],
        "ports": [{"name": "http", "containerPort": 80}],
        "volumeMounts": [{"name": "v", "mountPath": "/v", "subPath": "a/b"}],
        "resources": {"requests": {"cpu": "100m"}, "limits": {"cpu": "1", "memory": "1Gi"}},
        "livenessProbe": {"exec": {"command": ["true"]}},
        "readinessProbe": {"httpGet": {"port": "http"}, "successThreshold": 2},
        "lifecycle": {"preStop": {"sleep": {"seconds": 5}}},
        "securityContext": {"runAsUser": 1000, "capabilities": {"add": ["NET_ADMIN"]}},
    }
    sidecar = {"name": "s", "image": "x:1", "restartPolicy": "Always", "startupProbe": {"tcpSocket": {"port": 1}}}
    made = pod(
        container,
        initContainers=[{"name": "i", "image": "x:1"}, sidecar],
        volumes=[{"name": "v", "emptyDir": {}}],
        tolerations=[{"operator": "Exists"}],
        hostAliases=[{"ip": "10.0.0.1", "hostnames": ["a.b"]}],
        affinity={
            "podAntiAffinity": {
                "requiredDuringSchedulingIgnoredDuringExecution": [{"topologyKey": "kubernetes.io/hostname"}]
            }
        },
        topologySpreadConstraints=[{"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule"}],
    )
    assert faults(made) == []


def env(*entries):
    return {"env": list(entries)}


def mount(**fields):
    return {"volumeMounts": [fields]}


def resources(**kinds):
    return {"resources": kinds}


BOTH = "A", {"fieldRef": {"fieldPath": "metadata.name"}, "secretKeyRef": {"name": "s", "key": "k"}}
CASES = [
    ({"image": ""}, f"{C}.image: Required value"),
    ({"image": " x:1"}, f'{C}.image: Invalid value: " x:1": must not have leading or trailing whitespace'),
    ({"name": ""}, f"{C}.name: Required value"),
    (
        {"name": "My_App"},
        f'{C}.name: Invalid value: "My_App": a lowercase RFC 1123 label must consist of lower case alphanumeric '
        "characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', "
        "regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')",
    ),
    ({"imagePullPolicy": "Sometimes"}, f'{C}.imagePullPolicy: Unsupported value: "Sometimes": supported values: '
     '"Always", "IfNotPresent", "Never"'),
    ({"ports": [{"containerPort": 0}]}, f"{C}.ports[0].containerPort: Required value"),
    ({"ports": [{"containerPort": 70000}]},
     f"{C}.ports[0].containerPort: Invalid value: 70000: must be between 1 and 65535, inclusive"),
    ({"ports": [{"containerPort": 1, "protocol": "HTTP"}]},
     f'{C}.ports[0].protocol: Unsupported value: "HTTP": supported values: "SCTP", "TCP", "UDP"'),
    ({"ports": [{"containerPort": 1, "name": "a"}, {"containerPort": 2, "name": "a"}]},
     f'{C}.ports[1].name: Duplicate value: "a"'),
    ({"ports": [{"containerPort": 1, "hostPort": 9}, {"containerPort": 2, "hostPort": 9}]},
     f'{C}.ports[1].hostPort: Duplicate value: "TCP//9"'),
    (env({"name": "", "value": "1"}), f"{C}.env[0].name: Required value"),
    (env({"name": "A", "valueFrom": {}}),
     f'{C}.env[0].valueFrom: Invalid value: "": must specify one of: `fieldRef`, `resourceFieldRef`, '
     "`configMapKeyRef` or `secretKeyRef`"),
    (env({"name": "A", "value": "1", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}),
     f'{C}.env[0].valueFrom: Invalid value: "": may not be specified when `value` is not empty'),
    (env({"name": BOTH[0], "valueFrom": BOTH[1]}),
     f'{C}.env[0].valueFrom: Invalid value: "": may not have more than one field specified at a time'),
    (env({"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "metadata.color"}}}),
     f'{C}.env[0].valueFrom.fieldRef.fieldPath: Invalid value: "metadata.color": error converting fieldPath: '
     "field label not supported: metadata.color"),
    (env({"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels"}}}),
     f'{C}.env[0].valueFrom.fieldRef.fieldPath: Unsupported value: "metadata.labels": supported values: '
     '"metadata.name", "metadata.namespace", "metadata.uid", "spec.nodeName", "spec.serviceAccountName", '
     '"status.hostIP", "status.hostIPs", "status.podIP", "status.podIPs"'),
    (env({"name": "A", "valueFrom": {"resourceFieldRef": {"resource": "limits.gpu"}}}),
     f'{C}.env[0].valueFrom.resourceFieldRef.resource: Unsupported value: "limits.gpu": supported values: '
     '"limits.cpu", "limits.ephemeral-storage", "limits.memory", "requests.cpu", "requests.ephemeral-storage", '
     '"requests.memory"'),
    (env({"name": "A", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu", "divisor": "1k"}}}),
     f'{C}.env[0].valueFrom.resourceFieldRef.divisor: Invalid value: "limits.cpu": only divisor\'s values 1m and 1 '
     "are supported with the cpu resource"),
    (env({"name": "A", "valueFrom": {"configMapKeyRef": {"name": "cm"}}}),
     f"{C}.env[0].valueFrom.configMapKeyRef.key: Required value"),
    ({"envFrom": [{}]}, f'{C}.envFrom: Invalid value: "": must specify one of: `configMapRef` or `secretRef`'),
    (mount(name="data", mountPath="/data"), f'{C}.volumeMounts[0].name: Not found: "data"'),
    (resources(requests={"cpu": "2"}, limits={"cpu": "1"}),
     f'{C}.resources.requests: Invalid value: "2": must be less than or equal to cpu limit of 1'),
    (resources(limits={"memory": "-1Gi"}),
     f'{C}.resources.limits[memory]: Invalid value: "-1Gi": must be greater than or equal to 0'),
    (resources(limits={"cpus": "1"}),
     f'{C}.resources.limits[cpus]: Invalid value: "cpus": must be a standard resource for containers'),
    (resources(limits={"example.com/gpu": "1500m"}),
     f"{C}.resources.limits[example.com/gpu]: Invalid value: 1500m: must be an integer"),
    ({"livenessProbe": {}}, f"{C}.livenessProbe: Required value: must specify a handler type"),
    ({"livenessProbe": {"exec": {"command": ["a"]}, "httpGet": {"port": 1}}},
     f"{C}.livenessProbe.httpGet: Forbidden: may not specify more than 1 handler type"),
    ({"livenessProbe": {"exec": {"command": ["a"]}, "successThreshold": 2}},
     f"{C}.livenessProbe.successThreshold: Invalid value: 2: must be 1"),
    ({"readinessProbe": {"httpGet": {"port": 0}}},
     f"{C}.readinessProbe.httpGet.port: Invalid value: 0: must be between 1 and 65535, inclusive"),
    ({"readinessProbe": {"tcpSocket": {"port": 1}, "periodSeconds": -1}},
     f"{C}.readinessProbe.periodSeconds: Invalid value: -1: must be greater than or equal to 0"),
    ({"lifecycle": {"preStop": {"exec": {}}}}, f"{C}.lifecycle.preStop.exec.command: Required value"),
    ({"restartPolicy": "Always"}, f"{C}.restartPolicy: Forbidden: may not be set for non-init containers"),
    ({"securityContext": {"runAsUser": -1}},
     f"{C}.securityContext.runAsUser: Invalid value: -1: must be between 0 and 2147483647, inclusive"),
    ({"terminationMessagePolicy": "Loud"},
     f'{C}.terminationMessagePolicy: Unsupported value: "Loud": supported values: "FallbackToLogsOnError", "File"'),
]  # fmt: skip


@pytest.mark.parametrize(("container", "expected"), CASES)
def test_faults_of_containers(container, expected):
    assert expected in faults(pod(container))


VOLUME = "spec.volumes[0]"
SPEC_CASES = [
    ({"restartPolicy": "Sometimes"},
     'spec.restartPolicy: Unsupported value: "Sometimes": supported values: "Always", "OnFailure", "Never"'),
    ({"dnsPolicy": "None"}, "spec.dnsConfig: Required value: must provide `dnsConfig` when `dnsPolicy` is None"),
    ({"activeDeadlineSeconds": 0},
     "spec.activeDeadlineSeconds: Invalid value: 0: must be between 1 and 2147483647, inclusive"),
    ({"hostAliases": [{"ip": "x"}]},
     'spec.hostAliases[0].ip: Invalid value: "x": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)'),
    ({"tolerations": [{"key": "k", "operator": "Exists", "value": "v"}]},
     'spec.tolerations[0].operator: Invalid value: "v": value must be empty when `operator` is \'Exists\''),
    ({"tolerations": [{"key": "k", "effect": "NoRun"}]},
     'spec.tolerations[0].effect: Unsupported value: "NoRun": supported values: "NoSchedule", "PreferNoSchedule", '
     '"NoExecute"'),
    ({"topologySpreadConstraints": [{"maxSkew": 0, "topologyKey": "z", "whenUnsatisfiable": "DoNotSchedule"}]},
     "spec.topologySpreadConstraints[0].maxSkew: Invalid value: 0: must be greater than zero"),
    ({"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {}}}},
     "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms: Required value: "
     "must have at least one node selector term"),
    ({"securityContext": {"sysctls": [{"name": "a=b", "value": "1"}]}},
     'spec.securityContext.sysctls[0].name: Invalid value: "a=b": must have at most 253 characters and match regex '
     r"^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$"),
    ({"volumes": [{"name": "v", "emptyDir": {}, "hostPath": {"path": "/"}}]},
     f"{VOLUME}.hostPath: Forbidden: may not specify more than 1 volume type"),
    ({"volumes": [{"name": "v", "cloud": {}}]}, f"{VOLUME}: Required value: must specify a volume type"),
    ({"volumes": [{"name": "v"}, {"name": "v"}]}, 'spec.volumes[1].name: Duplicate value: "v"'),
    ({"volumes": [{"name": "v", "secret": {}}]}, f"{VOLUME}.secret.secretName: Required value"),
    ({"volumes": [{"name": "v", "hostPath": {"path": "/a/../b"}}]},
     f'{VOLUME}.hostPath.path: Invalid value: "/a/../b": must not contain \'..\''),
    ({"volumes": [{"name": "v", "configMap": {"name": "c", "items": [{"key": "k", "path": "/abs"}]}}]},
     f'{VOLUME}.configMap.items[0].path: Invalid value: "/abs": must be a relative path'),
    ({"volumes": [{"name": "v", "configMap": {"name": "c", "defaultMode": 1000}}]},
     f"{VOLUME}.configMap.defaultMode: Invalid value: 1000: must be a number between 0 and 0777 (octal), "
     "both inclusive"),
    ({"initContainers": [{"name": "c", "image": "x:1"}]}, 'spec.initContainers[0].name: Duplicate value: "c"'),
    ({"initContainers": [{"name": "i", "image": "x:1", "restartPolicy": "Never"}]},
     'spec.initContainers[0].restartPolicy: Unsupported value: "Never": supported values: "Always"'),
    ({"initContainers": [{"name": "i", "image": "x:1", "lifecycle": {"preStop": {"exec": {"command": ["a"]}}}}]},
     "spec.initContainers[0].lifecycle: Forbidden: may not be set for init containers without restartPolicy=Always"),
    ({"ephemeralContainers": [{"name": "e", "image": "x:1"}]},
     "spec.ephemeralContainers: Forbidden: cannot be set on create"),
    ({"containers": []}, "spec.containers: Required value"),
    ({"hostname": "a.b"}, 'spec.hostname: Invalid value: "a.b": must not contain dots'),
]  # fmt: skip


@pytest.mark.parametrize(("spec", "expected"), SPEC_CASES)
def test_faults_of_specs(spec, expected):
    made = pod()
    made["spec"] |= spec
    strategy.default(made)
    assert expected in faults(made)


def test_a_pod_without_a_spec_is_refused_not_stumbled_over():
    made = {"metadata": {"name": "p", "namespace": "default"}}
    strategy.default(made)
    strategy.prepare_create(made)
    assert faults(made) == ["spec.containers: Required value"]


def test_two_containers_may_not_share_a_name():
    twins = [{"name": "c", "image": "a:1"}, {"name": "c", "image": "b:1"}]
    made = pod()
    made["spec"]["containers"] = twins
    strategy.default(made)
    assert faults(made) == ['spec.containers[1].name: Duplicate value: "c"']


def test_host_network_ports_must_match():
    made = pod({"ports": [{"containerPort": 80, "hostPort": 81}]}, hostNetwork=True)
    assert faults(made) == [
        f"{C}.ports[0].hostPort: Invalid value: 81: must match `containerPort` when `hostNetwork` is true"
    ]


def update(change, **spec):
    old = pod(**spec)
    old["metadata"] |= {"uid": "u", "resourceVersion": "1"}
    new = meta.copy(old)
    change(new["spec"])
    return [str(error) for error in strategy.validate_update(new, old)]


def test_what_an_update_may_change():
    assert update(lambda spec: spec["containers"][0].update(image="nginx:1.28")) == []
    assert update(lambda spec: spec.update(activeDeadlineSeconds=5)) == []
    assert update(lambda spec: spec.update(tolerations=[{"key": "a", "operator": "Exists"}])) == []
    assert update(lambda spec: spec.update(schedulingGates=[]), schedulingGates=[{"name": "g"}]) == []


def test_what_an_update_may_not_change_is_named():
    (error,) = update(lambda spec: spec["containers"][0].update(command=["sh"]))
    assert error.startswith(
        "spec: Forbidden: pod updates may not change fields other than `spec.containers[*].image`,"
        "`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing "
        "tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)\n"
    )
    assert error.endswith('+ spec.containers[0].command: ["sh"]')


def test_updates_of_containers_tolerations_and_deadline():
    assert update(lambda spec: spec["containers"].append({"name": "d", "image": "x:1"}))[-1] == (
        "spec.containers: Forbidden: pod updates may not add or remove containers"
    )
    kept = [{"key": "a", "operator": "Exists"}]
    assert update(lambda spec: spec.update(tolerations=[]), tolerations=kept) == [
        "spec.tolerations: Forbidden: existing toleration can not be modified except its tolerationSeconds"
    ]
    assert update(lambda spec: spec.update(activeDeadlineSeconds=9), activeDeadlineSeconds=5) == [
        "spec.activeDeadlineSeconds: Invalid value: 9: must be less than or equal to previous value"
    ]


def status_faults(before, after, restart="Never"):
    old = pod(restartPolicy=restart)
    old["metadata"] |= {"uid": "u", "resourceVersion": "1"}
    new = meta.copy(old)
    old["status"], new["status"] = before, after
    return [str(error) for error in strategy.validate_status(new, old)]


def test_an_ended_container_stays_ended_unless_it_may_restart():
    ended = {"containerStatuses": [{"name": "c", "state": {"terminated": {"exitCode": 1}}}]}
    running = {"containerStatuses": [{"name": "c", "state": {"running": {}}}]}
    fault = "status.containerStatuses[0].state: Forbidden: may not be transitioned to non-terminated state"
    assert status_faults(ended, running) == [fault]
    assert status_faults(ended, running, "OnFailure") == []
    assert status_faults(ended, running, "Always") == []
    assert status_faults({"qosClass": "Burstable"}, {"qosClass": "Guaranteed"}) == [
        'status.qosClass: Invalid value: "Guaranteed": field is immutable'
    ]


def test_warnings():
    container = {
        "env": [
            {"name": "A", "value": "1"},
            {"name": "A", "value": "2"},
            {"name": "B"},
            {"name": "B", "value": "$(B)x"},
        ],
        "ports": [{"containerPort": 80}, {"containerPort": 80}],
    }
    made = pod(container, name="a.b", hostAliases=[{"ip": "1.1.1.1"}, {"ip": "1.1.1.1"}])
    assert strategy.warnings(made) == [
        "metadata.name: this is used in the Pod's hostname, which can result in surprising behavior; "
        "a DNS label is recommended: [must not contain dots]",
        'spec.hostAliases[1].ip: duplicate ip "1.1.1.1"',
        f'{C}.env[1]: hides previous definition of "A", which may be dropped when using apply',
        f"{C}.ports[1]: duplicate port definition with {C}.ports[0]",
    ]


def test_selectable_fields():
    made = pod(nodeName="n", hostNetwork=True)
    made["status"] = {"phase": "Running", "podIP": "10.0.0.1"}
    got = {path: get(made) for path, get in RESOURCE.fields.items()}
    assert got == {
        "spec.nodeName": "n",
        "spec.restartPolicy": "Always",
        "spec.schedulerName": "default-scheduler",
        "spec.serviceAccountName": "",
        "spec.hostNetwork": "true",
        "status.phase": "Running",
        "status.podIP": "10.0.0.1",
        "status.nominatedNodeName": "",
    }
