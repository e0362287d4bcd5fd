"""Certificates, their requests and issuers in virtual time (which starts on 1 January 2026, 00:00 UTC)."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta

import pytest
from certmanager_world import CertWorld, R, authority, tls_secret
from controller_world import run

from sampan.api import meta
from sampan.ca import issuing, keys
from sampan.controllers import certificate_step
from sampan.controllers import certmanager as cm

DAY = 86400.0
START = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _steps(monkeypatch):
    """Months of virtual time in days instead of minutes."""
    monkeypatch.setattr(certificate_step, "LONGEST", DAY)


READY = ("True", "Ready", "Certificate is up to date and has not expired")


async def issued(**spec):
    """A world with the certificate `web` of a self-signed issuer."""
    world = CertWorld()
    await world.issuer(selfSigned={})
    await world.certificate(**spec)
    await world.settle()
    return world


def test_from_a_certificate_to_its_secret():
    async def go():
        world = await issued(commonName="a", duration="48h", ipAddresses=["10.0.0.1"])
        assert world.condition() == READY
        assert world.condition(kind="Issuing") is None
        held = world.held()
        assert (held.names.common_name, held.names.dns, held.names.ips) == ("a", ("a.example",), ("10.0.0.1",))
        status = world.status()
        assert (status["notBefore"], status["notAfter"]) == ("2026-01-01T00:00:00Z", "2026-01-03T00:00:00Z")
        assert (status["renewalTime"], status["revision"]) == ("2026-01-02T08:00:00Z", 1)
        assert "nextPrivateKeySecretName" not in status
        secret = world.secret()
        assert secret["type"] == "kubernetes.io/tls"
        assert set(secret["data"]) == {"tls.crt", "tls.key", "ca.crt"}
        assert meta.labels(secret) == {"controller.cert-manager.io/fao": "true"}
        assert meta.annotations(secret) == {
            "cert-manager.io/common-name": "a",
            "cert-manager.io/alt-names": "a.example",
            "cert-manager.io/ip-sans": "10.0.0.1",
            "cert-manager.io/uri-sans": "",
            "cert-manager.io/certificate-name": "web",
            "cert-manager.io/issuer-name": "own",
            "cert-manager.io/issuer-kind": "Issuer",
            "cert-manager.io/issuer-group": "cert-manager.io",
        }
        # Only that Secret: the one of the key has gone.
        assert [meta.name(s) for s in world.client.all("secrets")] == ["web"]
        assert world.told()[0] == ("Issuing", "Issuing certificate as Secret does not exist")
        assert world.told()[1][0] == "Generated"
        assert world.told()[1][1].startswith('Stored new private key in temporary Secret resource "web-')
        assert world.told()[2:] == [
            ("Requested", 'Created new CertificateRequest resource "web-1"'),
            ("Issuing", "The certificate has been successfully issued"),
        ]

    run(go())


def test_its_request():
    async def go():
        world = await issued()
        request = world.client.find(R, "web-1", "default")
        assert request["spec"]["issuerRef"] == {"name": "own", "kind": "Issuer", "group": "cert-manager.io"}
        assert world.condition("web-1", "Approved", R) == (
            "True",
            "cert-manager.io",
            "Certificate request has been approved by cert-manager.io",
        )
        assert world.condition("web-1", resource=R) == (
            "True",
            "Issued",
            "Certificate fetched from issuer successfully",
        )
        assert [reason for reason, _ in world.told("web-1")] == ["cert-manager.io", "BadConfig", "CertificateIssued"]

    run(go())


def test_the_local_authority_signs():
    async def go():
        world = CertWorld()
        await world.issuer("ClusterIssuer", "sampan-ca", ca={"secretName": cm.LOCAL_CA})
        await world.certificate(issuer="sampan-ca", kind="ClusterIssuer")
        await world.settle()
        assert world.condition("sampan-ca", resource=cm.CLUSTER_ISSUERS) == (
            "True",
            "KeyPairVerified",
            "Signing CA verified",
        )
        assert world.condition() == READY
        assert cm.data(world.secret(), "ca.crt") == world.local[0]

    run(go())


def test_a_chain_of_authorities():
    async def go():
        world = CertWorld()
        await world.issuer(name="seed", selfSigned={})
        await world.issuer(name="root", ca={"secretName": "root"})
        await world.issuer(name="middle", ca={"secretName": "middle"})
        await world.certificate(issuer="middle")
        await world.settle()
        missing = ("False", "ErrGetKeyPair", 'Error getting keypair for CA issuer: secrets "root" not found')
        assert world.condition("root", resource=cm.ISSUERS) == missing
        assert world.condition("web-1", resource=R) == (
            "False",
            "Pending",
            "Referenced issuer does not have a Ready status condition",
        )
        assert world.condition(kind="Issuing")[0] == "True"
        await world.certificate("middle", issuer="root", isCA=True, commonName="middle", dnsNames=[])
        await world.certificate("root", issuer="seed", isCA=True, commonName="root", dnsNames=[])
        await world.settle()
        assert world.condition() == READY
        assert cm.data(world.secret(), "tls.crt").count(b"BEGIN") == 2
        assert cm.data(world.secret(), "ca.crt") == cm.data(world.secret("root"), "tls.crt")

    run(go())


def test_renewal_at_its_time():
    async def go():
        world = await issued()
        first, key = world.held(), cm.data(world.secret(), "tls.key")
        assert first.not_after == START + timedelta(days=90)
        await world.advance(60 * DAY - 60)
        assert world.held() == first
        world.events.seen.clear()
        await world.advance(120)
        assert world.held().not_before == START + timedelta(days=60)
        assert cm.data(world.secret(), "tls.key") != key
        assert world.condition() == READY
        assert world.status()["revision"] == 2
        assert world.told()[0] == (
            "Issuing",
            "Renewing certificate as renewal was scheduled at 2026-03-02 00:00:00 +0000 UTC",
        )
        await world.advance(60 * DAY)
        assert world.status()["revision"] == 3
        assert [meta.name(r) for r in world.client.all(R)] == ["web-3"]

    run(go())


@pytest.mark.parametrize(
    ("spec", "moment"),
    [
        ({"renewBefore": "240h"}, "2026-03-22T00:00:00Z"),
        ({"renewBefore": "9999h"}, "2026-03-02T00:00:00Z"),
        ({"renewBeforePercentage": 10}, "2026-03-23T00:00:00Z"),
        ({"renewal": {"policy": "Disabled"}}, None),
    ],
)
def test_when_to_renew(spec, moment):
    async def go():
        world = await issued(**spec)
        assert world.status().get("renewalTime") == moment

    run(go())


def test_one_that_is_not_renewed_expires():
    async def go():
        world = await issued(renewal={"policy": "Disabled"})
        await world.advance(90 * DAY + 60)
        assert world.condition() == ("False", "Expired", "Certificate expired on Wed, 01 Apr 2026 00:00:00 UTC")

    run(go())


def test_a_key_that_stays():
    async def go():
        world = await issued(privateKey={"algorithm": "ECDSA", "rotationPolicy": "Never"})
        key = cm.data(world.secret(), "tls.key")
        await world.advance(61 * DAY)
        assert world.status()["revision"] == 2
        assert cm.data(world.secret(), "tls.key") == key
        assert ("Reused", 'Reusing private key stored in existing Secret resource "web"') in world.told()
        await world.change(privateKey={"algorithm": "Ed25519"})
        assert world.condition()[1:] == (
            "SecretMismatch",
            "Existing private key is not up to date for spec: [spec.privateKey.algorithm]",
        )
        assert world.told()[-1][0] == "CannotRegenerateKey"
        await world.change(privateKey={"rotationPolicy": "Always"})
        assert world.condition() == READY

    run(go())


def test_a_changed_spec_is_issued_anew():
    async def go():
        world = await issued()
        await world.change(dnsNames=["a.example", "b.example"])
        assert world.held().names.dns == ("a.example", "b.example")
        assert (
            "Issuing",
            "Fields on existing CertificateRequest resource not up to date: [spec.dnsNames]",
        ) in world.told()
        await world.issuer(name="other", selfSigned={})
        await world.change(issuerRef={"name": "other"})
        assert (
            "Issuing",
            'Issuing certificate as Secret was previously issued by "Issuer.cert-manager.io/own"',
        ) in world.told()
        assert world.condition() == READY
        assert world.status()["revision"] == 3

    run(go())


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ({"tls.crt": "eA=="}, "InvalidCertificate"),
        ({"tls.crt": None}, "MissingData"),
        ({"tls.key": "eA=="}, "InvalidKeyPair"),
        ({"tls.key": base64.b64encode(keys.encode(keys.generate("ECDSA"))).decode()}, "InvalidKeyPair"),
    ],
)
def test_a_spoilt_secret_is_made_anew(data, reason):
    async def go():
        world = await issued()
        await world.client.patch("secrets", "web", "default", {"data": data})
        await world.settle()
        assert world.condition() == READY
        assert world.status()["revision"] == 2
        held = world.secret()
        assert issuing.read(cm.data(held, "tls.crt")).public == keys.public(keys.load(cm.data(held, "tls.key")))
        await world.client.delete("secrets", "web", "default")
        await world.settle()
        assert world.secret() is not None

    run(go())


def test_what_the_secret_carries_besides():
    async def go():
        template = {"labels": {"team": "a"}, "annotations": {"note": "b"}}
        world = await issued(secretTemplate=template, additionalOutputFormats=[{"type": "CombinedPEM"}])
        before = cm.data(world.secret(), "tls.crt")
        assert meta.labels(world.secret())["team"] == "a"
        assert cm.data(world.secret(), "tls-combined.pem").endswith(before)
        await world.client.patch("secrets", "web", "default", {"metadata": {"annotations": {"note": "x"}}})
        await world.change(secretTemplate={"labels": {"team": "c"}}, additionalOutputFormats=[{"type": "DER"}])
        assert meta.labels(world.secret())["team"] == "c"
        assert meta.annotations(world.secret())["note"] == "b"
        assert cm.data(world.secret(), "key.der")[0] == 0x30
        assert cm.data(world.secret(), "tls.crt") == before

    run(go())


def test_a_secret_of_the_users_own_kind_keeps_its_type():
    async def go():
        world = CertWorld()
        await world.issuer(selfSigned={})
        opaque = {"kind": "Secret", "metadata": {"name": "web", "namespace": "default"}, "type": "Opaque"}
        await world.add("secrets", opaque | {"data": {"mine": "eA=="}})
        await world.certificate()
        await world.settle()
        assert world.secret()["type"] == "Opaque"
        assert set(world.secret()["data"]) == {"mine", "tls.crt", "tls.key", "ca.crt"}

    run(go())


def test_two_certificates_of_one_secret_do_not_fight():
    async def go():
        world = await issued()
        await world.certificate("late", secretName="web", dnsNames=["late.example"])
        await world.settle()
        assert world.status()["revision"] == 1
        assert world.condition("late")[1] == "IncorrectCertificate"
        assert "Issuing" not in [reason for reason, _ in world.told("late")]
        await world.client.delete(cm.CERTIFICATES, "web", "default")
        await world.settle()
        assert world.condition("late") == READY
        assert world.held().names.dns == ("late.example",)

    run(go())


@pytest.mark.parametrize(
    ("ref", "text"),
    [
        ({"name": "none"}, 'Referenced "Issuer" not found: issuer.cert-manager.io "none" not found'),
        (
            {"name": "none", "kind": "ClusterIssuer"},
            'Referenced "ClusterIssuer" not found: clusterissuer.cert-manager.io "none" not found',
        ),
        (
            {"name": "none", "kind": "Odd"},
            'invalid value "Odd" for issuerRef.kind. Must be empty, "Issuer" or "ClusterIssuer"',
        ),
    ],
)
def test_an_issuer_that_is_not_there(ref, text):
    async def go():
        world = await issued(issuerRef=ref)
        assert world.condition("web-1", resource=R) == ("False", "Pending", text)
        assert ("IssuerNotFound", text) in world.told("web-1")
        if ref.get("kind") != "Odd":
            await world.issuer(ref.get("kind", "Issuer"), "none", selfSigned={})
            await world.settle()
            assert world.condition() == READY

    run(go())


def test_issuers_that_cannot_sign():
    async def go():
        world = CertWorld()
        certificate, key = authority(world)
        leaf_key = keys.generate("ECDSA")
        signer = issuing.Signer.load(certificate, key)
        leaf = issuing.sign(
            issuing.request(issuing.Wanted("a"), leaf_key),
            signer,
            issuing.Terms(world.clock.now(), timedelta(days=1)),
        )
        await world.add("secrets", tls_secret("leaf", leaf.chain, keys.encode(leaf_key)))
        await world.add("secrets", tls_secret("half", certificate, b""))
        await world.issuer(name="leaf", ca={"secretName": "leaf"})
        await world.issuer(name="half", ca={"secretName": "half"})
        await world.issuer(name="acme", acme={"server": "https://a"})
        await world.issuer(name="empty")
        await world.settle()
        found = {name: world.condition(name, resource=cm.ISSUERS) for name in ("leaf", "half", "acme", "empty")}
        assert found["leaf"] == (
            "False",
            "ErrInvalidKeyPair",
            "Error getting keypair for CA issuer: certificate is not a CA",
        )
        assert found["half"][2] == (
            "Error getting keypair for CA issuer: no data for \"tls.key\" in secret 'default/half'"
        )
        assert found["acme"][:2] == ("False", "NotSupported")
        assert "sampan does not issue from acme" in found["acme"][2]
        assert found["empty"][1] == "ErrInitIssuer"
        await world.client.delete("secrets", "leaf", "default")
        await world.add("secrets", tls_secret("leaf", certificate, key))
        await world.settle()
        assert world.condition("leaf", resource=cm.ISSUERS)[0] == "True"

    run(go())


def test_a_cluster_issuers_secret_is_in_its_own_namespace():
    async def go():
        world = CertWorld()
        await world.issuer("ClusterIssuer", "ca", ca={"secretName": "ca"})
        await world.add("secrets", tls_secret("ca", *authority(world), namespace="default"))
        await world.settle()
        assert world.condition("ca", resource=cm.CLUSTER_ISSUERS)[0] == "False"
        await world.add("secrets", tls_secret("ca", *authority(world), namespace="cert-manager"))
        await world.certificate(issuer="ca", kind="ClusterIssuer")
        await world.settle()
        assert world.condition() == READY

    run(go())


def test_what_cannot_be_asked_for_is_told():
    async def go():
        world = await issued(dnsNames=[])
        assert ("RequestFailed", f"Failed to generate CSR: {issuing.NAMELESS} - will not retry") in world.told()
        assert world.condition()[0] == "False"
        await world.change(dnsNames=["a.example"])
        assert world.condition() == READY

    run(go())


def test_a_failed_request_is_tried_again_later():
    async def go():
        world = CertWorld()
        await world.issuer(name="ca", ca={"secretName": "ca"})
        (certificate, _), (_, wrong) = authority(world), authority(world)
        await world.add("secrets", tls_secret("ca", certificate, wrong))
        await world.certificate(issuer="ca")
        await world.settle()
        status = world.status()
        text = "Error signing certificate: the authority's certificate is not that of its private key"
        assert world.condition("web-1", resource=R) == ("False", "Failed", text)
        assert world.condition(kind="Issuing") == (
            "False",
            "Failed",
            f"The certificate request has failed to complete and will be retried: {text}",
        )
        assert (status["failedIssuanceAttempts"], status["lastFailureTime"]) == (1, "2026-01-01T00:00:00Z")
        await world.advance(3700)
        assert world.status()["failedIssuanceAttempts"] == 2
        good = tls_secret("ca", *authority(world))["data"]
        await world.client.patch("secrets", "ca", "default", {"data": good})
        await world.advance(3600)
        assert world.status()["failedIssuanceAttempts"] == 2  # two hours this time
        await world.advance(3700)
        assert world.condition() == READY
        assert "failedIssuanceAttempts" not in world.status()

    run(go())


def test_a_request_that_somebody_denied():
    async def go():
        world = CertWorld()
        await world.certificate(issuer="later")
        await world.settle()
        denied = {"type": "Denied", "status": "True", "reason": "Policy", "message": "no"}
        conditions = [*world.client.find(R, "web-1", "default")["status"]["conditions"], denied]
        await world.client.patch(R, "web-1", "default", {"status": {"conditions": conditions}}, subresource="status")
        await world.settle()
        assert world.condition("web-1", resource=R)[:2] == ("False", "Denied")
        assert world.condition(kind="Issuing")[:2] == ("False", "Policy")

    run(go())


def test_requests_of_others_are_signed_too():
    async def go():
        world = CertWorld()
        await world.issuer("ClusterIssuer", "sampan-ca", ca={"secretName": cm.LOCAL_CA})
        pem = issuing.request(issuing.Wanted("a", dns=("a.example",)), keys.generate("ECDSA"))
        for name, group in (("ours", "cert-manager.io"), ("theirs", "issuers.example.com")):
            ref = {"name": "sampan-ca", "kind": "ClusterIssuer", "group": group}
            spec = {"issuerRef": ref, "request": base64.b64encode(pem).decode(), "usages": ["client auth"]}
            await world.add(
                R, {"kind": "CertificateRequest", "metadata": {"name": name, "namespace": "default"}, "spec": spec}
            )
        await world.settle()
        status = world.client.find(R, "ours", "default")["status"]
        assert issuing.read(base64.b64decode(status["certificate"])).names.dns == ("a.example",)
        assert base64.b64decode(status["ca"]) == world.local[0]
        assert "status" not in world.client.find(R, "theirs", "default")

    run(go())


def test_a_deleted_certificate_leaves_its_secret():
    async def go():
        world = await issued()
        await world.client.delete(cm.CERTIFICATES, "web", "default")
        await world.settle()
        await world.advance(100 * DAY)
        assert world.secret() is not None

    run(go())


def test_nothing_is_done_while_cert_manager_itself_runs():
    async def go():
        world = CertWorld()
        spec = {"holderIdentity": "a", "leaseDurationSeconds": 60, "renewTime": "2026-01-01T00:00:00.000000Z"}
        metadata = {"name": "cert-manager-controller", "namespace": "kube-system"}
        await world.add("leases.coordination.k8s.io", {"kind": "Lease", "metadata": metadata, "spec": spec})
        await world.issuer(selfSigned={})
        await world.certificate()
        await world.settle()
        assert world.status() == {}
        await world.advance(59)
        assert world.status() == {}
        await world.advance(5)
        assert world.condition() == READY

    run(go())
