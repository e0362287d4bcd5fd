"""Who may do what, with the real kubectl: RBAC, tokens, webhooks, policies, certificates."""

import base64
import datetime
import json
import ssl
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from e2e import until

from sampan.ca.authority import Authority, Leaf


def test_can_i_and_the_words_of_a_refusal(cluster):
    bob = ("--as", "bob")
    assert cluster.kubectl("auth", "can-i", "create", "pods").strip() == "yes"
    assert cluster.kubectl("auth", "can-i", "create", "pods", *bob, check=False).strip() == "no"
    ns = cluster.namespace
    refused = cluster.kubectl("get", "pods", *bob, check=False)
    assert refused.err.strip() == (
        'Error from server (Forbidden): pods is forbidden: User "bob" cannot list resource "pods" in API group "" '
        f'in the namespace "{ns}"'
    )
    cluster.kubectl("create", "rolebinding", "bobs", "--clusterrole=view", "--user=bob")
    assert cluster.kubectl("auth", "can-i", "list", "pods", *bob).strip() == "yes"
    assert cluster.kubectl("get", "pods", *bob).code == 0
    listed = cluster.kubectl("auth", "can-i", "--list", *bob)
    assert "configmaps" in listed
    assert "[get list watch]" in listed
    assert "secrets" not in listed
    wide = cluster.kubectl("get", "rolebinding", "bobs", "-o", "wide", "--no-headers").split()
    assert wide[:2] == ["bobs", "ClusterRole/view"]
    assert wide[3] == "bob"
    whoami = cluster.kubectl("auth", "whoami", "--as", "jane", "--as-group", "devs", "-o", "json")
    assert json.loads(whoami)["status"]["userInfo"] == {"username": "jane", "groups": ["devs", "system:authenticated"]}


def test_nobody_grants_what_he_lacks(cluster):
    cluster.kubectl("create", "rolebinding", "adm", "--clusterrole=admin", "--user=ann")
    refused = cluster.kubectl(
        "create", "role", "r", "--verb=get,list", "--resource=pods,nodes", "--as=ann", check=False
    )
    assert (
        'roles.rbac.authorization.k8s.io "r" is forbidden: user "ann" (groups=["system:authenticated"]) is attempting '
        'to grant RBAC permissions not currently held:\n{APIGroups:[""], Resources:["nodes"], Verbs:["get" "list"]}'
    ) in refused.err
    cluster.kubectl("create", "role", "r", "--verb=get,list", "--resource=pods", "--as=ann")
    changed = cluster.kubectl(
        "patch", "rolebinding", "adm", "--type=merge", "-p", '{"roleRef":{"name":"view"}}', check=False
    )
    assert "cannot change roleRef" in changed.err


def test_reconcile_and_aggregation(cluster):
    label = f"to-{cluster.namespace}"
    manifest = f"""
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {{name: whole-{cluster.namespace}}}
aggregationRule: {{clusterRoleSelectors: [{{matchLabels: {{{label}: "yes"}}}}]}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {{name: part-{cluster.namespace}, labels: {{{label}: "yes"}}}}
rules: [{{apiGroups: [""], resources: [pods], verbs: [get]}}]
"""
    done = cluster.kubectl("auth", "reconcile", "-f", "-", stdin=manifest)
    assert f"part-{cluster.namespace} reconciled" in done
    whole = ("clusterrole", f"whole-{cluster.namespace}")
    until(lambda: (cluster.get(*whole)["rules"] or [{}])[0].get("verbs") == ["get"], "the rules of the part")
    cluster.kubectl("delete", "clusterrole", f"whole-{cluster.namespace}", f"part-{cluster.namespace}")


def test_a_pod_speaks_to_the_api_with_its_token(cluster):
    cluster.kubectl("create", "serviceaccount", "app")
    cluster.kubectl("create", "rolebinding", "app", "--clusterrole=view", f"--serviceaccount={cluster.namespace}:app")
    cluster.apply("""
apiVersion: v1
kind: Pod
metadata: {name: client}
spec:
  serviceAccountName: app
  terminationGracePeriodSeconds: 0
  containers: [{name: c, image: busybox, command: [sleep, "1000"]}]
""")
    cluster.kubectl("wait", "--for=condition=Ready", "pod/client", "--timeout=20s")
    home = "/var/run/secrets/kubernetes.io/serviceaccount"
    assert cluster.exec("client", "cat", f"{home}/namespace") == cluster.namespace
    curl = (
        f'curl -s --cacert {home}/ca.crt -H "Authorization: Bearer $(cat {home}/token)" https://kubernetes.default.svc'
    )
    pods = json.loads(cluster.exec("client", "sh", "-c", f"{curl}/api/v1/namespaces/{cluster.namespace}/pods"))
    assert [p["metadata"]["name"] for p in pods["items"]] == ["client"]
    secrets = json.loads(cluster.exec("client", "sh", "-c", f"{curl}/api/v1/namespaces/{cluster.namespace}/secrets"))
    who = f"system:serviceaccount:{cluster.namespace}:app"
    assert secrets["code"] == 403
    assert secrets["message"].startswith(f'secrets is forbidden: User "{who}" cannot list resource "secrets"')
    token = cluster.exec("client", "cat", f"{home}/token")
    assert _review(cluster, token)["user"]["extra"]["authentication.kubernetes.io/pod-name"] == ["client"]
    cluster.kubectl("delete", "pod", "client", "--now")
    assert not _review(cluster, token).get("authenticated")


def _review(cluster, token):
    body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": str(token)}}
    return json.loads(cluster.kubectl("create", "-f", "-", "-o", "json", stdin=json.dumps(body)))["status"]


def test_tokens_on_demand_and_in_secrets(cluster):
    cluster.kubectl("create", "serviceaccount", "app")
    token = cluster.kubectl("create", "token", "app", "--audience=vault", "--duration=1h").strip()
    assert not _review(cluster, token).get("authenticated")  # not for the API server
    claims = json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))
    assert claims["aud"] == ["vault"]
    assert claims["exp"] - claims["iat"] == 3600
    short = cluster.kubectl("create", "token", "app", "--duration=10s", check=False)
    assert "may not specify a duration less than 10 minutes" in short.err
    keys = json.loads(cluster.kubectl("get", "--raw", "/openid/v1/jwks"))["keys"]
    assert keys[0]["kty"] == "EC"
    cluster.apply("""
apiVersion: v1
kind: Secret
type: kubernetes.io/service-account-token
metadata: {name: old, annotations: {kubernetes.io/service-account.name: app}}
""")
    held = until(lambda: cluster.get("secret", "old").get("data", {}).get("token"), "a token in the Secret")
    found = _review(cluster, base64.b64decode(held).decode())
    assert found["user"]["username"] == f"system:serviceaccount:{cluster.namespace}:app"


class Hook:
    """An admission webhook of this machine: `answer(request) -> response`. `port` is where it listens."""

    def __init__(self, folder, answer, *names):
        now = datetime.datetime.now(datetime.UTC)
        authority = Authority.open(folder, "hooks", now)
        authority.ensure(Leaf("hook", "hook", hosts=("127.0.0.1", *names), server=True), now)
        self.bundle = base64.b64encode((folder / "ca.crt").read_bytes()).decode()
        self.seen = seen = []

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                request = json.loads(self.rfile.read(int(self.headers["content-length"])))["request"]
                seen.append(request)
                review = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview"}
                body = json.dumps({**review, "response": {"uid": request["uid"], **answer(request)}}).encode()
                self.send_response(200)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(("0.0.0.0", 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(folder / "hook.crt", folder / "hook.key")
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.port = self._server.server_port
        self.url = f"https://127.0.0.1:{self.port}/admit"

    def close(self):
        self._server.shutdown()
        self._server.server_close()


def configuration(kind, hook, namespace, **more):
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"], "operations": ["CREATE", "UPDATE"]}
    webhook = {
        "name": "check.example.com",
        "clientConfig": {"url": hook.url, "caBundle": hook.bundle},
        "rules": [rule],
        "admissionReviewVersions": ["v1"],
        "sideEffects": "None",
        "timeoutSeconds": 3,
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
        **more,
    }
    body = {"apiVersion": "admissionregistration.k8s.io/v1", "kind": kind, "metadata": {"name": f"hook-{namespace}"}}
    return json.dumps({**body, "webhooks": [webhook]})


@pytest.fixture
def hooks(tmp_path):
    made = []

    def make(answer, *names):
        hook = Hook(tmp_path, answer, *names)
        made.append(hook)
        return hook

    yield make
    for hook in made:
        hook.close()


def test_a_validating_webhook(cluster, hooks):
    def answer(request):
        if "bad" in (request["object"].get("data") or {}):
            return {"allowed": False, "status": {"message": "no bad keys", "code": 403}}
        return {"allowed": True, "warnings": ["looked at it"]}

    hook, kind = hooks(answer), "ValidatingWebhookConfiguration"
    conditions = [{"name": "not-free", "expression": "!object.metadata.name.startsWith('free')"}]
    cluster.apply(configuration(kind, hook, cluster.namespace, matchConditions=conditions))
    try:
        made = cluster.kubectl("create", "configmap", "good", "--from-literal=a=1")
        assert "Warning: looked at it" in made.err
        refused = cluster.kubectl("create", "configmap", "b", "--from-literal=bad=1", check=False)
        assert 'admission webhook "check.example.com" denied the request: no bad keys' in refused.err
        assert cluster.kubectl("create", "configmap", "free", "--from-literal=bad=1").code == 0
        patched = cluster.kubectl("patch", "configmap", "good", "-p", '{"data":{"bad":"1"}}', check=False)
        assert "no bad keys" in patched.err
        assert [r["operation"] for r in hook.seen] == ["CREATE", "CREATE", "UPDATE"]
        assert hook.seen[2]["oldObject"]["data"] == {"a": "1"}
        assert hook.seen[0]["userInfo"]["username"] == "kubernetes-admin"
        hook.close()
        away = cluster.kubectl("create", "configmap", "c", check=False)
        assert 'Internal error occurred: failed calling webhook "check.example.com": failed to call webhook' in away.err
        cluster.apply(configuration(kind, hook, cluster.namespace, failurePolicy="Ignore"))
        assert cluster.kubectl("create", "configmap", "c").code == 0
    finally:
        cluster.kubectl("delete", kind, f"hook-{cluster.namespace}")


def test_a_webhook_behind_a_service(cluster, hooks):
    hook = hooks(lambda request: {"allowed": False}, f"hook.{cluster.namespace}.svc")
    machine = cluster.jsonpath("{.subsets[0].addresses[0].ip}", "endpoints", "kubernetes", "--namespace=default")
    cluster.apply(f"""
apiVersion: v1
kind: Service
metadata: {{name: hook}}
spec: {{ports: [{{port: 443, targetPort: {hook.port}}}]}}
---
apiVersion: v1
kind: Endpoints
metadata: {{name: hook}}
subsets: [{{addresses: [{{ip: {machine}}}], ports: [{{port: {hook.port}}}]}}]
""")
    kind = "ValidatingWebhookConfiguration"
    service = {"service": {"name": "hook", "namespace": cluster.namespace, "path": "/admit"}, "caBundle": hook.bundle}
    cluster.apply(configuration(kind, hook, cluster.namespace, clientConfig=service))

    def denied():
        refused = cluster.kubectl("create", "configmap", "c", "--dry-run=server", check=False)
        return 'admission webhook "check.example.com" denied the request without explanation' in refused.err

    try:
        until(denied, "an answer through the Service", timeout=10)
    finally:
        cluster.kubectl("delete", kind, f"hook-{cluster.namespace}")


def test_a_mutating_webhook(cluster, hooks):
    def answer(request):
        patch = [{"op": "add", "path": "/data", "value": {"from": "hook"}}]
        return {
            "allowed": True,
            "patchType": "JSONPatch",
            "patch": base64.b64encode(json.dumps(patch).encode()).decode(),
        }

    hook, kind = hooks(answer), "MutatingWebhookConfiguration"
    cluster.apply(configuration(kind, hook, cluster.namespace))
    try:
        cluster.kubectl("create", "configmap", "m")
        assert cluster.get("configmap", "m")["data"] == {"from": "hook"}
        dry = cluster.kubectl("create", "configmap", "d", "--dry-run=server", "-o", "json")
        assert json.loads(dry)["data"] == {"from": "hook"}
        assert hook.seen[-1]["dryRun"] is True
    finally:
        cluster.kubectl("delete", kind, f"hook-{cluster.namespace}")


def test_admission_policies(cluster):
    ns = cluster.namespace
    selector = f"{{matchLabels: {{kubernetes.io/metadata.name: {ns}}}}}"
    rules = "[{apiGroups: [apps], apiVersions: [v1], operations: [CREATE, UPDATE], resources: [deployments]}]"
    cluster.kubectl("create", "configmap", "limits", "--from-literal=most=3")
    cluster.apply(f"""
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {{name: replicas-{ns}}}
spec:
  paramKind: {{apiVersion: v1, kind: ConfigMap}}
  matchConstraints: {{resourceRules: {rules}}}
  variables: [{{name: most, expression: "int(params.data.most)"}}]
  validations:
  - expression: object.spec.replicas <= variables.most
    messageExpression: "'at most ' + string(variables.most)"
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {{name: replicas-{ns}}}
spec:
  policyName: replicas-{ns}
  paramRef: {{name: limits, parameterNotFoundAction: Deny}}
  validationActions: [Deny]
  matchResources: {{namespaceSelector: {selector}}}
---
apiVersion: admissionregistration.k8s.io/v1alpha1
kind: MutatingAdmissionPolicy
metadata: {{name: label-{ns}}}
spec:
  matchConstraints: {{resourceRules: {rules}, namespaceSelector: {selector}}}
  reinvocationPolicy: Never
  mutations:
  - patchType: ApplyConfiguration
    applyConfiguration: {{expression: 'Object{{metadata: Object.metadata{{labels: {{"from": "policy"}}}}}}'}}
---
apiVersion: admissionregistration.k8s.io/v1alpha1
kind: MutatingAdmissionPolicyBinding
metadata: {{name: label-{ns}}}
spec: {{policyName: label-{ns}}}
""")
    try:
        refused = cluster.kubectl("create", "deployment", "d", "--image=busybox", "--replicas=4", check=False)
        assert (
            f"ValidatingAdmissionPolicy 'replicas-{ns}' with binding 'replicas-{ns}' denied request: at most 3"
        ) in refused.err
        cluster.kubectl("create", "deployment", "d", "--image=busybox", "--replicas=0")
        assert cluster.get("deployment", "d")["metadata"]["labels"] == {"app": "d", "from": "policy"}
        scaled = cluster.kubectl("patch", "deployment", "d", "-p", '{"spec":{"replicas":9}}', check=False)
        assert "at most 3" in scaled.err
    finally:
        for kind, name in (("validating", "replicas"), ("mutating", "label")):
            cluster.kubectl("delete", f"{kind}admissionpolicy,{kind}admissionpolicybinding", f"{name}-{ns}")


def test_a_certificate_for_a_person(cluster, tmp_path):
    key, request = tmp_path / "jane.key", tmp_path / "jane.csr"
    make = ("openssl", "req", "-new", "-newkey", "rsa:2048", "-nodes", "-subj", "/O=devs/CN=jane")
    subprocess.run((*make, "-keyout", key, "-out", request), check=True, capture_output=True)
    name = f"jane-{cluster.namespace}"
    cluster.apply(f"""
apiVersion: certificates.k8s.io/v1
kind: CertificateSigningRequest
metadata: {{name: {name}}}
spec:
  request: {base64.b64encode(request.read_bytes()).decode()}
  signerName: kubernetes.io/kube-apiserver-client
  expirationSeconds: 3600
  usages: [client auth]
""")
    columns = cluster.kubectl("get", "csr", name, "--no-headers").split()
    assert columns[2:] == ["kubernetes.io/kube-apiserver-client", "kubernetes-admin", "60m", "Pending"]
    refused = cluster.kubectl("certificate", "approve", name, "--as=bob", check=False)
    assert "Forbidden" in refused.err
    cluster.kubectl("certificate", "approve", name)
    issued = until(lambda: cluster.get("csr", name).get("status", {}).get("certificate"), "a certificate")
    certificate = tmp_path / "jane.crt"
    certificate.write_bytes(base64.b64decode(issued))
    context = cluster.kubectl("config", "view", "--raw", "--minify", "-o", "jsonpath={.clusters[0].cluster}")
    authority = tmp_path / "ca.crt"
    authority.write_bytes(base64.b64decode(json.loads(context)["certificate-authority-data"]))
    files = ("--certificate-authority", authority, "--client-certificate", certificate, "--client-key", key)
    server = ("--kubeconfig", "/dev/null", "--server", json.loads(context)["server"])
    mine = cluster.kubectl("auth", "whoami", "-o", "json", *server, *map(str, files))
    assert json.loads(mine)["status"]["userInfo"]["username"] == "jane"
    assert cluster.kubectl("get", "csr", name, "--no-headers").split()[-1] == "Approved,Issued"
    cluster.kubectl("delete", "csr", name)
