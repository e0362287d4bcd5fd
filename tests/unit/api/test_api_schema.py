"""Strict decoding, with the texts kubectl users know."""

import json

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sampan.api import definitions, schema, walkers
from sampan.api.scheme import Resource, Strategy
from sampan.api.status import ApiError

STRATEGY = Strategy(columns=(), row=lambda obj, now: [])


def resource(kind, definition):
    return Resource("", "v1", kind, f"{kind.lower()}s", definition, STRATEGY)


SERVICE = resource("Service", "io.k8s.api.core.v1.Service")
POD = resource("Pod", "io.k8s.api.core.v1.Pod")
SECRET = resource("Secret", "io.k8s.api.core.v1.Secret")
DEPLOYMENT = resource("Deployment", "io.k8s.api.apps.v1.Deployment")
ENDPOINTSLICE = resource("EndpointSlice", "io.k8s.api.discovery.v1.EndpointSlice")


def decode(which, body, mode="Strict"):
    return schema.decode(which, body if isinstance(body, bytes) else json.dumps(body).encode(), mode)


@pytest.mark.parametrize(
    ("which", "body", "text"),
    [
        (SERVICE, {"spec": {"tls": []}}, 'strict decoding error: unknown field "spec.tls"'),
        (
            SERVICE,
            {"spec": {"ports": [{"port": 1}, {"port": 2, "foo": 1}], "tls": 1}, "x": None},
            'strict decoding error: unknown field "spec.ports[1].foo", unknown field "spec.tls", unknown field "x"',
        ),
        (SERVICE, b'{"spec":{"type":"A","type":"B"}}', 'strict decoding error: duplicate field "spec.type"'),
        (
            SERVICE,
            {"spec": {"ports": [{"port": "80"}]}},
            "json: cannot unmarshal string into Go struct field ServicePort.spec.ports.port of type int32",
        ),
        (
            DEPLOYMENT,
            {"spec": {"replicas": "two"}},
            "json: cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas of type int32",
        ),
        (
            DEPLOYMENT,
            {"spec": {"replicas": 1.5}},
            "json: cannot unmarshal number 1.5 into Go struct field DeploymentSpec.spec.replicas of type int32",
        ),
        (
            DEPLOYMENT,
            {"spec": {"replicas": 2**31}},
            "json: cannot unmarshal number 2147483648 into Go struct field DeploymentSpec.spec.replicas of type int32",
        ),
        (
            SERVICE,
            {"metadata": {"labels": {"a": 1}}},
            "json: cannot unmarshal number into Go struct field ObjectMeta.metadata.labels of type string",
        ),
        (
            SERVICE,
            {"spec": []},
            "json: cannot unmarshal array into Go struct field Service.spec of type v1.ServiceSpec",
        ),
        (
            SERVICE,
            {"spec": {"ports": {}}},
            "json: cannot unmarshal object into Go struct field ServiceSpec.spec.ports of type []v1.ServicePort",
        ),
        (
            SERVICE,
            {"spec": {"selector": "a"}},
            "json: cannot unmarshal string into Go struct field ServiceSpec.spec.selector of type map[string]string",
        ),
        (
            POD,
            {"spec": {"hostNetwork": "yes"}},
            "json: cannot unmarshal string into Go struct field PodSpec.spec.hostNetwork of type bool",
        ),
        (
            POD,
            {"spec": {"containers": [{"resources": {"limits": {"cpu": "1x"}}}]}},
            "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
        ),
        (SECRET, {"data": {"a": "b$=="}}, "illegal base64 data at input byte 1"),
        (SECRET, {"data": {"a": "YWJjZ"}}, "illegal base64 data at input byte 4"),
        (SECRET, {"data": {"a": "YQ"}}, "illegal base64 data at input byte 0"),
    ],
)
def test_refused(which, body, text):
    with pytest.raises(ApiError) as caught:
        decode(which, body)
    assert caught.value.code == 400
    kind = which.kind
    assert caught.value.message == f'{kind} in version "v1" cannot be handled as a {kind}: {text}'


def test_a_type_fault_outranks_unknown_fields():
    with pytest.raises(ApiError, match="cannot unmarshal"):
        decode(SERVICE, {"foo": 1, "spec": "x"}, "Ignore")


def test_warn_names_the_faults_and_drops_them():
    obj, warnings = decode(SERVICE, b'{"spec":{"tls":1,"type":"A","type":"B"}}', "Warn")
    assert obj == {"spec": {"type": "B"}}
    assert warnings == ['duplicate field "spec.type"', 'unknown field "spec.tls"']


def test_no_mode_means_warn_and_ignore_says_nothing():
    body = {"spec": {"tls": 1}}
    assert decode(SERVICE, body, "") == ({"spec": {}}, ['unknown field "spec.tls"'])
    assert decode(SERVICE, body, "Ignore") == ({"spec": {}}, [])


def repeated(body):
    return schema.duplicates(body, orjson.dumps(orjson.loads(body)))


def test_duplicates_in_compact_and_in_indented_json():
    compact = b'{"metadata":{"labels":{"a":"1","a":"2"}},"spec":{"ports":[{"port":1,"port":2,"port":3}]}}'
    paths = ["metadata.labels.a", "spec.ports[0].port"]
    assert list(repeated(compact)) == paths
    loose = compact.replace(b":", b" : ")
    assert list(repeated(loose)) == paths
    fine = b'{"a":{"b":1},"c":{"b":1}}'
    assert list(repeated(fine)) == []


def test_nulls_become_what_go_makes_of_them():
    body = {
        "metadata": {"creationTimestamp": None, "labels": {"a": None}},
        "spec": {"containers": [None, {"args": [None]}], "nodeName": None},
    }
    obj, _ = decode(POD, body)
    assert obj == {"metadata": {"labels": {"a": ""}}, "spec": {"containers": [{}, {"args": [""]}]}}


def test_quantities_become_canonical():
    obj, _ = decode(POD, {"spec": {"containers": [{"resources": {"limits": {"cpu": 0.5, "memory": "1024Mi"}}}]}})
    assert obj["spec"]["containers"][0]["resources"]["limits"] == {"cpu": "500m", "memory": "1Gi"}


def test_good_base64_and_times_pass():
    for text in ("", "YQ==", "YWI=", "YWJj", "YWJj\nYQ=="):
        assert decode(SECRET, {"data": {"a": text}})[0]["data"]["a"] == text
    moment = {"metadata": {"creationTimestamp": "2026-11-20T12:00:00Z"}}
    assert decode(POD, moment)[0] == moment


def test_a_bad_time_is_refused():
    with pytest.raises(ApiError, match='parsing time "yesterday" as "2006-01-02T15:04:05Z07:00"'):
        decode(POD, {"metadata": {"creationTimestamp": "yesterday"}})


def test_both_forms_of_int_or_string():
    for port in (80, "http"):
        body = {"spec": {"ports": [{"port": 1, "targetPort": port}]}}
        assert decode(SERVICE, body)[0] == body
    with pytest.raises(ApiError, match="cannot unmarshal bool into Go value of type int32"):
        decode(SERVICE, {"spec": {"ports": [{"port": 1, "targetPort": True}]}})


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'"x"', b"\xff", b'{"a":NaN}'])
def test_what_is_no_object(body):
    with pytest.raises(ApiError) as caught:
        decode(SERVICE, body)
    assert caught.value.code == 400


def test_nesting_beyond_reason_is_refused():
    row = resource("ControllerRevision", "io.k8s.api.apps.v1.ControllerRevision")
    for depth in (260, 990, 1010, 100_000):
        body = b'{ "data": ' + b"[" * depth + b"]" * depth + b"}"
        for mode in ("Strict", "Ignore"):
            with pytest.raises(ApiError) as caught:
                decode(row, body, mode)
            assert caught.value.code == 400
    assert decode(row, {"data": [[[[]]]]})[0] == {"data": [[[[]]]]}


def test_only_the_first_hundred_faults_are_named():
    _, warnings = decode(SERVICE, {f"x{i}": 1 for i in range(500)}, "Warn")
    assert len(warnings) == 100


def test_every_definition_compiles_and_accepts_an_empty_object():
    for name in definitions.load():
        if "properties" in definitions.load()[name]:
            assert walkers.walk(name, {}) == []


def test_a_recursive_definition():
    name = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps"
    assert walkers.walk(name, {"not": {"not": {"type": "string", "zz": 1}}}) == ["not.not.zz"]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**40), 2**40) | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["metadata", "spec", "ports", "port", "name", "labels", "x"]), inner, max_size=4
        )
    ),
    max_leaves=20,
)


@given(JSON)
def test_any_json_is_decoded_or_refused(value):
    try:
        obj, _ = decode(SERVICE, value, "Warn")
    except ApiError as error:
        code = error.code
    else:
        code = 0
        assert walkers.walk(SERVICE.definition, json.loads(json.dumps(obj))) == []
    assert code in (0, 400)
