"""What the translator remembers never shows in its results, only in the time it takes."""

import random

import gatewaycases
import pytest

from sampan.api import meta
from sampan.api.meta import Key
from sampan.gateway.gatewayapi import Translator, translate
from sampan.gateway.gatewayapi.memo import Memo
from sampan.gateway.gatewayapi.names import GATEWAYS, GRANTS, GROUP, POLICIES
from sampan.gateway.types import Resources

ROUTES = f"httproutes.{GROUP}"


def cluster(count):
    entries = [
        {"kind": "Gateway", "name": "front", "listeners": [{"name": "http", "port": 80, "protocol": "HTTP"}]},
        {"kind": "HTTPRoute", "name": "all", "to": ["front"], "rules": [{"backendRefs": [{"name": "s0", "port": 80}]}]},
        *({"kind": "Service", "name": f"s{i}"} for i in range(count // 2)),
    ]
    for i in range(count):
        rule = {"matches": [{"path": {"value": f"/{i}"}}], "backendRefs": [{"name": f"s{i // 2}", "port": 80}]}
        entries.append(
            {
                "kind": "HTTPRoute",
                "name": f"r{i}",
                "to": ["front"],
                "hostnames": [f"h{i % 999}.example"],
                "rules": [rule],
            }
        )
    return gatewaycases.made(entries, checked=False)


def changed(resources, resource, key, change):
    """The same cluster with one object changed; `change` gets a copy, None of it deletes."""
    obj = meta.copy(resources.objects[resource][key])
    kept = dict(resources.objects[resource])
    if change is None:
        del kept[key]
    else:
        change(obj)
        if "generation" in obj["metadata"]:
            obj["metadata"]["generation"] += 1
        kept[key] = obj
    return Resources({**resources.objects, resource: kept}, ports=resources.ports)


def test_one_change_among_many_costs_little_and_leaves_the_rest_the_same(monkeypatch):
    made = []
    keep = Memo.keep
    monkeypatch.setattr(Memo, "keep", lambda memo, name, *rest: made.append(name) or keep(memo, name, *rest))
    resources = cluster(300)
    it = Translator()
    first = it.translate(resources)
    assert len(made) > 300
    made.clear()
    it.translate(resources)
    assert not made

    def other_path(obj):
        obj["spec"]["rules"][0]["matches"][0]["path"]["value"] = "/new"

    after = changed(resources, ROUTES, Key("default", "r7"), other_path)
    second = it.translate(after)
    assert 0 < len(made) < 10, made
    assert second == translate(after)
    (name,) = first.tables
    before = {host.name: host for host in first.tables[name].hosts}
    assert [host.name for host in second.tables[name].hosts if host is not before[host.name]] == ["h7.example"]
    assert second.listeners[name] is first.listeners[name]


def test_a_status_that_was_written_makes_nothing_anew():
    resources = cluster(50)
    it = Translator()
    first = it.translate(resources)

    def written(obj):
        obj["status"] = {"parents": []}
        obj["metadata"]["generation"] -= 1  # a status is no new generation

    second = it.translate(changed(resources, ROUTES, Key("default", "r7"), written))
    third = it.translate(changed(resources, GATEWAYS, Key("default", "front"), written))
    for later in (second, third):
        assert all(later.tables[name] is table for name, table in first.tables.items())
        assert all(later.clusters[name] is one for name, one in first.clusters.items())


CHANGES = {
    ROUTES: [
        lambda o: o["spec"].update(hostnames=["x.example", "*.example"]),
        lambda o: o["spec"].update(parentRefs=[]),
        lambda o: o["spec"]["rules"][0].update(backendRefs=[{"name": "far", "namespace": "other", "port": 80}]),
        lambda o: o["spec"]["rules"][0].update(
            filters=[{"type": "ExtensionRef", "extensionRef": {"kind": "A", "name": "b"}}]
        ),
        lambda o: o.update(
            status={"parents": [{"controllerName": "x/y", "parentRef": {"name": "z"}, "conditions": []}]}
        ),
        None,
    ],
    "services": [
        lambda o: o["spec"]["ports"][0].update(appProtocol="kubernetes.io/h2c"),
        lambda o: o["spec"]["ports"][0].update(port=81),
        None,
    ],
    GATEWAYS: [
        lambda o: o["spec"]["listeners"].append(
            {"name": "b", "port": 80, "protocol": "HTTP", "hostname": "h1.example"}
        ),
        lambda o: o["spec"].update(gatewayClassName="theirs"),
        lambda o: o["spec"]["listeners"][0].update(protocol="TCP"),
    ],
    GRANTS: [None, lambda o: o["spec"]["to"][0].update(name="near")],
    POLICIES: [None, lambda o: o["spec"]["validation"].update(hostname="new.example")],
    "configmaps": [None, lambda o: o["data"].update({"ca.crt": "broken"})],
    "secrets": [None, lambda o: o["data"].update({"tls.crt": ""})],
    "namespaces": [lambda o: o["metadata"].update(labels={"let": "in"})],
}


def varied():
    gateway = {
        "kind": "Gateway",
        "name": "front",
        "allowedListeners": {"namespaces": {"from": "All"}},
        "listeners": [
            {"name": "http", "port": 80, "protocol": "HTTP", "allowedRoutes": {"namespaces": {"from": "All"}}},
            {"name": "tls", "port": 443, "protocol": "HTTPS", "tls": {"certificateRefs": [{"name": "cert"}]}},
        ],
    }
    selector = {"from": "Selector", "selector": {"matchLabels": {"let": "in"}}}
    inside = {"name": "more", "port": 81, "protocol": "HTTP", "allowedRoutes": {"namespaces": selector}}
    validation = {"hostname": "a.example", "caCertificateRefs": [{"group": "", "kind": "ConfigMap", "name": "ca"}]}
    ref = {"name": "far", "namespace": "other", "port": 80}
    return gatewaycases.made(
        [
            gateway,
            {"kind": "ListenerSet", "name": "more", "parentRef": {"name": "front"}, "listeners": [inside]},
            {"kind": "Secret", "name": "cert", "tls": "a.example"},
            {"kind": "ConfigMap", "name": "ca", "ca": "a"},
            *({"kind": "Service", "name": f"s{i}"} for i in range(4)),
            {"kind": "Service", "name": "far", "namespace": "other"},
            {
                "kind": "ReferenceGrant",
                "name": "far",
                "namespace": "other",
                "version": "v1beta1",
                "from": [{"group": GROUP, "kind": "HTTPRoute", "namespace": "default"}],
                "to": [{"group": "", "kind": "Service"}],
            },
            {
                "kind": "BackendTLSPolicy",
                "name": "p",
                "targetRefs": [{"group": "", "kind": "Service", "name": "s1"}],
                "validation": validation,
            },
            *(
                {
                    "kind": "HTTPRoute",
                    "name": f"r{i}",
                    "to": ["front", {"kind": "ListenerSet", "name": "more"}],
                    "hostnames": [f"h{i}.example"],
                    "rules": [{"backendRefs": [{"name": f"s{i}", "port": 80}]}],
                }
                for i in range(4)
            ),
            {"kind": "HTTPRoute", "name": "far", "to": ["front"], "rules": [{"backendRefs": [ref]}]},
        ]
    )


@pytest.mark.parametrize("seed", range(20))
def test_any_order_of_changes_gives_what_a_fresh_translation_gives(seed):
    chance = random.Random(seed)
    it, resources = Translator(), varied()
    assert it.translate(resources) == translate(resources)
    for step in range(30):
        resource = chance.choice(list(CHANGES))
        objects = resources.of(resource)
        if not objects:
            continue
        change = chance.choice(CHANGES[resource])
        resources = changed(resources, resource, chance.choice(sorted(objects)), change)
        assert it.translate(resources) == translate(resources), (seed, step, resource)
