"""Does a route match? Every function says why not, "" when it does.

Sources: Envoy's config_impl.cc (RouteEntryImplBase::matchRoute), header_utility.cc, config_utility.cc
"""

from __future__ import annotations

from collections.abc import Callable

from sampan.xds.messages import Message
from sampan.xds.simulate.headers import Headers
from sampan.xds.simulate.regex import whole


def mismatch(match: Message, headers: Headers) -> str:
    """`match` is a RouteMatch; its runtime fraction is the caller's matter."""
    path = headers.get(":path") or ""
    bare, _, query = path.partition("?")
    if why := _path(match, bare):
        return why
    if match.HasField("grpc") and not (headers.get("content-type") or "").startswith("application/grpc"):
        return "not gRPC"
    for wanted in match.headers:
        if not header_matches(wanted, headers):
            return header_text(wanted)
    given = _parameters(query)
    for wanted in match.query_parameters:
        if not _parameter(wanted, given):
            return _parameter_text(wanted)
    return ""


def describe(match: Message) -> str:
    """`prefix /api, header x-user exact 7`: in the words of Envoy's configuration."""
    parts = [path_text(match)]
    parts += [header_text(wanted) for wanted in match.headers]
    parts += [_parameter_text(wanted) for wanted in match.query_parameters]
    return ", ".join(parts)


# -- paths


def matched(match: Message, bare: str) -> str:
    """The part of the path that a prefix rewrite replaces."""
    kind = match.WhichOneof("path_specifier")
    return bare if kind in ("safe_regex", "connect_matcher", None) else str(getattr(match, kind))


def path_text(match: Message) -> str:
    kind = match.WhichOneof("path_specifier") or "any"
    value = match.safe_regex.regex if kind == "safe_regex" else getattr(match, kind, "")
    fold = "" if _case_sensitive(match) else " (any case)"
    return f"{_PATHS.get(kind, kind)} {value}{fold}"


_PATHS = {"path": "exact", "prefix": "prefix", "path_separated_prefix": "path prefix", "safe_regex": "regex"}


def _path(match: Message, bare: str) -> str:
    kind = match.WhichOneof("path_specifier")
    if kind == "safe_regex":
        fits = whole(match.safe_regex.regex, bare)
    elif kind in _PATHS:
        wanted = str(getattr(match, kind))
        given = bare if _case_sensitive(match) else bare.lower()
        fits = _fits(kind, wanted if _case_sensitive(match) else wanted.lower(), given)
    else:
        fits = False
    return "" if fits else path_text(match)


def _fits(kind: str, wanted: str, given: str) -> bool:
    if kind == "path":
        return given == wanted
    if kind == "prefix":
        return given.startswith(wanted)
    return given == wanted or given.startswith(f"{wanted}/")


def _case_sensitive(match: Message) -> bool:
    return not match.HasField("case_sensitive") or bool(match.case_sensitive.value)


# -- values


def string_matches(wanted: Message, text: str) -> bool:
    """A StringMatcher."""
    kind = wanted.WhichOneof("match_pattern")
    if kind == "safe_regex":
        return whole(wanted.safe_regex.regex, text)
    value = str(getattr(wanted, kind))
    if wanted.ignore_case:
        value, text = value.lower(), text.lower()
    return bool(_STRINGS[kind](value, text))


_STRINGS: dict[str, Callable[[str, str], bool]] = {
    "exact": lambda value, text: text == value,
    "prefix": lambda value, text: text.startswith(value),
    "suffix": lambda value, text: text.endswith(value),
    "contains": lambda value, text: value in text,
}


def string_text(wanted: Message) -> str:
    kind = wanted.WhichOneof("match_pattern") or ""
    value = wanted.safe_regex.regex if kind == "safe_regex" else getattr(wanted, kind)
    return f"{'regex' if kind == 'safe_regex' else kind} {value}"


def header_matches(wanted: Message, headers: Headers) -> bool:
    """A HeaderMatcher. One that is not there matches nothing, not even the opposite of a value."""
    value = headers.get(wanted.name)
    kind = wanted.WhichOneof("header_match_specifier") or "present_match"
    if kind == "present_match":
        present = value is not None or wanted.treat_missing_header_as_empty
        return bool((present == (wanted.present_match or not wanted.HasField("present_match"))) != wanted.invert_match)
    if value is None and not wanted.treat_missing_header_as_empty:
        return False
    return bool(_header_value(wanted, kind, value or "") != wanted.invert_match)


def _header_value(wanted: Message, kind: str, value: str) -> bool:
    if kind == "string_match":
        return string_matches(wanted.string_match, value)
    if kind == "range_match":
        number = value.strip()
        return number.lstrip("+-").isdecimal() and wanted.range_match.start <= int(number) < wanted.range_match.end
    if kind == "safe_regex_match":
        return whole(wanted.safe_regex_match.regex, value)
    name = kind.removesuffix("_match")
    return bool(_STRINGS[name](getattr(wanted, kind), value))


def header_text(wanted: Message) -> str:
    name = "method" if wanted.name == ":method" else f"header {wanted.name}"
    no = "not " if wanted.invert_match else ""
    kind = wanted.WhichOneof("header_match_specifier") or "present_match"
    if kind == "string_match":
        return f"{name} {no}{string_text(wanted.string_match)}"
    if kind == "range_match":
        return f"{name} {no}in [{wanted.range_match.start}, {wanted.range_match.end})"
    return f"{name} {no}{'present' if kind == 'present_match' else kind}"


# -- query parameters


def _parameters(query: str) -> dict[str, str]:
    """As written, not decoded; of a name that comes again the first value counts."""
    found: dict[str, str] = {}
    for pair in query.split("&") if query else ():
        name, _, value = pair.partition("=")
        found.setdefault(name, value)
    return found


def _parameter(wanted: Message, given: dict[str, str]) -> bool:
    if wanted.name not in given:
        return bool(
            wanted.WhichOneof("query_parameter_match_specifier") == "present_match" and not wanted.present_match
        )
    if wanted.HasField("string_match"):
        return string_matches(wanted.string_match, given[wanted.name])
    return True


def _parameter_text(wanted: Message) -> str:
    value = string_text(wanted.string_match) if wanted.HasField("string_match") else "present"
    return f"query {wanted.name} {value}"
