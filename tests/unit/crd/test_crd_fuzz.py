"""No schema and no object, however odd, makes pruning, defaulting or validation stumble."""

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sampan.api import schema as decoding
from sampan.api.crd import structural
from sampan.api.crd.node import Node, default, fresh, prune
from sampan.api.crd.validate import validate
from sampan.api.kinds.customresourcedefinition import RESOURCE
from sampan.api.status import ApiError

NAMES = st.sampled_from(["a", "b-c", "if", "metadata", "kind", "x"])
SCALARS = (
    st.none() | st.booleans() | st.integers(-5, 5) | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5)
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3), max_leaves=12
)
COUNTS = st.integers(0, 3)
RULES = st.sampled_from(
    ["self == oldSelf", "self.a == 1", "self.all(x, x == self[0])", "self > 1", "size(self) < 2", "self.sum() > 0", "[self].isSorted()",
     "self.min() == self.max()", "quantity(self).isLessThan(quantity('1'))", "self.indexOf('a') == 0", "ip(self).family() == 4",
     "url(self).getPort() == '1'", "cidr(self).containsIP(self)", "semver(self).major() == 1", "self.find('(') == ''", "self.?a.hasValue()",
     "format.dns1123Label().validate(self).hasValue()", "sets.contains(self, self)", "[1, 'a', null].sum() == 1", "oldSelf.a.b.c == self"]
)  # fmt: skip


def schemas(children):
    return st.fixed_dictionaries(
        {},
        optional={
            "type": st.sampled_from(["object", "array", "string", "integer", "number", "boolean", "odd"]),
            "properties": st.dictionaries(NAMES, children, max_size=3),
            "items": children,
            "additionalProperties": children | st.booleans(),
            "required": st.lists(NAMES, max_size=2),
            "nullable": st.booleans(),
            "default": VALUES,
            "enum": st.lists(SCALARS, max_size=2),
            "pattern": st.sampled_from(["^a+$", "(", "\\pL", ""]),
            "format": st.sampled_from(["ipv4", "date-time", "duration", "byte", "uri", "cidr", "uuid", "mine"]),
            **dict.fromkeys(("minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties"), COUNTS),
            **{key: st.floats(-5, 5) for key in ("minimum", "maximum", "multipleOf")},
            "x-kubernetes-preserve-unknown-fields": st.booleans(),
            "x-kubernetes-embedded-resource": st.booleans(),
            "x-kubernetes-int-or-string": st.booleans(),
            "x-kubernetes-list-type": st.sampled_from(["set", "map", "atomic", "odd"]),
            "x-kubernetes-list-map-keys": st.lists(NAMES, max_size=2),
            "x-kubernetes-validations": st.lists(st.fixed_dictionaries({"rule": RULES}, optional={"optionalOldSelf": st.booleans()}), max_size=2),
            **{key: st.lists(children, max_size=2) for key in ("allOf", "anyOf", "oneOf")},
            "not": children,
        },
    )  # fmt: skip


SCHEMAS = st.recursive(st.just({"type": "string"}), schemas, max_leaves=6)
OPEN = st.fixed_dictionaries({"x-kubernetes-preserve-unknown-fields": st.just(True)})
EITHER = st.just({"x-kubernetes-int-or-string": True})


def some(kind, **more):
    rules = st.lists(st.fixed_dictionaries({"rule": RULES}, optional={"optionalOldSelf": st.booleans()}), max_size=2)
    common = {"nullable": st.booleans(), "enum": st.lists(SCALARS, max_size=2), "x-kubernetes-validations": rules}
    return st.fixed_dictionaries({"type": st.just(kind)}, optional={**common, **more})


LEAVES = st.one_of(
    some("string", minLength=COUNTS, maxLength=COUNTS, pattern=st.sampled_from(["^a+$", "\\pL", "x|y"]), format=st.sampled_from(["ipv4", "date-time", "uri"])),
    some("integer", minimum=st.integers(-5, 5), maximum=st.integers(-5, 5), multipleOf=st.integers(1, 3)),
    some("number", minimum=st.floats(-5, 5), maximum=st.floats(-5, 5), multipleOf=st.floats(0.1, 5)),
    some("boolean"),
    OPEN,
    EITHER,
)  # fmt: skip


def containers(inner):
    return st.one_of(
        some(
            "array", minItems=COUNTS, maxItems=COUNTS, **{"x-kubernetes-list-type": st.sampled_from(["set", "atomic"])}
        ).flatmap(lambda found: inner.map(lambda items: {**found, "items": items})),
        some("object", required=st.lists(NAMES, max_size=2), properties=st.dictionaries(NAMES, inner, max_size=3)),
        some("object", additionalProperties=inner, maxProperties=COUNTS),
    )


# Most of these are ones that a definition may carry.
GOOD = st.recursive(LEAVES, containers, max_leaves=6)
FEW = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))


@FEW
@given(GOOD, VALUES, VALUES)
def test_objects_of_schemas(schema, value, old):
    root = {"type": "object", "properties": {"spec": schema}}
    if structural.validate(root, "s"):
        return  # such a schema is never stored
    node = Node(root)
    new = {"metadata": {"name": "a"}, "spec": fresh(value)}
    prune(node, new)
    default(node, new)
    assert prune(node, new) == []
    again = fresh(new)
    default(node, again)
    assert again == new
    for error in (*validate(node, new), *validate(node, new, {"metadata": {"name": "a"}, "spec": old})):
        assert str(error)


@FEW
@given(SCHEMAS)
def test_definitions_of_schemas(schema):
    import orjson

    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    names = {"plural": "things", "kind": "Thing"}
    spec = {"group": "example.com", "scope": "Cluster", "names": names, "versions": [version]}
    obj = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "things.example.com"},
        "spec": spec,
    }
    try:
        decoded, _ = decoding.decode(RESOURCE, orjson.dumps(obj), "Strict")
    except (ApiError, orjson.JSONEncodeError):
        return
    RESOURCE.strategy.default(decoded)
    for error in RESOURCE.strategy.validate(decoded):
        assert str(error)
