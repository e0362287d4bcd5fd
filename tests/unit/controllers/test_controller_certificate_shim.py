"""Ingresses and Gateways that ask for certificates."""

from __future__ import annotations

import pytest
from certmanager_world import C, CertWorld
from controller_world import run

from sampan.api import meta
from sampan.controllers import certmanager as cm
from sampan.controllers.certificate_annotations import DEFAULT, Unusable, issuer_of, translate
from sampan.controllers.certificate_shim import GATEWAYS, INGRESSES

CLUSTER = {"cert-manager.io/cluster-issuer": "sampan-ca"}


def ingress(*tls, annotations=CLUSTER, name="shop", labels=None):
    metadata = {"name": name, "namespace": "default", "annotations": annotations, "labels": labels or {}}
    return {"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": metadata, "spec": {"tls": list(tls)}}


def block(secret, *hosts):
    return {"secretName": secret, "hosts": list(hosts)}


def listener(name, hostname="a.example", secret="web", protocol="HTTPS", **tls):
    made = {"name": name, "port": 443, "protocol": protocol}
    if hostname:
        made["hostname"] = hostname
    ref = {"group": "", "kind": "Secret", "name": secret}
    return made | {"tls": {"mode": "Terminate", "certificateRefs": [ref], **tls}}


def gateway(*listeners, **annotations):
    said = CLUSTER | {f"cert-manager.io/{k.replace('_', '-')}": v for k, v in annotations.items()}
    metadata = {"name": "edge", "namespace": "default", "annotations": said}
    version = "gateway.networking.k8s.io/v1"
    return {"apiVersion": version, "kind": "Gateway", "metadata": metadata, "spec": {"listeners": list(listeners)}}


async def world_with(resource, obj):
    world = CertWorld()
    await world.issuer("ClusterIssuer", "sampan-ca", ca={"secretName": cm.LOCAL_CA})
    await world.add(resource, obj)
    await world.settle()
    return world


def certificates(world):
    return {meta.name(c): c["spec"] for c in world.client.all(C)}


def test_an_ingress_gets_its_certificates():
    async def go():
        it = ingress(block("web", "a.example", "10.0.0.1"), block("api", "b.example"), labels={"team": "a"})
        world = await world_with(INGRESSES, it)
        assert certificates(world)["web"] == {
            "secretName": "web",
            "issuerRef": {"name": "sampan-ca", "kind": "ClusterIssuer", "group": "cert-manager.io"},
            "dnsNames": ["a.example"],
            "ipAddresses": ["10.0.0.1"],
            "usages": ["digital signature", "key encipherment"],
        }
        made = world.client.find(C, "web", "default")
        owner = meta.controller_of(made)
        assert (owner["kind"], owner["name"], owner["blockOwnerDeletion"]) == ("Ingress", "shop", True)
        assert meta.labels(made) == {"team": "a"}
        assert world.held("web").names.dns == ("a.example",)
        assert world.held("api").names.dns == ("b.example",)
        assert ("CreateCertificate", 'Successfully created Certificate "web"') in world.told("shop")

    run(go())


def test_it_follows_its_ingress():
    async def go():
        world = await world_with(INGRESSES, ingress(block("web", "a.example"), block("api", "b.example")))
        tls = [block("web", "a.example", "c.example")]
        await world.client.patch(INGRESSES, "shop", "default", {"spec": {"tls": tls}})
        await world.settle()
        assert list(certificates(world)) == ["web"]
        assert world.held("web").names.dns == ("a.example", "c.example")
        assert ("UpdateCertificate", 'Successfully updated Certificate "web"') in world.told("shop")
        assert ("DeleteCertificate", 'Successfully deleted unrequired Certificate "api"') in world.told("shop")
        await world.client.delete(C, "web", "default")
        await world.settle()
        assert list(certificates(world)) == ["web"]

    run(go())


def test_a_certificate_of_somebody_else_is_let_alone():
    async def go():
        world = CertWorld()
        await world.certificate("web", dnsNames=["mine.example"])
        await world.add(INGRESSES, ingress(block("web", "a.example")))
        await world.settle()
        assert certificates(world)["web"]["dnsNames"] == ["mine.example"]

    run(go())


@pytest.mark.parametrize(
    ("annotations", "made"),
    [
        ({}, False),
        ({"kubernetes.io/tls-acme": "true"}, True),
        ({"kubernetes.io/tls-acme": "false"}, False),
    ],
)
def test_who_asks(annotations, made):
    async def go():
        world = await world_with(INGRESSES, ingress(block("web", "a.example"), annotations=annotations))
        assert ("web" in certificates(world)) is made

    run(go())


@pytest.mark.parametrize(
    ("it", "text", "made"),
    [
        (ingress(block("web")), "Skipped a TLS block: spec.tls[0].hosts: Required value", 0),
        (
            ingress(block("", "a"), block("web", "b")),
            "Skipped a TLS block: spec.tls[0].secretName: Required value",
            1,
        ),
        (
            ingress(block("web", "a"), block("web", "b")),
            'spec.tls[0].secretName: Invalid value: "web": this secret name must only appear in a single TLS entry '
            "but is also used in spec.tls[1].secretName",
            0,
        ),
        (
            ingress(block("web", "a"), annotations=CLUSTER | {"cert-manager.io/issuer": "a"}),
            "Could not determine issuer for ingress due to bad annotations: "
            'both "cert-manager.io/issuer" and "cert-manager.io/cluster-issuer" may not be set',
            0,
        ),
        (
            ingress(block("web", "a"), annotations=CLUSTER | {"cert-manager.io/duration": "1m"}),
            'invalid ingress annotation "cert-manager.io/duration": duration must be greater than or equal to 1h0m0s',
            0,
        ),
    ],
)
def test_what_is_wrong_is_told(it, text, made):
    async def go():
        world = await world_with(INGRESSES, it)
        assert ("BadConfig", text) in world.told("shop")
        assert len(certificates(world)) == made

    run(go())


def test_a_gateway_gets_its_certificates():
    async def go():
        it = gateway(
            listener("a", "a.example"),
            listener("b", "*.b.example"),
            listener("other", "c.example", "other", protocol="TLS"),
            listener("through", mode="Passthrough", secret="no"),
            {"name": "http", "port": 80, "protocol": "HTTP"},
            listener("skip", "d.example", "skip"),
            ignore_tls_listeners="x, skip",
        )
        world = await world_with(GATEWAYS, it)
        found = {name: spec["dnsNames"] for name, spec in certificates(world).items()}
        assert found == {"web": ["a.example", "*.b.example"], "other": ["c.example"]}
        assert meta.controller_of(world.client.find(C, "web", "default"))["kind"] == "Gateway"
        assert world.held("web").names.dns == ("a.example", "*.b.example")
        assert [reason for reason, _ in world.told("edge")] == ["CreateCertificate", "CreateCertificate"]

    run(go())


@pytest.mark.parametrize(
    ("bad", "text"),
    [
        (listener("a", ""), "spec.listeners[0].hostname: Required value: the hostname cannot be empty"),
        (
            listener("a", certificateRefs=[]),
            "spec.listeners[0].tls.certificateRef: Required value: listener has no certificateRefs",
        ),
        (
            listener("a", certificateRefs=[{"name": "web", "namespace": "other"}]),
            'spec.listeners[0].tls.certificateRef[0].namespace: Invalid value: "other": '
            "cross-namespace secret references are not allowed in listeners",
        ),
    ],
)
def test_listeners_that_are_left_out(bad, text):
    async def go():
        world = await world_with(GATEWAYS, gateway(bad))
        assert world.told("edge") == [("BadConfig", f"Skipped a listener block: {text}")]
        assert not certificates(world)

    run(go())


def test_tls_acme_is_for_ingresses():
    async def go():
        it = gateway(listener("a"))
        it["metadata"]["annotations"] = {"kubernetes.io/tls-acme": "true"}
        world = await world_with(GATEWAYS, it)
        assert not certificates(world)

    run(go())


def test_issuers():
    assert issuer_of({"kubernetes.io/tls-acme": "true"}) == DEFAULT
    assert issuer_of({"cert-manager.io/issuer": "a"}) == {"name": "a", "kind": "Issuer", "group": "cert-manager.io"}
    external = {
        "cert-manager.io/issuer": "a",
        "cert-manager.io/issuer-kind": "Odd",
        "cert-manager.io/issuer-group": "b",
    }
    assert issuer_of(external) == {"name": "a", "kind": "Odd", "group": "b"}
    with pytest.raises(Unusable):
        issuer_of({"cert-manager.io/cluster-issuer": ""})


@pytest.mark.parametrize(
    ("word", "text", "found"),
    [
        ("common-name", "a.example", {"commonName": "a.example"}),
        ("alt-names", "a,b", {"dnsNames": ["a", "b"]}),
        ("ip-sans", "10.0.0.1, ::1", {"ipAddresses": ["10.0.0.1", "::1"]}),
        ("email-sans", "a@example.com", {"emailAddresses": ["a@example.com"]}),
        ("subject-organizations", 'a,"b, c"', {"subject": {"organizations": ["a", "b, c"]}}),
        ("subject-serialnumber", "1", {"subject": {"serialNumber": "1"}}),
        ("duration", "48h", {"duration": "48h0m0s"}),
        ("renew-before", "90m", {"renewBefore": "1h30m0s"}),
        ("renew-before-percentage", "20", {"renewBeforePercentage": 20}),
        ("usages", "server auth, signing", {"usages": ["server auth", "signing"]}),
        ("revision-history-limit", "3", {"revisionHistoryLimit": 3}),
        ("private-key-algorithm", "ECDSA", {"privateKey": {"algorithm": "ECDSA"}}),
        ("private-key-size", "4096", {"privateKey": {"size": 4096}}),
        ("private-key-rotation-policy", "Never", {"privateKey": {"rotationPolicy": "Never"}}),
        ("secret-template", '{"labels": {"a": "b"}}', {"secretTemplate": {"labels": {"a": "b"}}}),
    ],
)
def test_annotations(word, text, found):
    spec = {}
    translate(spec, {f"cert-manager.io/{word}": text})
    assert spec == found


@pytest.mark.parametrize(
    ("word", "text"),
    [
        ("common-name", "a" * 65),
        ("ip-sans", "x"),
        ("email-sans", "Me <a@b.c>"),
        ("duration", "1 hour"),
        ("renew-before", "1m"),
        ("renew-before-percentage", "x"),
        ("usages", "flying"),
        ("revision-history-limit", "0"),
        ("private-key-algorithm", "DSA"),
        ("private-key-encoding", "DER"),
        ("private-key-size", "512"),
        ("private-key-rotation-policy", "Sometimes"),
        ("secret-template", "{"),
        ("secret-template", '{"data": {}}'),
        ("secret-template", '{"annotations": {"cert-manager.io/a": "b"}}'),
    ],
)
def test_annotations_that_cannot_be(word, text):
    with pytest.raises(Unusable, match=f'invalid ingress annotation "cert-manager.io/{word}": '):
        translate({}, {f"cert-manager.io/{word}": text})
