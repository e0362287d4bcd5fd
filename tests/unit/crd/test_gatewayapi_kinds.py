"""Gateway API's kinds: what is accepted with which defaults, and what is refused with which words."""

import asyncio
import random
from ipaddress import IPv4Network

import pytest
import yaml

from sampan.api.kinds import SCHEME
from sampan.api.status import ApiError
from sampan.base.clock import FakeClock
from sampan.server import builtin as server_side
from sampan.server.allocators import Services
from sampan.server.customresources import CustomResources
from sampan.server.registry import Registry
from sampan.store.memory import MemoryStore

GROUP = "gateway.networking.k8s.io"


@pytest.fixture(scope="module")
def registry():
    chance = random.Random(1)
    services = Services(IPv4Network("10.96.0.0/16"), (30000, 32767), chance)
    made = Registry(SCHEME.live(), MemoryStore(), FakeClock(), services, chance)
    asyncio.run(server_side.ensure(made, chance))
    asyncio.run(made.create("namespaces", {"metadata": {"name": "default"}}))
    CustomResources(made).load()
    return made


def create(registry, kind, spec, version="v1"):
    names = {"GatewayClass": "gatewayclasses", "BackendTLSPolicy": "backendtlspolicies"}
    plural = names.get(kind, f"{kind.lower()}s")
    metadata = {"generateName": "a-"} | ({} if kind == "GatewayClass" else {"namespace": "default"})
    obj = {"apiVersion": f"{GROUP}/{version}", "kind": kind, "metadata": metadata, "spec": yaml.safe_load(spec)}
    stored = {"ReferenceGrant": "v1beta1"}.get(kind, "v1")
    resource = f"{plural}.{GROUP}" if version == stored else f"{plural}.{version}.{GROUP}"
    return asyncio.run(registry.create(resource, obj)).obj


def test_a_route_gets_its_defaults(registry):
    made = create(registry, "HTTPRoute", "{parentRefs: [{name: gw}], rules: [{backendRefs: [{name: web, port: 80}]}]}")
    assert made["spec"]["parentRefs"] == [{"group": GROUP, "kind": "Gateway", "name": "gw"}]
    (rule,) = made["spec"]["rules"]
    assert rule["matches"] == [{"path": {"type": "PathPrefix", "value": "/"}}]
    assert rule["backendRefs"] == [{"group": "", "kind": "Service", "name": "web", "port": 80, "weight": 1}]
    empty = create(registry, "HTTPRoute", "{}")
    assert empty["spec"]["rules"] == [{"matches": [{"path": {"type": "PathPrefix", "value": "/"}}]}]


def test_a_gateway_waits_for_a_controller(registry):
    made = create(registry, "Gateway", "{gatewayClassName: sampan, listeners: [{name: a, port: 80, protocol: HTTP}]}")
    assert [(c["type"], c["status"], c["reason"]) for c in made["status"]["conditions"]] == [
        ("Accepted", "Unknown", "Pending"),
        ("Programmed", "Unknown", "Pending"),
    ]
    assert made["spec"]["listeners"][0]["allowedRoutes"] == {"namespaces": {"from": "Same"}}


GATEWAY = "{{gatewayClassName: sampan, listeners: [{}]}}"
HTTP = "{name: a, port: 80, protocol: HTTP}"


def gateway(more):
    return f"{{gatewayClassName: sampan, listeners: [{HTTP}], {more}}}"


RULE = "{{rules: [{}]}}"
BACKENDS = "backendRefs: [{name: web, port: 80}]"
REDIRECT = "{type: RequestRedirect, requestRedirect: {path: {type: ReplacePrefixMatch, replacePrefixMatch: /}}}"
REWRITE = "{type: URLRewrite, urlRewrite: {path: {type: ReplacePrefixMatch, replacePrefixMatch: /}}}"
POLICY = "{{targetRefs: [{}], validation: {{hostname: a.example, {}}}}}"
TARGET = "{group: '', kind: Service, name: web}"

ACCEPTED = [
    ("Gateway", GATEWAY.format(f"{HTTP}, {{name: b, port: 80, protocol: HTTP, hostname: '*.a.example'}}")),
    ("Gateway", GATEWAY.format("{name: a, port: 1, protocol: example.com/QUIC}")),
    ("Gateway", GATEWAY.format("{name: a, port: 443, protocol: HTTPS, tls: {options: {example.com/cert: x}}}")),
    ("Gateway", GATEWAY.format("{name: a, port: 443, protocol: TLS, tls: {mode: Passthrough}}")),
    (
        "Gateway",
        gateway("addresses: [{}, {}, {type: Hostname, value: a.example}]"),
    ),
    ("HTTPRoute", "{parentRefs: [{name: a, port: 80}, {name: a, port: 81}, {name: a, namespace: b}]}"),
    ("HTTPRoute", RULE.format(f"{{matches: [{{path: {{value: /x}}}}], filters: [{REWRITE}], {BACKENDS}}}")),
    ("HTTPRoute", RULE.format("{matches: [{path: {type: RegularExpression, value: 'a//b'}}]}")),
    ("HTTPRoute", RULE.format("{timeouts: {request: 0s, backendRequest: 5s}}")),
    ("HTTPRoute", RULE.format("{sessionPersistence: {cookieConfig: {}}}")),
    ("GRPCRoute", "{}"),
    ("GRPCRoute", RULE.format("{matches: [{method: {service: a.B, method: c}}, {headers: [{name: a, value: b}]}]}")),
    ("GRPCRoute", RULE.format("{matches: [{method: {type: RegularExpression, service: '[a-z]+'}}]}")),
    ("TLSRoute", f"{{hostnames: [a.example], rules: [{{{BACKENDS}}}]}}"),
    ("TCPRoute", RULE.format(f"{{{BACKENDS}}}")),
    ("UDPRoute", RULE.format(f"{{{BACKENDS}}}")),
    ("ListenerSet", f"{{parentRef: {{name: a}}, listeners: [{HTTP}]}}"),
    ("ReferenceGrant", "{from: [{group: '', kind: A, namespace: b}], to: [{group: '', kind: Secret}]}"),
    ("BackendTLSPolicy", POLICY.format(TARGET, "wellKnownCACertificates: System")),
    ("GatewayClass", "{controllerName: example.com/controller}"),
]


@pytest.mark.parametrize(("kind", "spec"), ACCEPTED)
def test_accepted(registry, kind, spec):
    assert create(registry, kind, spec)["metadata"]["uid"]


REFUSED = [
    ("Gateway", GATEWAY.format(""), "spec.listeners in body should have at least 1 items"),
    ("Gateway", GATEWAY.format("{name: a, port: 80, protocol: HTTP, tls: {mode: Passthrough}}"), "have no tls"),
    ("Gateway", GATEWAY.format("{name: a, port: 80, protocol: HTTPS, tls: {mode: Passthrough}}"), "is Terminate"),
    ("Gateway", GATEWAY.format("{name: a, port: 80, protocol: HTTPS, tls: {}}"), "certificateRefs or options"),
    ("Gateway", GATEWAY.format("{name: a, port: 80, protocol: TLS}"), "needs tls.mode"),
    ("Gateway", GATEWAY.format("{name: a, port: 80, protocol: TCP, hostname: a.b}"), "no hostname"),
    ("Gateway", GATEWAY.format(f"{HTTP}, {{name: b, port: 80, protocol: HTTP}}"), "must differ in port"),
    ("Gateway", GATEWAY.format(f"{HTTP}, {{name: a, port: 81, protocol: HTTP}}"), "Duplicate value"),
    ("Gateway", GATEWAY.format("{name: a, port: 0, protocol: HTTP}"), "greater than or equal to 1"),
    ("Gateway", GATEWAY.format("{name: a, port: 80, protocol: HTTP, hostname: 1..2}"), "should match"),
    (
        "Gateway",
        gateway("addresses: [{value: 1.2.3.4}, {value: 1.2.3.4}]"),
        "addresses must be unique",
    ),
    ("Gateway", gateway("addresses: [{value: 1.2.3}]"), "not an IP address"),
    (
        "Gateway",
        gateway("addresses: [{type: Hostname, value: 'a_b'}]"),
        "not a host name",
    ),
    (
        "Gateway",
        gateway("infrastructure: {labels: {'a/b/c': d}}"),
        "a key is a name",
    ),
    ("HTTPRoute", "{parentRefs: [{name: a}, {name: a, port: 81}]}", "all need a sectionName"),
    ("HTTPRoute", "{parentRefs: [{name: a, port: 81}, {name: a, port: 81}]}", "must differ in sectionName or port"),
    ("HTTPRoute", "{hostnames: [a.example, 'b.*.c']}", "should match"),
    ("HTTPRoute", RULE.format("{matches: [{path: {value: x}}]}"), "a leading / is needed"),
    ("HTTPRoute", RULE.format("{matches: [{path: {value: /a//b}}]}"), "// is not allowed"),
    ("HTTPRoute", RULE.format("{matches: [{path: {value: /a/..}}]}"), "/.. is not allowed at the end"),
    ("HTTPRoute", RULE.format("{matches: [{path: {value: '/a b'}}]}"), "only characters of a URL's path"),
    ("HTTPRoute", RULE.format("{matches: [{path: {type: Prefix}}]}"), "Unsupported value"),
    ("HTTPRoute", RULE.format("{backendRefs: [{name: web}]}"), "a Service needs a port"),
    ("HTTPRoute", RULE.format("{filters: [{type: CORS}]}"), "cors goes with the type CORS"),
    ("HTTPRoute", RULE.format("{filters: [{type: CORS, cors: {}, urlRewrite: {}}]}"), "urlRewrite goes with"),
    ("HTTPRoute", RULE.format("{filters: [{type: CORS, cors: {}}, {type: CORS, cors: {}}]}"), "only one filter"),
    ("HTTPRoute", RULE.format("{filters: [{type: CORS, cors: {allowMethods: [GET, '*']}}]}"), "must stand alone"),
    ("HTTPRoute", RULE.format(f"{{filters: [{REDIRECT}, {REWRITE}]}}"), "exclude each other"),
    ("HTTPRoute", RULE.format(f"{{filters: [{REDIRECT}], {BACKENDS}}}"), "leaves nothing for backendRefs"),
    (
        "HTTPRoute",
        RULE.format(f"{{matches: [{{path: {{type: Exact, value: /x}}}}], filters: [{REDIRECT}]}}"),
        "needs exactly one match",
    ),
    (
        "HTTPRoute",
        RULE.format(f"{{matches: [{{}}, {{}}], backendRefs: [{{name: a, port: 1, filters: [{REWRITE}]}}]}}"),
        "of a backendRef in urlRewrite needs",
    ),
    (
        "HTTPRoute",
        RULE.format(
            "{filters: [{type: RequestMirror, requestMirror: {backendRef: {name: a, port: 1}, percent: 1,"
            " fraction: {numerator: 1}}}]}"
        ),
        "percent and fraction",
    ),
    ("HTTPRoute", RULE.format("{timeouts: {request: 1s, backendRequest: 2s}}"), "must not be longer"),
    ("HTTPRoute", RULE.format("{timeouts: {request: 1 s}}"), "should match"),
    ("HTTPRoute", RULE.format("{retry: {codes: [302]}}"), "greater than or equal to 400"),
    ("HTTPRoute", RULE.format("{name: a}, {name: a}"), "must be unique in the route"),
    ("HTTPRoute", RULE.format("{sessionPersistence: {type: Header, cookieConfig: {}}}"), "cookieConfig goes with"),
    ("HTTPRoute", RULE.format("{sessionPersistence: {cookieConfig: {lifetimeType: Permanent}}}"), "absoluteTimeout"),
    ("HTTPRoute", RULE.format(", ".join([f"{{matches: [{', '.join(['{}'] * 50)}]}}"] * 3)), "128 matches"),
    ("GRPCRoute", RULE.format("{matches: [{method: {type: Exact}}]}"), "a service, a method or both"),
    ("GRPCRoute", RULE.format("{matches: [{method: {service: a/b}}]}"), "name of protobuf"),
    ("GRPCRoute", RULE.format("{matches: [{method: {method: a.b}}]}"), "identifier of protobuf"),
    ("GRPCRoute", RULE.format("{filters: [{type: CORS}]}"), "Unsupported value"),
    ("TLSRoute", RULE.format(f"{{{BACKENDS}}}"), "spec.hostnames: Required value"),
    ("TLSRoute", f"{{hostnames: [1.2.3.4], rules: [{{{BACKENDS}}}]}}", "not an IP address"),
    ("TCPRoute", RULE.format("{backendRefs: []}"), "at least 1 items"),
    ("TCPRoute", RULE.format(f"{{{BACKENDS}}}, {{{BACKENDS}}}"), "at most 1 items"),
    ("BackendTLSPolicy", POLICY.format(TARGET, ""), "either caCertificateRefs or wellKnownCACertificates"),
    ("BackendTLSPolicy", POLICY.format(f"{TARGET}, {TARGET}", "wellKnownCACertificates: System"), "must differ"),
    (
        "BackendTLSPolicy",
        POLICY.format(TARGET, "wellKnownCACertificates: System, subjectAltNames: [{type: URI, hostname: a}]"),
        "goes with the type",
    ),
    ("GatewayClass", "{controllerName: no-slash}", "should match"),
]


@pytest.mark.parametrize(("kind", "spec", "text"), REFUSED)
def test_refused(registry, kind, spec, text):
    with pytest.raises(ApiError) as refused:
        create(registry, kind, spec)
    assert text in str(refused.value)


def test_older_versions_allow_what_they_did(registry):
    two = RULE.format(f"{{{BACKENDS}}}, {{{BACKENDS}}}")
    assert len(create(registry, "TCPRoute", two, "v1alpha2")["spec"]["rules"]) == 2
    assert create(registry, "TLSRoute", RULE.format(f"{{{BACKENDS}}}"), "v1alpha2")


def test_the_controller_of_a_class_stays(registry):
    made = create(registry, "GatewayClass", "{controllerName: example.com/one}")
    change = {"spec": {"controllerName": "example.com/two"}}
    with pytest.raises(ApiError, match="cannot be changed"):
        asyncio.run(registry.patch(f"gatewayclasses.{GROUP}", made["metadata"]["name"], "", change))
