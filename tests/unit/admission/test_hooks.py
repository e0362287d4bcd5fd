"""Webhooks and policies: who is asked, what an answer changes, what a failure means."""

import asyncio
import base64
import json
import random
from ipaddress import IPv4Network

import pytest

from sampan.api.kinds import SCHEME
from sampan.api.status import ApiError
from sampan.base.clock import FakeClock
from sampan.server import bootstrap
from sampan.server.admission import Attributes
from sampan.server.allocators import Services
from sampan.server.hooks.constructors import as_maps
from sampan.server.hooks.hooks import Hooks
from sampan.server.hooks.matching import review_request, rules_match
from sampan.server.registry import Registry
from sampan.server.types import Deletion, Options
from sampan.server.webhook_client import WebhookClient, WebhookError
from sampan.store.memory import MemoryStore

GROUP = "admissionregistration.k8s.io"
DEPLOYMENTS = SCHEME.by_id["deployments.apps"]
MAPS = {"apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"], "operations": ["*"]}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, True),
        ({"operations": ["DELETE"]}, False),
        ({"operations": ["*"]}, True),
        ({"apiGroups": [""]}, False),
        ({"apiVersions": ["v2"]}, False),
        ({"resources": ["*"]}, True),
        ({"resources": ["*/*"]}, True),
        ({"resources": ["deployments/*"]}, True),
        ({"resources": ["deployments/scale"]}, False),
        ({"scope": "Cluster"}, False),
        ({"scope": "Namespaced"}, True),
    ],
)
def test_rules(change, expected):
    rule = {"apiGroups": ["apps"], "apiVersions": ["v1"], "resources": ["deployments"], "operations": ["CREATE"]}
    assert rules_match([rule | change], DEPLOYMENTS, "", "CREATE", ["v1"]) is expected


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("Object{spec: Object.spec{replicas: 3}}", '{"spec": {"replicas": 3}}'),
        ('[JSONPatch{op: "add", path: "/a", value: x ? b : c}]', '[{"op": "add", "path": "/a", "value": x ? b : c}]'),
        ("{'Object{a: 1}': object.a}", "{'Object{a: 1}': object.a}"),
        ("Object.spec.containers{name: f(a, b)}", '{"name": f(a, b)}'),
        ("'/a/' + jsonpatch.escapeKey(k)", """'/a/' + ((k).replace("~", "~0").replace("/", "~1"))"""),
    ],
)
def test_constructors_become_maps(given, expected):
    assert as_maps(given) == expected


def world(work, answers=None):
    """A registry whose webhooks are answered by `answers(url, request)`."""

    async def main():
        chance = random.Random(1)
        services = Services(IPv4Network("10.96.0.0/16"), (30000, 32767), chance)
        registry = Registry(SCHEME, MemoryStore(), FakeClock(), services, chance)
        hooks = Hooks(registry)
        asked = []

        async def post(config, body, timeout):
            request = body["request"]
            asked.append((config["url"], request))
            found = answers(config["url"], request)
            if isinstance(found, Exception):
                raise found
            return {"response": {"uid": request["uid"], "allowed": True, **found}}

        hooks.client.post = post
        registry.hooks = hooks
        await bootstrap.run(registry, services, "172.30.0.1", 6443)
        return await work(registry, asked)

    return asyncio.run(main())


def hook(name="a.b.c", **more):
    return {
        "name": name,
        "clientConfig": {"url": f"https://{name}/"},
        "rules": [MAPS],
        "admissionReviewVersions": ["v1"],
        "sideEffects": "None",
        **more,
    }


async def configure(registry, kind, *webhooks):
    await registry.create(
        f"{kind.lower()}webhookconfigurations.{GROUP}", {"metadata": {"name": "x"}, "webhooks": list(webhooks)}
    )


def config_map(name="m", **more):
    return {"metadata": {"name": name, "namespace": "default"}, **more}


def patch(*operations):
    return {"patchType": "JSONPatch", "patch": base64.b64encode(json.dumps(operations).encode()).decode()}


def test_nothing_is_asked_before_somebody_cares():
    async def work(registry, asked):
        assert registry.hooks.plan(DEPLOYMENTS, "", "CREATE") is None
        await configure(registry, "Validating", hook())
        assert registry.hooks.plan(DEPLOYMENTS, "", "CREATE") is None
        await registry.create("configmaps", config_map())
        await registry.patch("configmaps", "m", "default", {"data": {"a": "1"}})
        await registry.delete("configmaps", "m", "default")
        assert [r["operation"] for _, r in asked] == ["CREATE", "UPDATE", "DELETE"]
        assert asked[2][1]["object"] is None
        assert asked[2][1]["oldObject"]["data"] == {"a": "1"}
        await registry.delete(f"validatingwebhookconfigurations.{GROUP}", "x")
        await registry.create("configmaps", config_map())
        assert len(asked) == 3

    world(work, lambda url, request: {})


def test_a_refusal_has_the_webhooks_words():
    async def work(registry, asked):
        await configure(registry, "Validating", hook())
        with pytest.raises(ApiError) as refused:
            await registry.create("configmaps", config_map())
        assert refused.value.message == 'admission webhook "a.b.c" denied the request: no'
        assert refused.value.code == 403
        assert registry.lookup("configmaps", "m", "default") is None

    world(work, lambda url, request: {"allowed": False, "status": {"message": "no", "code": 403}})


def test_mutating_webhooks_in_turn_and_again_when_needed():
    def answers(url, request):
        count = len(request["object"].get("data") or {})
        value = {**(request["object"].get("data") or {}), f"k{count}": url[8:9]}
        return patch({"op": "add", "path": "/data", "value": value})

    async def work(registry, asked):
        first, second = hook("a.b.c", reinvocationPolicy="IfNeeded"), hook("b.b.c")
        await configure(registry, "Mutating", first, second)
        held = await registry.create("configmaps", config_map())
        assert held.obj["data"] == {"k0": "a", "k1": "b", "k2": "a"}

    world(work, answers)


def test_failures():
    async def work(registry, asked):
        await configure(registry, "Validating", hook())
        with pytest.raises(ApiError) as failed:
            await registry.create("configmaps", config_map())
        assert failed.value.message == 'Internal error occurred: failed calling webhook "a.b.c": it is away'
        await registry.patch(
            f"validatingwebhookconfigurations.{GROUP}", "x", "", {"webhooks": [hook(failurePolicy="Ignore")]}
        )
        await registry.create("configmaps", config_map())

    world(work, lambda url, request: WebhookError("it is away"))


def test_dry_run_selectors_and_conditions():
    async def work(registry, asked):
        only = {"objectSelector": {"matchLabels": {"a": "1"}}}
        await configure(
            registry,
            "Validating",
            hook("a.b.c", sideEffects="NoneOnDryRun", **only),
            hook("b.b.c", namespaceSelector={"matchLabels": {"kubernetes.io/metadata.name": "other"}}),
            hook("c.b.c", matchConditions=[{"name": "n", "expression": "object.metadata.name == 'm'"}]),
        )
        await registry.create("configmaps", config_map(), options=Options(dry_run=True))
        assert [url for url, _ in asked] == ["https://c.b.c/"]
        assert asked[0][1]["dryRun"] is True
        labelled = {"name": "l", "namespace": "default", "labels": {"a": "1"}}
        await registry.create("configmaps", {"metadata": labelled})
        await registry.delete("configmaps", "l", "default", Deletion())
        assert [url for url, _ in asked][1:] == ["https://a.b.c/"]  # the condition has no object in a delete

    with pytest.raises(ApiError, match=r'failed calling webhook "c\.b\.c": match condition'):
        world(work, lambda url, request: {})


def test_where_a_service_is():
    service = {"spec": {"clusterIP": "10.96.0.9", "ports": [{"port": 443}]}}
    client = WebhookClient(lambda resource, name, namespace: service if name == "hook" else None)
    found = client._target({"service": {"name": "hook", "namespace": "ns", "path": "/v"}})
    assert found == ("https://hook.ns.svc:443", "/v", "10.96.0.9")
    for bad, text in (
        ({"name": "no", "namespace": "ns"}, "not found"),
        ({"name": "hook", "namespace": "ns", "port": 8}, "no service port 8"),
    ):
        with pytest.raises(WebhookError, match=text):
            client._target({"service": bad})


def policy(*validations, **more):
    return {
        "metadata": {"name": "p"},
        "spec": {"matchConstraints": {"resourceRules": [MAPS]}, "validations": list(validations), **more},
    }


def bound(*actions, **more):
    return {"metadata": {"name": "b"}, "spec": {"policyName": "p", "validationActions": list(actions), **more}}


async def enforce(registry, given, binding):
    await registry.create(f"validatingadmissionpolicies.{GROUP}", given)
    await registry.create(f"validatingadmissionpolicybindings.{GROUP}", binding)


def test_a_policy_denies():
    async def work(registry, asked):
        checks = (
            {"expression": "object.data.size() < 2"},
            {"expression": "!('x' in object.data)", "message": "no x", "reason": "Forbidden"},
        )
        await enforce(registry, policy(*checks), bound("Deny"))
        await registry.create("configmaps", config_map(data={"a": "1"}))
        with pytest.raises(ApiError) as refused:
            await registry.create("configmaps", config_map("n", data={"a": "1", "b": "2"}))
        text = (
            "ValidatingAdmissionPolicy 'p' with binding 'b' denied request: failed expression: object.data.size() < 2"
        )
        assert refused.value.message == f'configmaps "n" is forbidden: {text}'
        assert (refused.value.code, refused.value.reason) == (422, "Invalid")
        with pytest.raises(ApiError, match="denied request: no x") as refused:
            await registry.create("configmaps", config_map("n", data={"x": "1"}))
        assert refused.value.code == 403
        with pytest.raises(ApiError, match="resulted in error: no such key: data"):
            await registry.create("configmaps", config_map("n"))

    world(work)


def test_a_policy_warns_and_forgives():
    async def work(registry, asked):
        await enforce(registry, policy({"expression": "object.data.a == '1'"}, failurePolicy="Ignore"), bound("Warn"))
        options = Options()
        await registry.create("configmaps", config_map(data={"a": "2"}), options=options)
        text = "Validation failed for ValidatingAdmissionPolicy 'p' with binding 'b': failed expression: object.data.a == '1'"
        assert options.warnings == [text]
        options = Options()
        await registry.create("configmaps", config_map("n"), options=options)
        assert options.warnings == []

    world(work)


def test_a_wrong_expression_is_refused_when_it_is_written():
    async def work(registry, asked):
        with pytest.raises(ApiError, match=r"spec.validations\[0\].expression: Invalid value: .*compilation failed"):
            await registry.create(f"validatingadmissionpolicies.{GROUP}", policy({"expression": "object."}))

    world(work)


def test_subresources_show_their_own_kind():
    def ask():
        pod = {"metadata": {"name": "p", "namespace": "default"}}
        sent = {"apiVersion": "policy/v1", "kind": "Eviction", **pod}
        return Attributes("CREATE", SCHEME.by_id["pods"], "default", "p", sent, None, lambda *_: None, "eviction")

    seen = review_request(ask(), "u")
    assert seen["kind"] == {"group": "policy", "version": "v1", "kind": "Eviction"}
    assert seen["resource"] == {"group": "", "version": "v1", "resource": "pods"}
    assert seen["subResource"] == "eviction"


def test_a_container_that_a_webhook_adds_gets_the_token_too():
    sidecar = patch({"op": "add", "path": "/spec/containers/-", "value": {"name": "side", "image": "s"}})

    async def work(registry, asked):
        quota = {"metadata": {"name": "q", "namespace": "default"}, "spec": {"hard": {"pods": "1"}}}
        await registry.create("resourcequotas", quota)
        await configure(registry, "Mutating", hook(rules=[{**MAPS, "resources": ["pods"]}]))
        pod = {"metadata": {"name": "p", "namespace": "default"}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
        held = await registry.create("pods", pod)
        mounts = [c["volumeMounts"] for c in held.obj["spec"]["containers"]]
        assert len(mounts) == 2
        assert mounts[0] == mounts[1]
        assert len(held.obj["spec"]["volumes"]) == 1

    world(work, lambda url, request: sidecar)
