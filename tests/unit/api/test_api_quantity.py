"""Quantities: values from the Kubernetes documentation and the properties arithmetic must have."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sampan.api.quantity import Quantity


@pytest.mark.parametrize(
    ("text", "canonical", "value", "milli"),
    [
        ("0", "0", 0, 0),
        ("0Mi", "0", 0, 0),
        ("100m", "100m", 1, 100),
        ("0.1", "100m", 1, 100),
        (".5", "500m", 1, 500),
        ("1.", "1", 1, 1000),
        ("1.5", "1500m", 2, 1500),
        ("+2", "2", 2, 2000),
        ("-1.5", "-1500m", -1, -1500),
        ("1000m", "1", 1, 1000),
        ("1500", "1500", 1500, 1500000),
        ("1000k", "1M", 10**6, 10**9),
        ("1024Ki", "1Mi", 2**20, 2**20 * 1000),
        ("0.5Gi", "512Mi", 2**29, 2**29 * 1000),
        ("1536Mi", "1536Mi", 1536 * 2**20, 1536 * 2**20 * 1000),
        ("512", "512", 512, 512000),
        ("1e3", "1e3", 1000, 10**6),
        ("1E-3", "1e-3", 1, 1),
        ("12e2", "1200", 1200, 1200000),
        (".001Ki", "1024m", 2, 1024),
        ("3.001n", "4n", 1, 1),
        ("0.00000012345", "124n", 1, 1),
        ("9223372036854775807Ki", "9223372036854775807", 2**63 - 1, (2**63 - 1) * 1000),
        (1, "1", 1, 1000),
        (0.25, "250m", 1, 250),
    ],
)
def test_parse(text, canonical, value, milli):
    quantity = Quantity.parse(text)
    assert str(quantity) == canonical
    assert quantity.value == value
    assert quantity.milli == milli


@pytest.mark.parametrize("text", ["", "x", "1x", "1 Mi", "Mi", ".", "1.2.3", "--1", "1mi", "1Kii", "1e", "0x10", "1 "])
def test_nonsense_is_refused_with_the_known_text(text):
    with pytest.raises(ValueError, match="quantities must match the regular expression"):
        Quantity.parse(text)


def test_a_huge_exponent_is_refused_without_work():
    with pytest.raises(ValueError, match="suffix"):
        Quantity.parse("1e999999999")


def test_order_looks_at_the_amount_only():
    assert Quantity.parse("1Gi") > Quantity.parse("1G")
    assert Quantity.parse("1000m") == Quantity.parse("1")
    assert hash(Quantity.parse("1000m")) == hash(Quantity.parse("1"))


def test_a_sum_keeps_the_family():
    assert str(Quantity.parse("512Mi") + Quantity.parse("512Mi")) == "1Gi"
    assert str(Quantity.parse("250m") + Quantity.parse("750m")) == "1"
    assert str(Quantity.ZERO + Quantity.parse("1Ki")) == "1Ki"
    assert str(Quantity.parse("1Gi") - Quantity.parse("512Mi")) == "512Mi"


TEXTS = st.builds(
    lambda sign, whole, fraction, suffix: f"{sign}{whole}{fraction}{suffix}",
    st.sampled_from(["", "-"]),
    st.integers(0, 10**6),
    st.sampled_from(["", ".5", ".25", ".125", ".001"]),
    st.sampled_from(["", "n", "u", "m", "k", "M", "G", "T", "Ki", "Mi", "Gi", "e3", "e-2"]),
)


@given(TEXTS)
def test_the_canonical_text_is_a_fixed_point_with_the_same_amount(text):
    quantity = Quantity.parse(text)
    again = Quantity.parse(str(quantity))
    assert again == quantity
    # A binary amount that is no multiple of 1024 is written without a suffix, as Go does: nothing says it was binary.
    assert str(again) == str(quantity) or (quantity.family == "binary" and str(quantity).lstrip("-").isdigit())
    assert "." not in str(quantity)


@given(TEXTS, TEXTS, TEXTS)
def test_addition_is_exact(a, b, c):
    x, y, z = map(Quantity.parse, (a, b, c))
    assert (x + y) + z == z + (y + x)
    assert x + y - y == x


@given(TEXTS)
def test_value_rounds_up(text):
    quantity = Quantity.parse(text)
    assert 0 <= Decimal(quantity.value) - quantity.amount < 1
    assert 0 <= Decimal(quantity.milli) - quantity.amount * 1000 < 1
