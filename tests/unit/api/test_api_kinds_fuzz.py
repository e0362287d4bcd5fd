"""Whatever decodes can be judged: objects made at random from the definitions never make a kind stumble."""

import json
import random
from datetime import UTC, datetime

import pytest

from sampan.api import definitions, patch, schema
from sampan.api.kinds import SCHEME
from sampan.api.status import ApiError

NOW = datetime(2026, 11, 20, 12, 0, 0, tzinfo=UTC)
ROWS = [r for r in SCHEME.resources if not r.computed]
OBJECTS = 300
TEXTS = ("", "a", "TCP", "A_b", "x.y/z", "None", "ClusterIP", "IPv4", "10.0.0.1", "Always", "In", "NodePort")
SPECIAL = {
    "Quantity": ("1", "100m", "1Gi", 2),
    "IntOrString": (1, 0, -1, "http", "25%", "x y", 70000),
    "Time": ("2026-01-01T00:00:00Z",),
    "MicroTime": ("2026-01-01T00:00:00.000000Z",),
}
SIMPLE = {"integer": (0, 1, -1, 80, 70000), "number": (1.5,), "boolean": (True, False)}


def value(schema_, chance, depth):
    if name := definitions.ref(schema_):
        known = definitions.load()[name]
        choices = SPECIAL.get(name.rpartition(".")[2])
        if choices:
            return chance.choice(choices)
        return value_of(name, chance, depth + 1) if "properties" in known else {"a": 1}
    kind = definitions.type_of(schema_)
    if kind == "string":
        return "YQ==" if schema_.get("format") == "byte" else chance.choice(TEXTS)
    if kind in SIMPLE:
        return chance.choice(SIMPLE[kind])
    if kind == "array":
        return [value(schema_["items"], chance, depth + 1) for _ in range(chance.randint(0, 2))]
    inner = schema_.get("additionalProperties")
    return {chance.choice("abX"): value(inner, chance, depth + 1)} if inner else {}


def value_of(name, chance, depth=0):
    share = 0.5 if depth < 2 else 0.25 if depth < 9 else 0
    properties = definitions.load()[name]["properties"].items()
    return {key: value(inner, chance, depth) for key, inner in properties if chance.random() < share}


def objects(row):
    chance = random.Random(row.id)
    for _ in range(OBJECTS):
        made = value_of(row.definition, chance)
        metadata = made.setdefault("metadata", {}) | {"name": "x", "creationTimestamp": "2026-01-01T00:00:00Z"}
        metadata |= {"namespace": "d"} if row.namespaced else {}
        body = made | {"apiVersion": row.api_version, "kind": row.kind, "metadata": metadata}
        yield chance, schema.decode(row, json.dumps(body).encode(), "Strict")[0]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.id)
def test_no_decoded_object_makes_a_kind_stumble(row):
    strategy = row.strategy
    for chance, obj in objects(row):
        strategy.default(obj)
        strategy.prepare_create(obj)
        found = strategy.validate(obj)
        assert all(error.field and error.text for error in found)
        strategy.warnings(obj)
        if not found:
            assert len(strategy.row(obj, NOW)) == len(strategy.columns)
            assert all(isinstance(get(obj), str) for get in row.fields.values())
        change = value_of(row.definition, chance)
        change.pop("metadata", None)
        code = 0
        try:
            patch.apply(row, obj, json.dumps(change).encode(), patch.STRATEGIC, "Strict")
        except ApiError as error:
            code = error.code
        assert code in (0, 400, 422)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.id)
def test_defaults_are_a_fixed_point(row):
    for _, obj in objects(row):
        row.strategy.default(obj)
        once = json.dumps(obj)
        row.strategy.default(obj)
        assert json.dumps(obj) == once
