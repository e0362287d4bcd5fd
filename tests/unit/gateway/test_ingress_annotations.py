"""The table of annotations: complete against ingress-nginx, every reader says what it allows, the docs are the table."""

import re
from pathlib import Path

import golden
import pytest

from sampan.gateway.ingress.annotations import PREFIX, TABLE, How, read_all
from sampan.gateway.ingress.pcre import Unsupported, beginning, captures, to_re2

# The names in ingress-nginx 1.15: docs/user-guide/nginx-configuration/annotations.md and annotations-risk.md.
UPSTREAM = """
affinity affinity-canary-behavior affinity-mode allowlist-source-range app-root auth-always-set-cookie
auth-cache-duration auth-cache-key auth-keepalive auth-keepalive-requests auth-keepalive-share-vars
auth-keepalive-timeout auth-method auth-proxy-set-headers auth-realm auth-request-redirect auth-response-headers
auth-secret auth-secret-type auth-signin auth-signin-redirect-param auth-snippet auth-tls-error-page auth-tls-match-cn
auth-tls-pass-certificate-to-upstream auth-tls-secret auth-tls-verify-client auth-tls-verify-depth auth-type auth-url
backend-protocol canary canary-by-cookie canary-by-header canary-by-header-pattern canary-by-header-value canary-weight
canary-weight-total client-body-buffer-size configuration-snippet connection-proxy-header cors-allow-credentials
cors-allow-headers cors-allow-methods cors-allow-origin cors-expose-headers cors-max-age custom-headers
custom-http-errors default-backend denylist-source-range disable-proxy-intercept-errors enable-access-log enable-cors
enable-global-auth enable-modsecurity enable-opentelemetry enable-owasp-core-rules enable-rewrite-log fastcgi-index
fastcgi-params-configmap force-ssl-redirect from-to-www-redirect http2-push-preload limit-allowlist
limit-burst-multiplier limit-connections limit-rate limit-rate-after limit-rpm limit-rps limit-whitelist load-balance
mirror-host mirror-request-body mirror-target modsecurity-snippet modsecurity-transaction-id
opentelemetry-operation-name opentelemetry-trust-incoming-span permanent-redirect permanent-redirect-code
preserve-trailing-slash proxy-body-size proxy-buffer-size proxy-buffering proxy-buffers-number proxy-busy-buffers-size
proxy-connect-timeout proxy-cookie-domain proxy-cookie-path proxy-http-version proxy-max-temp-file-size
proxy-next-upstream proxy-next-upstream-timeout proxy-next-upstream-tries proxy-read-timeout proxy-redirect-from
proxy-redirect-to proxy-request-buffering proxy-send-timeout proxy-ssl-ciphers proxy-ssl-name proxy-ssl-protocols
proxy-ssl-secret proxy-ssl-server-name proxy-ssl-verify proxy-ssl-verify-depth relative-redirects rewrite-target
satisfy server-alias server-snippet service-upstream session-cookie-change-on-failure
session-cookie-conditional-samesite-none session-cookie-domain session-cookie-expires session-cookie-max-age
session-cookie-name session-cookie-path session-cookie-samesite session-cookie-secure ssl-ciphers ssl-passthrough
ssl-prefer-server-ciphers ssl-redirect stream-snippet temporal-redirect temporal-redirect-code upstream-hash-by
upstream-hash-by-subset upstream-hash-by-subset-size upstream-vhost use-port-in-redirects use-regex
whitelist-source-range x-forwarded-prefix
""".split()  # noqa: SIM905
DOCS = Path(__file__).resolve().parents[3] / "docs" / "ingress.md"


def test_all_of_upstreams_annotations_are_in_the_table_and_no_others() -> None:
    assert sorted(TABLE) == sorted(UPSTREAM)


@pytest.mark.parametrize("name", sorted(name for name, row in TABLE.items() if row.how == How.SUPPORTED))
def test_nonsense_is_told_with_what_is_allowed(name: str) -> None:
    nonsense = "\u2603 {;}("
    read = read_all({PREFIX + name: nonsense})
    if name == "mirror-target":  # its URL is looked at where it is used
        return
    told = [message for reason, message in read.told if reason == "InvalidAnnotation"]
    assert len(told) == 1
    assert f"{PREFIX}{name}: {nonsense!r} is not allowed, it must be " in told[0]
    assert bool(read.denied) == TABLE[name].guards


# Each was taken once, and refused by Envoy with all that others wanted, or by nobody before Python itself.
BEYOND_ENVOY = (
    ("proxy-connect-timeout", "0"),
    ("proxy-connect-timeout", "0ms"),
    ("proxy-read-timeout", "9999999999999999999"),
    ("proxy-send-timeout", "99999999999d"),
    ("proxy-read-timeout", "9" * 5000),
    ("proxy-body-size", "9" * 5000),
    ("auth-url", "https://a.example:99999/"),
    ("auth-url", "https://a.example:\u0663/"),
    ("auth-url", "https://" + "a" * 254 + "/"),
    ("auth-signin", "https://[::1"),
    ("permanent-redirect", "https://a.example:99999/"),
    ("temporal-redirect", "https://a.example/\x00"),
    ("rewrite-target", "https://a.example:99999/"),
    ("rewrite-target", "https://a.example:\u00b2/"),
    ("rewrite-target", "/\x00"),
    ("app-root", "/\x01"),
    ("upstream-vhost", "a." * 127 + "b"),
    ("proxy-ssl-name", "a" * 256),
    ("server-alias", "b.example," + "a" * 256),
    ("whitelist-source-range", "fe80::1%eth0"),
    ("canary-by-header-pattern", "a{" + "9" * 5000 + "}"),
    ("canary-by-header-pattern", r"[^\x{100}]"),
)


@pytest.mark.parametrize(("name", "value"), BEYOND_ENVOY)
def test_what_envoy_would_refuse_is_told(name: str, value: str) -> None:
    read = read_all({PREFIX + name: value})
    assert name not in read.values
    assert read.told[0][0] == "InvalidAnnotation"


def test_golden_documentation_is_the_table() -> None:
    """`make golden` writes the table into docs/ingress.md."""
    rows = [f"| `{name}` | {row.how} | {row.says} |" for name, row in TABLE.items()]
    table = "\n".join(["| annotation | here | what it does, or why not |", "|---|---|---|", *rows])
    text = DOCS.read_text()
    before, _, rest = text.partition("<!-- annotations -->\n")
    old, _, after = rest.partition("\n<!-- end -->")
    if golden.WRITE:
        DOCS.write_text(f"{before}<!-- annotations -->\n{table}\n<!-- end -->{after}")
    else:
        assert old == table, "make golden"


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("/(?!a)", "negative look-ahead"),
        ("/(?=a)", "look-ahead"),
        ("/(?<!a)", "negative look-behind"),
        ("/(?>a)", "atomic"),
        (r"/(a)\1", "back-reference"),
        (r"/(?<n>a)\k<n>", "back-reference"),
        ("/a*+", "possessive"),
        ("/a{1001}", "more than 1000"),
        ("/a{3,2}", "wrong order"),
        ("/(?R)", "recursion"),
        ("/(a", "not closed"),
        ("/a)", "has no ("),
        ("/[a", "not closed"),
        ("*", "repeats nothing"),
        ("/(?#x)", "comment"),
        ("/(?(1)a)", "condition"),
        (r"/\Kx", r"\K"),
        ("/a\\", "ends in a single"),
        ("/([a-z]{1,900}){1,900}", "invalid repetition size: {1,900}"),
        ("/" + "(foo|bar|[a-z]{900})" * 60, "instructions of RE2"),
    ],
)
def test_what_re2_has_not_is_named(text: str, what: str) -> None:
    with pytest.raises(Unsupported, match=re.escape(what)):
        to_re2(text)


@pytest.mark.parametrize(
    ("text", "whole", "count"),
    [
        ("/api(/|$)(.*)", "/api(/|$)(.*)", 2),
        ("/foo", "/foo.*", 0),
        ("/foo$", "/foo$.*", 0),
        ("/a|/b", ".*?(?:^/a|/b).*", 0),
        ("/(a|b)", "/(a|b).*", 1),
        ("/(?<id>[0-9]+)", "/(?P<id>[0-9]+).*", 1),
        ("/(?:a)(b)", "/(?:a)(b).*", 1),
        (r"/x\.*", r"/x\.*.*", 0),
        ("/[]a]", r"/[\]a].*", 0),
        ("/[[:alpha:]]+", "/[[:alpha:]]+.*", 0),
        ("/{id}", r"/\{id}.*", 0),
        (r"/\d{2,}?", r"/\d{2,}?.*", 0),
        (r"/a\-b\/c", r"/a\-b\/c.*", 0),
        (r"/\Qa.b\E+", r"/a\.b+.*", 0),
        (r"/\Q(a|b", r"/\(a\|b.*", 0),
        (r"/a\Eb", "/ab.*", 0),
    ],
)
def test_what_re2_has_means_the_same(text: str, whole: str, count: int) -> None:
    assert beginning(text) == whole
    assert captures(text) == count
    python = re.compile(whole.replace("[[:alpha:]]", "[a-zA-Z]"))
    text = re.sub(r"\\Q(.*?)(\\E|$)|\\E", lambda quoted: re.escape(quoted[1] or ""), text)
    nginx = re.compile("^" + text.replace("(?<id>", "(?P<id>").replace("[[:alpha:]]", "[a-zA-Z]"))
    for path in (
        "/",
        "/api",
        "/api/x",
        "/apix",
        "/foo",
        "/foobar",
        "/a",
        "/b",
        "/x/b",
        "/7",
        "/x.",
        "/]",
        "/{id}",
        "/a-b/c/d",
    ):
        assert bool(python.fullmatch(path)) == bool(nginx.search(path)), path
