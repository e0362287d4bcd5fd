"""CEL: the engine behind CRD rules and admission policies, with Kubernetes' functions."""

import pytest

from sampan.api import cel

TRUE = [
    "quantity('1Gi').isGreaterThan(quantity('100M'))",
    "quantity('1') == quantity('1000m')",
    "!isQuantity('x') && isQuantity('1.5')",
    "quantity('1').add(2).asInteger() == 3 && quantity('-1').sign() == -1",
    "!quantity('1.5').isInteger()",
    "quantity('100').sub(quantity('1')).asApproximateFloat() == 99.0",
    "semver('1.2.3').isLessThan(semver('1.3.0'))",
    "semver('1.0.0-rc.1').compareTo(semver('1.0.0')) == -1",
    "semver('v1.0', true).major() == 1 && !isSemver('v1') && isSemver('v1', true)",
    "ip('::1').isLoopback() && ip('::1').family() == 6 && isIP('1.2.3.4') && !isIP('x')",
    "!ip.isCanonical('2001:DB8::1') && ip.isCanonical('2001:db8::1')",
    "cidr('10.0.0.0/8').containsIP('10.1.2.3') && cidr('10.0.0.0/8').containsCIDR(cidr('10.1.0.0/16'))",
    "cidr('10.1.0.0/8').masked() == cidr('10.0.0.0/8') && cidr('10.1.0.0/8').ip() == ip('10.1.0.0')",
    "string(ip('1.2.3.4')) == '1.2.3.4' && cidr('::/0').prefixLength() == 0",
    "url('https://a:80/p?q=1').getHost() == 'a:80' && url('https://a:80/p?q=1').getQuery()['q'][0] == '1'",
    "url('https://[::1]:80/p').getHostname() == '::1' && !isURL('foo') && isURL('/a')",
    "!format.dns1123Label().validate('abc').hasValue()",
    "format.dns1123Label().validate('A_').value().size() == 1",
    "format.named('uuid').validate('x').hasValue()",
    "'abc 123'.find('[0-9]+') == '123' && '1 2 3'.findAll('[0-9]', 2) == ['1', '2']",
    "[1, 2].sum() == 3 && [1, 3, 2].max() == 3 && !['b', 'a'].isSorted()",
    "['a', 'b', 'a'].lastIndexOf('a') == 2 && 'abc'.indexOf('c') == 2",
    "sets.equivalent([1, 2], [2, 1, 1]) && !sets.contains([1], [2]) && sets.intersects([1, 2], [2])",
    "'%s is %d'.format(['a', 1]) == 'a is 1' && optional.of(1).hasValue()",
    "cel.bind(x, 2, x * x) == 4 && base64.encode(b'a') == 'YQ==' && math.greatest(1, 2) == 2",
    "self.?missing.orValue(3) == 3 && has(self.list) && self.list.exists_one(x, x.name == 'a')",
    "duration('1h') > duration('59m') && timestamp('2020-01-01T00:00:00Z').getFullYear() == 2020",
]


@pytest.mark.parametrize("expression", TRUE)
def test_functions(expression: str) -> None:
    assert cel.compile(expression, ("self",)).evaluate({"self": {"list": [{"name": "a"}, {"name": "b"}]}}) is True


@pytest.mark.parametrize(
    ("expression", "text"),
    [
        ("self.missing", "no such key: missing"),
        ("1 / self.zero", "division by zero"),
        ("quantity('x')", "quantities must match the regular expression"),
        ("self.zero < 'a'", "no such overload: "),
        ("ip(self.name).prefixLength()", "expected a CIDR"),
        ("[1][3]", "Index error"),
    ],
)
def test_runs_that_fail(expression: str, text: str) -> None:
    with pytest.raises(cel.EvaluationError, match=text.replace("(", r"\(")):
        cel.compile(expression, ("self",)).evaluate({"self": {"zero": 0, "name": "1.2.3.4"}})


@pytest.mark.parametrize("expression", ["1 +", "foo", "'a' + 1", "self.nothing()"])
def test_compile_errors_show_the_place(expression: str) -> None:
    with pytest.raises(cel.CompileError, match=r"^compilation failed: ERROR: <input>:1:"):
        cel.compile(expression, ("self",))


def test_a_rule_cannot_run_forever() -> None:
    program = cel.compile("self.all(a, self.all(b, self.all(c, a + b + c >= 0)))", ("self",))
    with pytest.raises(cel.EvaluationError, match="cost limit"):
        program.evaluate({"self": list(range(1000))})


def test_result_kinds() -> None:
    assert cel.compile("1 == 1", ()).kind == "bool"
    assert cel.compile("'a'", ()).kind == "string"
    assert cel.compile("self.a", ("self",)).kind == "dyn"
