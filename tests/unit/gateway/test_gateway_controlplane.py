"""The loop around the translators: asleep until somebody has an Ingress; one bad object is told and harms nobody."""

import asyncio

from fake_client import FakeClient

from sampan.base.clock import SystemClock
from sampan.gateway.controlplane import ControlPlane
from sampan.gateway.deployment import KIND, NAME, NAMESPACE, Edge
from sampan.gateway.ingress import hosts as ingress_hosts
from sampan.ir import Origin, Secret

INGRESSES = "ingresses.networking.k8s.io"
EDGE = Edge("172.30.0.1:15012", b"crt", b"ca", "/var/x", (80, 443), "node-0", "/usr/bin/python3", b"key")
CLASS = {"metadata": {"name": "nginx"}, "spec": {"controller": "k8s.io/ingress-nginx"}}


def service(name):
    return {"metadata": {"name": name, "namespace": "d"}, "spec": {"type": "ClusterIP", "ports": [{"port": 80}]}}


def ingress(name, host, backend="web", **annotations):
    path = {"path": "/", "pathType": "Prefix", "backend": {"service": {"name": backend, "port": {"number": 80}}}}
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": {
            "name": name,
            "namespace": "d",
            "annotations": {f"nginx.ingress.kubernetes.io/{k.replace('_', '-')}": v for k, v in annotations.items()},
        },
        "spec": {"ingressClassName": "nginx", "rules": [{"host": host, "http": {"paths": [path]}}]},
    }


async def until(check):
    async with asyncio.timeout(20):
        while not (found := check()):
            await asyncio.sleep(0.01)
    return found


def run(story):
    async def main():
        client = FakeClient()
        await client.create("ingressclasses.networking.k8s.io", CLASS)
        await client.create("services", service("web"))
        control = ControlPlane(client, SystemClock(), EDGE, Secret("ingress/default-certificate", b"c", b"k"))
        control.start(())
        try:
            await story(client, control)
        finally:
            await control.stop()

    asyncio.run(main())


def hosts(control):
    tables = control.proxy.value.tables.values()
    return {domain for table in tables for host in table.hosts for domain in host.domains}


def told(client, name):
    return [
        e["message"] for e in client.all("events") if e["involvedObject"]["name"] == name and e["type"] == "Warning"
    ]


def test_nothing_is_made_until_there_is_an_ingress_of_ours():
    async def story(client, control):
        await asyncio.wait_for(control.decided.wait(), 20)
        assert not control.needed.is_set()
        assert client.find("deployments.apps", NAME, NAMESPACE) is None
        await client.create(INGRESSES, ingress("web", "web.example.com"))
        await until(lambda: "web.example.com" in hosts(control))
        made = await until(lambda: client.find("deployments.apps", NAME, NAMESPACE))
        args = made["spec"]["template"]["spec"]["containers"][0]["args"]
        assert f"--kind={KIND}" in args
        assert "--server=172.30.0.1:15012" in args
        assert client.find("services", NAME, NAMESPACE)["spec"]["type"] == "LoadBalancer"

    run(story)


def test_a_wrong_ingress_is_told_and_the_others_are_served():
    async def story(client, control):
        await client.create(INGRESSES, ingress("bad", "bad.example.com", server_snippet="x"))
        await client.create(INGRESSES, ingress("good", "good.example.com"))
        await until(lambda: "good.example.com" in hosts(control))
        (message,) = await until(lambda: told(client, "bad"))
        assert "server-snippet" in message
        assert told(client, "good") == []

    run(story)


def test_a_translation_that_failed_is_forgotten(monkeypatch):
    """Nothing is lost of what had changed until then."""
    real, failed = ingress_hosts.host, []

    def faulty(name, *args):
        if name == "one.example.com" and not failed:
            failed.append(name)
            raise ZeroDivisionError("nobody thought of it")
        return real(name, *args)

    monkeypatch.setattr(ingress_hosts, "host", faulty)

    async def story(client, control):
        await client.create(INGRESSES, ingress("one", "one.example.com"))
        await until(lambda: failed)
        await client.create(INGRESSES, ingress("two", "two.example.com"))
        await until(lambda: {"one.example.com", "two.example.com"} <= hosts(control))

    run(story)


def test_what_envoy_refuses_is_said_on_the_object_it_was_made_of():
    async def story(client, control):
        await client.create(INGRESSES, ingress("web", "web.example.com"))
        await until(lambda: "web.example.com" in hosts(control))
        control.refused([Origin(INGRESSES, "d", "web", "spec.rules[0]")], "no such thing")
        (message,) = await until(lambda: told(client, "web"))
        assert message == "Envoy refuses what is made of this and keeps what it had before: no such thing"

    run(story)


def test_a_deployment_that_somebody_deleted_comes_back():
    async def story(client, control):
        await client.create(INGRESSES, ingress("web", "web.example.com"))
        await until(lambda: client.find("deployments.apps", NAME, NAMESPACE))
        await client.delete("deployments.apps", NAME, NAMESPACE)
        await until(lambda: client.find("deployments.apps", NAME, NAMESPACE))

    run(story)
