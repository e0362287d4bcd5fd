"""All that Ingresses say about one host → its virtual hosts. The oldest Ingress wins.

Source: ingress-nginx, internal/ingress/controller/controller.go (how servers are merged), nginx.tmpl.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from sampan.gateway.ingress import paths, pcre, routes
from sampan.gateway.ingress.annotations import PREFIX
from sampan.gateway.ingress.compile import COMPONENT
from sampan.gateway.ingress.model import CATCH_ALL, Backend, Certificate, Chain, Compiled, HostPart, Location
from sampan.gateway.types import Notice, Ref
from sampan.ir import (
    Cluster,
    Kind,
    Match,
    PathKind,
    PathMatch,
    Redirect,
    Rewrite,
    Route,
    Tcp,
    ValueMatch,
    VirtualHost,
    Weighted,
)

Said = Sequence[tuple[Compiled, HostPart]]  # the oldest first


@dataclass(frozen=True, slots=True)
class Host:
    """`virtual` is the host under its own name alone; `aliases` are names it would have too, if nobody else has them.
    A host that only canaries name is not `served`. `special`: what becomes of it depends on other hosts.

    `vips`: backends that are reached by their cluster IP, by the name of the endpoints.
    """

    name: str
    virtual: VirtualHost
    clusters: tuple[Cluster, ...]
    vips: tuple[Backend, ...]
    chain: Chain | None
    notices: tuple[Notice, ...]
    aliases: tuple[tuple[str, Ref], ...] = ()
    www: Route | None = None
    served: bool = True
    special: bool = False


def host(name: str, said: Said, outside: tuple[int, int]) -> Host:
    """`outside`: see `Resources`."""
    stable = [(c, p) for c, p in said if c.canary is None]
    notices: list[Notice] = []
    locations = _locations(name, stable, notices)
    default = next((p.default for _, p in stable if p.default), None)
    regex = any(location.regex for location in locations)
    locations = sorted(locations, key=lambda location: paths.order(location, regex=regex), reverse=True)
    if default is not None and not any(one.path == "/" and one.kind == paths.PREFIX for one in locations):
        locations.append(default)
    alternatives = _alternatives(name, said, locations, notices)
    certificate = next((p.certificate for _, p in stable if p.certificate), None)
    made = routes.Made(outside)
    _fill(made, name, stable, locations, alternatives, notices, regex=regex, certificate=certificate is not None)
    chain = _chain(name, stable, locations, certificate, made, notices)
    aliases = tuple((alias, c.ref) for c, p in stable for alias in p.aliases)
    www = _www(name, stable)
    return Host(
        name,
        VirtualHost(f"ingress {name or '*'}", (name or "*",), tuple(made.routes)),
        tuple(made.clusters.values()),
        tuple(made.vips.values()),
        chain,
        tuple(notices),
        aliases,
        www,
        served=bool(stable),
        special=bool(aliases) or www is not None or name.startswith("*."),
    )


def _locations(name: str, stable: Said, notices: list[Notice]) -> list[Location]:
    """Each path once a pathType: the oldest Ingress has it."""
    taken: dict[tuple[str, str], Location] = {}
    for _, part in stable:
        for location in part.locations:
            first = taken.setdefault((location.path, location.kind), location)
            if first is not location:
                whose = (
                    "this Ingress itself"
                    if first.ref == location.ref
                    else f"the older Ingress {first.ref.namespace}/{first.ref.name}"
                )
                text = f"{location.origin.field}: host {name or '*'} path {location.path} is already served by {whose}"
                notices.append(_notice(location.ref, "DuplicatePath", f"{text}; this one is left out"))
    return list(taken.values())


def _alternatives(
    name: str, said: Said, locations: list[Location], notices: list[Notice]
) -> dict[tuple[str, str], routes.Alternative]:
    """Canaries by the path and pathType they share with a location; one for each."""
    made: dict[tuple[str, str], routes.Alternative] = {}
    present = {(one.path, one.kind): one for one in locations}
    for compiled, part in said:
        if compiled.canary is None:
            continue
        for location in part.locations or ((part.default,) if part.default else ()):
            key = (location.path, location.kind)
            main = present.get(key)
            why = ""
            if main is None:
                why = f"no other Ingress has host {name or '*'} path {location.path} with pathType {location.kind}"
            elif key in made:
                why = f"host {name or '*'} path {location.path} has a canary already"
            elif location.backend == main.backend:
                why = "its backend is the stable one"
            elif isinstance(location.backend, Backend):
                made[key] = routes.Alternative(compiled.canary, location.backend, location.behavior.upstream)
            if why:
                notices.append(_notice(location.ref, "CanaryWithoutEffect", f"{location.origin.field}: {why}"))
    return made


def _fill(
    made: routes.Made,
    name: str,
    stable: Said,
    locations: list[Location],
    alternatives: dict[tuple[str, str], routes.Alternative],
    notices: list[Notice],
    *,
    regex: bool,
    certificate: bool,
) -> None:
    for _, part in stable:
        if part.app_root:
            match = Match(PathMatch("/", PathKind.EXACT))
            action = Redirect(302, path=Rewrite(full=part.app_root), keep_query=False)
            made.routes.append(
                Route("app-root", match, action, origin=part.locations[0].origin if part.locations else None)
            )
            break
    secure = [routes.redirects_to_https(one.behavior, certificate=certificate) for one in locations]
    everything = all(secure) and bool(locations) and not any(routes.exempt(one) for one in locations)
    if everything:
        made.routes += routes.to_https("", routes.root(), locations[0].origin, made.outside)
    exact = {one.path for one in locations if one.kind == paths.EXACT}
    for location, redirected in zip(locations, secure, strict=True):
        if regex and (why := _no_regex(location)):
            notices.append(_notice(location.ref, "InvalidPath", f"{location.origin.field}: {why}"))
            continue
        match = Match(paths.match(location, regex=regex, exact_too=location.path in exact))
        label = (
            f"{location.kind} {location.path}" if location.origin.field != "spec.defaultBackend" else "default backend"
        )
        canary = alternatives.get((location.path, location.kind))
        routes.add(made, location, match, label, canary, secure=redirected and not everything)


def _no_regex(location: Location) -> str:
    """Another Ingress of the host makes its paths regular expressions, and this one is none."""
    if location.regex or location.kind != paths.SPECIFIC:
        return ""
    try:
        pcre.to_re2(location.path)
    except pcre.Unsupported as error:
        return (
            f"path {location.path!r} is a regular expression because another Ingress of its host uses them, "
            f"but {error}; it is left out"
        )
    return ""


def _chain(
    name: str,
    stable: Said,
    locations: list[Location],
    certificate: Certificate | None,
    made: routes.Made,
    notices: list[Notice],
) -> Chain | None:
    through = next((compiled.ref for compiled, part in stable if part.passthrough), None)
    if name == CATCH_ALL:
        if through:
            notices.append(_notice(through, "InvalidAnnotation", f"{PREFIX}ssl-passthrough needs a host in each rule"))
        return None
    origin = locations[0].origin if locations else None
    if through:
        main = next((one for one in locations if one.path == "/" and isinstance(one.backend, Backend)), None)
        if main is not None and isinstance(main.backend, Backend):
            upstream = replace(main.behavior.upstream, protocol="HTTP")
            target = made.target(main.backend, upstream, main)
            return Chain(name, tcp=Tcp((Weighted(target.cluster),), origin=main.origin), origin=main.origin)
        text = f"{PREFIX}ssl-passthrough: host {name} has no path / that leads to a Service; its TLS is terminated"
        notices.append(_notice(through, "InvalidAnnotation", text))
    auth = next((part.client_auth for _, part in stable if part.client_auth), None)
    if auth is None and (certificate is None or not certificate.secret):
        return None
    return Chain(name, certificate.secret if certificate else "", auth, origin=origin)


def _www(name: str, stable: Said) -> Route | None:
    """The redirect for www.HOST, or for HOST when this is www.HOST."""
    part = next((part for _, part in stable if part.www_redirect), None)
    if part is None or name == CATCH_ALL or name.startswith("*"):
        return None
    origin = part.locations[0].origin if part.locations else None
    return Route("www", routes.root(), Redirect(308, host=name), origin=origin)


def other_www(name: str) -> str:
    return name[4:] if name.startswith("www.") else f"www.{name}"


def one_label(virtual: VirtualHost, catch_all: VirtualHost | None) -> VirtualHost:
    """A wildcard of Ingress stands for one label: names with more belong to the catch-all host."""
    suffix = re.escape(virtual.domains[0][1:])
    only = ValueMatch(":authority", f"[^.]+{suffix}(:[0-9]+)?", Kind.REGEX)
    own = tuple(replace(r, match=replace(r.match, headers=(*r.match.headers, only))) for r in virtual.routes)
    others = tuple(replace(r, name=f"* {r.name}") for r in catch_all.routes) if catch_all else ()
    return replace(virtual, routes=own + others)


def _notice(ref: Ref, reason: str, message: str) -> Notice:
    return Notice(ref, reason, message, component=COMPONENT)
