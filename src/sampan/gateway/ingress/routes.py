"""A location → routes: redirects, the choice between canary and stable, the choice of protocol."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from sampan.gateway.ingress import backends, paths
from sampan.gateway.ingress.model import Backend, Behavior, Canary, Location, Upstream
from sampan.ir import (
    Cluster,
    Forward,
    HeaderChanges,
    Kind,
    Match,
    Origin,
    PathKind,
    PathMatch,
    Policies,
    Redirect,
    Respond,
    Rewrite,
    Route,
    Target,
    ValueMatch,
)

PLAIN_HTTP = ValueMatch("x-forwarded-proto", "http")
_SECURE = ValueMatch("x-forwarded-proto", "https")
_CHALLENGE = "/.well-known/acme-challenge"  # never redirected, never asked for a password
_TO_HTTPS = Redirect(308, scheme="https")


@dataclass(frozen=True, slots=True)
class Alternative:
    """A canary for one location."""

    rules: Canary
    backend: Backend
    upstream: Upstream


def to_https(name: str, where: Match, origin: Origin | None, outside: tuple[int, int]) -> list[Route]:
    """Plain HTTP goes to HTTPS: where the client came in by this machine's port, by this machine's port.

    `outside`: see `Resources`.
    """
    http, https = outside
    plain = _with(where, PLAIN_HTTP)
    made = [Route(f"{name} to https".lstrip(), plain, _TO_HTTPS, origin=origin)]
    if http not in (0, 80) and https not in (0, 443):
        by_port = ValueMatch(":authority", f":{http}", Kind.SUFFIX)
        action = replace(_TO_HTTPS, port=https)
        made.insert(0, Route(f"{name} to https by port".lstrip(), _with(plain, by_port), action, origin=origin))
    return made


@dataclass(slots=True)
class Made:
    """Routes with the clusters they lead to. `outside`: see `Resources`."""

    outside: tuple[int, int]
    routes: list[Route] = field(default_factory=list)
    clusters: dict[str, Cluster] = field(default_factory=dict)
    vips: dict[str, Backend] = field(default_factory=dict)

    def target(self, backend: Backend, upstream: Upstream, location: Location, weight: int = 1) -> Target:
        cluster = backends.cluster(backend, upstream, location.origin)
        self.clusters[cluster.name] = cluster
        if upstream.by_vip and backend.vip:
            self.vips[cluster.endpoints] = backend
        return Target(cluster.name, weight)


def redirects_to_https(behavior: Behavior, *, certificate: bool) -> bool:
    return behavior.force_ssl or (behavior.ssl_redirect and certificate)


def exempt(location: Location) -> bool:
    return location.path.startswith(_CHALLENGE)


def add(made: Made, location: Location, match: Match, name: str, canary: Alternative | None, *, secure: bool) -> None:
    """Append the location's routes, the more special ones first. `secure`: plain HTTP is redirected."""
    behavior, origin = location.behavior, location.origin
    if secure and not exempt(location):
        made.routes += to_https(name, match, origin, made.outside)
    if behavior.denied:
        made.routes.append(Route(name, match, behavior.denied, origin=origin))
        return
    if behavior.redirect:
        made.routes.append(Route(name, match, behavior.redirect, origin=origin))
        return
    if behavior.rewrite.startswith(("http://", "https://")) and location.rewrites:
        made.routes.append(Route(name, match, _moved(location), origin=origin))
        return
    policies = _policies(location)
    if isinstance(location.backend, Respond):
        made.routes.append(Route(name, match, location.backend, policies, origin=origin))
        return
    for suffix, conditions, upstream in _protocols(behavior.upstream):
        for label, more, targets in _choices(made, location, upstream, canary):
            where = _with(match, *conditions, *more)
            route = Route(
                name + suffix + label,
                where,
                _forward(location, targets),
                policies,
                behavior.request_headers,
                behavior.response_headers,
                origin,
            )
            made.routes.append(route)


def _with(match: Match, *conditions: ValueMatch) -> Match:
    """Conditions on "cookie:NAME" go to the cookies."""
    if not conditions:
        return match
    cookies = tuple(replace(c, name=c.name[7:]) for c in conditions if c.name.startswith("cookie:"))
    headers = tuple(c for c in conditions if not c.name.startswith("cookie:"))
    return replace(match, headers=match.headers + headers, cookies=match.cookies + cookies)


def _protocols(upstream: Upstream) -> Iterator[tuple[str, tuple[ValueMatch, ...], Upstream]]:
    """AUTO_HTTP speaks to the backend as the client does to us."""
    if upstream.protocol == "AUTO_HTTP":
        yield " by https", (_SECURE,), replace(upstream, protocol="HTTPS")
        upstream = replace(upstream, protocol="HTTP")
    yield "", (), upstream


def _choices(
    made: Made, location: Location, upstream: Upstream, canary: Alternative | None
) -> Iterator[tuple[str, tuple[ValueMatch, ...], tuple[Target, ...]]]:
    """(label, conditions, targets) in nginx's order: header, then cookie, then weight."""
    assert isinstance(location.backend, Backend)
    if canary is None:
        yield "", (), (made.target(location.backend, upstream, location),)
        return
    rules = canary.rules
    theirs = replace(upstream, lb=canary.upstream.lb, by_vip=canary.upstream.by_vip)
    stable = (made.target(location.backend, upstream, location),)
    other = (made.target(canary.backend, theirs, location),)
    if rules.header:
        if rules.value:
            yield " canary by header", (ValueMatch(rules.header, rules.value),), other
        elif rules.pattern:
            found = ValueMatch(rules.header, f".*(?:{rules.pattern}).*", Kind.REGEX)
            yield " canary by header", (found,), other
        else:
            yield " canary by header", (ValueMatch(rules.header, "always"),), other
            yield " stable by header", (ValueMatch(rules.header, "never"),), stable
    if rules.cookie:
        yield " canary by cookie", (ValueMatch(f"cookie:{rules.cookie}", "always"),), other
        yield " stable by cookie", (ValueMatch(f"cookie:{rules.cookie}", "never"),), stable
    if rules.weight == 0:
        yield "", (), stable
    elif rules.weight == rules.total:
        yield "", (), other
    else:
        yield "", (), (replace(stable[0], weight=rules.total - rules.weight), replace(other[0], weight=rules.weight))


def _forward(location: Location, targets: tuple[Target, ...]) -> Forward:
    forward = location.behavior.forward
    return replace(forward, targets=targets, rewrite=rewritten(location))


def rewritten(location: Location) -> Rewrite | None:
    """The new path and the new Host."""
    made, host = paths.rewrite(location), location.behavior.host
    if not host:
        return made
    return replace(made or Rewrite(), host=host)


def _policies(location: Location) -> Policies:
    policies = location.behavior.policies
    if exempt(location) and (policies.basic_auth or policies.external_auth):
        policies = replace(policies, basic_auth=None, external_auth=None)
    if policies.session and not location.behavior.session_path and not location.regex:
        policies = replace(policies, session=replace(policies.session, path=location.path))
    if policies.errors and isinstance(location.backend, Backend):
        more = (("X-Service-Name", location.backend.service), ("X-Service-Port", str(location.backend.port)))
        headers = HeaderChanges(set=policies.errors.headers.set + more)
        policies = replace(policies, errors=replace(policies.errors, headers=headers))
    return policies


def _moved(location: Location) -> Redirect:
    """rewrite-target with a URL: nginx answers 302."""
    scheme, _, rest = location.behavior.rewrite.partition("://")
    host, _, port = rest.partition("/")[0].partition(":")
    return Redirect(302, scheme, host, int(port) if port.isdigit() else 0, paths.rewrite(location))


def root() -> Match:
    return Match(PathMatch("/", PathKind.PREFIX))
