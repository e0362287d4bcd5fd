"""Label and field selectors."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sampan.api import selectors
from sampan.api.kinds import SCHEME
from sampan.api.status import ApiError

LABELS = {"app": "web", "tier": "front", "n": "5", "empty": ""}


@pytest.mark.parametrize(
    ("text", "matches"),
    [
        ("", True),
        ("app=web", True),
        ("app==web", True),
        ("app=db", False),
        ("app!=db", True),
        ("missing!=x", True),
        ("app in (web,db)", True),
        ("app in (web,db),tier notin (back)", True),
        ("app notin (web)", False),
        ("missing notin (x)", True),
        ("missing in (x)", False),
        ("app", True),
        ("!app", False),
        ("!missing", True),
        ("app,!missing,tier=front", True),
        (" app = web , tier in ( front , back ) ", True),
        ("n>4", True),
        ("n>5", False),
        ("n<6", True),
        ("app>4", False),
        ("empty=", True),
        ("empty in ()", True),
        ("app in (,web)", True),
        ("app=", False),
        ("in in (in)", False),
        ("example.com/name=x", False),
    ],
)
def test_matching(text, matches):
    assert selectors.parse_labels(text).matches(LABELS) is matches


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a=b,", "found '', expected: identifier after ','"),
        ("a in b", "unable to parse requirement: found 'b' expected: '('"),
        ("a in (b", "unable to parse requirement: found '', expected: ',', ')' or identifier"),
        ("a=b=c", "found '=', expected: ',' or 'end of string'"),
        ("=b", "found '=', expected: !, identifier, or 'end of string'"),
        ("a b", "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt"),
        ("!", "unable to parse requirement: found '', expected: identifier"),
        (
            "n>x",
            'unable to parse requirement: values[0]: Invalid value: "x": '
            "for 'Gt', 'Lt' operators, the value must be an integer",
        ),
    ],
)
def test_faults(text, message):
    with pytest.raises(ApiError) as caught:
        selectors.parse_labels(text)
    assert caught.value.code == 400
    assert caught.value.message == message


def test_a_bad_value_is_named_with_its_place():
    with pytest.raises(ApiError, match=r'unable to parse requirement: values\[0\]\[a\]: Invalid value: "b\$": a valid'):
        selectors.parse_labels("a=b$")


def test_a_bad_key_is_named():
    with pytest.raises(ApiError, match=r'unable to parse requirement: key: Invalid value: "a\$": name part must'):
        selectors.parse_labels("a$=b")


def test_objects():
    selector = {
        "matchLabels": {"app": "web"},
        "matchExpressions": [
            {"key": "tier", "operator": "In", "values": ["front"]},
            {"key": "x", "operator": "DoesNotExist"},
        ],
    }
    assert selectors.from_object(selector).matches(LABELS)
    assert not selectors.from_object(selector).matches(LABELS | {"x": ""})
    assert selectors.from_object({}).matches({})
    assert not selectors.from_object(None).matches(LABELS)
    assert not selectors.from_map({}).matches(LABELS)
    assert selectors.from_map({"app": "web"}).matches(LABELS)


KEYS, VALUES = st.sampled_from("abc"), st.sampled_from(["", "1", "2"])
MAPS = st.dictionaries(KEYS, VALUES, max_size=3)


@given(MAPS, MAPS)
def test_the_text_of_a_map_selects_its_supersets(wanted, labels):
    text = ",".join(f"{k}={v}" for k, v in wanted.items())
    assert selectors.parse_labels(text).matches(labels) == (wanted.items() <= labels.items())


@given(st.text("ab=!<>,() intoexs", max_size=20))
def test_any_text_parses_or_is_refused(text):
    code = 0
    try:
        selectors.parse_labels(text).matches(LABELS)
    except ApiError as error:
        code = error.code
    assert code in (0, 400)


EVENTS, CONFIGMAPS = SCHEME.by_id["events"], SCHEME.by_id["configmaps"]
EVENT = {"metadata": {"name": "e", "namespace": "d"}, "type": "Warning", "involvedObject": {"kind": "Pod", "name": "p"}}


@pytest.mark.parametrize(
    ("text", "matches"),
    [
        ("", True),
        ("type=Warning", True),
        ("type!=Normal,involvedObject.name=p", True),
        ("involvedObject.kind==Node", False),
        ("metadata.name=e,metadata.namespace=d", True),
        ("involvedObject.uid=", True),
        (r"reason=a\,b", False),
    ],
)
def test_field_selectors(text, matches):
    assert selectors.parse_fields(text, EVENTS).matches(EVENT) is matches


def test_escapes_in_field_selectors():
    selector = selectors.parse_fields(r"reason=a\,b\=c", EVENTS)
    assert selector.matches(EVENT | {"reason": "a,b=c"})


def test_the_exact_value_of_a_field():
    selector = selectors.parse_fields("metadata.name=a,type!=b", EVENTS)
    assert selector.exact("metadata.name") == "a"
    assert selector.exact("type") is None


@pytest.mark.parametrize(
    ("text", "resource", "message"),
    [
        ("foo=bar", EVENTS, "field label not supported: foo"),
        (
            "foo=bar",
            CONFIGMAPS,
            '"foo" is not a known field selector: only "metadata.name", "metadata.namespace"',
        ),
        ("foo", EVENTS, "invalid selector: 'foo'; can't understand 'foo'"),
    ],
)
def test_field_selector_faults(text, resource, message):
    with pytest.raises(ApiError) as caught:
        selectors.parse_fields(text, resource)
    assert caught.value.message == message
