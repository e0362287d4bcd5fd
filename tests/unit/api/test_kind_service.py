"""Services: defaults, faults in the words users know, rows."""

from datetime import UTC, datetime

import pytest

from sampan.api import meta
from sampan.api.kinds.service import RESOURCE

NOW = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)
strategy = RESOURCE.strategy
PORTS = [{"port": 80}]


def service(name="web", **spec):
    made = {"metadata": {"name": name, "namespace": "default", "creationTimestamp": "2026-01-01T11:00:00Z"}}
    made["spec"] = {"ports": [dict(p) for p in PORTS], "selector": {"app": "web"}} | spec
    strategy.default(made)
    return made


def faults(made):
    return [str(error) for error in strategy.validate(made)]


def test_defaults_of_the_smallest_service():
    assert service()["spec"] == {
        "ports": [{"port": 80, "protocol": "TCP", "targetPort": 80}],
        "selector": {"app": "web"},
        "type": "ClusterIP",
        "sessionAffinity": "None",
        "internalTrafficPolicy": "Cluster",
        "ipFamilies": ["IPv4"],
        "ipFamilyPolicy": "SingleStack",
    }
    assert faults(service()) == []


def test_defaults_by_type():
    assert service(type="NodePort")["spec"]["externalTrafficPolicy"] == "Cluster"
    assert service(type="LoadBalancer")["spec"]["allocateLoadBalancerNodePorts"] is True
    external = service(type="ExternalName", externalName="example.com", ports=[])["spec"]
    assert not {"ipFamilies", "ipFamilyPolicy", "internalTrafficPolicy", "externalTrafficPolicy"} & external.keys()


def test_session_affinity():
    client = service(sessionAffinity="ClientIP")
    assert client["spec"]["sessionAffinityConfig"] == {"clientIP": {"timeoutSeconds": 10800}}
    assert faults(client) == []
    assert "sessionAffinityConfig" not in service(sessionAffinityConfig={"clientIP": {}})["spec"]


def test_headless_services_and_families():
    headless = service(clusterIP="None")
    assert headless["spec"]["clusterIPs"] == ["None"]
    assert headless["spec"]["ipFamilyPolicy"] == "SingleStack"
    bare = service(clusterIP="None", selector=None)
    assert bare["spec"]["ipFamilyPolicy"] == "RequireDualStack"
    assert bare["spec"]["ipFamilies"] == ["IPv4", "IPv6"]
    assert faults(headless) == faults(bare) == []


CASES = [
    ({"ports": []}, "spec.ports: Required value"),
    ({"ports": [{"port": 0}]}, "spec.ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive"),
    ({"ports": [{"port": 80000}]}, "spec.ports[0].port: Invalid value: 80000: must be between 1 and 65535, inclusive"),
    ({"ports": [{"port": 80}, {"port": 81}]}, "spec.ports[0].name: Required value"),
    ({"ports": [{"port": 80, "name": "a"}, {"port": 81, "name": "a"}]}, 'spec.ports[1].name: Duplicate value: "a"'),
    ({"ports": [{"port": 80, "name": "a"}, {"port": 80, "name": "b"}]},
     'spec.ports[1]: Duplicate value: core.ServicePort{Name:"", Protocol:"TCP", AppProtocol:(*string)(nil), Port:80, '
     'TargetPort:intstr.IntOrString{Type:0, IntVal:0, StrVal:""}, NodePort:0}'),
    ({"ports": [{"port": 80, "protocol": "HTTP"}]},
     'spec.ports[0].protocol: Unsupported value: "HTTP": supported values: "SCTP", "TCP", "UDP"'),
    ({"ports": [{"port": 80, "targetPort": "Web_UI"}]},
     'spec.ports[0].targetPort: Invalid value: "Web_UI": must contain only alpha-numeric characters (a-z, 0-9), '
     "and hyphens (-)"),
    ({"ports": [{"port": 80, "nodePort": 30080}]},
     "spec.ports[0].nodePort: Forbidden: may not be used when `type` is 'ClusterIP'"),
    ({"type": "NodePort", "ports": [{"port": 1, "name": "a", "nodePort": 30000},
                                    {"port": 2, "name": "b", "nodePort": 30000}]},
     "spec.ports[1].nodePort: Duplicate value: 30000"),
    ({"type": "NodePort", "clusterIP": "None"},
     "spec.clusterIPs[0]: Invalid value: \"None\": may not be set to 'None' for NodePort services"),
    ({"type": "LoadBalancer", "clusterIP": "None"},
     "spec.clusterIPs[0]: Invalid value: \"None\": may not be set to 'None' for LoadBalancer services"),
    ({"type": "ExternalName"}, "spec.externalName: Required value"),
    ({"type": "ExternalName", "externalName": "a_b"},
     'spec.externalName: Invalid value: "a_b": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric '
     "characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used "
     r"for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"),
    ({"type": "ExternalName", "externalName": "a.b", "clusterIP": "10.96.0.5"},
     "spec.clusterIPs: Forbidden: may not be set for ExternalName services"),
    ({"type": "Clusterip"},
     'spec.type: Unsupported value: "Clusterip": supported values: "ClusterIP", "ExternalName", "LoadBalancer", '
     '"NodePort"'),
    ({"clusterIP": "x"},
     'spec.clusterIPs[0]: Invalid value: "x": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)'),
    ({"clusterIPs": ["10.96.0.5"]},
     'spec.clusterIPs: Invalid value: []string{"10.96.0.5"}: must be empty when `clusterIP` is not specified'),
    ({"ipFamilyPolicy": "RequireDualStack"},
     'spec.ipFamilyPolicy: Invalid value: "RequireDualStack": this cluster is not configured for dual-stack services'),
    ({"ipFamilies": ["IPv6"]}, 'spec.ipFamilies[0]: Invalid value: "IPv6": not configured on this cluster'),
    ({"sessionAffinity": "Cookie"},
     'spec.sessionAffinity: Unsupported value: "Cookie": supported values: "ClientIP", "None"'),
    ({"sessionAffinity": "ClientIP", "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 0}}},
     "spec.sessionAffinityConfig.clientIP.timeoutSeconds: Invalid value: 0: must be greater than 0 and less than 86400"),
    ({"externalIPs": ["127.0.0.1"]},
     'spec.externalIPs[0]: Invalid value: "127.0.0.1": may not be in the loopback range (127.0.0.0/8, ::1/128)'),
    ({"externalTrafficPolicy": "Local"},
     'spec.externalTrafficPolicy: Invalid value: "Local": may only be set for externally-accessible services'),
    ({"loadBalancerSourceRanges": ["10.0.0.0/8"]},
     "spec.LoadBalancerSourceRanges: Forbidden: may only be used when `type` is 'LoadBalancer'"),
    ({"type": "LoadBalancer", "loadBalancerSourceRanges": ["10.0.0.0"]},
     None),
    ({"type": "LoadBalancer", "loadBalancerSourceRanges": ["x/8"]},
     'spec.LoadBalancerSourceRanges[0]: Invalid value: "x/8": must be a valid CIDR value, '
     "(e.g. 10.9.8.0/24 or 2001:db8::/64)"),
    ({"allocateLoadBalancerNodePorts": True},
     "spec.allocateLoadBalancerNodePorts: Forbidden: may only be used when `type` is 'LoadBalancer'"),
    ({"healthCheckNodePort": 30000},
     "spec.healthCheckNodePort: Invalid value: 30000: may only be set when `type` is 'LoadBalancer' and "
     "`externalTrafficPolicy` is 'Local'"),
    ({"trafficDistribution": "Near"},
     'spec.trafficDistribution: Unsupported value: "Near": supported values: "PreferClose"'),
]  # fmt: skip


@pytest.mark.parametrize(("spec", "expected"), CASES)
def test_faults(spec, expected):
    found = faults(service(**spec))
    assert found == [] if expected is None else expected in found


def test_the_name_is_a_dns_1035_label():
    assert faults(service("9web"))[0].startswith('metadata.name: Invalid value: "9web": a DNS-1035 label must consist')


def update(old, **spec):
    old["metadata"] |= {"uid": "u", "resourceVersion": "1"}
    new = meta.copy(old)
    new["spec"] |= spec
    strategy.default(new)
    strategy.prepare_update(new, old)
    return new, [str(error) for error in strategy.validate_update(new, old)]


def test_a_cluster_ip_is_kept_for_life():
    old = service(clusterIP="10.96.0.5")
    assert update(old, ports=[{"port": 81}])[1] == []
    assert update(old, clusterIP="10.96.0.6")[1] == [
        'spec.clusterIPs[0]: Invalid value: []string{"10.96.0.6"}: may not change once set'
    ]
    assert update(old, clusterIP="", clusterIPs=[])[1] == [
        "spec.clusterIPs[0]: Invalid value: []string(nil): primary clusterIP can not be unset"
    ]
    assert update(old, clusterIP="None", clusterIPs=["None"])[1] == [
        'spec.clusterIPs[0]: Invalid value: []string{"None"}: may not change once set'
    ]


def test_changing_the_type_drops_what_belonged_to_the_old_one():
    balanced = service(type="LoadBalancer", clusterIP="10.96.0.5", loadBalancerClass="example.com/lb")
    new, found = update(balanced, type="ClusterIP")
    assert found == []
    assert not {"externalTrafficPolicy", "allocateLoadBalancerNodePorts", "loadBalancerClass"} & new["spec"].keys()


def row(made):
    return strategy.row(made, NOW)


def test_rows():
    made = service(
        clusterIP="10.96.0.5",
        type="NodePort",
        selector={"tier": "b", "app": "a"},
        ports=[{"port": 80, "nodePort": 30080, "name": "a"}, {"port": 53, "protocol": "UDP", "name": "b"}],
    )
    assert row(made) == ["web", "NodePort", "10.96.0.5", "<none>", "80:30080/TCP,53/UDP", "60m", "app=a,tier=b"]
    assert row(service(clusterIP="None", ports=[], selector=None))[2:] == [
        "None", "<none>", "<none>", "60m", "<none>",
    ]  # fmt: skip
    external = service(type="ExternalName", externalName="db.example.com", ports=[])
    assert row(external)[1:5] == ["ExternalName", "<none>", "db.example.com", "<none>"]
    balanced = service(type="LoadBalancer", externalIPs=["1.2.3.4"])
    assert row(service(type="LoadBalancer"))[3] == "<pending>"
    balanced["status"] = {"loadBalancer": {"ingress": [{"ip": "9.9.9.9"}]}}
    assert row(balanced)[3] == "9.9.9.9,1.2.3.4"


def test_status_of_load_balancers_only():
    old = service()
    old["metadata"] |= {"uid": "u", "resourceVersion": "1"}
    new = old | {"status": {"loadBalancer": {"ingress": [{"ip": "1.1.1.1"}]}}}
    assert [str(e) for e in strategy.validate_status(new, old)] == [
        "status.loadBalancer.ingress: Forbidden: may only be used when `spec.type` is 'LoadBalancer'"
    ]


def test_warnings():
    assert strategy.warnings(service(externalName="a.b", clusterIP="None", sessionAffinity="ClientIP")) == [
        'spec.externalName is ignored when spec.type is not "ExternalName"',
        "spec.SessionAffinity is ignored for headless services",
    ]
