"""Ingresses that the API takes and nobody would write, with the Services, Secrets and ConfigMaps they name. Made up from
a seed: the same seed is the same objects.
"""

from __future__ import annotations

import base64
import random
from typing import Any

from nastycertificates import pairs, roots

from sampan.api.kinds import SCHEME
from sampan.api.meta import Obj, copy
from sampan.gateway.ingress.annotations import PREFIX, TABLE, How

STRATEGIES = {(one.group, one.kind): one.strategy for one in SCHEME.resources}
_KINDS = {"Ingress": "networking.k8s.io"}
NAMESPACE = "default"

# What stands anywhere in a text.
SCRAPS = (
    "", " ", "\t", "\n", "\r\n", "\x00", "\x01", "\x7f", "\x85", "ä", "☃", "𝔘", "\u2028", "%", "%%", "%REQ(x)%", "%REQ(",
    "%NO_SUCH%", "%START_TIME(%Y)%", "%DYNAMIC_METADATA(a)%", "%2f", "%00", "%CC%CC", "$", "${", "$1", "$10", "$host",
    "${http_x}", "$http_ä", "$arg_", "\\", "\\1", "\\9", "\\Q", "(", ")", "[", "[^]", "{", "}", "{1001}", "*", "+", "?",
    "|", "^", ".*", "(?i)", "(?=x)", "#", "//", "/../", ":", ";", ",", '"', "'", "=", "@", "<", "~", "~^x", "-", "_", "a",
    "Z", "0", "9" * 20, "९", "²", "A" * 300, "a" * 5000, "x." * 200, "\x1b[0m", "\ufeff", "nginx", "return 200;",
)  # fmt: skip
NUMBERS = (
    "0", "1", "-1", "2147483647", "2147483648", "4294967295", "4294967296", "9223372036854775807", "9" * 19, "9" * 40,
    "9" * 5000, "1e9", "0x10", "1.5", "٣", "²", " 5 ", "+5", "1_000", "", "05", "1000000000", "999999999", "60s", "1ms",
    "0ms", "9999999999d", "99999999999999h", "8m", "4g", "99999999g", "4096k", "0k", "300", "599", "600", "99",
    "404,503", "404,,503", ",", "400,٤٠٤", "301", "308", " 302 ", "100,101",
)  # fmt: skip
HOSTS = (
    "a.example", "A.Example", "*.a.example", "*.example", "a.example:80", "a.example:99999", "a.example:0", "a..example",
    "a-.example", "1.2.3.4", "[::1]", "[::1", "[fe80::1%eth0]", "::1", "localhost", "x" * 63 + ".example", "x" * 260,
    ".".join(["x" * 60] * 4), ".".join(["y" * 60] * 9), "xn--mnchen-3ya.example", "münchen.example", "a.example.",
    "web.default", "web.default.svc", "web.default.svc.cluster.local", "outside.default.svc", "a_b.example", "0", "*",
)  # fmt: skip
WORDS = ("true", "false", "True", "on", "off", "any", "all", "cookie", "basic", "digest", "auth-file", "auth-map")
ADDRESSES = (
    "10.0.0.0/8", "0.0.0.0/0", "::/0", "::1", "2001:db8::/32", "10.1.2.3/8", "fe80::1%eth0", "fe80::1%eth0/64",
    "::ffff:1.2.3.4", "1.2.3.4/32", "1.2.3.4/33", "1.2.3", "256.0.0.1", "10.0.0.0/255.0.0.0", "10.0.0.0/0.255.255.255",
    "01.2.3.4", "10.0.0.0/8,10.0.0.0/8", "10.0.0.0/8, ::/0,", "2001:db8::1/0", "fe80::%/10",
)  # fmt: skip
HEADERS = (
    "X-A", "x-a", "Host", "host", ":path", ":authority", "content-length", "Content-Length", "Transfer-Encoding",
    "connection", "Set-Cookie", "X_A", "-", "_", "X-" + "a" * 300, "x" * 20000, "te", "authorization", "*", "cookie",
    "X-A,X-B", "X-A, X-B,", "Upgrade", "x-envoy-max-retries", "Keep-Alive", "0",
)  # fmt: skip
PATTERNS = (
    "^v[0-9]+$", "(a|b)*c", "((a{1,100}){1,100}){1,100}", "(a{1000})", "[a-z]{1,1000}x", "(?i)x", "\\pL+", "[[:alpha:]]",
    "a{1,2}{3}", "x*+", "(?<n>a)", "(?P<n>a)(?P<n>b)", "\\C", "\\x{10ffff}", "\\x{110000}", "[z-a]", "\\8", "(?:)",
    "a||b", "()", "\\E", "[\\w-z]", "(" * 600 + ")" * 600, "a{" + "9" * 5000 + "}", "\\p{Nope}", "^$", "$^", "\\b", "[]]",
    "[^\\x00-\\x{10FFFF}]", "\\xff", "\\0", "(?i-s:x)", "(?U)a+", "ä+", "a\nb",
)  # fmt: skip
PATHS = (
    "/", "/a", "/a/", "/A/b.c", "/a//b", "//", "/./a", "/a/..", "/%", "/%2f", "/%2F..", "/%REQ(x)%", "/a b", "/a?b=c",
    "/a#b", "/a;b", "/ä", "/☃/*", "/\x01", "/\x00", "/\n", "/a\r\nb", "/\x7f", "/$1", "/\\", "/\\Q", "/{", "/}", "/(", "/[",
    "/*", "/.*", "/a(/|$)(.*)", "/(?i)a", "/" + "a" * 4096, "/" + "a/" * 2048, "/a{1001}", "/^a$", "/a|b", "/|", "/.",
    "/~", "/~*", "/'", '/"', "/<x>", "/.well-known/acme-challenge", "/.well-known/acme-challenge/x", "/a.b", "/a+b",
    "", "/(a)(b)(c)(d)(e)(f)(g)(h)(i)(j)(k)", "/((((a))))", "/[[:alpha:]]+", "/\\d+", "/x*", "/-", "/_", "/Z" * 100,
)  # fmt: skip
TARGETS = (
    "/", "/$1", "/$2", "$1", "/$10", "/\\1", "/a\\", "/%REQ(x)%", "/%", "/a#b", "https://b.example/$1", "http://b.example",
    "https://b.example:99999/", "https://b.example:²/", "https://b.example:0/", "https://[::1]/", "https://[::1]:8080/x",
    "https://b.example:/x", "https://a b/", "https://%REQ(x)%/", "http://\x01/", "/\x00", "/ä", "/" + "a" * 20000, "$9",
)  # fmt: skip
URLS = (
    "https://a.example/", "http://web.default/auth", "http://web.default.svc.cluster.local/auth?x=1",
    "http://outside.default.svc:80/x", "https://a.example:99999/", "https://a.example:0/", "https://a.example:-1",
    "https://a.example:²/", "https://a.example:٣/", "https://[::1]/", "https://[::1", "http://]/", "https://[v1.x]/",
    "https://user:secret@a.example/", "$scheme://a.example/", "https://$host/x", "https://a.example/$request_uri",
    "https://a.example$request_uri", "https://a.example/%", "https://a.example/%REQ(x)%", "https://a.example/?a=%CC%CC",
    "https://a.example?rd=$escaped_request_uri", "https://a.example/#f", "http:///x", "https://", "HTTPS://A.EXAMPLE/",
    "https://a.example/\x01", "https://a.example/\x00", "https://\x01/", "https://a.example/ä", "https://münchen.example/",
    "https://" + "x" * 300 + ".example/", "https://a.example/" + "a" * 20000, "https://*.example/", "https://%/",
    "https://a%00b/", "https://./", "https://../x", "https://a.example:443:443/", "https://a.example\\b/", "ftp://a/",
    "http://localhost:15000/", "http://0.0.0.0:0/", "https://a.example/$http_x-y/${arg_x}", "https://ﬀ.example/",
    "https://a℀b.example/",
)  # fmt: skip
TOKENS = (
    "INGRESSCOOKIE", "a", "a;b", "a=b", "%", "%%", "$x", "a" * 300, "a" * 70000, "__Host-a", "!#$%&'*+.^_`|~-", "ä", ":a",
)  # fmt: skip
NAMES = (
    "pair",
    "roots",
    "users",
    "headers",
    "web",
    "nothing",
    "default/users",
    "other/users",
    "a.b",
    "default/",
    "outside",
)
HASHES = (
    "$request_uri", "$host", "$remote_addr", "$http_x", "$http_", "$http_ä", "$cookie_", "$cookie_ä", "$cookie_a", "$arg_a",
    "$arg_ä", "${request_uri}$host", "$request_uri" * 50, "$http_" + "a" * 20000, "$arg_" + "a" * 3000, "$nope", "x",
    "$cookie_" + "a" * 20000,
)  # fmt: skip
ORIGINS = (
    "*", "https://a.example", "https://*.a.example", "null", "https://a.example:99999", "http://a.example,*", "HTTP://a",
    "https://a.example:٣", "x://" + "a" * 5000, "https://" + "*." * 50 + "a", ",", "https://*.a" + ".b" * 500,
)  # fmt: skip
PROTOCOLS = ("HTTP", "HTTPS", "GRPC", "GRPCS", "AUTO_HTTP", "FCGI", "grpcs", "https ", "H2C")
ODD_TEXTS = ("/api", "api", "http://a/b", "v1", "a b", "ünïcode", "x" * 20000, "a:b/c", "Ⅷ", "é" * 9000, "～")
METHODS = ("GET, PUT", "GET", "É", "*", "get", "GET PUT", "G" * 5000, "ﬀ", "GET,,", "M-SEARCH")
_LISTS = (
    NUMBERS, HOSTS, WORDS, ADDRESSES, HEADERS, PATTERNS, PATHS, TARGETS, URLS, TOKENS, NAMES, HASHES, ORIGINS, PROTOCOLS,
    ODD_TEXTS, METHODS, SCRAPS,
)  # fmt: skip
# What begins so is mostly one of these: else hardly anything would be understood.
_LIKELY: tuple[tuple[tuple[str, ...], tuple[str, ...]], ...] = (
    (("rewrite-target",), TARGETS),
    (("app-root", "session-cookie-path"), PATHS),
    (("x-forwarded-prefix", "auth-realm", "auth-request-redirect", "canary-by-header-value"), ODD_TEXTS),
    (("server-alias", "upstream-vhost", "mirror-host", "proxy-ssl-name", "session-cookie-domain"), HOSTS),
    (("permanent-redirect", "temporal-redirect", "auth-url", "auth-signin", "mirror-target"), URLS),
    (("auth-signin-redirect-param", "session-cookie-name", "canary-by-cookie"), TOKENS),
    (("canary-by-header-pattern",), PATTERNS),
    (("canary-by-header", "auth-response-headers", "cors-allow-headers", "cors-expose-headers"), HEADERS),
    (("cors-allow-origin",), ORIGINS),
    (("cors-allow-methods",), METHODS),
    (("upstream-hash-by",), HASHES),
    (("backend-protocol",), PROTOCOLS),
    (("whitelist-source-range", "allowlist-source-range", "denylist-source-range", "limit-whitelist"), ADDRESSES),
    (("limit-allowlist",), ADDRESSES),
    (("custom-headers", "default-backend", "auth-secret", "auth-proxy-set-headers", "auth-tls-secret"), NAMES),
    (("proxy-ssl-secret",), NAMES),
    (("permanent-redirect-code", "temporal-redirect-code"), ("301", "308", " 302 ", "300", "404", "²")),
    (("auth-type", "auth-secret-type", "satisfy", "affinity", "proxy-ssl-verify", "proxy-ssl-server-name"), WORDS),
    (("auth-tls-verify-client",), ("on", "off", "optional", "optional_no_ca", "ON")),
    (("auth-method",), ("GET", "post", "CONNECT", "TRACE", "HEAD", "FOO")),
    (("load-balance",), ("ewma", "round_robin", "chash", "sticky_balanced")),
    (("session-cookie-samesite",), ("None", "lax", "Strict", "x")),
    (("proxy-ssl-protocols",), ("TLSv1", "TLSv1 TLSv1.3", "SSLv2", "SSLv3 TLSv1.2", "TLSv1.4", "TLSv1.3 TLSv1.1")),
    (("proxy-next-upstream-tries", "proxy-body-size", "limit-", "canary-weight", "cors-max-age", "session-c"), NUMBERS),
    (("proxy-connect-timeout", "proxy-read-timeout", "proxy-send-timeout", "custom-http-errors"), NUMBERS),
    (("proxy-next-upstream",), ("error timeout", "http_500 http_404", "off", "non_idempotent", "error non_idempotent")),
    (("use-regex", "canary", "enable-cors", "ssl-redirect", "force-ssl-redirect", "service-upstream"), WORDS),
)
_NAMES = sorted(name for name, row in TABLE.items() if row.how is How.SUPPORTED)
# Several that do nothing alone.
_GROUPS: tuple[dict[str, str], ...] = (
    {"enable-cors": "true"},
    {"affinity": "cookie"},
    {"auth-type": "basic", "auth-secret": "users"},
    {"canary": "true"},
    {"rewrite-target": "/$1"},
    {"use-regex": "true"},
    {"auth-url": "http://web.default/auth"},
    {"custom-http-errors": "404", "default-backend": "web"},
    {"limit-rps": "5"},
    {"backend-protocol": "HTTPS", "proxy-ssl-secret": "pair", "proxy-ssl-verify": "on"},
    {"backend-protocol": "HTTPS"},
    {"auth-tls-secret": "roots"},
    {"ssl-passthrough": "true"},
    {"service-upstream": "true"},
    {"from-to-www-redirect": "true"},
    {"mirror-target": "http://web.default"},
)


def text(chance: random.Random) -> str:
    """Anything."""
    if chance.random() < 0.5:
        return chance.choice(chance.choice(_LISTS))
    return "".join(chance.choice(SCRAPS) for _ in range(chance.randint(1, 4)))


def spoiled(chance: random.Random, value: str) -> str:
    """The value, now and then with something in its midst."""
    if chance.random() < 0.8:
        return value
    place = chance.randint(0, len(value))
    return value[:place] + chance.choice(SCRAPS) + value[place:]


def annotation(chance: random.Random, name: str) -> str:
    likely = next((values for starts, values in _LIKELY if name.startswith(starts)), WORDS)
    return spoiled(chance, chance.choice(likely)) if chance.random() < 0.85 else text(chance)


def annotations(chance: random.Random) -> dict[str, str]:
    made = dict(chance.choice(_GROUPS)) if chance.random() < 0.6 else {}
    for name in chance.sample(_NAMES, chance.choice((0, 1, 1, 2, 3, 5))):
        made[name] = annotation(chance, name)
    related = [name for name in _NAMES if any(name.split("-")[0] == own.split("-")[0] for own in made)]
    for name in chance.sample(related, min(len(related), chance.choice((0, 0, 1, 2)))):
        made[name] = annotation(chance, name)
    return {PREFIX + name: value for name, value in made.items()}


def ingress(chance: random.Random, name: str) -> Obj:
    """It may not be one that the API takes: see `valid`."""
    rules = []
    for _ in range(chance.choice((0, 1, 1, 1, 2))):
        entries = [
            {
                "path": spoiled(chance, chance.choice(PATHS)),
                "pathType": chance.choice(("Exact", "Prefix", "ImplementationSpecific", "ImplementationSpecific")),
                "backend": _backend(chance),
            }
            for _ in range(chance.choice((1, 1, 2, 4)))
        ]
        host = _host(chance, name)
        rules.append(({"host": host} if host else {}) | {"http": {"paths": entries}})
    spec: Obj = {"ingressClassName": "nginx"} | ({"rules": rules} if rules else {})
    if not rules or chance.random() < 0.1:
        spec["defaultBackend"] = _backend(chance)
    if chance.random() < 0.4:
        hosts = [rule["host"] for rule in rules if "host" in rule]
        spec["tls"] = [{"hosts": hosts, "secretName": chance.choice((f"pair-{chance.randrange(len(pairs()))}", "no"))}]
    metadata = {"name": name, "namespace": NAMESPACE, "annotations": annotations(chance)}
    return {"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": metadata, "spec": spec}


def _host(chance: random.Random, name: str) -> str:
    """Mostly its own: of hosts that many have, only the first would be looked at."""
    if chance.random() < 0.15:
        return chance.choice((*HOSTS, "", "", "www.a.example", "*.b.a.example"))
    host = f"{name}.example"
    if chance.random() < 0.1:
        host = "*." + host
    return host if chance.random() < 0.9 else ".".join([*(["x" * 60] * 3), host])


def _backend(chance: random.Random) -> Obj:
    if chance.random() < 0.02:
        return {"resource": {"kind": spoiled(chance, "Bucket"), "name": "x"}}
    name = chance.choice(("web", "web", "web", "many", "headless", "outside", "outside-ip", "six", "none", "grpc"))
    port: Obj = chance.choice(({"number": 80}, {"number": 80}, {"number": 65535}, {"name": "http"}, {"name": "no"}))
    return {"service": {"name": name, "port": port}}


def surroundings(chance: random.Random) -> list[Obj]:
    """What all of them name."""
    headers = {name: text(chance) for name in chance.sample([h for h in HEADERS if h.replace("-", "").isalnum()], 3)}
    lines = (
        "a:$apr1$x$" + "a" * 22,
        "b:{SHA}" + "A" * 27 + "=",
        "c:$2y$05$x",
        "d:{PLAIN}ä%",
        ":x",
        "#",
        "e",
        "f:",
        "\x00:{PLAIN}x",
    )
    made = [
        *_SERVICES,
        _secret("users", {"auth": "\n".join((*chance.sample(lines, 4), f"{text(chance)}:{{PLAIN}}x")).encode()}),
        _secret("pair", dict(zip(("tls.crt", "tls.key"), chance.choice(list(pairs().values())), strict=True))
                | {"ca.crt": chance.choice(list(roots().values()))}),
        _secret("roots", {"ca.crt": chance.choice(list(roots().values()))}),
        {"kind": "ConfigMap", "metadata": {"name": "headers", "namespace": NAMESPACE}, "data": headers},
        *(
            _secret(f"pair-{number}", {"tls.crt": chain, "tls.key": key}, "kubernetes.io/tls")
            for number, (chain, key) in enumerate(pairs().values())
        ),
        *_streams(chance),
    ]  # fmt: skip
    return [one for one in map(copy, made) if valid(one)]


def _streams(chance: random.Random) -> list[Obj]:
    targets = (
        "default/web:80",
        "default/web:http",
        "default/many:53:PROXY",
        "default/none:80",
        "x",
        "a/b:c:d",
        "default/web:80:PROXY:PROXY",
        "/:",
        "default/outside:80",
        "default/headless:80",
    )
    ports = ("22", "022", "0", "65535", "65536", "10080", "15000", "x", "-1", "0" * 200 + "23", "9000", "5353")
    return [
        {
            "kind": "ConfigMap",
            "metadata": {"name": f"{protocol}-services", "namespace": "ingress-nginx"},
            "data": {port: spoiled(chance, chance.choice(targets)) for port in chance.sample(ports, 6)},
        }
        for protocol in ("tcp", "udp")
    ]  # fmt: skip


def _secret(name: str, data: dict[str, bytes], kind: str = "Opaque") -> Obj:
    encoded = {key: base64.b64encode(value).decode() for key, value in data.items()}
    return {"kind": "Secret", "metadata": {"name": name, "namespace": NAMESPACE}, "type": kind, "data": encoded}


def _service(name: str, ports: list[Obj], **more: Any) -> Obj:
    listed = [{"protocol": "TCP", **port} for port in ports]
    spec = {"clusterIP": "10.96.0.7", "clusterIPs": ["10.96.0.7"], "ports": listed, **more}
    return {"kind": "Service", "metadata": {"name": name, "namespace": NAMESPACE}, "spec": spec}


_OUTSIDE = {"type": "ExternalName", "clusterIP": None, "clusterIPs": None}
_SERVICES = (
    _service("web", [{"port": 80, "name": "http"}]),
    _service(
        "many",
        [
            {"port": 80, "name": "http", "appProtocol": "kubernetes.io/h2c"},
            {"port": 65535, "name": "last", "appProtocol": "x.y/z"},
            {"port": 53, "name": "dns", "protocol": "UDP"},
            {"port": 54, "name": "sctp", "protocol": "SCTP"},
        ],
    ),
    _service("headless", [], clusterIP="None", clusterIPs=["None"]),
    _service("outside", [{"port": 80, "name": "http", "targetPort": "odd"}], **_OUTSIDE, externalName="a.example."),
    _service("outside-ip", [], **_OUTSIDE, externalName="1.2.3.4"),
    _service("six", [{"port": 80, "name": "http"}], clusterIP="fd00::1", clusterIPs=["fd00::1"], ipFamilies=["IPv6"]),
    _service("grpc", [{"port": 80, "name": "http", "appProtocol": "grpc"}]),
)  # fmt: skip


def valid(obj: Obj) -> bool:
    """Does the API take it? Its defaults are put in."""
    strategy = STRATEGIES[_KINDS.get(obj["kind"], ""), obj["kind"]]
    strategy.default(obj)
    return not strategy.validate(obj)


def ingresses(chance: random.Random, count: int, start: int = 0) -> list[Obj]:
    """That many that the API takes."""
    made: list[Obj] = []
    while len(made) < count:
        one = ingress(chance, f"n{start + len(made)}")
        if valid(one):
            made.append(one)
    return made


def every_roots() -> list[Obj]:
    """A Secret for each kind of ca.crt, "roots-N"."""
    return [_secret(f"roots-{number}", {"ca.crt": pem}) for number, pem in enumerate(roots().values())]
