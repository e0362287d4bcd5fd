"""What becomes of the path: upstream, or in a redirect's Location.

Sources: Envoy's config_impl.cc (rewritePathByPrefixOrRegex), http/utility.cc (newUri)
"""

from __future__ import annotations

from sampan.xds.messages import Message
from sampan.xds.simulate.headers import Headers
from sampan.xds.simulate.match import matched
from sampan.xds.simulate.regex import replace_all

_DEFAULT_PORTS = {"http": ":80", "https": ":443"}


def rewritten(action: Message, match: Message, path: str) -> str:
    """`action`: a RouteAction or RedirectAction, which name these fields alike. An empty result rewrites nothing."""
    bare, mark, query = path.partition("?")
    if action.prefix_rewrite:
        bare = action.prefix_rewrite + bare[len(matched(match, bare)) :]
    elif action.HasField("regex_rewrite"):
        rewrite = action.regex_rewrite
        bare = replace_all(rewrite.pattern.regex, rewrite.substitution, bare) or bare
    return bare + mark + query


def location(redirect: Message, match: Message, headers: Headers) -> str:
    scheme = headers.get(":scheme") or "http"
    new = redirect.scheme_redirect or ("https" if redirect.https_redirect else scheme)
    port = f":{redirect.port_redirect}" if redirect.port_redirect else ""
    host = redirect.host_redirect or _host(headers.get(":authority") or "", scheme, new, port)
    return f"{new}://{host}{port}{_path(redirect, match, headers.get(':path') or '')}"


def _host(authority: str, scheme: str, new: str, port: str) -> str:
    """The request's own, whose port goes when there is another, or when it was the default of a scheme that changes."""
    name, colon, number = authority.rpartition(":")
    if not colon or "]" in number:
        return authority
    return name if port or (new != scheme and f":{number}" == _DEFAULT_PORTS[scheme]) else authority


def _path(redirect: Message, match: Message, path: str) -> str:
    query = path.partition("?")[1] + path.partition("?")[2]
    given = redirect.path_redirect
    if "?" in given:
        new = given
    else:
        new = given + query if given else rewritten(redirect, match, path)
        if redirect.strip_query:
            new = new.partition("?")[0]
    return new if new.startswith("/") else f"/{new}"
