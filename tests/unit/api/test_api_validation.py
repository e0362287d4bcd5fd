"""Shared validators and metadata, with kube-apiserver's texts."""

import pytest

from sampan.api import fields, objectmeta, validation
from sampan.api.status import invalid

SUBDOMAIN = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and "
    "end with an alphanumeric character (e.g. 'example.com', regex used for validation is "
    r"'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)
LABEL = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with "
    "an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
)
DNS_1035 = (
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, "
    "and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is "
    "'[a-z]([-a-z0-9]*[a-z0-9])?')"
)


@pytest.mark.parametrize(
    ("check", "value", "faults"),
    [
        (validation.dns_subdomain, "a.b-c.d", []),
        (validation.dns_subdomain, "A", [SUBDOMAIN]),
        (validation.dns_subdomain, "a" * 254, ["must be no more than 253 characters"]),
        (validation.dns_subdomain, "a\n", [SUBDOMAIN]),
        (validation.dns_label, "my-name", []),
        (validation.dns_label, "a.b", ["must not contain dots"]),
        (validation.dns_label, "a_b", [LABEL]),
        (validation.dns_label, "a" * 64, ["must be no more than 63 characters"]),
        (validation.dns_1035_label, "1a", [DNS_1035]),
        (validation.dns_1035_label, "a1", []),
        (validation.qualified_name, "example.com/My.name_1", []),
        (validation.qualified_name, "/x", ["prefix part must be non-empty"]),
        (validation.label_value, "", []),
        (validation.label_value, "a" * 64, ["must be no more than 63 characters"]),
        (validation.port_name, "http-2", []),
        (validation.port_name, "8080", ["must contain at least one letter (a-z)"]),
        (validation.port_name, "a" * 16, ["must be no more than 15 characters"]),
        (validation.port_name, "a--b", ["must not contain consecutive hyphens"]),
        (validation.port_name, "-a", ["must not begin or end with a hyphen"]),
        (
            validation.port_name,
            "Http",
            ["must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)"],
        ),
        (validation.env_var_name, "A.b-c d", []),
        (
            validation.env_var_name,
            "A=B",
            ["a valid environment variable name must consist only of printable ASCII characters other than '='"],
        ),
        (validation.env_var_name, "", ["environment variable name must be non-empty"]),
        (validation.config_key, "..", ["must not be '..'"]),
        (validation.config_key, "..a", ["must not start with '..'"]),
        (validation.percent, "25%", []),
    ],
)
def test_checks(check, value, faults):
    assert check(value) == faults


def test_texts_of_field_errors():
    assert str(fields.required("spec.x")) == "spec.x: Required value"
    assert str(fields.required("spec.x", "say it")) == "spec.x: Required value: say it"
    assert str(fields.invalid("a", "x", "bad")) == 'a: Invalid value: "x": bad'
    assert str(fields.invalid("a", 70000, "bad")) == "a: Invalid value: 70000: bad"
    assert str(fields.invalid("a", None, "bad")) == 'a: Invalid value: "null": bad'
    assert str(fields.invalid("a", {"b": "2", "a": "1"}, "bad")) == (
        'a: Invalid value: map[string]string{"a":"1", "b":"2"}: bad'
    )
    assert str(fields.not_supported("a", "x", ("A", "B"))) == 'a: Unsupported value: "x": supported values: "A", "B"'
    assert str(fields.duplicate("a[1]", "x")) == 'a[1]: Duplicate value: "x"'
    assert str(fields.not_found("a", "x")) == 'a: Not found: "x"'
    assert str(fields.forbidden("a", "no")) == "a: Forbidden: no"
    assert str(fields.too_long("a", 5)) == "a: Too long: may not be more than 5 bytes"
    selector = {"matchLabels": {"a": "b"}}
    assert str(fields.invalid("spec.selector", fields.go_label_selector(selector), "field is immutable")) == (
        'spec.selector: Invalid value: v1.LabelSelector{MatchLabels:map[string]string{"a":"b"}, '
        "MatchExpressions:[]v1.LabelSelectorRequirement(nil)}: field is immutable"
    )


@pytest.mark.parametrize(
    ("address", "text"),
    [
        ("10.0.0.1", ""),
        ("2001:db8::1", ""),
        ("127.0.0.1", "may not be in the loopback range (127.0.0.0/8, ::1/128)"),
        ("169.254.1.1", "may not be in the link-local range (169.254.0.0/16, fe80::/10)"),
        ("224.0.0.1", "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)"),
        ("0.0.0.0", "may not be unspecified (0.0.0.0)"),
        ("x", "must be a valid IP address"),
    ],
)
def test_ordinary_addresses(address, text):
    found = validation.ordinary_ip("ip", address)
    assert [str(f) for f in found] == ([f'ip: Invalid value: "{address}": {text}'] if text else [])


def test_immutable_sees_no_difference_between_nothing_and_empty():
    assert validation.immutable("a", None, "") == []
    assert validation.immutable("a", {}, None) == []
    assert [str(e) for e in validation.immutable("a", 0, None)] == ["a: Invalid value: 0: field is immutable"]
    assert [str(e) for e in validation.immutable("a", "x", "y")] == ['a: Invalid value: "x": field is immutable']


def test_label_selector_faults():
    selector = {
        "matchLabels": {"a b": "c"},
        "matchExpressions": [
            {"key": "a", "operator": "In"},
            {"key": "a", "operator": "Exists", "values": ["x"]},
            {"key": "a", "operator": "Like", "values": ["-"]},
        ],
    }
    texts = [str(e) for e in validation.label_selector("spec.selector", selector)]
    assert texts[0].startswith('spec.selector.matchLabels: Invalid value: "a b": name part must consist of')
    path = "spec.selector.matchExpressions"
    assert texts[1:4] == [
        f"{path}[0].values: Required value: must be specified when `operator` is 'In' or 'NotIn'",
        f"{path}[1].values: Forbidden: may not be specified when `operator` is 'Exists' or 'DoesNotExist'",
        f'{path}[2].operator: Invalid value: "Like": not a valid selector operator',
    ]
    assert texts[4].startswith(f'{path}[2].values[0]: Invalid value: "-": a valid label must be')


def texts(found):
    return [str(error) for error in found]


def test_metadata_of_a_new_object():
    assert objectmeta.validate({"name": "a", "namespace": "d"}, namespaced=True) == []
    assert texts(objectmeta.validate({}, namespaced=False)) == [
        "metadata.name: Required value: name or generateName is required"
    ]
    assert texts(objectmeta.validate({"name": "a", "namespace": "d"}, namespaced=False)) == [
        "metadata.namespace: Forbidden: not allowed on this type"
    ]
    assert texts(objectmeta.validate({"name": "a"}, namespaced=True)) == ["metadata.namespace: Required value"]
    assert texts(objectmeta.validate({"name": "A_b"}, namespaced=False)) == [
        f'metadata.name: Invalid value: "A_b": {SUBDOMAIN}'
    ]
    assert objectmeta.validate({"generateName": "a-", "name": "a-x"}, namespaced=False) == []


def test_annotations_are_limited_in_total():
    half = "x" * (128 * 1024)
    assert objectmeta.validate({"name": "a", "annotations": {"K.y/a": half}}, namespaced=False) == []
    found = objectmeta.validate({"name": "a", "annotations": {"a": half, "b": half}}, namespaced=False)
    assert texts(found) == ["metadata.annotations: Too long: may not be more than 262144 bytes"]


def test_owner_references():
    owner = {"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "u", "controller": True}
    assert objectmeta.validate({"name": "a", "ownerReferences": [owner]}, namespaced=False) == []
    found = texts(objectmeta.validate({"name": "a", "ownerReferences": [owner, owner, {}]}, namespaced=False))
    assert 'metadata.ownerReferences.uid: Invalid value: "": uid must not be empty' in found
    assert any("Only one reference can have Controller set to true" in text for text in found)


def test_metadata_of_an_update():
    old = {"name": "a", "namespace": "d", "uid": "u", "resourceVersion": "1", "finalizers": ["x.y/a"]}
    assert objectmeta.validate_update(dict(old), old) == []
    assert texts(objectmeta.validate_update(old | {"resourceVersion": ""}, old)) == [
        'metadata.resourceVersion: Invalid value: "": must be specified for an update'
    ]
    assert texts(objectmeta.validate_update(old | {"uid": "v"}, old)) == [
        'metadata.uid: Invalid value: "v": field is immutable'
    ]
    dying = old | {"deletionTimestamp": "2026-01-01T00:00:00Z"}
    assert texts(objectmeta.validate_update(dying | {"finalizers": ["x.y/a", "x.y/b"]}, dying)) == [
        "metadata.finalizers: Forbidden: no new finalizers can be added if the object is being deleted, "
        'found new finalizers []string{"x.y/b"}'
    ]
    assert objectmeta.validate_update(dying | {"finalizers": []}, dying) == []


def test_the_whole_message():
    errors = [fields.required("spec.ports"), fields.invalid("spec.type", "X", "bad")]
    assert invalid("", "Service", "s", errors).message == (
        'Service "s" is invalid: [spec.ports: Required value, spec.type: Invalid value: "X": bad]'
    )
