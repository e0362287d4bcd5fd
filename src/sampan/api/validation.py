"""Checks that many kinds share: names, labels, ports, addresses, quantities.

Source: k8s.io/apimachinery/pkg/util/validation (1.32). A `Check` takes a value and returns what is wrong with it, in
kube-apiserver's words; [] is good. `each` turns those words into field errors.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Any

from sampan.api import fields
from sampan.api.meta import Obj
from sampan.api.quantity import Quantity
from sampan.api.status import FieldError

Check = Callable[[str], list[str]]

IMMUTABLE = "field is immutable"
_NOTHING: tuple[Any, ...] = (None, "", [], {})
NEGATIVE = "must be greater than or equal to 0"

_LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN = rf"{_LABEL}(\.{_LABEL})*"
_LABEL_1035 = "[a-z]([-a-z0-9]*[a-z0-9])?"
_QUALIFIED = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
_LABEL_VALUE = f"({_QUALIFIED})?"


def _full(pattern: str) -> Callable[[str], object]:
    return re.compile(pattern).fullmatch


_is_label, _is_subdomain, _is_label_1035 = _full(_LABEL), _full(_SUBDOMAIN), _full(_LABEL_1035)
_is_wildcard = _full(rf"\*\.{_SUBDOMAIN}")
_is_qualified, _is_label_value = _full(_QUALIFIED), _full(_LABEL_VALUE)
_is_percent, _is_key, _is_header = _full("[0-9]+%"), _full(r"[-._a-zA-Z0-9]+"), _full("[-A-Za-z0-9]+")
_is_port_charset = _full("[-a-z0-9]+")


def regex_text(rule: str, pattern: str, *examples: str) -> str:
    shown = " or ".join(f"'{e}', " for e in examples)
    return f"{rule} (e.g. {shown}regex used for validation is '{pattern}')"


def max_length_text(limit: int) -> str:
    return f"must be no more than {limit} characters"


def range_text(low: int, high: int) -> str:
    return f"must be between {low} and {high}, inclusive"


def _length(value: str, limit: int) -> list[str]:
    return [max_length_text(limit)] if len(value.encode()) > limit else []


def dns_label(value: str) -> list[str]:
    """RFC 1123 label: names of namespaces, containers, volumes, ports of Services."""
    faults = _length(value, 63)
    if not _is_label(value):
        if _is_subdomain(value):
            faults.append("must not contain dots")
        else:
            rule = (
                "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', "
                "and must start and end with an alphanumeric character"
            )
            faults.append(regex_text(rule, _LABEL, "my-name", "123-abc"))
    return faults


def dns_subdomain(value: str) -> list[str]:
    """RFC 1123 subdomain: names of most kinds."""
    faults = _length(value, 253)
    if not _is_subdomain(value):
        rule = (
            "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', "
            "and must start and end with an alphanumeric character"
        )
        faults.append(regex_text(rule, _SUBDOMAIN, "example.com"))
    return faults


def wildcard_subdomain(value: str) -> list[str]:
    """`*.` and an RFC 1123 subdomain: hosts of Ingresses."""
    faults = _length(value, 253)
    if not _is_wildcard(value):
        rule = (
            "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which must "
            "consist of lower case alphanumeric characters, '-' or '.' and end with an alphanumeric character"
        )
        faults.append(regex_text(rule, rf"\*\.{_SUBDOMAIN}", "*.example.com"))
    return faults


def dns_1035_label(value: str) -> list[str]:
    """RFC 1035 label: names of Services."""
    faults = _length(value, 63)
    if not _is_label_1035(value):
        rule = (
            "a DNS-1035 label must consist of lower case alphanumeric characters or '-', "
            "start with an alphabetic character, and end with an alphanumeric character"
        )
        faults.append(regex_text(rule, _LABEL_1035, "my-name", "abc-123"))
    return faults


_QUALIFIED_RULE = (
    "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character"
)
_QUALIFIED_TEXT = regex_text(_QUALIFIED_RULE, _QUALIFIED, "MyName", "my.name", "123-abc")


def qualified_name(value: str) -> list[str]:
    """Keys of labels and annotations, finalizers: [prefix/]name."""
    *prefix, name = value.split("/")
    if len(prefix) > 1:
        optional = "with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
        return [f"a qualified name {_QUALIFIED_TEXT} {optional}"]
    faults: list[str] = []
    if prefix == [""]:
        faults.append("prefix part must be non-empty")
    elif prefix:
        faults += [f"prefix part {text}" for text in dns_subdomain(prefix[0])]
    if not name:
        faults.append("name part must be non-empty")
    else:
        faults += [f"name part {text}" for text in _length(name, 63)]
    if not _is_qualified(name):
        faults.append(f"name part {_QUALIFIED_TEXT}")
    return faults


def label_value(value: str) -> list[str]:
    faults = _length(value, 63)
    if not _is_label_value(value):
        rule = (
            "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', "
            "and must start and end with an alphanumeric character"
        )
        faults.append(regex_text(rule, _LABEL_VALUE, "MyValue", "my_value", "12345"))
    return faults


def port_number(value: int) -> list[str]:
    return [] if 1 <= value <= 65535 else [range_text(1, 65535)]


def port_name(value: str) -> list[str]:
    """IANA_SVC_NAME (RFC 6335): names of container ports, named target ports."""
    faults = _length(value, 15)
    if not _is_port_charset(value):
        faults.append("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)")
    if not re.search("[a-z]", value):
        faults.append("must contain at least one letter (a-z)")
    if "--" in value:
        faults.append("must not contain consecutive hyphens")
    if value and "-" in (value[0], value[-1]):
        faults.append("must not begin or end with a hyphen")
    return faults


def percent(value: str) -> list[str]:
    rule = "a valid percent string must be a numeric string followed by an ending '%'"
    return [] if _is_percent(value) else [regex_text(rule, "[0-9]+%", "1%", "93%")]


def http_header(value: str) -> list[str]:
    rule = "a valid HTTP header must consist of alphanumeric characters or '-'"
    return [] if _is_header(value) else [regex_text(rule, "[-A-Za-z0-9]+", "X-Header-Name")]


def env_var_name(value: str) -> list[str]:
    """Environment variable names, relaxed since 1.32: any printable ASCII but `=`."""
    faults = [] if value else ["environment variable name must be non-empty"]
    if any(not " " <= c <= "~" or c == "=" for c in value):
        faults.append(
            "a valid environment variable name must consist only of printable ASCII characters other than '='"
        )
    return faults


def config_key(value: str) -> list[str]:
    """Keys of ConfigMaps and Secrets: they become file names."""
    faults = _length(value, 253)
    if not _is_key(value):
        rule = "a valid config key must consist of alphanumeric characters, '-', '_' or '.'"
        faults.append(regex_text(rule, r"[-._a-zA-Z0-9]+", "key.name", "KEY_NAME", "key-name"))
    if value in (".", ".."):
        faults.append(f"must not be '{value}'")
    elif value.startswith(".."):
        faults.append("must not start with '..'")
    return faults


def each(check: Check, path: str, value: str) -> list[FieldError]:
    """The faults of one value as "Invalid value" errors of `path`."""
    return [fields.invalid(path, value, text) for text in _faults(check, value)]


@lru_cache(maxsize=8192)
def _faults(check: Check, value: str) -> tuple[str, ...]:
    """Names and labels come again and again."""
    return tuple(check(value))


def one_of(path: str, value: Any, supported: Iterable[str]) -> list[FieldError]:
    """Is the value one of an enumeration? A missing one is "Required value"."""
    known = sorted(supported)
    if value in (None, ""):
        return [fields.required(path)]
    return [] if value in known else [fields.not_supported(path, value, known)]


def ip(path: str, value: str) -> list[FieldError]:
    try:
        ipaddress.ip_address(value)
    except ValueError:
        return [fields.invalid(path, value, "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)")]
    return []


_SPECIAL_RANGES = (
    ("is_loopback", "may not be in the loopback range (127.0.0.0/8, ::1/128)"),
    ("is_link_local", "may not be in the link-local range (169.254.0.0/16, fe80::/10)"),
)
_LINK_LOCAL_MULTICAST = (ipaddress.ip_network("224.0.0.0/24"), ipaddress.ip_network("ff02::/16"))


def ordinary_ip(path: str, value: str) -> list[FieldError]:
    """An address of an endpoint or an externalIP: not unspecified, loopback or link-local."""
    try:
        address = ipaddress.ip_address(value)
    except ValueError:
        return [fields.invalid(path, value, "must be a valid IP address")]
    if address.is_unspecified:
        return [fields.invalid(path, value, f"may not be unspecified ({value})")]
    if any(address in network for network in _LINK_LOCAL_MULTICAST):
        text = "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)"
        return [fields.invalid(path, value, text)]
    return [fields.invalid(path, value, text) for test, text in _SPECIAL_RANGES if getattr(address, test)]


def fqdn(path: str, value: str) -> list[FieldError]:
    """A domain name of at least two labels, with or without the last dot."""
    name = value.removesuffix(".")
    if not value:
        return [fields.required(path)]
    if faults := dns_subdomain(name):
        return [fields.invalid(path, name, ",".join(faults))]
    if "." not in name:
        return [fields.invalid(path, name, "should be a domain with at least two segments separated by dots")]
    return [error for label in name.split(".") for error in each(dns_label, path, label)]


PROTOCOLS = ("SCTP", "TCP", "UDP")


def port(path: str, value: int) -> list[FieldError]:
    return [fields.invalid(path, value, text) for text in port_number(value)]


def port_or_name(path: str, value: int | str) -> list[FieldError]:
    """An IntOrString that names a port (targetPort, a probe's port)."""
    return port(path, value) if isinstance(value, int) else each(port_name, path, value)


def nonnegative(path: str, value: int) -> list[FieldError]:
    return [fields.invalid(path, value, NEGATIVE)] if value < 0 else []


def quantity(path: str, value: str | int | float) -> list[FieldError]:
    """A resource amount that must not be negative. Its form was already checked when the object was decoded."""
    if Quantity.parse(value) < Quantity.ZERO:
        return [fields.invalid(path, str(value), NEGATIVE)]
    return []


def immutable(path: str, new: Any, old: Any, shown: Any = None) -> list[FieldError]:
    """`field is immutable` when the values differ. `shown` replaces the new value in the text (see fields.Raw).

    Nothing and an empty text, list or map are the same; 0 and false are values.
    """
    if new == old or (new in _NOTHING and old in _NOTHING):
        return []
    return [fields.invalid(path, new if shown is None else shown, IMMUTABLE)]


def labels(path: str, values: Mapping[str, str] | None) -> list[FieldError]:
    """Label keys and values."""
    found: list[FieldError] = []
    for key, value in (values or {}).items():
        found += each(qualified_name, path, key)
        found += each(label_value, path, value)
    return found


def label_selector(path: str, selector: Obj | None) -> list[FieldError]:
    """A LabelSelector object (matchLabels, matchExpressions)."""
    if not selector:
        return []
    found = labels(f"{path}.matchLabels", selector.get("matchLabels"))
    for i, expression in enumerate(selector.get("matchExpressions") or ()):
        at = f"{path}.matchExpressions[{i}]"
        operator, values = expression.get("operator", ""), expression.get("values") or ()
        if operator in ("In", "NotIn"):
            if not values:
                found.append(fields.required(f"{at}.values", "must be specified when `operator` is 'In' or 'NotIn'"))
        elif operator in ("Exists", "DoesNotExist"):
            if values:
                text = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
                found.append(fields.forbidden(f"{at}.values", text))
        else:
            found.append(fields.invalid(f"{at}.operator", operator, "not a valid selector operator"))
        found += each(qualified_name, f"{at}.key", expression.get("key", ""))
        for j, value in enumerate(values):
            found += each(label_value, f"{at}.values[{j}]", value)
    return found
