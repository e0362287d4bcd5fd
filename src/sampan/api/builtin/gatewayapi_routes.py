"""The rules of HTTPRoute and GRPCRoute.

Source: https://gateway-api.sigs.k8s.io/reference/1.6/spec/
"""

from __future__ import annotations

from sampan.api.builtin import gatewayapi_parts as p
from sampan.api.builtin import schema as s
from sampan.api.meta import Obj

_HEADER_NAME = s.string(pattern=p.HEADER, least=1, most=256)
_HEADER_VALUE = s.string(pattern=r"^[!-~]+([\t ]?[!-~]+)*$", least=1, most=4096)
_METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH")
_HOW = s.string(enum=("Exact", "RegularExpression"), default="Exact")

# -- filters: the type, and the field that belongs to it

_HEADERS = s.array(
    s.object({"name": _HEADER_NAME, "value": _HEADER_VALUE}, required=("name", "value")), keys=("name",), most=16
)
_HEADER_FILTER = s.object(
    {"set": _HEADERS, "add": _HEADERS, "remove": s.array(s.string(), list_type="set", most=16)},
    about="First what is removed, then what is set, then what is added.",
)
_FRACTION = s.object(
    {"numerator": s.integer(least=0, format="int32"), "denominator": s.integer(least=1, format="int32", default=100)},
    required=("numerator",),
    rules=(s.rule("self.numerator <= self.denominator", "the numerator must not exceed the denominator"),),
)
_MIRROR = s.object(
    {"backendRef": p.backend(), "percent": s.integer(least=0, most=100, format="int32"), "fraction": _FRACTION},
    required=("backendRef",),
    rules=(s.rule("!has(self.percent) || !has(self.fraction)", "percent and fraction exclude each other"),),
    about="A copy goes there; its answer is thrown away.",
)
_NEW_PATH = s.object(
    {
        "type": s.string(enum=("ReplaceFullPath", "ReplacePrefixMatch")),
        "replaceFullPath": s.string(most=1024),
        "replacePrefixMatch": s.string(most=1024),
    },
    required=("type",),
    rules=tuple(
        s.rule(f"has(self.{field}) == (self.type == '{name}')", f"{field} goes with the type {name}, and only with it")
        for name, field in (("ReplaceFullPath", "replaceFullPath"), ("ReplacePrefixMatch", "replacePrefixMatch"))
    ),
)
_REDIRECT = s.object(
    {
        "scheme": s.string(enum=("http", "https")),
        "hostname": p.PRECISE_HOSTNAME,
        "path": _NEW_PATH,
        "port": p.PORT,
        "statusCode": s.integer(default=302) | {"enum": [301, 302, 303, 307, 308]},
    }
)
_REWRITE = s.object({"hostname": p.PRECISE_HOSTNAME, "path": _NEW_PATH})


def _alone(what: str) -> Obj:
    return s.rule("!('*' in self) || size(self) == 1", f"* among {what} must stand alone")


def _names(what: str = "") -> Obj:
    rules = (_alone(what),) if what else ()
    return s.array(_HEADER_NAME, list_type="set", most=64, rules=rules)


_ORIGIN = r"(^\*$)|(^(http(s)?):\/\/(((\*\.)?([a-zA-Z0-9\-]+\.)*[a-zA-Z0-9-]+|\*)(:([0-9]{1,5}))?)$)"
_CORS = s.object(
    {
        "allowOrigins": s.array(
            s.string(pattern=_ORIGIN, least=1, most=253), list_type="set", most=64, rules=(_alone("origins"),)
        ),
        "allowMethods": s.array(s.string(enum=(*_METHODS, "*")), list_type="set", most=9, rules=(_alone("methods"),)),
        "allowHeaders": _names("headers"),
        "exposeHeaders": _names(),
        "allowCredentials": s.boolean(),
        "maxAge": s.integer(least=1, format="int32", default=5),
    }
)
_ANY_STRINGS = s.array(s.string(), list_type="set", most=64)
_EXTERNAL_AUTH = s.object(
    {
        "protocol": s.string(enum=("HTTP", "GRPC")),
        "backendRef": p.backend(),
        "grpc": s.object({"allowedHeaders": _ANY_STRINGS}),
        "http": s.object(
            {
                "path": s.string(pattern="^(?:[-A-Za-z0-9/._~!$&'()*+,;=:@]|[%][0-9a-fA-F]{2})+$", most=1024),
                "allowedHeaders": _ANY_STRINGS,
                "allowedResponseHeaders": _ANY_STRINGS,
            }
        ),
        "forwardBody": s.object({"maxSize": s.integer()}),
    },
    required=("protocol", "backendRef"),
    rules=tuple(
        s.rule(f"has(self.{name.lower()}) == (self.protocol == '{name}')", f"{name.lower()} goes with {name}")
        for name in ("GRPC", "HTTP")
    ),
)
_GRPC_FILTERS = {
    "RequestHeaderModifier": ("requestHeaderModifier", _HEADER_FILTER),
    "ResponseHeaderModifier": ("responseHeaderModifier", _HEADER_FILTER),
    "RequestMirror": ("requestMirror", _MIRROR),
    "ExtensionRef": ("extensionRef", p.reference()),
}
_HTTP_FILTERS = _GRPC_FILTERS | {
    "RequestRedirect": ("requestRedirect", _REDIRECT),
    "URLRewrite": ("urlRewrite", _REWRITE),
    "CORS": ("cors", _CORS),
    "ExternalAuth": ("externalAuth", _EXTERNAL_AUTH),
}
_REPEATED = ("RequestMirror", "ExtensionRef", "ExternalAuth")


def _filters(known: dict[str, tuple[str, Obj]]) -> Obj:
    own = tuple(
        s.rule(f"has(self.{field}) == (self.type == '{name}')", f"{field} goes with the type {name}, and only with it")
        for name, (field, _) in known.items()
    )
    one = s.object(
        {"type": s.string(enum=tuple(known))} | dict(known.values()),
        required=("type",),
        rules=own,
    )
    once = [
        s.rule(f"self.filter(f, f.type == '{name}').size() < 2", f"only one filter of type {name}")
        for name in known
        if name not in _REPEATED
    ]
    if "URLRewrite" in known:
        either = "!self.exists(f, f.type == 'RequestRedirect') || !self.exists(f, f.type == 'URLRewrite')"
        once.append(s.rule(either, "a redirect and a rewrite exclude each other"))
    return p.atomic(one, most=16, rules=once)


# -- what both rules have

_COOKIE = s.object({"lifetimeType": s.string(enum=("Permanent", "Session"), default="Session")})
_SESSION = s.object(
    {
        "sessionName": s.string(most=128),
        "type": s.string(enum=("Cookie", "Header"), default="Cookie"),
        "absoluteTimeout": p.DURATION,
        "cookieConfig": _COOKIE,
    },
    rules=(
        s.rule(
            "!has(self.cookieConfig) || self.cookieConfig.?lifetimeType.orValue('Session') != 'Permanent'"
            " || has(self.absoluteTimeout)",
            "a Permanent cookie needs an absoluteTimeout",
        ),
        s.rule("!has(self.cookieConfig) || self.type == 'Cookie'", "cookieConfig goes with the type Cookie"),
    ),
)
_ALL_MATCHES = s.rule(
    "self.map(r, has(r.matches) ? size(r.matches) : 0).sum() <= 128", "a route may have 128 matches in all its rules"
)


def _backends(filters: Obj) -> Obj:
    return p.atomic(p.backend({"weight": p.WEIGHT, "filters": filters}), most=16)


# -- HTTPRoute


def _plain(expression: str, message: str) -> Obj:
    return s.rule(f"self.type == 'RegularExpression' || {expression}", f"{message} in an Exact or PathPrefix path")


_BAD_PARTS = ("//", "/./", "/../", "%2f", "%2F", "#")
_PATH = s.object(
    {
        "type": s.string(enum=("Exact", "PathPrefix", "RegularExpression"), default="PathPrefix"),
        "value": s.string(most=1024, default="/"),
    },
    default={"type": "PathPrefix", "value": "/"},
    rules=(
        _plain("self.value.startsWith('/')", "a leading / is needed"),
        *(_plain(f"!self.value.contains('{part}')", f"{part} is not allowed") for part in _BAD_PARTS),
        *(_plain(f"!self.value.endsWith('{end}')", f"{end} is not allowed at the end") for end in ("/..", "/.")),
        _plain(
            """self.value.matches(r'''^(?:[-A-Za-z0-9/._~!$&'()*+,;=:@]|[%][0-9a-fA-F]{2})+$''')""",
            "only characters of a URL's path are allowed",
        ),
    ),
)


def _matches_of(name: Obj, value: Obj) -> Obj:
    one = s.object({"type": _HOW, "name": name, "value": value}, required=("name", "value"))
    return s.array(one, keys=("name",), most=16)


_HTTP_MATCH = s.object(
    {
        "path": _PATH,
        "headers": _matches_of(_HEADER_NAME, _HEADER_VALUE),
        "queryParams": _matches_of(_HEADER_NAME, s.string(least=1, most=1024)),
        "method": s.string(enum=_METHODS),
    },
    about="All of it must hold.",
)
_DEFAULT_MATCHES = [{"path": {"type": "PathPrefix", "value": "/"}}]


def _one_prefix() -> tuple[Obj, ...]:
    """A prefix can be replaced when there is exactly one."""
    only = "size(self.matches) == 1 && self.matches[0].?path.type.orValue('') == 'PathPrefix'"
    rules = []
    for field in ("requestRedirect", "urlRewrite"):
        used = f"?filters.orValue([]).exists(f, f.?{field}.path.replacePrefixMatch.hasValue())"
        text = f"in {field} needs exactly one match, a PathPrefix"
        rules.append(s.rule(f"!self.{used} || ({only})", f"replacePrefixMatch {text}"))
        inner = f"self.?backendRefs.orValue([]).exists(b, b.{used})"
        rules.append(s.rule(f"!{inner} || ({only})", f"replacePrefixMatch of a backendRef {text}"))
    return tuple(rules)


_HTTP_FILTER_LIST = _filters(_HTTP_FILTERS)
_HTTP_RULE = s.object(
    {
        "name": p.SECTION,
        "matches": p.atomic(_HTTP_MATCH, most=64, about="One of them must hold.") | {"default": _DEFAULT_MATCHES},
        "filters": _HTTP_FILTER_LIST,
        "backendRefs": _backends(_HTTP_FILTER_LIST),
        "timeouts": s.object(
            {"request": p.DURATION, "backendRequest": p.DURATION},
            rules=(
                s.rule(
                    "!has(self.request) || !has(self.backendRequest) || duration(self.request) == duration('0s')"
                    " || duration(self.backendRequest) <= duration(self.request)",
                    "backendRequest must not be longer than request",
                ),
            ),
        ),
        "retry": s.object(
            {
                "codes": s.array(s.integer(least=400, most=599), list_type="set"),
                "attempts": s.integer(least=1),
                "backoff": p.DURATION,
            }
        ),
        "sessionPersistence": _SESSION,
    },
    rules=(
        s.rule(
            "self.?backendRefs.orValue([]).size() == 0 || !self.?filters.orValue([]).exists(f, has(f.requestRedirect))",
            "a redirect leaves nothing for backendRefs",
        ),
        *_one_prefix(),
    ),
)
_HOSTNAMES = p.atomic(p.HOSTNAME, most=16, about="Empty: the listeners' hostnames.")
HTTP_ROUTE = s.object(
    p.COMMON_ROUTE
    | {
        "hostnames": _HOSTNAMES,
        "rules": p.atomic(_HTTP_RULE, least=1, most=16, rules=(_ALL_MATCHES, p.NAMES_DIFFER))
        | {"default": [{"matches": _DEFAULT_MATCHES}]},
    }
)

# -- GRPCRoute

_GRPC_METHOD = s.object(
    {"type": _HOW, "service": s.string(most=1024), "method": s.string(most=1024)},
    rules=(
        s.rule("has(self.service) || has(self.method)", "a service, a method or both are needed"),
        s.rule(
            "self.?type.orValue('Exact') != 'Exact' || !has(self.service)"
            " || self.service.matches(r'^(?i)\\.?[a-z_][a-z_0-9]*(\\.[a-z_][a-z_0-9]*)*$')",
            "an Exact service is a name of protobuf, like pkg.Service",
        ),
        s.rule(
            "self.?type.orValue('Exact') != 'Exact' || !has(self.method)"
            " || self.method.matches(r'^[A-Za-z_][A-Za-z_0-9]*$')",
            "an Exact method is an identifier of protobuf",
        ),
    ),
)
_GRPC_MATCH = s.object({"method": _GRPC_METHOD, "headers": _matches_of(_HEADER_NAME, s.string(least=1, most=4096))})
_GRPC_FILTER_LIST = _filters(_GRPC_FILTERS)
GRPC_ROUTE = s.object(
    p.COMMON_ROUTE
    | {
        "hostnames": _HOSTNAMES,
        "rules": p.atomic(
            s.object(
                {
                    "name": p.SECTION,
                    "matches": p.atomic(_GRPC_MATCH, most=64),
                    "filters": _GRPC_FILTER_LIST,
                    "backendRefs": _backends(_GRPC_FILTER_LIST),
                    "sessionPersistence": _SESSION,
                }
            ),
            most=16,
            rules=(_ALL_MATCHES, p.NAMES_DIFFER),
        ),
    }
)

# -- TLSRoute, TCPRoute, UDPRoute


def _stream_rules(most: int) -> Obj:
    one = s.object({"name": p.SECTION, "backendRefs": p.BACKENDS}, required=("backendRefs",))
    return p.atomic(one, least=1, most=most, rules=(p.NAMES_DIFFER,) if most > 1 else ())


def stream_route(rules: int = 1) -> Obj:
    """`rules`: how many it may have."""
    return s.object(p.COMMON_ROUTE | {"rules": _stream_rules(rules)}, required=("rules",))


_NO_ADDRESS = s.rule("self.all(h, !isIP(h))", "a hostname is not an IP address")


def tls_route(*, strict: bool) -> Obj:
    """`strict`: as v1 has it, where hostnames are required and there is one rule."""
    names = p.atomic(p.HOSTNAME, least=1 if strict else None, most=1024, rules=(_NO_ADDRESS,) if strict else ())
    parts = {"hostnames": names, "rules": _stream_rules(1 if strict else 16)}
    return s.object(p.COMMON_ROUTE | parts, required=("hostnames", "rules") if strict else ("rules",))
