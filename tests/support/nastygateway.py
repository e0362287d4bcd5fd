"""Gateways, routes and policies that the API takes and nobody would write. Made up from a seed: see nastyingress.py."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from gatewaycases import STRATEGIES
from nastycertificates import pairs, roots
from nastyingress import HEADERS, HOSTS, NAMESPACE, PATHS, PATTERNS, SCRAPS, TOKENS, spoiled, text

from sampan.api.meta import Obj, copy
from sampan.gateway.gatewayapi.names import GROUP

_DURATIONS = ("0s", "1ms", "0h0m0s", "99999h99999h99999h99999h", "1h1m1s1ms", "10s", "00001ms", "500ms", "99999h")
_INTEGERS = (0, 1, 2, 5, 600, 2**31 - 1, 2**32 - 1, 2**32, 2**53, 2**63 - 1, -1, -(2**63))
_WEIGHTS = (0, 0, 1, 1, 5, 999_999, 1_000_000)
_HEADERS = (*(name for name in HEADERS if "," not in name), "!#$%&'*+.^_`|~-", "x" * 256, "a.b", "TE", "Via")
_REMOVED = (*_HEADERS, "", "a b", ":x", ":path", "ä", "\x00", "\n", "x" * 70000, "HOST")
_VALUES = (
    "a",
    "%",
    "%%",
    "%REQ(x)%",
    "%REQ(",
    "%NO_SUCH%",
    "a\tb",
    "a b",
    "x" * 4096,
    "%" * 4096,
    "\\",
    '"',
    "{}",
    "~",
)
_NAMES = (
    "a.example",
    "*.example",
    "*.a.example",
    "x" * 63 + ".example",
    ".".join(["y" * 50] * 4),
    "0",
    "xn--a",
    "1.2.3.4",
)
_EXACT = tuple(name for name in (*_NAMES, *HOSTS) if not name.startswith("*"))
_PATHS = (*PATHS, "/a%20b", "/a:b@c", "/!$&'()*+,;=", "/" + "a" * 1020, "/(a|b)", "/%zz")
_NEW_PATHS = (*PATHS, "", "a", "?", "/?a=b", "/\\1", "\\", "x" * 1024, "//", "/%REQ(x)%", "\x00", "/\n", "/ä")
_SERVICES = ("web", "web", "web", "many", "headless", "outside", "six", "none", "grpc", "wss", "secure", "locked")
_ORIGINS = (
    "*",
    "https://a.example",
    "https://*.example",
    "http://*",
    "https://*:99999",
    "http://a:0",
    "https://" + "a." * 100 + "b",
)
_METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH")


def _some(chance: random.Random, values: tuple[Any, ...], most: int) -> list[Any]:
    found = [chance.choice(values) for _ in range(chance.randint(0, most))]
    return list(dict.fromkeys(found))


def _maybe(chance: random.Random, share: float, made: Callable[[], Obj]) -> Obj:
    return made() if chance.random() < share else {}


def _pairs(chance: random.Random) -> list[Obj]:
    return [{"name": name, "value": chance.choice(_VALUES)} for name in _some(chance, _HEADERS, 3)]


def _modifier(chance: random.Random) -> Obj:
    return {"set": _pairs(chance), "add": _pairs(chance), "remove": _some(chance, _REMOVED, 2)}


def _reference(chance: random.Random) -> Obj:
    return {"name": chance.choice(_SERVICES), "port": chance.choice((80, 80, 80, 65535, 54))}


def _mirror(chance: random.Random) -> Obj:
    share: Obj = chance.choice(
        (
            {},
            {"percent": chance.choice((0, 1, 100))},
            {"fraction": {"numerator": chance.choice((0, 1, 3)), "denominator": chance.choice((3, 2**31 - 1))}},
            {"fraction": {"numerator": 2**31 - 1, "denominator": 2**31 - 1}},
        )
    )
    return {"backendRef": _reference(chance)} | share


def _new_path(chance: random.Random) -> Obj:
    value = chance.choice(_NEW_PATHS)
    if chance.random() < 0.5:
        return {"path": {"type": "ReplaceFullPath", "replaceFullPath": value}}
    return {"path": {"type": "ReplacePrefixMatch", "replacePrefixMatch": value}}


def _redirect(chance: random.Random) -> Obj:
    made: Obj = _maybe(chance, 0.5, lambda: {"scheme": chance.choice(("http", "https"))})
    made |= _maybe(chance, 0.5, lambda: {"hostname": chance.choice(_EXACT)})
    made |= _maybe(chance, 0.5, lambda: {"port": chance.choice((1, 80, 443, 65535))})
    made |= _maybe(chance, 0.5, lambda: {"statusCode": chance.choice((301, 302, 303, 307, 308))})
    return made | _maybe(chance, 0.7, lambda: _new_path(chance))


def _rewrite(chance: random.Random) -> Obj:
    return _maybe(chance, 0.5, lambda: {"hostname": chance.choice(_EXACT)}) | _maybe(
        chance, 0.8, lambda: _new_path(chance)
    )


def _cors(chance: random.Random) -> Obj:
    return {
        "allowOrigins": _some(chance, _ORIGINS, 2),
        "allowMethods": _some(chance, (*_METHODS, "*"), 2),
        "allowHeaders": _some(chance, _HEADERS, 2),
        "exposeHeaders": _some(chance, _HEADERS, 2),
        "allowCredentials": chance.random() < 0.5,
        "maxAge": chance.choice((1, 5, 2**31 - 1)),
    }


def _auth(chance: random.Random) -> Obj:
    said = _some(chance, (*_REMOVED, "*"), 3)
    made: Obj = {"backendRef": _reference(chance), "forwardBody": {"maxSize": chance.choice(_INTEGERS)}}
    if chance.random() < 0.5:
        return made | {"protocol": "GRPC", "grpc": {"allowedHeaders": said}}
    path = chance.choice(("/", "a", "/%41", "/%CC%CC", "x" * 1024, "/a:b@c", "/%52%45%51"))
    more = _some(chance, _REMOVED, 3)
    return made | {"protocol": "HTTP", "http": {"path": path, "allowedHeaders": said, "allowedResponseHeaders": more}}


_FILTERS: tuple[tuple[str, str, Callable[[random.Random], Obj]], ...] = (
    ("RequestHeaderModifier", "requestHeaderModifier", _modifier),
    ("ResponseHeaderModifier", "responseHeaderModifier", _modifier),
    ("RequestMirror", "requestMirror", _mirror),
    ("RequestRedirect", "requestRedirect", _redirect),
    ("URLRewrite", "urlRewrite", _rewrite),
    ("CORS", "cors", _cors),
    ("ExternalAuth", "externalAuth", _auth),
)


def _filters(chance: random.Random, most: int, known: int = len(_FILTERS)) -> Obj:
    chosen = chance.sample(_FILTERS[:known], chance.randint(0, most))
    return {"filters": [{"type": kind, field: made(chance)} for kind, field, made in chosen]} if chosen else {}


def _backends(chance: random.Random, known: int) -> Obj:
    count = chance.choice((0, 1, 1, 1, 2, 4, 16))
    refs = [_reference(chance) | {"weight": chance.choice(_WEIGHTS)} for _ in range(count)]
    return {"backendRefs": [ref | _maybe(chance, 0.3, lambda: _filters(chance, 1, known)) for ref in refs]}


def _matched(chance: random.Random, names: tuple[str, ...], values: tuple[str, ...]) -> list[Obj]:
    made = []
    for name in _some(chance, names, 2):
        how = chance.choice(("Exact", "Exact", "RegularExpression"))
        made.append({"type": how, "name": name, "value": chance.choice(values if how == "Exact" else PATTERNS)})
    return made


def _http_match(chance: random.Random) -> Obj:
    how = chance.choice(("Exact", "PathPrefix", "PathPrefix", "RegularExpression"))
    value = chance.choice(_PATHS if how != "RegularExpression" else (*_PATHS, *PATTERNS))
    made: Obj = {"path": {"type": how, "value": spoiled(chance, value)}}
    made |= _maybe(chance, 0.3, lambda: {"headers": _matched(chance, _HEADERS, _VALUES)})
    made |= _maybe(chance, 0.3, lambda: {"queryParams": _matched(chance, _HEADERS, (*_VALUES, *SCRAPS))})
    return made | _maybe(chance, 0.3, lambda: {"method": chance.choice(_METHODS)})


def _session(chance: random.Random) -> Obj:
    life = chance.choice(({}, {"cookieConfig": {"lifetimeType": "Permanent"}}, {"cookieConfig": {}}))
    name = chance.choice((*TOKENS, *SCRAPS))
    more = {
        "sessionName": name,
        "type": chance.choice(("Cookie", "Cookie", "Header")),
        "absoluteTimeout": chance.choice(_DURATIONS),
    }
    return {"sessionPersistence": more | life}


def _http_rule(chance: random.Random) -> Obj:
    rule: Obj = {"matches": [_http_match(chance) for _ in range(chance.choice((1, 1, 1, 3)))]}
    rule |= _filters(chance, 2) | _backends(chance, len(_FILTERS))
    if any("requestRedirect" in one for one in rule.get("filters", ())):
        rule.pop("backendRefs")
    rule |= _maybe(chance, 0.3, lambda: {"timeouts": {"request": chance.choice(_DURATIONS)}})
    rule |= _maybe(chance, 0.2, lambda: {"timeouts": {"backendRequest": chance.choice(_DURATIONS)}})
    rule |= _maybe(
        chance,
        0.3,
        lambda: {
            "retry": {
                "codes": _some(chance, (400, 404, 499, 500, 503, 599), 4),
                "attempts": chance.choice(_INTEGERS),
                "backoff": chance.choice(_DURATIONS),
            }
        },
    )
    return rule | _maybe(chance, 0.2, lambda: _session(chance))


def _grpc_rule(chance: random.Random) -> Obj:
    how = chance.choice(("Exact", "RegularExpression"))
    names = ("a.B", "grpc.health.v1.Health", "Check", "_", "x" * 1024) if how == "Exact" else (*PATTERNS, "a|b")
    method = {
        "type": how,
        "service": spoiled(chance, chance.choice(names)),
        "method": spoiled(chance, chance.choice(names)),
    }
    if chance.random() < 0.3:
        method.pop(chance.choice(("service", "method")))
    match = {"method": method, "headers": _matched(chance, _HEADERS, (*_VALUES, *SCRAPS))}
    rule: Obj = {"matches": [match]} | _filters(chance, 2, 3) | _backends(chance, 3)
    return rule | _maybe(chance, 0.2, lambda: _session(chance))


def _hosts(chance: random.Random, name: str) -> list[str]:
    return [f"{name}.example", *_some(chance, _NAMES, 1 if chance.random() < 0.2 else 0)]


def _route(chance: random.Random, name: str) -> Obj:
    kind = chance.choice(("HTTPRoute", "HTTPRoute", "HTTPRoute", "HTTPRoute", "GRPCRoute", "TLSRoute"))
    section = {"HTTPRoute": ("http", "https"), "GRPCRoute": ("grpc",), "TLSRoute": ("tls", "through")}[kind]
    spec: Obj = {
        "parentRefs": [{"name": "main", "sectionName": chance.choice(section)}],
        "hostnames": _hosts(chance, name),
    }
    if kind == "TLSRoute":
        refs = [_reference(chance) | {"weight": chance.choice(_WEIGHTS)} for _ in range(chance.choice((1, 2, 16)))]
        return _object(kind, name, spec | {"rules": [{"backendRefs": refs}]})
    rule = _http_rule if kind == "HTTPRoute" else _grpc_rule
    return _object(kind, name, spec | {"rules": [rule(chance) for _ in range(chance.choice((1, 1, 2)))]})


def _listener(chance: random.Random, name: str, port: int) -> Obj:
    protocol = chance.choice(("HTTP", "HTTPS", "HTTPS", "TLS", "TLS", "TCP", "UDP", "example.com/odd"))
    made: Obj = {"name": name, "port": port, "protocol": protocol}
    if protocol in ("HTTP", "HTTPS", "TLS"):
        made |= _maybe(chance, 0.7, lambda: {"hostname": chance.choice(_NAMES)})
    if protocol in ("HTTPS", "TLS"):
        names = [{"name": f"pair-{chance.randrange(len(pairs()))}"} for _ in range(chance.choice((1, 1, 2, 5)))]
        made["tls"] = {"certificateRefs": names, "options": {text(chance)[:60]: text(chance)[:4096]}}
        if protocol == "TLS" and chance.random() < 0.3:
            made["tls"] = {"mode": "Passthrough"}
    return made


def _listeners(chance: random.Random, start: int) -> list[Obj]:
    count = chance.choice((1, 2, 3, 8))
    return [_listener(chance, f"l{i}", start + chance.choice((0, 0, 1, i))) for i in range(count)]


def _gateway(chance: random.Random, name: str) -> Obj:
    spec: Obj = {
        "gatewayClassName": "sampan",
        "listeners": _listeners(chance, chance.choice((1, 80, 443, 8080, 65500))),
    }
    named = [{"group": "", "kind": "ConfigMap", "name": f"roots-{chance.randrange(len(roots()))}"}]
    mode = chance.choice(("AllowValidOnly", "AllowInsecureFallback"))
    front = {"default": {"validation": {"caCertificateRefs": named, "mode": mode}}}
    spec |= _maybe(chance, 0.3, lambda: {"tls": {"frontend": front}})
    shown = {"backend": {"clientCertificateRef": {"name": f"pair-{chance.randrange(len(pairs()))}"}}}
    spec |= _maybe(chance, 0.2, lambda: {"tls": shown})
    return _object("Gateway", name, spec)


def _stream(chance: random.Random, name: str) -> Obj:
    kind = chance.choice(("TCPRoute", "UDPRoute"))
    refs = [_reference(chance) | {"weight": chance.choice(_WEIGHTS)} for _ in range(chance.choice((1, 2, 16)))]
    return _object(kind, name, {"parentRefs": [{"name": f"g{chance.randrange(5)}"}], "rules": [{"backendRefs": refs}]})


def _set(chance: random.Random, name: str) -> Obj:
    return _object(
        "ListenerSet", name, {"parentRef": {"name": "main"}, "listeners": _listeners(chance, 10_000 + int(name[1:]))}
    )


def _policy(chance: random.Random, name: str) -> Obj:
    named = [{"group": "", "kind": "ConfigMap", "name": f"roots-{chance.randrange(len(roots()))}"}]
    whom: Obj = {"caCertificateRefs": named} if chance.random() < 0.8 else {"wellKnownCACertificates": "System"}
    uris = ("spiffe://a/b", "urn:x", "a:", "x://" + "y" * 240, "http://\n", "a://ä%\x00")
    others = [{"type": "Hostname", "hostname": one} for one in _some(chance, _NAMES, 2)]
    others += [{"type": "URI", "uri": one} for one in _some(chance, uris, 2)]
    spec = {
        "targetRefs": [{"group": "", "kind": "Service", "name": chance.choice(("secure", "wss", "locked"))}],
        "validation": {"hostname": chance.choice(_EXACT), **whom} | ({"subjectAltNames": others} if others else {}),
        "options": {text(chance)[:60]: text(chance)[:4096]},
    }
    return _object("BackendTLSPolicy", name, spec)


def _object(kind: str, name: str, spec: Obj) -> Obj:
    metadata = {"name": name, "namespace": NAMESPACE}
    return {"apiVersion": f"{GROUP}/v1", "kind": kind, "metadata": metadata, "spec": spec}


_MAKERS = (*[_route] * 14, _gateway, _stream, _set, _policy)


def objects(chance: random.Random, count: int) -> list[Obj]:
    """That many that the API takes."""
    made: list[Obj] = []
    while len(made) < count:
        maker = chance.choice(_MAKERS)
        one = maker(chance, f"{'g' if maker is _gateway else 'n'}{len(made)}")
        strategy = STRATEGIES[one["apiVersion"], one["kind"]]
        checked = copy(one)
        strategy.default(checked)
        if not strategy.validate(checked):
            made.append(one)
    return made


def surroundings() -> list[Obj]:
    """What most of them name, besides those of Ingresses: a Gateway in order, Services, authorities."""
    everybody = {"allowedRoutes": {"namespaces": {"from": "All"}}}
    certificate = {"certificateRefs": [{"name": "fine"}]}
    listeners = [
        {"name": "http", "port": 80, "protocol": "HTTP"},
        {"name": "grpc", "port": 81, "protocol": "HTTP"},
        {"name": "https", "port": 443, "protocol": "HTTPS", "tls": certificate},
        {"name": "tls", "port": 444, "protocol": "TLS", "tls": {"mode": "Terminate", **certificate}},
        {"name": "through", "port": 445, "protocol": "TLS", "tls": {"mode": "Passthrough"}},
    ]
    main = {
        "gatewayClassName": "sampan",
        "listeners": [one | everybody for one in listeners],
        "allowedListeners": {"namespaces": {"from": "All"}},
    }
    return [
        {"kind": "Secret", "name": "fine", "tls": "good.test"},
        _object("Gateway", "main", main),
        *(
            {"kind": "Service", "name": name, "ports": [{"port": 80, "name": "http"} | more]}
            for name, more in (
                ("secure", {}),
                ("locked", {"appProtocol": "https"}),
                ("wss", {"appProtocol": "kubernetes.io/wss"}),
            )
        ),
        *(
            {"kind": "ConfigMap", "name": f"roots-{number}", "data": {"ca.crt": pem.decode(errors="replace")}}
            for number, pem in enumerate(roots().values())
        ),
    ]
