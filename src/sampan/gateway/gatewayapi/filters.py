"""What the filters of a rule, or of one of its backends, make of a request."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from sampan import ir
from sampan.api.meta import Obj
from sampan.gateway import headers
from sampan.gateway.gatewayapi.backends import Found, Way, cluster
from sampan.gateway.gatewayapi.matches import Unusable
from sampan.gateway.gatewayapi.memo import View
from sampan.gateway.gatewayapi.references import From, Wrong
from sampan.gateway.types import MOST

_DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(slots=True)
class Effects:
    """All filters of one list together. `broken`: one of them cannot be had, so requests must get an error."""

    request_headers: ir.HeaderChanges = ir.HeaderChanges()
    response_headers: ir.HeaderChanges = ir.HeaderChanges()
    mirrors: list[ir.Mirror] = field(default_factory=list)
    rewrite: ir.Rewrite | None = None
    redirect: ir.Redirect | None = None
    cors: ir.Cors | None = None
    auth: ir.ExternalAuth | None = None
    broken: bool = False

    @property
    def only_headers(self) -> bool:
        """Is there nothing that a weighted target could not have by itself?"""
        return not (self.mirrors or self.rewrite or self.redirect or self.cors or self.auth or self.broken)


@dataclass(frozen=True, slots=True)
class Site:
    """Where a route is compiled for: who refers, and the listener's scheme and port (redirects keep them)."""

    view: View
    by: From
    way: Way
    found: Found
    scheme: str
    port: int


def read(site: Site, filters: Iterable[Obj]) -> Effects:
    """Raises matches.Unusable for a value that is not known."""
    effects = Effects()
    for one in filters:
        if one["type"] not in _FILTERS:
            raise Unusable(f"filter type {one['type']} is not known")
        name, apply = _FILTERS[one["type"]]
        apply(site, effects, one.get(name) or {})
    return effects


def _request_headers(site: Site, effects: Effects, spec: Obj) -> None:
    effects.request_headers = _headers(spec, "requestHeaderModifier")


def _response_headers(site: Site, effects: Effects, spec: Obj) -> None:
    effects.response_headers = _headers(spec, "responseHeaderModifier")


def _headers(spec: Obj, where: str) -> ir.HeaderChanges:
    """Raises Unusable for what an Envoy refuses with the whole table of routes."""
    # The values are the user's: nothing in them is a command.
    pairs = {
        how: tuple((h["name"].lower(), h["value"].replace("%", "%%")) for h in spec.get(how) or ())
        for how in ("set", "add")
    }
    for how, found in pairs.items():
        for name, value in found:
            if why := headers.wrong(name, value):
                raise Unusable(f"{where}.{how}: {name!r} {why}")
    for name in spec.get("remove") or ():
        if why := headers.wrong_name(name):
            raise Unusable(f"{where}.remove: {name!r} {why}")
    return ir.HeaderChanges(pairs["set"], pairs["add"], tuple(name.lower() for name in spec.get("remove") or ()))


def _mirror(site: Site, effects: Effects, spec: Obj) -> None:
    share = spec["percent"] / 100 if spec.get("percent") is not None else 1.0
    if fraction := spec.get("fraction"):
        share = fraction["numerator"] / fraction.get("denominator", 100)
    name = cluster(site.view, site.by, spec["backendRef"], site.way, site.found)
    if name and share:
        effects.mirrors.append(ir.Mirror(name, share))


def _rewrite(site: Site, effects: Effects, spec: Obj) -> None:
    path = _path(spec.get("path")) or ir.Rewrite()
    made = ir.Rewrite(full=path.full, prefix=path.prefix, host=spec.get("hostname", ""))
    effects.rewrite = made if made != ir.Rewrite() else None


def _redirect(site: Site, effects: Effects, spec: Obj) -> None:
    scheme = spec.get("scheme") or ""
    if scheme not in ("", "http", "https"):
        raise Unusable(f"redirect scheme {scheme} is not known")
    code = spec.get("statusCode", 302)
    if code not in (301, 302, 303, 307, 308):
        raise Unusable(f"redirect code {code} is not known")
    final = scheme or site.scheme
    port = spec.get("port") or (_DEFAULT_PORTS[scheme] if scheme else site.port)
    # A default port is not written. It need not be when the Host has no port either, as on the default ports.
    if port == _DEFAULT_PORTS[final] and site.port in _DEFAULT_PORTS.values():
        port = 0
    effects.redirect = ir.Redirect(code, scheme, spec.get("hostname") or "", port, _path(spec.get("path")))


def _path(spec: Obj | None) -> ir.Rewrite | None:
    if not spec:
        return None
    fields = {"ReplaceFullPath": "replaceFullPath", "ReplacePrefixMatch": "replacePrefixMatch"}
    if spec["type"] not in fields:
        raise Unusable(f"path modifier {spec['type']} is not known")
    field_ = fields[spec["type"]]
    value = spec.get(field_) or "/"
    if re.search(r"[\x00-\x1f\x7f]", value):
        raise Unusable(f"{field_}: {value!r} has control characters, which no path may have")
    return ir.Rewrite(full=value) if field_ == "replaceFullPath" else ir.Rewrite(prefix=value)


def _cors(site: Site, effects: Effects, spec: Obj) -> None:
    credentials = bool(spec.get("allowCredentials"))
    # With credentials "*" would be the name of a header.
    exposed = tuple(name for name in spec.get("exposeHeaders") or () if name != "*" or not credentials)
    effects.cors = ir.Cors(
        tuple(map(_origin, spec.get("allowOrigins") or ())),
        tuple(spec.get("allowMethods") or ()),
        tuple(spec.get("allowHeaders") or ()),
        exposed,
        credentials,
        float(spec.get("maxAge", 5)),
    )


def _origin(text: str) -> ir.ValueMatch:
    """ "*" in a host is any characters, dots too."""
    if text == "*":
        return ir.ValueMatch("origin", kind=ir.Kind.PRESENT)
    if "*" not in text:
        return ir.ValueMatch("origin", text)
    return ir.ValueMatch("origin", re.escape(text).replace(r"\*", "[^/]*"), ir.Kind.REGEX)


def _external_auth(site: Site, effects: Effects, spec: Obj) -> None:
    grpc = spec["protocol"] == "GRPC"
    if spec["protocol"] not in ("HTTP", "GRPC"):
        raise Unusable(f"externalAuth protocol {spec['protocol']} is not known")
    way = site.way._replace(http2=grpc)
    name = cluster(site.view, site.by, spec["backendRef"], way, site.found)
    if not name:
        effects.broken = True
        return
    said = spec.get(spec["protocol"].lower()) or {}
    largest = (spec.get("forwardBody") or {}).get("maxSize", 0)
    if largest < 0:
        raise Unusable(f"externalAuth.forwardBody.maxSize: {largest} is no size")
    namespace = spec["backendRef"].get("namespace") or site.by.namespace
    effects.auth = ir.ExternalAuth(
        name,
        f"{spec['backendRef']['name']}.{namespace}",
        said.get("path", "").replace("%", "%%") if not grpc else "",
        request_headers=tuple(header.lower() for header in said.get("allowedHeaders") or ()),
        response_headers=tuple(header.lower() for header in said.get("allowedResponseHeaders") or ()),
        grpc=grpc,
        body_limit=min(largest, MOST),
    )


def _extension(site: Site, effects: Effects, spec: Obj) -> None:
    """There are no kinds that could be meant. A filter must not be passed over: requests get an error."""
    effects.broken = True
    kind = f"{spec['kind']}.{spec['group']}" if spec.get("group") else spec["kind"]
    site.found.wrong.append(Wrong("InvalidKind", f"there are no filters of kind {kind}: {spec['name']}"))


_FILTERS: Mapping[str, tuple[str, Callable[[Site, Effects, Obj], None]]] = {
    "RequestHeaderModifier": ("requestHeaderModifier", _request_headers),
    "ResponseHeaderModifier": ("responseHeaderModifier", _response_headers),
    "RequestMirror": ("requestMirror", _mirror),
    "RequestRedirect": ("requestRedirect", _redirect),
    "URLRewrite": ("urlRewrite", _rewrite),
    "CORS": ("cors", _cors),
    "ExternalAuth": ("externalAuth", _external_auth),
    "ExtensionRef": ("extensionRef", _extension),
}
