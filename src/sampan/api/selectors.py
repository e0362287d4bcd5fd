"""Label and field selectors: parsed once, matched often.

Sources: k8s.io/apimachinery/pkg/labels and pkg/fields (grammar and error texts),
https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#label-selectors
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from sampan.api import fields, meta, validation
from sampan.api.meta import Obj
from sampan.api.scheme import Resource
from sampan.api.status import ApiError, bad_request

_OPERATORS = ("in", "notin", "=", "==", "!=", "gt", "lt")
_COMPARISONS = {"=": "in", "==": "in", "!=": "notin", "in": "in", "notin": "notin", ">": "gt", "<": "lt"}


class Requirement(NamedTuple):
    """One term. `operator` is in, notin, exists, !, gt or lt."""

    key: str
    operator: str
    values: frozenset[str] = frozenset()

    def matches(self, labels: Mapping[str, str]) -> bool:
        value = labels.get(self.key)
        match self.operator:
            case "in":
                return value in self.values
            case "notin":
                return value not in self.values
            case "exists":
                return value is not None
            case "!":
                return value is None
            case _:
                return value is not None and self._compares(value)

    def _compares(self, value: str) -> bool:
        if not _INTEGER(value):
            return False
        (bound,) = self.values
        return int(value) > int(bound) if self.operator == "gt" else int(value) < int(bound)


_INTEGER = re.compile(r"[+-]?[0-9]+").fullmatch


@dataclass(frozen=True)
class LabelSelector:
    """All requirements must hold. Without any it matches everything, unless it is NOTHING."""

    requirements: tuple[Requirement, ...] = ()
    nothing: bool = False

    def matches(self, labels: Mapping[str, str]) -> bool:
        return not self.nothing and all(r.matches(labels) for r in self.requirements)

    @property
    def empty(self) -> bool:
        """Does it match everything?"""
        return not self.requirements and not self.nothing


EVERYTHING = LabelSelector()
NOTHING = LabelSelector(nothing=True)


def from_map(labels: Mapping[str, str] | None) -> LabelSelector:
    """A plain map, as a Service's spec.selector: no map or an empty one selects nothing by itself."""
    return _exact(labels) if labels else NOTHING


def from_object(selector: Obj | None) -> LabelSelector:
    """A metav1.LabelSelector: None selects nothing, {} everything. The object has passed validation."""
    if selector is None:
        return NOTHING
    operators = {"In": "in", "NotIn": "notin", "Exists": "exists", "DoesNotExist": "!"}
    expressions = (
        Requirement(e["key"], operators[e["operator"]], frozenset(e.get("values") or ()))
        for e in selector.get("matchExpressions") or ()
    )
    return LabelSelector((*_exact(selector.get("matchLabels") or {}).requirements, *expressions))


def of_workload(workload: Obj) -> LabelSelector:
    """Which pods are meant by spec.selector of a Deployment, Job, …; a ReplicationController's is a plain map."""
    selector = workload["spec"].get("selector")
    return from_map(selector) if workload["kind"] == "ReplicationController" else from_object(selector)


def _exact(labels: Mapping[str, str]) -> LabelSelector:
    return LabelSelector(tuple(Requirement(k, "in", frozenset((v,))) for k, v in labels.items()))


@lru_cache(maxsize=1024)
def parse_labels(text: str) -> LabelSelector:
    """The text form: `a=b,c!=d,e in (f,g),h notin (i),j,!k,l>1`. Raises ApiError 400 with kube-apiserver's text."""
    requirements = tuple(_Parser(text).requirements())
    return LabelSelector(requirements) if requirements else EVERYTHING


_TOKEN = re.compile(r"\s*(?:(==|!=|[(),!=<>])|([^\s(),!=<>]+))")


class _Parser:
    """Recursive descent over the tokens of a label selector."""

    def __init__(self, text: str) -> None:
        self.tokens = [a or b for a, b in _TOKEN.findall(text)]
        self.at = 0

    def peek(self) -> str:
        return self.tokens[self.at] if self.at < len(self.tokens) else ""

    def next(self) -> str:
        token = self.peek()
        self.at += 1
        return token

    def requirements(self) -> Iterable[Requirement]:
        while token := self.peek():
            if token != "!" and not _is_identifier(token):
                raise bad_request(f"found '{token}', expected: !, identifier, or 'end of string'")
            try:
                yield self.requirement()
            except ValueError as error:
                raise bad_request(f"unable to parse requirement: {error}") from None
            if not (separator := self.next()):
                return
            if separator != ",":
                raise bad_request(f"found '{separator}', expected: ',' or 'end of string'")
            if not (_is_identifier(self.peek()) or self.peek() == "!"):
                raise bad_request(f"found '{self.peek()}', expected: identifier after ','")

    def requirement(self) -> Requirement:
        absent = self.peek() == "!"
        if absent:
            self.next()
        key = self.next()
        if not _is_identifier(key):
            raise ValueError(f"found '{key}', expected: identifier")
        if faults := validation.qualified_name(key):
            raise ValueError(fields.invalid("key", key, "; ".join(faults)))
        if absent or self.peek() in ("", ","):
            return Requirement(key, "!" if absent else "exists")
        token = self.next()
        if token not in _COMPARISONS:
            raise ValueError(f"found '{token}', expected: {', '.join(_OPERATORS)}")
        values = self.listed() if token in ("in", "notin") else [self.value()]
        return _checked(key, _COMPARISONS[token], values)

    def value(self) -> str:
        if self.peek() in ("", ","):
            return ""
        token = self.next()
        if not _is_identifier(token):
            raise ValueError(f"found '{token}', expected: identifier")
        return token

    def listed(self) -> list[str]:
        if (token := self.next()) != "(":
            raise ValueError(f"found '{token}' expected: '('")
        values, last = [], ","
        while (token := self.next()) != ")":
            if token == ",":
                if last == ",":
                    values.append("")
            elif not _is_identifier(token):
                raise ValueError(f"found '{token}', expected: ',', ')' or identifier")
            elif last != ",":
                raise ValueError(f"found '{token}', expected: ',' or ')'")
            else:
                values.append(token)
            last = token
        return [*values, ""] if last == "," else values


def _is_identifier(token: str) -> bool:
    return bool(token) and token not in {"(", ")", ",", "!", "=", "==", "!=", "<", ">"}


def _checked(key: str, operator: str, values: list[str]) -> Requirement:
    for i, value in enumerate(values):
        if operator in ("gt", "lt") and not _INTEGER(value):
            text = "for 'Gt', 'Lt' operators, the value must be an integer"
            raise ValueError(fields.invalid(f"values[{i}]", value, text))
        if faults := validation.label_value(value):
            raise ValueError(fields.invalid(f"values[{i}][{key}]", value, "; ".join(faults)))
    return Requirement(key, operator, frozenset(values))


class _FieldTerm(NamedTuple):
    path: str
    get: Callable[[Obj], str]
    equal: bool
    value: str


@dataclass(frozen=True)
class FieldSelector:
    """All terms must hold."""

    terms: tuple[_FieldTerm, ...] = ()

    def matches(self, obj: Obj) -> bool:
        return all((t.get(obj) == t.value) == t.equal for t in self.terms)

    @property
    def empty(self) -> bool:
        return not self.terms

    def exact(self, path: str) -> str | None:
        """The one value a field must have (to read a single key instead of a list), or None."""
        return next((t.value for t in self.terms if t.path == path and t.equal), None)


_META_FIELDS: Mapping[str, Callable[[Obj], str]] = {"metadata.name": meta.name, "metadata.namespace": meta.namespace}
_ESCAPED = re.compile(r"((?:[^\\,]|\\.)*)(?:,|$)", re.DOTALL)
_TERM = re.compile(r"((?:[^\\=!]|\\.|!(?!=))*)(!=|==|=)((?:[^\\=]|\\[\\,=])*)", re.DOTALL)


def parse_fields(text: str, resource: Resource) -> FieldSelector:
    """The text form: `status.phase=Running,metadata.name!=a`. Raises ApiError 400 with kube-apiserver's text."""
    known = {**_META_FIELDS, **resource.fields}
    terms = []
    for part in _split(text):
        found = _TERM.fullmatch(part)
        if not found:
            raise bad_request(f"invalid selector: '{text}'; can't understand '{part}'")
        path, operator, value = found.groups()
        if path not in known:
            raise _unsupported(path, resource)
        terms.append(_FieldTerm(path, known[path], operator != "!=", re.sub(r"\\(.)", r"\1", value)))
    return FieldSelector(tuple(terms))


def _split(text: str) -> list[str]:
    """The parts between commas that are not escaped."""
    return [part for part in _ESCAPED.findall(text) if part]


def _unsupported(path: str, resource: Resource) -> ApiError:
    if resource.fields:
        return bad_request(f"field label not supported: {path}")
    return bad_request(
        f'{fields.quote(path)} is not a known field selector: only "metadata.name", "metadata.namespace"'
    )
