"""What a pod's manifest says is true of its processes."""

import json
import re

import pytest
from e2e import ROOT, command, until

BOX = "{name: box, image: busybox, command: [sleep, '1000']}"


def pod(name, containers=BOX, **spec):
    extra = "".join(f"  {key}: {json.dumps(value)}\n" for key, value in spec.items())
    return f"apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, labels: {{app: {name}}}}}\nspec:\n{extra}  containers: [{containers}]\n"


def run(cluster, manifest, name, condition="condition=Ready"):
    cluster.apply(manifest)
    cluster.kubectl("wait", f"--for={condition}", f"pod/{name}", "--timeout=40s")


def test_a_pod_has_its_own_hostname_files_processes_and_is_not_root(cluster):
    run(cluster, pod("own"), "own")
    say = lambda script: cluster.exec("own", "sh", "-c", script).strip()
    assert say("hostname") == "own"
    assert say("id -u") == "65534"
    assert "own" in say("cat /etc/hosts")
    assert say("ls /proc | grep -c '^[0-9]*$'").isdigit()
    assert say("cat /proc/1/cmdline | tr '\\0' ' '").startswith("sleep 1000")
    ip = cluster.jsonpath("{.status.podIP}", "pod", "own")
    assert ip in say("ip -4 addr show eth0")
    dns = cluster.jsonpath("{.spec.clusterIP}", "svc", "-n", "kube-system", "kube-dns")
    conf = say("cat /etc/resolv.conf").splitlines()
    assert f"nameserver {dns}" in conf
    assert f"search {cluster.namespace}.svc.cluster.local svc.cluster.local cluster.local" in conf


def test_what_a_pod_writes_never_reaches_the_host(cluster):
    run(cluster, pod("writer", securityContext={"runAsUser": 0}), "writer")
    cluster.exec(
        "writer", "sh", "-c", "echo x > /etc/sampan-was-here; rm -f /etc/hostname.nothing; echo y > /var/tmp/spt-y"
    )
    assert cluster.exec("writer", "cat", "/etc/sampan-was-here").strip() == "x"
    assert command("ls", "/etc/sampan-was-here", "/var/tmp/spt-y").code == 2


def test_a_non_root_program_may_listen_on_a_low_port(cluster):
    server = "{name: web, image: busybox, command: [python3, -m, http.server, '80'], readinessProbe: {tcpSocket: {port: 80}}}"
    run(cluster, pod("low", server), "low")
    ip = cluster.jsonpath("{.status.podIP}", "pod", "low")
    assert "Directory listing" in command("curl", "-s", "--max-time", "5", f"http://{ip}/proc/version/../")


ENVIRONMENT = """
apiVersion: v1
kind: ConfigMap
metadata: {name: settings}
data: {COLOUR: blue, file.txt: "from the map\\n"}
---
apiVersion: v1
kind: Secret
metadata: {name: keys}
stringData: {PASSWORD: s3cret}
---
apiVersion: v1
kind: Pod
metadata: {name: env, labels: {tier: front}}
spec:
  containers:
    - name: box
      image: busybox
      command: [sleep, "1000"]
      resources: {limits: {memory: 64Mi, cpu: 500m}}
      env:
        - {name: GREETING, value: hello}
        - {name: BOTH, value: "$(GREETING) $(COLOUR) $$(X)"}
        - {name: ME, valueFrom: {fieldRef: {fieldPath: metadata.name}}}
        - {name: NODE, valueFrom: {fieldRef: {fieldPath: spec.nodeName}}}
        - {name: MEMORY, valueFrom: {resourceFieldRef: {resource: limits.memory}}}
        - {name: KEY, valueFrom: {secretKeyRef: {name: keys, key: PASSWORD}}}
      envFrom:
        - configMapRef: {name: settings}
        - {prefix: P_, secretRef: {name: keys}}
      volumeMounts:
        - {name: settings, mountPath: /settings}
        - {name: settings, mountPath: /one/file.txt, subPath: file.txt}
        - {name: keys, mountPath: /keys, readOnly: true}
        - {name: scratch, mountPath: /scratch}
        - {name: about, mountPath: /about}
  volumes:
    - {name: settings, configMap: {name: settings}}
    - {name: keys, secret: {secretName: keys, defaultMode: 0444}}
    - {name: scratch, emptyDir: {}}
    - name: about
      downwardAPI: {items: [{path: labels, fieldRef: {fieldPath: metadata.labels}}]}
"""


def test_environment_and_volumes(cluster):
    run(cluster, ENVIRONMENT, "env")
    environment = dict(line.split("=", 1) for line in cluster.exec("env", "env").splitlines() if "=" in line)
    expected = {
        "GREETING": "hello",
        "BOTH": "hello blue $(X)",
        "ME": "env",
        "MEMORY": str(64 << 20),
        "KEY": "s3cret",
        "COLOUR": "blue",
        "P_PASSWORD": "s3cret",
    }
    assert {k: environment.get(k) for k in expected} == expected
    assert environment["NODE"].startswith("node-")
    assert cluster.exec("env", "cat", "/settings/file.txt", "/one/file.txt") == "from the map\n" * 2
    assert cluster.exec("env", "cat", "/keys/PASSWORD") == "s3cret"
    assert cluster.exec("env", "cat", "/about/labels").strip() == 'tier="front"'
    cluster.exec("env", "sh", "-c", "echo 1 > /scratch/x")
    assert cluster.exec("env", "sh", "-c", "echo 1 > /keys/x", check=False).code != 0
    cluster.kubectl("patch", "configmap", "settings", "--type=merge", "-p", '{"data":{"file.txt":"changed\\n"}}')
    until(lambda: cluster.exec("env", "cat", "/settings/file.txt") == "changed\n", "the volume follows the ConfigMap")


def test_init_containers_run_in_order_before_the_others(cluster):
    init = [{"name": f"i{n}", "image": "busybox", "command": ["sh", "-c", f"echo {n} >> /w/order"]} for n in (1, 2)]
    mount = {"volumeMounts": [{"name": "w", "mountPath": "/w"}]}
    manifest = pod(
        "ordered",
        json.dumps({"name": "box", "image": "busybox", "command": ["sleep", "1000"]} | mount),
        initContainers=[c | mount for c in init],
        volumes=[{"name": "w", "emptyDir": {}}],
    )
    run(cluster, manifest, "ordered")
    assert cluster.exec("ordered", "cat", "/w/order") == "1\n2\n"


def test_a_pod_that_ends_is_completed(cluster):
    cluster.kubectl("run", "once", "--image=busybox", "--restart=Never", "--", "sh", "-c", "echo done")
    cluster.kubectl("wait", "--for=jsonpath={.status.phase}=Succeeded", "pod/once", "--timeout=30s")
    assert re.search(r"once +0/1 +Completed +0 ", cluster.kubectl("get", "pods"))
    assert cluster.kubectl("logs", "once") == "done\n"


def test_a_program_over_its_memory_limit_is_oomkilled(cluster):
    eat = "{name: eat, image: busybox, resources: {limits: {memory: 32Mi}}, command: [python3, -c, 'x = bytearray(200 << 20)']}"
    cluster.apply(pod("hungry", eat, restartPolicy="Never"))
    until(lambda: re.search(r"hungry +0/1 +OOMKilled", cluster.kubectl("get", "pods")), "OOMKilled")
    assert cluster.jsonpath("{.status.containerStatuses[0].state.terminated.exitCode}", "pod", "hungry") == "137"


PROBED = """{name: web, image: busybox, command: [sh, -c, "touch /tmp/ok /tmp/alive; sleep 1000"],
  readinessProbe: {exec: {command: [test, -e, /tmp/ok]}, periodSeconds: 1, failureThreshold: 1},
  livenessProbe: {exec: {command: [test, -e, /tmp/alive]}, periodSeconds: 1, failureThreshold: 1}}"""


def test_probes_gate_endpoints_and_restart(cluster):
    run(cluster, pod("probed", PROBED, terminationGracePeriodSeconds=1), "probed")
    cluster.kubectl("expose", "pod", "probed", "--port=80")
    endpoints = lambda: cluster.jsonpath("{.items[0].endpoints[0].conditions.ready}", "endpointslices")
    until(lambda: endpoints() == "true", "the endpoint is ready")
    cluster.exec("probed", "rm", "/tmp/ok")
    until(lambda: endpoints() == "false", "the endpoint is not ready")
    assert "Readiness probe failed" in cluster.kubectl("describe", "pod", "probed")
    cluster.exec("probed", "rm", "/tmp/alive")
    until(lambda: re.search(r"probed +\d/1 +Running +1 ", cluster.kubectl("get", "pods")), "a restart")
    assert "failed liveness probe, will be restarted" in cluster.kubectl("describe", "pod", "probed")


def test_logs_follow_since_tail_and_previous(cluster):
    count = "i=0; while [ $i -lt 5 ]; do i=$((i+1)); echo line $i; done; echo err >&2; sleep 1000"
    cluster.kubectl("run", "talk", "--image=busybox", "--", "sh", "-c", count)
    until(lambda: "err" in cluster.kubectl("logs", "talk", check=False), "output")
    assert cluster.kubectl("logs", "talk", "--tail=2").splitlines() in (["line 5", "err"], ["err", "line 5"])
    assert cluster.kubectl("logs", "talk", "--since=1h").count("line") == 5
    assert re.match(r"\d{4}-\d\d-\d\dT[\d:.]+Z line 1", cluster.kubectl("logs", "talk", "--timestamps"))
    assert cluster.kubectl("logs", "talk", "--previous", check=False).code == 1


def test_exec_exit_code_stdin_and_tty(cluster):
    run(cluster, pod("shell"), "shell")
    result = cluster.exec("shell", "sh", "-c", "exit 7", check=False)
    assert (result.code, result.err.strip()) == (7, "command terminated with exit code 7")
    echoed = cluster.kubectl("exec", "-i", "shell", "--", "tr", "a-z", "A-Z", stdin="from stdin\n")
    assert echoed == "FROM STDIN\n"
    typed = command(
        "script", "-qec", "kubectl exec -it shell -- sh -c 'test -t 0 && echo is a tty'", "/dev/null", env=cluster.env
    )
    assert "is a tty" in typed
    assert cluster.exec("shell", "sh", "-c", "test -t 0", check=False).code != 0


def test_termination_runs_pre_stop_then_sigterm_within_the_grace_period(cluster):
    script = "trap 'echo term >> /host/order; exit 0' TERM; while :; do sleep 0.1; done"
    container = {
        "name": "box",
        "image": "busybox",
        "command": ["sh", "-c", script],
        "securityContext": {"runAsUser": 0},
        "lifecycle": {"preStop": {"exec": {"command": ["sh", "-c", "echo prestop >> /host/order"]}}},
        "volumeMounts": [{"name": "host", "mountPath": "/host"}],
    }
    place = cluster.state / f"order-{cluster.namespace}"
    place.mkdir()
    volumes = [{"name": "host", "hostPath": {"path": str(place)}}]
    run(cluster, pod("polite", json.dumps(container), volumes=volumes, terminationGracePeriodSeconds=10), "polite")
    cluster.kubectl("delete", "pod", "polite", "--timeout=20s")
    assert (place / "order").read_text().split() == ["prestop", "term"]


@pytest.mark.parametrize("path", sorted(ROOT.glob("examples/*/*.yaml")), ids=lambda p: f"{p.parent.name}/{p.name}")
def test_every_example_manifest_is_valid(cluster, path):
    said = cluster.kubectl("apply", "--dry-run=server", "-f", str(path))
    assert "(server dry run)" in said
