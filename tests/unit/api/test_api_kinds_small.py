"""The small kinds: defaults, validation, updates, tables; and the scheme as a whole."""

from datetime import UTC, datetime

import pytest

from sampan.api import definitions, meta, table
from sampan.api.kinds import SCHEME

NOW = datetime(2026, 11, 20, 12, 0, 0, tzinfo=UTC)
BORN = "2026-11-20T11:57:24Z"


def make(resource, **parts):
    row = SCHEME.by_id[resource]
    metadata = {"name": "x", "uid": "u", "resourceVersion": "1", "creationTimestamp": BORN} | parts.pop("metadata", {})
    if row.namespaced:
        metadata.setdefault("namespace", "d")
    obj = {"apiVersion": row.api_version, "kind": row.kind, "metadata": metadata} | parts
    row.strategy.default(obj)
    row.strategy.prepare_create(obj)
    return obj


def faults(obj):
    return [str(e) for e in SCHEME.by_kind[obj["apiVersion"], obj["kind"]].strategy.validate(obj)]


def update_faults(new, old):
    return [str(e) for e in SCHEME.by_kind[new["apiVersion"], new["kind"]].strategy.validate_update(new, old)]


def cells(obj):
    return SCHEME.by_kind[obj["apiVersion"], obj["kind"]].strategy.row(obj, NOW)


MINIMAL = {
    "configmaps": {},
    "endpoints": {"subsets": [{"addresses": [{"ip": "10.0.0.1"}], "ports": [{"port": 80}]}]},
    "events": {"involvedObject": {"kind": "Pod", "name": "p", "namespace": "d"}},
    "namespaces": {},
    "nodes": {},
    "secrets": {},
    "serviceaccounts": {},
    "controllerrevisions.apps": {"revision": 1, "data": {"a": 1}},
    "leases.coordination.k8s.io": {"spec": {"holderIdentity": "me"}},
    "endpointslices.discovery.k8s.io": {
        "addressType": "IPv4",
        "ports": [{"port": 80}],
        "endpoints": [{"addresses": ["10.0.0.1"]}],
    },
}


@pytest.mark.parametrize("resource", MINIMAL)
def test_a_minimal_object_is_valid_and_fills_its_columns(resource):
    row = SCHEME.by_id[resource]
    obj = make(resource, **meta.copy(MINIMAL[resource]))
    assert faults(obj) == []
    assert update_faults(meta.copy(obj), obj) == []
    assert len(cells(obj)) == len(row.strategy.columns)
    for get in row.fields.values():
        assert isinstance(get(obj), str)


def test_every_row_of_the_scheme_fits_the_definitions():
    known = definitions.load()
    assert len({row.ref for row in SCHEME.resources}) == len(SCHEME.resources)
    for row in filter(lambda r: r.stored, SCHEME.resources):
        assert {row.definition, f"{row.definition}List"} <= known.keys()
        gvk = {"group": row.group, "version": row.version, "kind": row.kind}
        assert gvk in known[row.definition]["x-kubernetes-group-version-kind"]
        assert any(column.format == "name" for column in row.strategy.columns)
        assert row.singular


def test_namespace():
    obj = make("namespaces")
    assert obj["status"] == {"phase": "Active"}
    assert obj["spec"]["finalizers"] == ["kubernetes"]
    assert obj["metadata"]["labels"] == {"kubernetes.io/metadata.name": "x"}
    assert cells(obj) == ["x", "Active", "2m36s"]
    assert faults(make("namespaces", metadata={"name": "a.b"})) == [
        'metadata.name: Invalid value: "a.b": must not contain dots'
    ]


def test_configmap_contents():
    found = faults(make("configmaps", data={"a/b": "1", "k": ""}, binaryData={"k": "YQ=="}))
    assert found[0].startswith('data[a/b]: Invalid value: "a/b": a valid config key must consist of')
    assert found[1] == 'data[k]: Invalid value: "k": duplicate of key present in binaryData'
    huge = make("configmaps", data={"a": "x" * (1024 * 1024 + 1)})
    assert faults(huge) == ["[]: Too long: may not be more than 1048576 bytes"]
    assert cells(make("configmaps", data={"a": "1"}, binaryData={"b": ""}))[1] == 2


@pytest.mark.parametrize("resource", ["configmaps", "secrets"])
def test_immutable_contents(resource):
    old = make(resource, data={"a": "YQ=="}, immutable=True)
    text = "Forbidden: field is immutable when `immutable` is set"
    assert update_faults(meta.copy(old) | {"data": {"a": "Yg=="}}, old) == [f"data: {text}"]
    assert update_faults(meta.copy(old) | {"immutable": False}, old) == [f"immutable: {text}"]
    mutable = make(resource, data={"a": "YQ=="})
    assert update_faults(meta.copy(mutable) | {"data": {"a": "Yg=="}}, mutable) == []


def test_secret():
    obj = make("secrets", data={"a": "eA==", "k": "eA=="}, stringData={"a": "b"})
    assert "stringData" not in obj
    assert obj["data"] == {"a": "Yg==", "k": "eA=="}
    assert obj["type"] == "Opaque"
    assert cells(obj) == ["x", "Opaque", 2, "2m36s"]
    assert faults(make("secrets", type="kubernetes.io/tls", data={"tls.crt": ""})) == ["data[tls.key]: Required value"]
    assert update_faults(meta.copy(obj) | {"type": "kubernetes.io/x"}, obj) == [
        'type: Invalid value: "kubernetes.io/x": field is immutable'
    ]


def test_endpoints():
    addresses = [{"ip": f"10.1.1.{i}"} for i in range(1, 5)]
    obj = make("endpoints", subsets=[{"addresses": addresses, "ports": [{"port": 8080}]}])
    assert obj["subsets"][0]["ports"] == [{"port": 8080, "protocol": "TCP"}]
    assert cells(obj) == ["x", "10.1.1.1:8080,10.1.1.2:8080,10.1.1.3:8080 + 1 more...", "2m36s"]
    assert cells(make("endpoints"))[1] == "<none>"
    assert cells(make("endpoints", subsets=[{"notReadyAddresses": addresses, "ports": [{"port": 1}]}]))[1] == ""
    bad = make("endpoints", subsets=[{"ports": [{"port": 0}, {"port": 1, "name": "a"}]}])
    assert faults(bad) == [
        "subsets[0]: Required value: must specify `addresses` or `notReadyAddresses`",
        "subsets[0].ports[0].name: Required value",
        "subsets[0].ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive",
    ]
    assert "EndpointSlice" in SCHEME.by_id["endpoints"].strategy.deprecated


def test_endpointslice():
    slices = "endpointslices.discovery.k8s.io"
    obj = make(slices, addressType="IPv4", ports=[{"port": 80}], endpoints=[{"addresses": ["10.0.0.1"]}])
    assert obj["ports"] == [{"port": 80, "name": "", "protocol": "TCP"}]
    assert cells(obj) == ["x", "IPv4", "80", "10.0.0.1", "2m36s"]
    assert cells(make(slices, addressType="IPv4"))[2:4] == ["<unset>", "<unset>"]
    bad = make(
        slices,
        addressType="IPv4",
        ports=[{"port": 1}, {"port": 2}],
        endpoints=[{"addresses": ["::1"]}, {"addresses": []}],
    )
    assert faults(bad) == [
        'endpoints[0].addresses[0]: Invalid value: "::1": must be a valid IPv4 address',
        'endpoints[0].addresses[0]: Invalid value: "::1": may not be in the loopback range (127.0.0.0/8, ::1/128)',
        "endpoints[1].addresses: Required value: must contain at least 1 address",
        'ports[1].name: Duplicate value: ""',
    ]
    assert faults(make(slices, addressType="IPX")) == [
        'addressType: Unsupported value: "IPX": supported values: "FQDN", "IPv4", "IPv6"'
    ]
    assert update_faults(meta.copy(obj) | {"addressType": "FQDN"}, obj)[-1] == (
        'addressType: Invalid value: "FQDN": field is immutable'
    )


def test_event():
    obj = make(
        "events",
        involvedObject={"kind": "Pod", "name": "p", "namespace": "d", "fieldPath": "spec.containers{c}"},
        type="Normal",
        reason="Pulled",
        message="ok \n",
        source={"component": "kubelet", "host": "n1"},
        firstTimestamp=BORN,
        lastTimestamp="2026-11-20T11:59:50Z",
        count=3,
    )
    assert cells(obj) == [
        "10s",
        "Normal",
        "Pulled",
        "pod/p",
        "spec.containers{c}",
        "kubelet, n1",
        "ok",
        "2m36s",
        3,
        "x",
    ]
    assert cells(make("events", involvedObject={"kind": "Pod"}))[:4] == ["<unknown>", "", "", "pod"]
    other = make("events", involvedObject={"kind": "Pod", "name": "p", "namespace": "other"})
    assert faults(other) == ['involvedObject.namespace: Invalid value: "other": does not match event.namespace']
    assert faults(make("events", metadata={"namespace": "default"}, involvedObject={"kind": "Node"})) == []


def test_node():
    obj = make(
        "nodes",
        metadata={"labels": {"node-role.kubernetes.io/worker": "", "node-role.kubernetes.io/control-plane": ""}},
        spec={"unschedulable": True},
        status={
            "capacity": {"cpu": "2"},
            "conditions": [{"type": "Ready", "status": "True"}],
            "addresses": [{"type": "InternalIP", "address": "172.30.0.2"}],
            "nodeInfo": {"kubeletVersion": "v1.32.0", "osImage": "Debian"},
        },
    )
    assert cells(obj) == [
        "x",
        "Ready,SchedulingDisabled",
        "control-plane,worker",
        "2m36s",
        "v1.32.0",
        "172.30.0.2",
        "<none>",
        "Debian",
        "<unknown>",
        "<unknown>",
    ]
    assert obj["status"]["allocatable"] == {"cpu": "2"}
    assert SCHEME.by_id["nodes"].fields["spec.unschedulable"](obj) == "true"
    assert cells(make("nodes"))[1:3] == ["Unknown", "<none>"]
    taint = {"key": "a", "effect": "NoSchedule"}
    assert faults(make("nodes", spec={"taints": [taint, taint]})) == [
        'spec.taints[1]: Duplicate value: core.Taint{Key:"a", Value:"", Effect:"NoSchedule", TimeAdded:<nil>}: '
        "taints must be unique by key and effect pair"
    ]


def test_controllerrevision_owner():
    owner = {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "web", "uid": "1", "controller": True}
    obj = make("controllerrevisions.apps", revision=2, data={"a": 1}, metadata={"ownerReferences": [owner]})
    assert cells(obj) == ["x", "statefulset.apps/web", 2, "2m36s"]
    assert len(update_faults(meta.copy(obj) | {"data": {"a": 2}}, obj)) == 1


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5, "<invalid>"),
        (-1, "0s"),
        (0, "0s"),
        (119, "119s"),
        (120, "2m"),
        (156, "2m36s"),
        (304, "5m4s"),
        (600, "10m"),
        (10799, "179m"),
        (10800, "3h"),
        (3 * 3600 + 60, "3h1m"),
        (15 * 3600, "15h"),
        (47 * 3600, "47h"),
        (48 * 3600, "2d"),
        (3 * 86400 + 4 * 3600, "3d4h"),
        (77 * 86400, "77d"),
        (730 * 86400, "2y"),
        (735 * 86400, "2y5d"),
        (9 * 365 * 86400, "9y"),
    ],
)
def test_human_duration(seconds, text):
    assert table.human_duration(seconds) == text


def test_table():
    row = SCHEME.by_id["namespaces"]
    obj = make("namespaces")
    full = table.table(row, [obj], NOW, metadata={"resourceVersion": "7"})
    assert [c["name"] for c in full["columnDefinitions"]] == ["Name", "Status", "Age"]
    assert full["metadata"] == {"resourceVersion": "7"}
    only = {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": obj["metadata"]}
    assert full["rows"] == [{"cells": ["x", "Active", "2m36s"], "object": only}]
    assert table.table(row, [obj], NOW, include="Object")["rows"][0]["object"] == obj
    assert table.table(row, [obj], NOW, include="None", columns=False)["rows"][0]["object"] is None
