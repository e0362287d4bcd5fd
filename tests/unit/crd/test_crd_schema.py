"""Custom resources against their schema: pruning, defaults, validation, rules, columns, and the CRD's own rules."""

from datetime import UTC, datetime

import pytest

from sampan.api.crd import checks, columns, jsonpath, structural
from sampan.api.crd.node import Node, default, prune, without_texts
from sampan.api.crd.resource import version_order
from sampan.api.crd.rules import escape
from sampan.api.crd.validate import validate
from sampan.api.kinds.customresourcedefinition import RESOURCE

NOW = datetime(2026, 1, 1, 1, tzinfo=UTC)
STRING = {"type": "string"}


def root(**spec):
    return {"type": "object", "properties": {"spec": {"type": "object", **spec}}}


def obj(**spec):
    return {"apiVersion": "example.com/v1", "kind": "Thing", "metadata": {"name": "a"}, "spec": spec}


def texts(schema, new, old=None):
    return [str(e) for e in validate(Node(schema), new, old)]


# -- pruning and defaults


def test_unknown_fields_go_and_are_named():
    schema = root(
        properties={
            "a": STRING,
            "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": True, "properties": {"in": root()}},
            "map": {"type": "object", "additionalProperties": {"type": "object", "properties": {"x": STRING}}},
            "list": {"type": "array", "items": {"type": "object", "properties": {"x": STRING}}},
            "raw": {
                "type": "object",
                "x-kubernetes-embedded-resource": True,
                "properties": {"spec": {"type": "object", "properties": {"a": STRING}}},
            },
        }
    )
    new = obj(
        a="1",
        b=2,
        free={"any": 1, "in": {"spec": {"z": 1}}},
        map={"k": {"x": "1", "y": 2}},
        list=[{"x": "1"}, {"y": 1}],
        raw={"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": {"b": 1}, "status": {}},
    )
    assert prune(Node(schema), new) == [
        "spec.b",
        "spec.free.in.spec.z",
        "spec.list[1].y",
        "spec.map.k.y",
        "spec.raw.spec.b",
        "spec.raw.status",
    ]
    assert new["spec"]["free"]["any"] == 1
    assert new["spec"]["raw"]["metadata"] == {"name": "p"}
    assert prune(Node(schema), new) == []


def test_defaults_reach_into_lists_maps_and_other_defaults():
    inner = {"type": "object", "properties": {"x": {"type": "integer", "default": 1}}}
    schema = root(
        default={},
        properties={
            "o": {**inner, "default": {}},
            "list": {"type": "array", "items": inner},
            "map": {"type": "object", "additionalProperties": inner},
            "null": {"type": "string", "nullable": True, "default": "d"},
            "plain": {"type": "string"},
        },
    )
    new = obj(list=[{}, {"x": 2}], map={"k": {}}, null=None, plain=None)
    default(Node(schema), new)
    assert new["spec"] == {"list": [{"x": 1}, {"x": 2}], "map": {"k": {"x": 1}}, "null": None, "o": {"x": 1}}
    empty = {"metadata": {}}
    default(Node(schema), empty)
    assert empty["spec"] == {"o": {"x": 1}, "null": "d"}
    empty["spec"]["o"]["x"] = 5
    assert schema["properties"]["spec"]["properties"]["o"]["default"] == {}


# -- validation


@pytest.mark.parametrize(
    ("schema", "value", "expected"),
    [
        ({"type": "integer"}, "x", 'spec.v: Invalid value: "string": spec.v in body must be of type integer: "string"'),
        ({"type": "integer"}, 1.5, 'spec.v: Invalid value: "number": spec.v in body must be of type integer: "number"'),
        (STRING, None, 'spec.v: Invalid value: "null": spec.v in body must be of type string: "null"'),
        ({"type": "integer", "minimum": 1}, 0, "spec.v: Invalid value: 0: spec.v in body should be greater than or equal to 1"),
        ({"type": "integer", "maximum": 1}, 2, "spec.v: Invalid value: 2: spec.v in body should be less than or equal to 1"),
        ({"type": "integer", "minimum": 1, "exclusiveMinimum": True}, 1, "spec.v: Invalid value: 1: spec.v in body should be greater than 1"),
        ({"type": "number", "multipleOf": 0.5}, 0.7, "spec.v: Invalid value: 0.7: spec.v in body should be a multiple of 0.5"),
        ({"type": "string", "enum": ["a", "b"]}, "c", 'spec.v: Unsupported value: "c": supported values: "a", "b"'),
        ({"type": "string", "pattern": "^a+$"}, "b", "spec.v: Invalid value: \"b\": spec.v in body should match '^a+$'"),
        ({"type": "string", "minLength": 2}, "b", 'spec.v: Invalid value: "b": spec.v in body should be at least 2 chars long'),
        ({"type": "string", "maxLength": 2}, "bcd", "spec.v: Too long: may not be more than 2 bytes"),
        ({"type": "string", "format": "ipv4"}, "x", 'spec.v: Invalid value: "x": spec.v in body must be of type ipv4: "x"'),
        ({"type": "array", "items": STRING, "minItems": 1}, [], "spec.v: Invalid value: []interface {}{}: spec.v in body should have at least 1 items"),
        ({"type": "array", "items": STRING, "maxItems": 1}, ["a", "b"], "spec.v: Too many: 2: must have at most 1 items"),
        ({"type": "array", "items": STRING, "x-kubernetes-list-type": "set"}, ["a", "a"], 'spec.v[1]: Duplicate value: "a"'),
        ({"type": "object", "maxProperties": 0, "additionalProperties": STRING}, {"a": "b"}, "spec.v: Too many: 1: must have at most 0 items"),
        ({"x-kubernetes-int-or-string": True}, True, 'spec.v: Invalid value: "boolean": spec.v in body must be of type integer,string: "boolean"'),
        ({"type": "object", "required": ["a"]}, {}, "spec.v.a: Required value"),
        ({"type": "object", "properties": {"a": {}, "b": {}}, "oneOf": [{"required": ["a"]}, {"required": ["b"]}]}, {},
         'spec.v: Invalid value: map[string]interface {}{}: "spec.v" must validate one and only one schema (oneOf). Found none valid'),
        ({"type": "object", "properties": {"a": {}}, "anyOf": [{"required": ["a"]}]}, {},
         'spec.v: Invalid value: map[string]interface {}{}: "spec.v" must validate at least one schema (anyOf)'),
        ({"type": "string", "not": {"enum": ["a"]}}, "a", 'spec.v: Invalid value: "a": "spec.v" must not validate the schema (not)'),
    ],
)  # fmt: skip
def test_faults_are_worded_as_kubectl_users_know_them(schema, value, expected):
    assert texts(root(properties={"v": schema}), obj(v=value)) == [expected]


def test_what_fits_has_no_faults():
    schema = root(
        required=["n"],
        properties={
            "n": {"type": "number"},
            "i": {"type": "integer"},
            "s": {"type": "string", "nullable": True, "pattern": "^a$"},
            "p": {"x-kubernetes-int-or-string": True, "anyOf": [{"type": "integer"}, {"type": "string"}]},
            "l": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"],
                  "items": {"type": "object", "required": ["k"], "properties": {"k": STRING}}},
        },
    )  # fmt: skip
    assert texts(schema, obj(n=1, i=2.0, s=None, p="80%", l=[{"k": "a"}, {"k": "b"}])) == []
    assert texts(schema, obj(n=1, l=[{"k": "a"}, {"k": "a"}])) == [
        'spec.l[1]: Duplicate value: map[string]interface {}{"k":"a"}'
    ]


def test_names_can_be_restricted():
    schema = {
        "type": "object",
        "properties": {"metadata": {"type": "object", "properties": {"name": {"type": "string", "maxLength": 1}}}},
    }
    assert texts(schema, {"metadata": {"name": "ab"}}) == ["metadata.name: Too long: may not be more than 1 bytes"]


def test_what_was_wrong_before_and_did_not_change_is_let_be():
    schema = root(properties={"a": {"type": "string", "maxLength": 1}, "b": {"type": "integer", "minimum": 5}})
    old = obj(a="long", b=1)
    assert texts(schema, obj(a="long", b=6), old) == []
    assert texts(schema, obj(a="longer", b=1), old) == ["spec.a: Too long: may not be more than 1 bytes"]


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("ipv6", "::1", "1.2.3.4"),
        ("cidr", "10.0.0.0/8", "10.0.0.0"),
        ("uuid", "123e4567-e89b-12d3-a456-426614174000", "123"),
        ("date", "2020-01-02", "2020-13-01"),
        ("date-time", "2020-01-02T03:04:05Z", "2020-01-02"),
        ("duration", "1h30m", "1x"),
        ("byte", "aGk=", "%"),
        ("uri", "https://example.com", "no uri"),
        ("hostname", "a.example", "-a"),
        ("email", "a@b.c", "ab.c"),
        ("mac", "01:23:45:67:89:ab", "01:23"),
    ],
)
def test_formats(name, good, bad):
    assert checks.FORMATS[name](good)
    assert not checks.FORMATS[name](bad)


# -- rules


def rule(text, **more):
    return {"x-kubernetes-validations": [{"rule": text, **more}]}


def test_a_rule_that_fails_gives_its_message():
    schema = root(**rule("self.a <= self.b", message="a is too large"), properties={"a": {}, "b": {}})
    assert texts(schema, obj(a=1, b=2)) == []
    assert texts(schema, obj(a=3, b=2)) == ['spec: Invalid value: "object": a is too large']
    plain = root(**rule("self.a <= self.b"), properties={"a": {}, "b": {}})
    assert texts(plain, obj(a=3, b=2)) == ['spec: Invalid value: "object": failed rule: self.a <= self.b']
    assert texts(plain, obj(b=2)) == [
        'spec: Invalid value: "object": no such key: a evaluating rule: failed rule: self.a <= self.b'
    ]


def test_message_expression_reason_and_field_path():
    schema = root(
        **rule(
            "self.a < 2", messageExpression="'a is ' + string(self.a)", reason="FieldValueForbidden", fieldPath=".a"
        ),
        properties={"a": {"type": "integer"}},
    )
    assert texts(schema, obj(a=3)) == ["spec.a: Forbidden: a is 3"]


def test_transition_rules_wait_for_an_old_value():
    schema = root(properties={"a": {"type": "string", **rule("self == oldSelf", message="immutable")}})
    assert texts(schema, obj(a="x")) == []
    assert texts(schema, obj(a="x"), obj()) == []
    assert texts(schema, obj(a="y"), obj(a="x")) == ['spec.a: Invalid value: "string": immutable']


def test_an_optional_old_value_is_there_at_creation_too():
    schema = root(
        properties={
            "a": {
                "type": "integer",
                **rule("oldSelf.hasValue() ? self >= oldSelf.value() : self == 0", optionalOldSelf=True),
            }
        }
    )
    assert texts(schema, obj(a=0)) == []
    assert len(texts(schema, obj(a=1))) == 1
    assert texts(schema, obj(a=2), obj(a=1)) == []
    assert len(texts(schema, obj(a=1), obj(a=2))) == 1


def test_elements_of_map_lists_meet_their_own_past():
    item = {"type": "object", "properties": {"k": STRING, "v": {"type": "integer", **rule("self >= oldSelf")}}}
    schema = root(
        properties={
            "l": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"], "items": item}
        }
    )
    old = obj(l=[{"k": "a", "v": 5}, {"k": "b", "v": 1}])
    assert texts(schema, obj(l=[{"k": "b", "v": 1}, {"k": "c", "v": 0}, {"k": "a", "v": 5}]), old) == []
    assert texts(schema, obj(l=[{"k": "b", "v": 2}, {"k": "a", "v": 4}]), old) == [
        'spec.l[1].v: Invalid value: "integer": failed rule: self >= oldSelf'
    ]


def test_rules_are_not_run_on_values_of_the_wrong_type():
    schema = root(**rule("self.a > 1"), properties={"a": {"type": "integer"}})
    found = texts(schema, obj(a="x"))
    assert len(found) == 2
    assert "some validation rules were not checked" in found[1]


def test_rules_see_names_that_cel_cannot_say():
    schema = root(
        **rule("self.a__dash__b == 1.0 && self.__namespace__ == 'x' && self.n + 0.5 == 2.5"),
        properties={"a-b": {"type": "number"}, "namespace": STRING, "n": {"type": "number"}},
    )
    assert texts(schema, obj(**{"a-b": 1, "namespace": "x", "n": 2})) == []
    assert escape("a.b/c__d") == "a__dot__b__slash__c__underscores__d"


# -- columns


def test_json_paths():
    doc = {"a": {"b.c": 1}, "list": [{"t": "x", "v": 1}, {"t": "y", "v": 2, "ok": True}], "n": 3}
    cases = {
        ".n": [3],
        ".a.b\\.c": [1],
        ".a['b.c']": [1],
        ".list[0].v": [1],
        ".list[-1].v": [2],
        ".list[*].v": [1, 2],
        '.list[?(@.t=="y")].v': [2],
        ".list[?(@.v>1)].t": ["y"],
        ".list[?(@.ok)].t": ["y"],
        ".list[0:1].t": ["x"],
        "..v": [1, 2],
        ".missing.more": [],
        "{.n}": [3],
    }
    for path, expected in cases.items():
        assert jsonpath.parse(path)(doc) == expected, path
    for bad in (".a[", ".a..[?(", ".a b"):
        with pytest.raises(ValueError, match="unrecognized"):
            jsonpath.parse(bad)


def test_cells_by_type():
    given = [
        {"name": "I", "type": "integer", "jsonPath": ".spec.i"},
        {"name": "B", "type": "boolean", "jsonPath": ".spec.b"},
        {"name": "S", "type": "string", "jsonPath": ".spec.l"},
        {"name": "W", "type": "integer", "jsonPath": ".spec.s"},
        {"name": "D", "type": "date", "jsonPath": ".spec.d", "priority": 1},
        {"name": "X", "type": "date", "jsonPath": ".spec.s"},
        {"name": "M", "type": "string", "jsonPath": ".spec.missing"},
    ]
    new = obj(i=1.0, b=True, l=["a"], s="text", d="2026-01-01T00:00:00Z")
    assert columns.row(given)(new, NOW) == ["a", 1, True, '["a"]', None, "60m", "<invalid>", None]
    assert [c.name for c in columns.columns(given)] == ["Name", "I", "B", "S", "W", "D", "X", "M"]
    assert [c.name for c in columns.columns(None)] == ["Name", "Age"]


def test_versions_sort_as_people_think():
    names = ["foo", "v1alpha1", "v2", "v10", "v1beta2", "v11beta1", "v1"]
    assert sorted(names, key=version_order) == ["v10", "v2", "v1", "v11beta1", "v1beta2", "v1alpha1", "foo"]


def test_texts_are_left_out_but_fields_named_description_stay():
    schema = {
        "description": "x",
        "type": "object",
        "properties": {"description": {"type": "string", "description": "y"}},
    }
    assert without_texts(schema) == {"type": "object", "properties": {"description": {"type": "string"}}}


# -- the definition itself


def crd(schema=None, **spec):
    version = {
        "name": "v1",
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": schema or {"type": "object"}},
    }
    new = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "things.example.com"},
        "spec": {
            "group": "example.com",
            "scope": "Namespaced",
            "names": {"plural": "things", "kind": "Thing"},
            "versions": [version],
            **spec,
        },
    }
    RESOURCE.strategy.default(new)
    return new


def faults(new):
    return [str(e) for e in RESOURCE.strategy.validate(new)]


def test_a_small_definition_is_fine_and_gets_its_names():
    new = crd()
    assert faults(new) == []
    assert new["spec"]["names"] == {"plural": "things", "kind": "Thing", "singular": "thing", "listKind": "ThingList"}
    assert new["spec"]["conversion"] == {"strategy": "None"}


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({}, ".type: Required value: must not be empty at the root"),
        ({"type": "string"}, '.type: Invalid value: "string": must be object at the root'),
        ({"type": "object", "properties": {"a": {}}}, ".properties[a].type: Required value: must not be empty for specified object fields"),
        ({"type": "object", "properties": {"a": {"type": "array"}}}, ".properties[a].items: Required value: must be specified"),
        ({"type": "object", "properties": {"a": {"type": "array", "items": {}}}}, ".properties[a].items.type: Required value: must not be empty for specified array items"),
        ({"type": "object", "additionalProperties": {"type": "string"}}, ".additionalProperties: Forbidden: must not be used at the root"),
        ({"type": "object", "properties": {"a": {"type": "object", "properties": {"b": STRING}, "additionalProperties": STRING}}}, ".properties[a].additionalProperties: Forbidden: additionalProperties and properties are mutual exclusive"),
        ({"type": "object", "properties": {"a": {"type": "string", "anyOf": [{"type": "string"}]}}}, ".properties[a].anyOf[0].type: Forbidden: must be empty to be structural"),
        ({"type": "object", "anyOf": [{"properties": {"b": {}}}]}, ".properties[b]: Required value: because it is defined in s.anyOf[0].properties[b]"),
        ({"type": "object", "properties": {"a": {"type": "array", "items": STRING, "uniqueItems": True}}}, ".properties[a].uniqueItems: Forbidden: uniqueItems cannot be set to true since the runtime complexity becomes quadratic"),
        ({"type": "object", "properties": {"a": {"type": "string", "pattern": "("}}}, '.properties[a].pattern: Invalid value: "(": must be a valid regular expression, but isn\'t: error parsing regexp: missing ): ('),
        ({"type": "object", "properties": {"metadata": {"type": "object", "properties": {"labels": {"type": "object"}}}}}, ".properties[metadata]: Forbidden: must not specify anything other than name and generateName, but metadata is implicitly specified"),
        ({"type": "object", "properties": {"a": {"type": "array", "items": STRING, "x-kubernetes-list-type": "bag"}}}, '.properties[a].x-kubernetes-list-type: Unsupported value: "bag": supported values: "atomic", "map", "set"'),
        ({"type": "object", **rule("1 + 1")}, '.x-kubernetes-validations[0].rule: Invalid value: "1 + 1": cel expression must evaluate to a bool'),
    ],
)  # fmt: skip
def test_schemas_must_be_structural(schema, expected):
    assert [str(e).removeprefix("s") for e in structural.validate(schema, "s")] == [expected]


def test_rules_of_schemas_must_compile():
    (found,) = structural.validate({"type": "object", **rule("self.a ==")}, "s")
    assert found.field == "s.x-kubernetes-validations[0].rule"
    assert "compilation failed: ERROR: <input>:1:" in found.text


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"names": {"plural": "others", "kind": "Thing"}}, 'metadata.name: Invalid value: "things.example.com": must be spec.names.plural+"."+spec.group'),
        ({"scope": "Galaxy"}, 'spec.scope: Unsupported value: "Galaxy": supported values: "Cluster", "Namespaced"'),
        ({"versions": []}, "spec.versions: Required value: must have at least one version"),
        ({"conversion": {"strategy": "Webhook"}}, 'spec.conversion.webhook.clientConfig: Required value: required when strategy is set to "Webhook"'),
        ({"preserveUnknownFields": True}, "spec.preserveUnknownFields: Invalid value: true: cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead"),
    ],
)  # fmt: skip
def test_definitions_that_are_wrong(change, expected):
    assert expected in faults(crd(**change))


def test_defaults_must_fit_their_schema():
    (found,) = faults(
        crd(
            {
                "type": "object",
                "properties": {"spec": {"type": "object", "properties": {"a": {"type": "integer", "default": "x"}}}},
            }
        )
    )
    assert found.startswith(
        "spec.versions[0].schema.openAPIV3Schema.properties[spec].properties[a].default: Invalid value"
    )


def test_groups_of_the_community_want_an_approval():
    new = crd()
    new["metadata"]["name"], new["spec"]["group"] = "things.example.k8s.io", "example.k8s.io"
    assert any("protected groups must have approval annotation" in text for text in faults(new))
    new["metadata"]["annotations"] = {"api-approved.kubernetes.io": "https://example.com"}
    assert faults(new) == []


def test_scope_and_kind_are_for_good_once_established():
    old = crd()
    old["metadata"]["resourceVersion"] = "1"
    old["status"] = {"conditions": [{"type": "Established", "status": "True"}]}
    new = crd(scope="Cluster")
    new["metadata"]["resourceVersion"] = "1"
    assert [str(e) for e in RESOURCE.strategy.validate_update(new, old)] == [
        'spec.scope: Invalid value: "Cluster": field is immutable'
    ]
