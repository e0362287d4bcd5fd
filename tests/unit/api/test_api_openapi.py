"""OpenAPI documents. The protobuf form is read back by a reader that knows the wire format and nothing else."""

import re

import orjson
import pytest

from sampan.api import openapi, openapi_v2_proto
from sampan.api.kinds import SCHEME

POD = "io.k8s.api.core.v1.Pod"


def references(value):
    return set(re.findall(rb'"\$ref":"([^"]+)"', orjson.dumps(value)))


def test_the_index_names_a_document_for_every_group_and_version():
    paths = openapi.index(SCHEME)["paths"]
    assert {"api/v1", "apis/apps/v1", "apis/discovery.k8s.io/v1", "apis/coordination.k8s.io/v1"} <= paths.keys()
    for path, entry in paths.items():
        assert entry["serverRelativeURL"].startswith(f"/openapi/v3/{path}?hash=")
        assert openapi.v3(SCHEME, path)["paths"]


def test_v3_has_every_definition_it_refers_to_and_no_nulls():
    for path in openapi.index(SCHEME)["paths"]:
        document = openapi.v3(SCHEME, path)
        known = {f"#/components/schemas/{name}".encode() for name in document["components"]["schemas"]}
        assert references(document) <= known
        assert b'"null"' not in orjson.dumps(document)


def test_v2_has_every_definition_it_refers_to():
    document = openapi.v2(SCHEME)
    assert references(document) <= {f"#/definitions/{name}".encode() for name in document["definitions"]}


def test_kubectl_finds_the_parameters_of_patch():
    for row in filter(lambda r: r.stored, SCHEME.resources):
        home = f"/{openapi.root(row)}" + ("/namespaces/{namespace}" if row.namespaced else "")
        operation = openapi.v3(SCHEME, openapi.root(row))["paths"][f"{home}/{row.plural}/{{name}}"]["patch"]
        names = {p["name"] for p in operation["parameters"] if p["in"] == "query"}
        assert {"fieldValidation", "dryRun"} <= names
        kind = {"group": row.group, "version": row.version, "kind": row.kind}
        assert operation["x-kubernetes-group-version-kind"] == kind


def test_explain_finds_the_schema_by_its_kind():
    schemas = openapi.v3(SCHEME, "api/v1")["components"]["schemas"]
    assert {"group": "", "version": "v1", "kind": "ConfigMap"} in schemas["io.k8s.api.core.v1.ConfigMap"][
        "x-kubernetes-group-version-kind"
    ]
    assert "enum" not in schemas["io.k8s.api.core.v1.ConfigMap"]["properties"]["kind"]


def test_operations_have_names_of_their_own():
    for path in openapi.index(SCHEME)["paths"]:
        items = openapi.v3(SCHEME, path)["paths"].values()
        names = [operation["operationId"] for item in items for operation in item.values()]
        assert len(names) == len(set(names))


def test_an_unknown_group():
    with pytest.raises(KeyError):
        openapi.v3(SCHEME, "apis/nonsense/v1")


def read(data):
    """A protobuf message as {field number: [bytes or int, …]}."""
    found, at = {}, 0

    def varint():
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while at < len(data):
        tag = varint()
        if tag & 7 == 0:
            value = varint()
        else:
            assert tag & 7 == 2
            size = varint()
            value = data[at : at + size]
            assert len(value) == size
            at += size
        found.setdefault(tag >> 3, []).append(value)
    return found


def named(messages):
    pairs = (read(m) for m in messages)
    return {p[1][0].decode(): p[2][0] for p in pairs}


def test_protobuf_carries_the_definitions():
    document = openapi.v2(SCHEME)
    message = read(openapi_v2_proto.encode(document))
    assert message[1] == [b"2.0"]
    schemas = named(read(message[9][0])[1])
    assert schemas.keys() == document["definitions"].keys()
    port = read(schemas["io.k8s.api.core.v1.EndpointSubset"])
    properties = named(read(port[25][0])[1])
    assert read(read(properties["ports"])[22][0])[1] == [b"array"]
    item = read(read(read(properties["ports"])[23][0])[1][0])
    assert item[1] == [b"#/definitions/io.k8s.api.core.v1.EndpointPort"]
    extensions = named(read(schemas["io.k8s.api.core.v1.ConfigMap"])[31])
    kinds = orjson.loads(read(extensions["x-kubernetes-group-version-kind"])[2][0])
    assert kinds == [{"group": "", "kind": "ConfigMap", "version": "v1"}]
    labels = read(named(read(read(schemas["io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"])[25][0])[1])["labels"])
    assert read(read(read(labels[21][0])[1][0])[22][0])[1] == [b"string"]


def test_protobuf_carries_the_query_parameters_of_patch():
    message = read(openapi_v2_proto.encode(openapi.v2(SCHEME)))
    item = read(named(read(message[8][0])[2])["/api/v1/namespaces/{namespace}/configmaps/{name}"])
    operation = read(item[8][0])
    queries = []
    for parameter in operation[8]:
        outer = read(read(parameter)[1][0])
        if 2 in outer and 3 in read(outer[2][0]):
            queries.append(read(read(outer[2][0])[3][0])[4][0])
    assert {b"dryRun", b"fieldValidation"} <= set(queries)
    kind = orjson.loads(read(named(operation[13])["x-kubernetes-group-version-kind"])[2][0])
    assert kind == {"group": "", "version": "v1", "kind": "ConfigMap"}
