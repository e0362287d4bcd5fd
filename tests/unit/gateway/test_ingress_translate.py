"""The translator's memory: whatever happened before, the result is that of a fresh one, and what stayed is the same."""

import random
from collections import Counter

import golden
import ingresscases
import pytest

from sampan.api.meta import Key, copy
from sampan.gateway import ingress
from sampan.gateway.ingress import Translator, compile, hosts, translate
from sampan.gateway.types import Resources

INGRESSES = ingresscases.PLURALS["Ingress"]


def changed(resources: Resources, resource: str, **objects: dict | None) -> Resources:
    """Another look, with these objects (by name, in default) as they are now; None is gone."""
    mapping = dict(resources.of(resource))
    for name, obj in objects.items():
        if obj is None:
            mapping.pop(Key("default", name.replace("_", "-")), None)
        else:
            mapping[Key("default", name.replace("_", "-"))] = obj
    return Resources(
        {**resources.objects, resource: mapping}, resources.address, resources.ports, resources.default_certificate
    )


@pytest.mark.parametrize("seed", range(4))
def test_a_memory_changes_nothing(seed: int) -> None:
    """Objects of all golden cases come, go and change in a random order."""
    chance = random.Random(seed)
    cases = golden.cases("ingress")
    entries = [entry for case in cases for entry in case.input if entry["kind"] in ingresscases.PLURALS]
    objects = ingresscases.made(entries).objects
    everything = [(resource, key) for resource, found in objects.items() for key in found]
    there = {resource: dict(found) for resource, found in objects.items()}
    translator = Translator()
    base = ingresscases.made([])
    for _ in range(15):
        for resource, key in chance.sample(everything, 5):
            if key in there[resource] and chance.random() < 0.7:
                del there[resource][key]
            else:
                there[resource][key] = copy(objects[resource][key])
        now = {resource: dict(found) for resource, found in there.items()}
        resources = Resources(now, base.address, base.ports, base.default_certificate)
        assert translator.translate(resources) == translate(resources), f"seed {seed}"


def test_what_did_not_change_stays_the_same_object() -> None:
    entries = [{"kind": "Service", "name": "web"}]
    entries += [{"kind": "Ingress", "name": f"i{n}", "rules": [f"h{n}.x / Prefix web:80"]} for n in range(3)]
    resources = ingresscases.made(entries)
    translator = Translator()
    before = translator.translate(resources)
    other = copy(resources.of(INGRESSES)[Key("default", "i1")])
    other["spec"]["rules"][0]["http"]["paths"][0]["path"] = "/new"
    after = translator.translate(changed(resources, INGRESSES, i1=other))
    hosts = [{h.name: h for h in r.tables["ingress"].hosts} for r in (before, after)]
    same = [name for name in hosts[0] if hosts[0][name] is hosts[1][name]]
    assert same == ["ingress h0.x", "ingress h2.x"]
    assert translator.translate(changed(resources, INGRESSES)) == before


def test_a_service_that_comes_and_goes() -> None:
    entries = [{"kind": "Ingress", "name": "i", "rules": ["h.x / Prefix web:80"]}]
    resources = ingresscases.made(entries)
    translator = Translator()
    service = ingresscases.made([{"kind": "Service", "name": "web"}]).of("services")[Key("default", "web")]
    missing = translator.translate(resources)
    assert [n.reason for n in missing.notices] == ["Sync", "BackendNotFound"]
    there = translator.translate(changed(resources, "services", web=service))
    assert [n.reason for n in there.notices] == ["Sync"]
    assert list(there.clusters) == ["ingress/default/web/80"]
    assert translator.translate(resources) == missing


def test_no_address_yet_and_no_ports() -> None:
    entries = [{"kind": "Ingress", "name": "i", "rules": ["h.x / Prefix web:80"]}]
    full = ingresscases.made(entries)
    bare = translate(Resources(full.objects))
    assert bare.listeners == {}
    assert list(bare.statuses.values()) == [{"loadBalancer": {}}]
    assert list(translate(full).statuses.values()) == [{"loadBalancer": {"ingress": [{"ip": "172.30.0.128"}]}}]
    assert translate(Resources({})).tables == {}


def test_a_change_costs_what_it_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of many Ingresses one is compiled again and one host put together; for a new status nothing at all."""
    work = Counter()

    def counted(module, name):
        real = getattr(module, name)

        def count(*args):
            work[name] += 1
            return real(*args)

        monkeypatch.setattr(module, name, count)

    counted(ingress, "compiled")
    counted(hosts, "host")
    entries = [{"kind": "Service", "name": f"s{n}"} for n in range(10)]
    entries += [{"kind": "Ingress", "name": f"i{n}", "rules": [f"h{n}.x /a Prefix s{n % 10}:80"]} for n in range(500)]
    resources = ingresscases.made(entries)
    translator = Translator()
    translator.translate(resources)
    assert work == {"compiled": 500, "host": 500}
    work.clear()
    other = copy(resources.of(INGRESSES)[Key("default", "i7")])
    other["spec"]["rules"][0]["http"]["paths"][0]["path"] = "/b"
    resources = changed(resources, INGRESSES, i7=other)
    result = translator.translate(resources)
    assert work == {"compiled": 1, "host": 1}
    work.clear()
    written = other | {"status": {"loadBalancer": {"ingress": [{"ip": "172.30.0.128"}]}}}
    assert translator.translate(changed(resources, INGRESSES, i7=written)) is result
    assert not work


def test_a_fault_of_ours_is_said_on_the_ingress_that_shows_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The others are served, and it is again once it is another."""
    real = compile.behavior

    def faulty(read, look, namespace, name, extras):
        if name == "odd" and "app-root" in read.values:
            raise ZeroDivisionError("nobody thought of it")
        return real(read, look, namespace, name, extras)

    monkeypatch.setattr(compile, "behavior", faulty)
    odd = {
        "kind": "Ingress",
        "name": "odd",
        "rules": ["odd.example / Prefix web:80"],
        "annotations": {"app-root": "/a"},
    }
    good = {"kind": "Ingress", "name": "good", "rules": ["good.example / Prefix web:80"]}
    resources = ingresscases.made([{"kind": "Service", "name": "web"}, odd, good])
    translator = Translator()
    result = translator.translate(resources)
    assert [host.domains for host in result.tables["ingress"].hosts] == [("good.example",)]
    (told,) = [notice for notice in result.notices if notice.reason == "InternalError"]
    assert told.about.name == "odd"
    assert "nobody thought of it" in told.message
    mended = copy(resources.of(INGRESSES)[Key("default", "odd")])
    mended["metadata"]["annotations"] = {}
    result = translator.translate(changed(resources, INGRESSES, odd=mended))
    assert [host.domains for host in result.tables["ingress"].hosts] == [("good.example",), ("odd.example",)]
