"""HTTPRoutes and GRPCRoutes → routes of the representation, with what decides their order."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

from sampan import ir
from sampan.api import duration, meta
from sampan.api.meta import Key, Obj
from sampan.base import log
from sampan.gateway.gatewayapi import filters
from sampan.gateway.gatewayapi.backends import Found, Way, cluster
from sampan.gateway.gatewayapi.filters import Effects, Site
from sampan.gateway.gatewayapi.matches import Rank, Unusable, of_grpc, of_http
from sampan.gateway.gatewayapi.memo import View
from sampan.gateway.gatewayapi.names import KINDS, age
from sampan.gateway.gatewayapi.references import From, Wrong
from sampan.gateway.types import MOST

_ANY_PATH: tuple[Obj, ...] = ({},)
_COOKIE = re.compile(r"[A-Za-z0-9!#$%&'*+\-.^_`|~]+")  # RFC 6265
_LONGEST = 500_000_000.0  # seconds, as good as for ever; Envoy refuses durations of some centuries
_log = log.get("gateway")
_RETRY_ON = ("connect-failure", "refused-stream", "reset")


class Context(NamedTuple):
    """Of the listener: what of it a compiled route depends on. `certificate`: the name of the Gateway's own."""

    scheme: str = "http"
    port: int = 80
    certificate: str = ""


class Ranked(NamedTuple):
    rank: Rank
    route: ir.Route


@dataclass(frozen=True, slots=True, eq=False)
class Compiled:
    """A route without its host names. `routes` in the order of the object: the better one comes first among equals.

    `dropped`: rules that no proxy can be told. `wrong`: references that lead nowhere; their share gets an error.
    """

    routes: tuple[Ranked, ...]
    clusters: dict[str, ir.Cluster]
    secrets: dict[str, ir.Secret]
    services: frozenset[Key]
    wrong: tuple[Wrong, ...]
    dropped: tuple[str, ...]
    age: tuple[str, str, str]
    complete: bool


class _Kind(NamedTuple):
    match: Callable[[Obj], tuple[ir.Match, Rank]]
    http2: bool


_KINDS = {"HTTPRoute": _Kind(of_http, False), "GRPCRoute": _Kind(of_grpc, True)}


def compile(view: View, resource: str, obj: Obj, context: Context) -> Compiled:
    kind = KINDS[resource]
    found = Found()
    routes: list[Ranked] = []
    dropped: list[str] = []
    rules = obj["spec"].get("rules") or []
    for number, rule in enumerate(rules):
        try:
            routes.extend(_rule(view, kind, resource, obj, number, rule, context, found))
        except Unusable as error:
            dropped.append(f"{rule.get('name') or number}: {error}")
        except Exception as error:
            # Of ours: said on the route that shows it. The others must not wait for us.
            _log.exception("%s %s, rule %d cannot be translated", kind, meta.key(obj), number)
            text = f"a fault of the gateway's, please report it: {error!r:.200}"
            dropped.append(f"{rule.get('name') or number}: {text}")
    return Compiled(
        tuple(routes),
        found.clusters,
        found.secrets,
        frozenset(found.services),
        tuple(dict.fromkeys(found.wrong)),
        tuple(dropped),
        age(obj),
        not rules or len(dropped) < len(rules),
    )


def _rule(
    view: View, kind: str, resource: str, obj: Obj, number: int, rule: Obj, context: Context, found: Found
) -> list[Ranked]:
    """Raises Unusable."""
    by = From(kind, meta.namespace(obj))
    session = _session(rule, obj, number)
    way = Way(_KINDS[kind].http2, certificate=context.certificate)
    site = Site(view, by, way, found, context.scheme, context.port)
    effects = filters.read(site, rule.get("filters") or ())
    name = f"{kind.lower()}/{meta.key(obj)}/{rule.get('name') or number}"
    origin = ir.Origin(resource, *meta.key(obj), f"spec.rules[{number}]")
    made: list[Ranked] = []
    matches = [_KINDS[kind].match(match) for match in rule.get("matches") or _ANY_PATH]
    actions = list(_actions(site, rule, effects))
    for j, (match, rank) in enumerate(matches):
        for k, (share, action, merged) in enumerate(actions):
            unique = f"{name}/{j}" if len(actions) == 1 else f"{name}/{j}/{k}"
            policies = ir.Policies(cors=merged.cors, external_auth=merged.auth, session=_of_path(session, match))
            route = ir.Route(
                unique,
                replace(match, share=share) if share < 1 else match,
                action,
                policies,
                merged.request_headers,
                merged.response_headers,
                origin,
            )
            made.append(Ranked(rank, route))
    return made


_Action = ir.Forward | ir.Redirect | ir.Respond


def _actions(site: Site, rule: Obj, effects: Effects) -> Iterator[tuple[float, _Action, Effects]]:
    """(share of the requests so far, what is done with them, by which filters).

    One for the whole rule, unless backends have filters that need a route of their own.
    """
    refs = rule.get("backendRefs") or []
    own = [filters.read(site, ref.get("filters") or ()) for ref in refs]
    way = site.way._replace(retry=_retry(rule))
    names = [cluster(site.view, site.by, ref, way, site.found) for ref in refs]
    if effects.broken:
        yield 1.0, ir.Respond(500), effects
        return
    if effects.redirect:
        yield 1.0, effects.redirect, effects
        return
    weights = [ref.get("weight", 1) for ref in refs]
    total = sum(weights)
    forward = _forward(rule, effects)
    if all(one.only_headers for one in own):
        targets = _targets(names, weights, own)
        somebody = any(target.cluster and target.weight for target in targets)
        yield 1.0, replace(forward, targets=targets) if somebody else ir.Respond(500), effects
        return
    if not total:
        yield 1.0, ir.Respond(500), effects
    sent = 0
    for name, weight, extra in zip(names, weights, own, strict=True):
        if weight:
            sent += weight
            yield sent / total, *_alone(forward, name, effects, extra)


def _targets(names: list[str], weights: list[int], own: list[Effects]) -> tuple[ir.Target, ...]:
    return tuple(
        ir.Target(name, weight, extra.request_headers, extra.response_headers)
        for name, weight, extra in zip(names, weights, own, strict=True)
    )


def _alone(forward: ir.Forward, name: str, effects: Effects, extra: Effects) -> tuple[_Action, Effects]:
    """A backend's filters come after the rule's, and say more."""
    merged = replace(
        effects,
        mirrors=[*effects.mirrors, *extra.mirrors],
        rewrite=_both(effects.rewrite, extra.rewrite),
        redirect=extra.redirect,
        cors=extra.cors or effects.cors,
        auth=extra.auth or effects.auth,
    )
    if extra.redirect:
        return extra.redirect, merged
    if extra.broken or not name:
        return ir.Respond(500), merged
    target = ir.Target(name, 1, extra.request_headers, extra.response_headers)
    return replace(forward, targets=(target,), rewrite=merged.rewrite, mirrors=tuple(merged.mirrors)), merged


def _both(first: ir.Rewrite | None, second: ir.Rewrite | None) -> ir.Rewrite | None:
    if first is None or second is None:
        return second or first
    path = second if (second.full, second.prefix) != (None, None) else first
    return replace(path, host=second.host or first.host)


def _forward(rule: Obj, effects: Effects) -> ir.Forward:
    timeouts = rule.get("timeouts") or {}
    whole, one_try = _seconds(timeouts.get("request")), _seconds(timeouts.get("backendRequest"))
    # Without retries there is one try, and the shorter of both limits holds.
    several = rule.get("retry") is not None
    timeout = min((limit for limit in (whole, 0.0 if several else one_try) if limit), default=0.0)
    try_timeout = one_try if several else 0.0
    made = ir.Forward((), effects.rewrite, timeout, try_timeout=try_timeout, mirrors=tuple(effects.mirrors))
    # Whoever says how long a request may take, or that it may take for ever, is not cut short for being silent.
    return replace(made, idle_timeout=0.0) if timeouts and not 0 < timeout < made.idle_timeout else made


def _seconds(text: str | None) -> float:
    return min(duration.parse(text) or 0.0, _LONGEST) if text else 0.0


def _retry(rule: Obj) -> ir.Retry:
    """Where nothing is said of retries, what did not reach anybody is sent elsewhere, as Istio does it."""
    spec = rule.get("retry")
    if spec is None:
        return ir.UNSENT
    return ir.Retry(
        min(spec.get("attempts", 1), MOST),
        _RETRY_ON,
        tuple(spec.get("codes") or ()),
        _seconds(spec.get("backoff")),
    )


def _session(rule: Obj, obj: Obj, number: int) -> ir.SessionCookie | None:
    """Raises Unusable for sessions that are kept in a header."""
    spec = rule.get("sessionPersistence")
    if spec is None:
        return None
    if spec.get("type", "Cookie") != "Cookie":
        raise Unusable(f"sessionPersistence of type {spec['type']} is not supported, Cookie is")
    if (name := spec.get("sessionName")) and not _COOKIE.fullmatch(name):
        raise Unusable(f"sessionPersistence.sessionName: {name!r} is no name of a cookie")
    lifetime = (spec.get("cookieConfig") or {}).get("lifetimeType", "Session")
    ttl = _seconds(spec.get("absoluteTimeout")) if lifetime == "Permanent" else 0.0
    return ir.SessionCookie(name or f"sampan-{meta.name(obj)}-{number}", ttl=ttl)


def _of_path(session: ir.SessionCookie | None, match: ir.Match) -> ir.SessionCookie | None:
    """The cookie comes back where the route is, and nowhere else."""
    if session is None or match.path.kind is ir.PathKind.REGEX:
        return session
    return replace(session, path=match.path.value)
