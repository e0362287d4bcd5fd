"""CEL's `ip`, `cidr` and `url`.

Source: k8s.io/apiserver/pkg/cel/library/{ip,cidr,urls}.go
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_interface
from urllib.parse import SplitResult, parse_qs, quote, unquote, urlsplit

from sampan.api.cel.rows import Row, Tagged, valid

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_IP, _CIDR, _URL = "kubernetes.IP", "kubernetes.CIDR", "kubernetes.URL"


def _parse_ip(text: str) -> Address:
    try:
        found = ip_address(text)
    except ValueError:
        raise ValueError(f"IP Address {text!r} parse error during conversion from string") from None
    if isinstance(found, IPv6Address):
        if found.scope_id:
            raise ValueError(f"IP address {text!r} with zone value is not allowed")
        if found.ipv4_mapped:
            raise ValueError(f"IPv4-mapped IPv6 address {text!r} is not allowed")
    return found


def _ip(text: str) -> Tagged:
    return {_IP: str(_parse_ip(text))}


def _address(value: Tagged | str) -> Address:
    if isinstance(value, str):
        return _parse_ip(value)
    if _IP not in value:
        raise ValueError("no such overload: expected an IP address")
    return ip_address(value[_IP])


def _parse_cidr(text: str) -> tuple[Address, Network]:
    address, slash, length = text.partition("/")
    if not slash or not length.isdigit() or (len(length) > 1 and length[0] == "0"):
        raise ValueError(f"network address parse error during conversion from string: {text!r}")
    try:
        found = ip_interface(f"{_parse_ip(address)}/{length}")
    except ValueError:
        raise ValueError(f"network address parse error during conversion from string: {text!r}") from None
    return found.ip, found.network


def _cidr(text: str) -> Tagged:
    address, network = _parse_cidr(text)
    return {_CIDR: f"{address}/{network.prefixlen}"}


def _network(value: Tagged | str) -> tuple[Address, Network]:
    if isinstance(value, dict):
        if _CIDR not in value:
            raise ValueError("no such overload: expected a CIDR")
        value = value[_CIDR]
    return _parse_cidr(str(value))


def _contains_ip(cidr: Tagged, ip: Tagged | str) -> bool:
    return _address(ip) in _network(cidr)[1]


def _contains_cidr(cidr: Tagged, other: Tagged | str) -> bool:
    outer, inner = _network(cidr)[1], _network(other)[1]
    return outer.version == inner.version and inner.subnet_of(outer)  # type: ignore[arg-type]


def _masked(cidr: Tagged) -> Tagged:
    return {_CIDR: str(_network(cidr)[1])}


def _global_unicast(value: Tagged) -> bool:
    """As Go's netip: anything but unspecified, loopback, multicast, link-local and broadcast."""
    a = _address(value)
    return not (a.is_unspecified or a.is_loopback or a.is_multicast or a.is_link_local or str(a) == "255.255.255.255")


def _link_local_multicast(value: Tagged) -> bool:
    a = _address(value)
    if isinstance(a, IPv4Address):
        return a in IPv4Network("224.0.0.0/24")
    return a.packed[0] == 0xFF and a.packed[1] & 0x0F == 0x02


def _text(value: Tagged) -> str:
    for tag in (_IP, _CIDR):
        if tag in value:
            return str(value[tag])
    raise ValueError("no such overload: string(map)")


def _split(text: str) -> SplitResult:
    """A URL as Go's url.ParseRequestURI takes it: absolute, or a path from the root."""
    try:
        found = urlsplit(text)
        _ = found.port
    except ValueError:
        raise ValueError(f"URL parse error during conversion from string: parse {text!r}") from None
    if (not found.scheme and not text.startswith("/")) or any(c <= " " for c in text):
        raise ValueError(f"URL parse error during conversion from string: parse {text!r}: invalid URI for request")
    return found


def _url(text: str) -> Tagged:
    _split(text)
    return {_URL: text}


def _of(value: Tagged) -> SplitResult:
    if _URL not in value:
        raise ValueError("no such overload: expected a URL")
    return _split(value[_URL])


def _host(value: Tagged) -> str:
    return _of(value).netloc.rpartition("@")[2]


def _hostname(value: Tagged) -> str:
    host = _host(value)
    return host[1 : host.index("]")] if host.startswith("[") else host.partition(":")[0]


def _port(value: Tagged) -> str:
    port = _of(value).port
    return "" if port is None else str(port)


def _escaped_path(value: Tagged) -> str:
    return quote(unquote(_of(value).path), safe="/$&+,:;=@!~*'()%[]")


def _query(value: Tagged) -> dict[str, list[str]]:
    return parse_qs(_of(value).query, keep_blank_values=True)


ROWS: tuple[Row, ...] = (
    ("ip", "", "s", "*", _ip),
    ("isIP", "", "s", "b", valid(_parse_ip)),
    ("ip.isCanonical", "", "s", "b", lambda text: str(_parse_ip(text)) == text),
    ("family", "m", "", "i", lambda value: _address(value).version),
    ("isUnspecified", "m", "", "b", lambda value: _address(value).is_unspecified),
    ("isLoopback", "m", "", "b", lambda value: _address(value).is_loopback),
    ("isLinkLocalUnicast", "m", "", "b", lambda value: _address(value).is_link_local),
    ("isLinkLocalMulticast", "m", "", "b", _link_local_multicast),
    ("isGlobalUnicast", "m", "", "b", _global_unicast),
    ("string", "", "m", "s", _text),
    ("cidr", "", "s", "*", _cidr),
    ("isCIDR", "", "s", "b", valid(_parse_cidr)),
    *(("containsIP", "m", kind, "b", _contains_ip) for kind in "ms"),
    *(("containsCIDR", "m", kind, "b", _contains_cidr) for kind in "ms"),
    ("ip", "m", "", "*", lambda value: {_IP: str(_network(value)[0])}),
    ("masked", "m", "", "*", _masked),
    ("prefixLength", "m", "", "i", lambda value: _network(value)[1].prefixlen),
    ("url", "", "s", "*", _url),
    ("isURL", "", "s", "b", valid(_split)),
    ("getScheme", "m", "", "s", lambda value: _of(value).scheme),
    ("getHost", "m", "", "s", _host),
    ("getHostname", "m", "", "s", _hostname),
    ("getPort", "m", "", "s", _port),
    ("getEscapedPath", "m", "", "s", _escaped_path),
    ("getQuery", "m", "", "m", _query),
)
