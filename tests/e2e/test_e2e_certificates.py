"""Certificates as kubectl's users meet them; openssl and a TLS server of Python's judge what is issued."""

import base64
import json
import subprocess
import time

import pytest
from e2e import command, until

READY = "--for=condition=Ready"


def certificate(name="web", issuer="sampan-ca", kind="ClusterIssuer", **spec):
    ref = {"name": issuer, "kind": kind, "group": "cert-manager.io"}
    spec = {"secretName": f"{name}-tls", "issuerRef": ref, "dnsNames": [f"{name}.example"]} | spec
    body = {"apiVersion": "cert-manager.io/v1", "kind": "Certificate", "metadata": {"name": name}, "spec": spec}
    return json.dumps(body)


def issuer(name, **spec):
    body = {"apiVersion": "cert-manager.io/v1", "kind": "Issuer", "metadata": {"name": name}, "spec": spec}
    return json.dumps(body)


def ingress(name, annotations, *tls):
    backend = {"service": {"name": "web", "port": {"number": 80}}}
    rules = [{"http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]}}]
    metadata = {"name": name, "annotations": annotations}
    body = {"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": metadata}
    return json.dumps(body | {"spec": {"rules": rules, "tls": list(tls)}})


def pem(cluster, secret, key="tls.crt"):
    return base64.b64decode(cluster.get("secret", secret)["data"][key]).decode()


def verified(cluster, tmp_path, secret, host, ca):
    """What openssl says of a Secret's certificate."""
    (tmp_path / "ca").write_text(ca)
    (tmp_path / "chain").write_text(pem(cluster, secret))
    files = ["-CAfile", tmp_path / "ca", "-untrusted", tmp_path / "chain", tmp_path / "chain"]
    return command(
        "openssl", "verify", "-x509_strict", "-purpose", "sslserver", "-verify_hostname", host, *map(str, files)
    )


def test_the_local_authority_is_ready_at_once(cluster):
    listed = cluster.kubectl("get", "clusterissuers").splitlines()
    assert listed[0].split() == ["NAME", "READY", "AGE"]
    assert listed[1].split()[:2] == ["sampan-ca", "True"]
    assert "No resources found" in cluster.kubectl("get", "issuers").err
    assert "No resources found" in cluster.kubectl("get", "certs,cr").err
    explained = cluster.sampan("ca")
    path = explained.splitlines()[0]
    assert path == str(cluster.state / "ca" / "ca.crt")
    assert f"curl --cacert {path}" in explained
    assert "update-ca-certificates" in explained
    root = command("openssl", "x509", "-noout", "-ext", "basicConstraints", stdin=cluster.sampan("ca", "--pem"))
    assert "CA:TRUE" in root


def test_a_certificate(cluster, tmp_path):
    cluster.apply(certificate(dnsNames=["web.example", "*.web.example"], ipAddresses=["10.0.0.1"]))
    cluster.kubectl("wait", READY, "certificate/web", "--timeout=10s")
    ca = cluster.sampan("ca", "--pem")
    assert verified(cluster, tmp_path, "web-tls", "a.web.example", ca).code == 0
    assert verified(cluster, tmp_path, "web-tls", "a.other.example", ca).code != 0
    assert pem(cluster, "web-tls", "ca.crt") == ca
    assert cluster.get("secret", "web-tls")["type"] == "kubernetes.io/tls"
    listed = cluster.kubectl("get", "cert").splitlines()
    assert listed[0].split() == ["NAME", "READY", "SECRET", "AGE"]
    assert listed[1].split()[:3] == ["web", "True", "web-tls"]
    wide = cluster.kubectl("get", "certs", "-o", "wide").splitlines()
    assert wide[0].split() == ["NAME", "READY", "SECRET", "ISSUER", "STATUS", "EXPIRATION", "AGE"]
    assert "Certificate is up to date and has not expired" in wide[1]
    requests = cluster.kubectl("get", "certificaterequests").splitlines()
    assert requests[1].split()[:4] == ["web-1", "True", "True", "sampan-ca"]
    described = until_events(cluster, "web", "The certificate has been successfully issued")
    for text in (
        "Issuing certificate as Secret does not exist",
        'Stored new private key in temporary Secret resource "web-',
        'Created new CertificateRequest resource "web-1"',
    ):
        assert text in described
    assert "spec.issuerRef" not in cluster.kubectl("get", "cert", "--field-selector", "spec.issuerRef.name=sampan-ca")


def until_events(cluster, name, text):
    show = lambda: cluster.kubectl("describe", "certificate", name)
    return until(lambda: (found := show()) and text in found and found, f"an event says {text}", 10)


def test_a_changed_certificate_and_a_deleted_secret(cluster):
    cluster.apply(certificate())
    cluster.kubectl("wait", READY, "certificate/web", "--timeout=10s")
    first = pem(cluster, "web-tls")
    cluster.apply(certificate(dnsNames=["web.example", "more.example"]))
    until(lambda: pem(cluster, "web-tls") != first, "it is issued anew", 10)
    cluster.kubectl("delete", "secret", "web-tls")
    until(lambda: cluster.kubectl("get", "secret", "web-tls", check=False).code == 0, "the Secret comes back", 10)
    cluster.kubectl("wait", READY, "certificate/web", "--timeout=10s")
    until(lambda: cluster.get("cert", "web")["status"].get("revision") == 3, "it was issued three times", 10)


def test_renewal_swaps_key_and_certificate_at_once(cluster):
    """Of a certificate that lives seconds: whoever reads the Secret has a pair, and it is always ready."""
    cluster.apply(certificate(duration="6s", renewBefore="4s", privateKey={"algorithm": "ECDSA"}))
    cluster.kubectl("wait", READY, "certificate/web", "--timeout=10s")
    seen = set()
    deadline = time.monotonic() + 8
    while time.monotonic() < deadline:
        data = cluster.get("secret", "web-tls")["data"]
        crt, key = (base64.b64decode(data[part]).decode() for part in ("tls.crt", "tls.key"))
        public = command("openssl", "x509", "-noout", "-pubkey", stdin=crt)
        assert public == command("openssl", "pkey", "-pubout", stdin=key)
        seen.add(public)
        assert cluster.jsonpath("{.status.conditions[?(@.type=='Ready')].status}", "cert", "web") == "True"
    assert len(seen) >= 3


def test_who_may_edit_may_have_certificates(cluster):
    may = lambda verb, what, role: cluster.kubectl(
        "auth", "can-i", verb, what, "--as", f"{role}-user", check=False
    ).strip()
    for role in ("view", "edit"):
        cluster.kubectl("create", "rolebinding", role, f"--clusterrole={role}", f"--user={role}-user")
    assert (may("list", "certificates", "view"), may("create", "certificates", "view")) == ("yes", "no")
    assert (may("create", "certificates", "edit"), may("create", "clusterissuers", "edit")) == ("yes", "no")


def test_an_authority_of_ones_own(cluster, tmp_path):
    """The way of cert-manager's documentation: a self-signed root, an issuer that signs with it, a leaf."""
    cluster.apply(issuer("selfsigned", selfSigned={}))
    key = {"algorithm": "ECDSA", "size": 384}
    root = {"isCA": True, "commonName": "my-ca", "dnsNames": [], "privateKey": key, "secretName": "root"}
    cluster.apply(certificate("my-ca", "selfsigned", "Issuer", **root))
    cluster.apply(issuer("my-ca", ca={"secretName": "root"}))
    cluster.apply(certificate("leaf", "my-ca", "Issuer", privateKey={"algorithm": "Ed25519"}, duration="2h"))
    cluster.kubectl("wait", READY, "certificate/leaf", "issuer/my-ca", "--timeout=15s")
    assert verified(cluster, tmp_path, "leaf-tls", "leaf.example", pem(cluster, "root")).code == 0
    assert "ED25519" in command("openssl", "x509", "-noout", "-text", stdin=pem(cluster, "leaf-tls"))
    status = cluster.jsonpath("{.status.conditions[0].reason} {.status.conditions[0].message}", "issuer", "my-ca")
    assert status == "KeyPairVerified Signing CA verified"


def test_what_is_not_there_or_not_supported_is_said(cluster):
    acme = {"server": "https://acme.example", "privateKeySecretRef": {"name": "k"}, "solvers": []}
    cluster.apply(issuer("letsencrypt", acme=acme))
    cluster.apply(certificate("a", "letsencrypt", "Issuer"))
    cluster.apply(certificate("b", "nobody", "Issuer"))
    reason = "{.status.conditions[?(@.type=='Ready')].reason}"
    message = "{.status.conditions[?(@.type=='Ready')].message}"
    until(lambda: cluster.jsonpath(reason, "issuer", "letsencrypt") == "NotSupported", "it says so", 10)
    wanted = 'Referenced "Issuer" not found: issuer.cert-manager.io "nobody" not found'
    until(lambda: cluster.jsonpath(message, "cr", "b-1") == wanted, "the request says what is missing", 10)
    assert "Ready status condition" in cluster.jsonpath(message, "cr", "a-1")
    assert cluster.jsonpath(reason, "certificate", "a") == "DoesNotExist"
    refused = cluster.apply(certificate("c", privateKey={"algorithm": "DSA"}), check=False)
    assert 'spec.privateKey.algorithm: Unsupported value: "DSA": supported values: "RSA", "ECDSA"' in refused.err


def test_an_ingress_asks_for_its_certificate(cluster, tmp_path):
    annotations = {"cert-manager.io/cluster-issuer": "sampan-ca", "cert-manager.io/private-key-algorithm": "ECDSA"}
    cluster.apply(ingress("shop", annotations, {"hosts": ["shop.example"], "secretName": "shop-tls"}))
    until(lambda: cluster.kubectl("get", "cert", "shop-tls", check=False).code == 0, "the Certificate is made", 10)
    cluster.kubectl("wait", READY, "certificate/shop-tls", "--timeout=10s")
    assert verified(cluster, tmp_path, "shop-tls", "shop.example", cluster.sampan("ca", "--pem")).code == 0
    cluster.apply(ingress("old", {"kubernetes.io/tls-acme": "true"}, {"hosts": ["old.example"], "secretName": "old"}))
    until(lambda: cluster.kubectl("get", "secret", "old", check=False).code == 0, "the old annotation counts", 10)
    cluster.kubectl("delete", "ingress", "shop")
    until(lambda: cluster.kubectl("get", "cert", "shop-tls", check=False).code == 1, "it goes with its Ingress", 10)


def test_a_gateway_asks_for_its_certificate(cluster, tmp_path):
    ref = {"name": "edge-tls"}
    listener = {"name": "https", "port": 443, "protocol": "HTTPS", "hostname": "*.edge.example"}
    listener |= {"tls": {"certificateRefs": [ref]}}
    annotations = {"cert-manager.io/cluster-issuer": "sampan-ca", "cert-manager.io/common-name": "edge"}
    body = {"apiVersion": "gateway.networking.k8s.io/v1", "kind": "Gateway"}
    body |= {"metadata": {"name": "edge", "annotations": annotations}}
    cluster.apply(json.dumps(body | {"spec": {"gatewayClassName": "none", "listeners": [listener]}}))
    until(lambda: cluster.kubectl("get", "secret", "edge-tls", check=False).code == 0, "the Secret is there", 10)
    assert verified(cluster, tmp_path, "edge-tls", "a.edge.example", cluster.sampan("ca", "--pem")).code == 0


def test_a_secret_of_ones_own_works_at_once(cluster, tmp_path):
    argv = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-subj",
        "/CN=a",
    ]
    files = ["-keyout", str(tmp_path / "k"), "-out", str(tmp_path / "c")]
    subprocess.run([*argv, *files], check=True, capture_output=True)
    cluster.kubectl("create", "secret", "tls", "mine", f"--cert={tmp_path / 'c'}", f"--key={tmp_path / 'k'}")
    assert cluster.get("secret", "mine")["type"] == "kubernetes.io/tls"


@pytest.mark.parametrize("server_side", [True, False])
def test_the_projects_own_definitions_over_ours(own_cluster, server_side):
    """A larger definition of the same kind, as the project's own is, applied unmodified: it counts from then on."""
    own_cluster.apply(certificate())
    own_cluster.kubectl("wait", READY, "certificate/web", "--timeout=20s")
    theirs = own_cluster.get("crd", "certificates.cert-manager.io")
    metadata = {"name": "certificates.cert-manager.io", "annotations": {"helm.sh/resource-policy": "keep"}}
    theirs = {"apiVersion": theirs["apiVersion"], "kind": theirs["kind"], "metadata": metadata, "spec": theirs["spec"]}
    version = theirs["spec"]["versions"][0]
    version["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]["novelty"] = {"type": "string"}
    version["additionalPrinterColumns"] = version["additionalPrinterColumns"][:1]
    own_cluster.apply(json.dumps(theirs), *(["--server-side"] if server_side else []))
    own_cluster.kubectl("wait", "--for=condition=Established", "crd/certificates.cert-manager.io", "--timeout=10s")
    until(lambda: own_cluster.kubectl("get", "cert").split()[:2] == ["NAME", "READY"], "it is served", 10)
    assert len(own_cluster.kubectl("get", "cert").splitlines()[0].split()) == 2
    own_cluster.apply(certificate("new", novelty="yes"))
    own_cluster.kubectl("wait", READY, "certificate/new", "--timeout=10s")
    assert own_cluster.get("cert", "new")["spec"]["novelty"] == "yes"
    own_cluster.down()
    own_cluster.up()
    assert own_cluster.get("cert", "new")["spec"]["novelty"] == "yes"
    own_cluster.apply(certificate("again", novelty="yes"))
    own_cluster.kubectl("wait", READY, "certificate/again", "--timeout=10s")


def test_a_kind_that_the_user_removed_and_a_server_that_was_killed(own_cluster):
    own_cluster.apply(certificate())
    own_cluster.kubectl("wait", READY, "certificate/web", "--timeout=20s")
    before = own_cluster.pids("server")
    own_cluster.kubectl("delete", "crd", "clusterissuers.cert-manager.io", "certificates.cert-manager.io")
    assert own_cluster.kubectl("get", "certificates", check=False).code == 1
    subprocess.run(["kill", "-9", *map(str, before)], check=True)
    until(lambda: own_cluster.pids("server") not in ([], before), "the server is back", 15)
    until(lambda: own_cluster.kubectl("get", "clusterissuer", "sampan-ca", check=False).code == 0, "so are they", 15)
    own_cluster.apply(certificate(secretName="other"))
    own_cluster.kubectl("wait", READY, "certificate/web", "clusterissuer/sampan-ca", "--timeout=10s")
    time.sleep(0.5)
    assert "Traceback" not in own_cluster.logs()
