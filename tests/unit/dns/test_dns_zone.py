"""Goal: the zone answers as the Kubernetes DNS specification says. Method: feed objects, look names up."""

import pytest

from sampan.dns.types import NOERROR, NXDOMAIN, parse
from sampan.dns.zone import Zone


def service(name, namespace="default", **spec):
    return {"metadata": {"name": name, "namespace": namespace}, "spec": spec}


def slice_of(name, *endpoints, ports=(("http", "TCP", 8080),), namespace="default"):
    return {
        "metadata": {"name": f"{name}-x", "namespace": namespace, "labels": {"kubernetes.io/service-name": name}},
        "addressType": "IPv4",
        "ports": [{"name": n, "protocol": p, "port": i} for n, p, i in ports],
        "endpoints": list(endpoints),
    }


def endpoint(ip, ready=True, **more):
    return {"addresses": [ip], "conditions": {"ready": ready}} | more


@pytest.fixture
def zone():
    zone = Zone("cluster.local", ["10.96.0.0/16", "10.244.0.0/16"], "10.96.0.10")
    zone.on_namespace(None, {"metadata": {"name": "default"}})
    zone.on_service(
        None,
        service("web", clusterIP="10.96.11.18", ports=[{"name": "http", "port": 80, "protocol": "TCP"}]),
    )
    zone.on_slice(None, slice_of("web", endpoint("10.244.0.5")))
    zone.on_service(None, service("db", clusterIP="None", ports=[{"name": "http", "port": 8080}]))
    zone.on_slice(
        None,
        slice_of("db", endpoint("10.244.0.7", hostname="db-0"), endpoint("10.244.0.8"), endpoint("10.244.0.9", False)),
    )
    zone.on_service(None, service("ext", type="ExternalName", externalName="some.api.com"))
    return zone


def data(zone, name, kind="A"):
    return sorted(rr.data for rr in zone.lookup(parse(name), kind).records)


@pytest.mark.parametrize(
    ("name", "kind", "expected"),
    [
        ("web.default.svc.cluster.local", "A", ["10.96.11.18"]),
        ("WEB.default.SVC.cluster.local.", "A", ["10.96.11.18"]),
        ("db.default.svc.cluster.local", "A", ["10.244.0.7", "10.244.0.8"]),
        ("db-0.db.default.svc.cluster.local", "A", ["10.244.0.7"]),
        ("10-244-0-8.db.default.svc.cluster.local", "A", ["10.244.0.8"]),
        ("10-244-0-5.default.pod.cluster.local", "A", ["10.244.0.5"]),
        ("_http._tcp.web.default.svc.cluster.local", "SRV", ["0 100 80 web.default.svc.cluster.local."]),
        (
            "_http._tcp.db.default.svc.cluster.local",
            "SRV",
            [
                "0 100 8080 10-244-0-8.db.default.svc.cluster.local.",
                "0 100 8080 db-0.db.default.svc.cluster.local.",
            ],
        ),
        ("18.11.96.10.in-addr.arpa", "PTR", ["web.default.svc.cluster.local."]),
        ("7.0.244.10.in-addr.arpa", "PTR", ["db-0.db.default.svc.cluster.local."]),
        ("5.0.244.10.in-addr.arpa", "PTR", ["10-244-0-5.web.default.svc.cluster.local."]),
        ("dns-version.cluster.local", "TXT", ['"1.1.0"']),
    ],
)
def test_names_that_exist(zone, name, kind, expected):
    assert data(zone, name, kind) == expected


@pytest.mark.parametrize(
    "name",
    [
        "nobody.default.svc.cluster.local",
        "web.other.svc.cluster.local",
        "x.y.z.cluster.local",
        "1.9.96.10.in-addr.arpa",
    ],
)
def test_names_that_do_not_exist(zone, name):
    answer = zone.lookup(parse(name), "A")
    assert answer.rcode == NXDOMAIN
    assert answer.authority[0].type == "SOA"


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("web.default.svc.cluster.local", "AAAA"),
        ("default.svc.cluster.local", "A"),
        ("_tcp.web.default.svc.cluster.local", "A"),
    ],
)
def test_names_without_such_records_are_nodata(zone, name, kind):
    answer = zone.lookup(parse(name), kind)
    assert (answer.rcode, answer.records) == (NOERROR, ())
    assert answer.authority[0].type == "SOA"


@pytest.mark.parametrize("name", ["example.com", "8.8.8.8.in-addr.arpa"])
def test_other_names_are_not_ours(zone, name):
    assert zone.lookup(parse(name), "A") is None


def test_external_name_is_a_cname_to_be_followed(zone):
    answer = zone.lookup(parse("ext.default.svc.cluster.local"), "A")
    assert (answer.records[0].type, answer.chase) == ("CNAME", ("some", "api", "com"))
    assert zone.lookup(parse("ext.default.svc.cluster.local"), "CNAME").chase is None


def test_changes_and_deletions_are_followed(zone):
    before = zone.version
    old = slice_of("db", endpoint("10.244.0.7", hostname="db-0"), endpoint("10.244.0.8"))
    zone.on_slice(old, slice_of("db", endpoint("10.244.0.70")))
    assert data(zone, "db.default.svc.cluster.local") == ["10.244.0.70"]
    assert zone.lookup(parse("7.0.244.10.in-addr.arpa"), "PTR").rcode == NXDOMAIN
    zone.on_slice(slice_of("db", endpoint("10.244.0.70")), None)
    assert zone.lookup(parse("db.default.svc.cluster.local"), "A").rcode == NXDOMAIN
    zone.on_service(service("web", clusterIP="10.96.11.18"), None)
    assert zone.lookup(parse("18.11.96.10.in-addr.arpa"), "PTR").rcode == NXDOMAIN
    assert zone.version > before
