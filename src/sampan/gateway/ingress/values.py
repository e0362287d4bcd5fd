"""How values of annotations are read. Each reader takes the text and raises ValueError saying what is allowed."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from sampan.gateway.ingress.pcre import Unsupported, to_re2

Reader = Callable[[str], Any]

_TRUE, _FALSE = ("1", "t", "T", "true", "TRUE", "True"), ("0", "f", "F", "false", "FALSE", "False")
_UNITS = {"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}
_HEADER = re.compile(r"[A-Za-z0-9_-]+")
_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://(\*\.)?[A-Za-z0-9.-]+(:\d+)?|\*|null")
_NAME = re.compile(r"([a-z0-9]([a-z0-9.-]*[a-z0-9])?/)?[a-z0-9]([a-z0-9.-]*[a-z0-9])?")
_HOST = re.compile(r"(\*\.)?[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?(:[0-9]+)?")
_LONGEST_HOST = 253  # of DNS; Envoy takes 255 for SNI
_CONTROL = "\x00-\x1f\x7f"  # in no header, so in no path and no URL
_LONGEST = 1_000_000_000  # seconds; Envoy's durations end somewhere
_SECONDS = {"": 1.0, "s": 1.0, "ms": 0.001, "m": 60.0, "h": 3600.0, "d": 86400.0}


def boolean(text: str) -> bool:
    """As Go's strconv.ParseBool."""
    if text in _TRUE or text in _FALSE:
        return text in _TRUE
    raise ValueError('"true" or "false"')


def integer(low: int, high: int) -> Reader:
    def read(text: str) -> int:
        allowed = f"a whole number from {low} to {high}"
        try:
            value = int(text.strip())
        except ValueError:
            raise ValueError(allowed) from None
        if not low <= value <= high:
            raise ValueError(allowed)
        return value

    return read


def seconds(text: str) -> float:
    """nginx counts timeouts in seconds; its own suffixes are understood too."""
    found = re.fullmatch(r"([0-9]{1,12})(ms|[smhd]?)", text.strip())
    value = int(found[1]) * _SECONDS[found[2]] if found else _LONGEST + 1
    if value > _LONGEST:
        raise ValueError(f'seconds, as in "60" (at most {_LONGEST})')
    return value


def some_seconds(text: str) -> float:
    value = seconds(text)
    if not value:
        raise ValueError("seconds, more than 0")
    return value


def size(text: str) -> int:
    found = re.fullmatch(r"([0-9]{1,12})([bkmg]?)", text.strip().lower())
    if not found:
        raise ValueError('a size, as in "8m" (k, m or g; 0 is no limit)')
    return int(found[1]) * _UNITS[found[2]]


def one_of(*allowed: str, fold: bool = False) -> Reader:
    """`fold`: upper and lower case are the same; the spelling of `allowed` is returned."""

    def read(text: str) -> str:
        wanted = text.strip()
        for value in allowed:
            if wanted == value or (fold and wanted.lower() == value.lower()):
                return value
        raise ValueError("one of " + ", ".join(allowed))

    return read


def words(*allowed: str) -> Reader:
    """Several of these, with blanks between."""

    def read(text: str) -> tuple[str, ...]:
        found = tuple(text.split())
        if not found or any(word not in allowed for word in found):
            raise ValueError("some of " + ", ".join(allowed))
        return found

    return read


def codes(text: str) -> tuple[int, ...]:
    try:
        found = sorted({int(part) for part in text.split(",") if part.strip()})
    except ValueError:
        found = []
    if not found or found[0] < 300 or found[-1] > 599:
        raise ValueError('status codes from 300 to 599 with commas between, as in "404,503"')
    return tuple(found)


def cidrs(text: str) -> tuple[str, ...]:
    allowed = 'addresses and networks with commas between, as in "10.0.0.0/8,192.0.2.7"'
    try:
        found = [ipaddress.ip_network(part.strip(), strict=False) for part in text.split(",") if part.strip()]
    except ValueError:
        raise ValueError(allowed) from None
    if not found or "%" in text:  # an interface's (fe80::1%eth0)
        raise ValueError(allowed)
    return tuple(sorted({str(network) for network in found}))


def redirect_code(text: str) -> int:
    if text.strip() not in ("301", "302", "303", "307", "308"):
        raise ValueError("301, 302, 303, 307 or 308")
    return int(text)


def header(text: str) -> str:
    if not _HEADER.fullmatch(text.strip()):
        raise ValueError("the name of one header")
    return text.strip()


def headers(text: str) -> tuple[str, ...]:
    found = tuple(part.strip() for part in text.split(",") if part.strip())
    if not found or any(part != "*" and not _HEADER.fullmatch(part) for part in found):
        raise ValueError('names of headers with commas between, as in "X-User,X-Email"')
    return found


def methods(text: str) -> tuple[str, ...]:
    found = tuple(part for part in re.split(r"[,\s]+", text.strip()) if part)
    if not found or any(not part.isalpha() for part in found):
        raise ValueError('methods with commas between, as in "GET, PUT"')
    return found


def origins(text: str) -> tuple[str, ...]:
    found = tuple(part.strip() for part in text.split(",") if part.strip())
    if not found or any(not _ORIGIN.fullmatch(part) for part in found):
        raise ValueError('origins with commas between, as in "https://a.example.com,https://*.example.org", or "*"')
    return ("*",) if "*" in found else found


def url(text: str) -> str:
    """Absolute, http or https; $variables are looked at by who uses it."""
    allowed = 'a URL, as in "https://example.com/path"'
    if re.search(rf"[\s\"'{{}};{_CONTROL}]", text.strip()):
        raise ValueError(allowed)
    try:
        parts = urlsplit(text.strip())
        parts.port  # noqa: B018 - raises for what is none
    except ValueError:
        raise ValueError(allowed) from None
    if parts.scheme not in ("http", "https", "$scheme") or not parts.netloc:
        raise ValueError(allowed)
    if len(parts.hostname or "") > _LONGEST_HOST:
        raise ValueError(f"{allowed} (the name of a host has at most {_LONGEST_HOST} characters)")
    return text.strip()


class Away(NamedTuple):
    """Where a redirect leads. "" and 0 keep the request's scheme, host and port; `path` None its path and query."""

    scheme: str
    host: str
    port: int
    path: str | None


def away(text: str) -> Away:
    """A URL in which nginx's $scheme, $host and, at the end, $request_uri stand for what the request has."""
    whole = text.strip()
    bare = whole.removesuffix("$request_uri")
    parts = urlsplit(url(bare))
    host = "" if parts.hostname in ("$host", "$http_host") else parts.hostname or ""
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    if "$" in host + path or (bare != whole and path != "/"):
        raise ValueError("a URL without variables of nginx but $scheme, $host and, at its end, $request_uri")
    return Away(parts.scheme.replace("$scheme", ""), host, parts.port or 0, path if bare == whole else None)


def path(text: str) -> str:
    if not re.fullmatch(rf"/[^\s\"';{{}}{_CONTROL}]*", text.strip()):
        raise ValueError('a path, as in "/app"')
    return text.strip()


def rewrite(text: str) -> str:
    r"""A path with captures, or a URL to redirect to. nginx's other variables have no counterpart."""
    target = text.strip()
    if re.search(rf"\$(?![0-9])|[\s\"';{{}}?{_CONTROL}]", target) or not re.match(r"/|\$[0-9]|https?://[^/$]+", target):
        raise ValueError('a path with $1, $2, … for what the path captures, as in "/$2"')
    if target.startswith("http"):
        url(target)
    return target


def prefix(text: str) -> str:
    if not re.fullmatch(r"/?[\w.~:/-]{0,4000}", text.strip()):
        raise ValueError('a path without captures, as in "/api" (Envoy cannot put a capture into a header)')
    return text.strip()


def name(text: str) -> str:
    if not _NAME.fullmatch(text.strip()):
        raise ValueError('a name, as in "my-secret", or "namespace/my-secret"')
    return text.strip()


def host(text: str) -> str:
    if not _HOST.fullmatch(text.strip()) or len(text.strip()) > _LONGEST_HOST:
        raise ValueError('a host name, as in "internal.example.com"')
    return text.strip()


def hosts(text: str) -> tuple[str, ...]:
    found = tuple(sorted({part.strip().lower() for part in text.split(",") if part.strip()}))
    if not found or any(not _HOST.fullmatch(part) or ":" in part or len(part) > _LONGEST_HOST for part in found):
        raise ValueError("host names with commas between (nginx's ~regular expressions are not supported)")
    return found


def plain(text: str) -> str:
    if not re.fullmatch(r"[\w .~:/@+=,-]+", text.strip()):
        raise ValueError("letters, digits and . - _ ~ : /")
    return text.strip()


def token(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+", text.strip()):
        raise ValueError("a name without blanks")
    return text.strip()


def pattern(text: str) -> str:
    """A regular expression that Envoy's engine has too."""
    try:
        return to_re2(text)
    except Unsupported as error:
        raise ValueError(f"a regular expression ({error})") from None


def hash_key(text: str) -> tuple[str, ...]:
    """nginx variables → what Envoy's consistent hashing looks at."""
    found: list[str] = []
    rest = text.strip()
    while rest:
        hit = re.match(r"\$\{?(\w+)\}?", rest)
        what = _hashed(hit[1]) if hit else None
        if hit is None or what is None:
            raise ValueError("$request_uri, $uri, $host, $remote_addr, $http_NAME, $cookie_NAME or $arg_NAME")
        found.append(what)
        rest = rest[hit.end() :]
    if not found:
        raise ValueError("a variable such as $request_uri")
    return tuple(found)


def _hashed(variable: str) -> str | None:
    fixed = {
        "request_uri": "path",
        "uri": "path",
        "host": "header::authority",
        "http_host": "header::authority",
        "remote_addr": "source-ip",
        "binary_remote_addr": "source-ip",
    }
    if variable in fixed:
        return fixed[variable]
    kind, _, rest = variable.partition("_")
    if not rest or kind not in ("http", "cookie", "arg"):
        return None
    if kind == "http":
        return f"header:{rest.replace('_', '-').lower()}"
    return f"{'cookie' if kind == 'cookie' else 'query'}:{rest}"


def anything(text: str) -> str:
    return text
