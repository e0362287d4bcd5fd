"""A request in an HTTP connection manager: path, virtual host, route, filters, action."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from sampan.ir import Origin
from sampan.xds import types
from sampan.xds.messages import Message, split_route_name
from sampan.xds.simulate.action import answer_changes, answered, forwarded
from sampan.xds.simulate.clients import client_address
from sampan.xds.simulate.filters import Asked, verdicts
from sampan.xds.simulate.headers import Headers
from sampan.xds.simulate.hosts import virtual_host
from sampan.xds.simulate.listeners import server_name
from sampan.xds.simulate.match import describe, mismatch
from sampan.xds.simulate.messages import found, origin_of, origins
from sampan.xds.simulate.paths import BadPath, Moved, normalized
from sampan.xds.simulate.replies import reply
from sampan.xds.simulate.types import End, Request, Stage, Step, Walk
from sampan.xds.types import Snapshot

_UNDERSCORE = re.compile("_")
_CERTIFICATE = ("SUBJECT", "ISSUER", "CERT", "FINGERPRINT_256", "FINGERPRINT_1", "SERIAL", "URI_SAN", "DNS_SAN")
# So many routes that do not fit are named, with the first thing about each that does not.
_SHOWN = 8


@dataclass(frozen=True, slots=True)
class Visit:
    """All that a request meets on its way through a connection manager."""

    snapshot: Snapshot
    manager: Message
    request: Request
    headers: Headers
    client: str


def through(snapshot: Snapshot, manager: Message, request: Request) -> Walk:
    headers = Headers(
        [(":method", request.method), (":scheme", request.scheme), (":authority", request.host), *request.headers]
    )
    steps: list[Step] = []
    early = _received(manager, request, headers, steps)
    if early:
        return Walk(tuple(steps), (early,))
    client = client_address(manager, request, headers)
    _forwarded_headers(headers, request)
    visit = Visit(snapshot, manager, request, headers, client)
    name = manager.rds.route_config_name
    table = found(snapshot, types.ROUTES, name)
    if not table:
        steps.append(Step(Stage.HOST, f"the listener waits for route table {name}, which is not there", ok=False))
        return Walk(tuple(steps), (End(status=-1),))
    resource, config = table
    known = origins(resource)
    host = virtual_host(config, request.host)
    if not host:
        steps.append(Step(Stage.HOST, f'nobody has host "{request.host}" in table {name}', ok=False, name=name))
        return Walk(tuple(steps), (_no_route(manager),))
    steps.append(_host_step(host[0], host[1], known))
    return Walk(tuple(steps), tuple(_ends(visit, known, config, host[0])))


def _host_step(host: Message, domain: str, known: Mapping[str, Origin]) -> Step:
    objects = {replace(origin, field="") for route in host.routes if (origin := origin_of(route, known))}
    only = next(iter(objects)) if len(objects) == 1 else None
    count = f"{len(host.routes)} route{'s' if len(host.routes) > 1 else ''}"
    return Step(Stage.HOST, f"{domain} ({count})", name=host.name, origin=only)


# -- before routes are looked at


def _received(manager: Message, request: Request, headers: Headers, steps: list[Step]) -> End | None:
    common = manager.common_http_protocol_options
    if common.headers_with_underscores_action == common.DROP_HEADER:
        if dropped := headers.drop(_UNDERSCORE):
            steps.append(Step(Stage.REQUEST, f"headers with underscores are dropped: {', '.join(dropped)}"))
    elif common.headers_with_underscores_action == common.REJECT_REQUEST and headers.drop(_UNDERSCORE):
        return _bad(manager, "a header with an underscore", steps)
    if not request.host:
        return _bad(manager, "no Host", steps)
    try:
        path = normalized(request.path, manager)
    except BadPath as error:
        return _bad(manager, str(error), steps)
    except Moved as moved:
        steps.append(Step(Stage.REQUEST, f"escaped slashes: ask again for {moved}"))
        return End(status=307, location=str(moved))
    if path != request.path:
        steps.append(Step(Stage.REQUEST, f"path {request.path} is {path}"))
    headers.set(":path", path)
    return None


def _bad(manager: Message, why: str, steps: list[Step]) -> End:
    steps.append(Step(Stage.REQUEST, f"400: {why}", ok=False))
    status, body = reply(manager, 400, "")
    return End(status=status, body=body)


def _forwarded_headers(headers: Headers, request: Request) -> None:
    before = headers.get("x-forwarded-for")
    headers.set("x-forwarded-for", f"{before},{request.client}" if before else request.client)
    headers.set("x-forwarded-proto", request.scheme)


# -- routes


def _ends(visit: Visit, known: Mapping[str, Origin], table: Message, host: Message) -> Iterator[End]:
    share = 1.0
    others: list[str] = []
    for route in host.routes:
        if why := mismatch(route.match, visit.headers):
            others.append(f"{split_route_name(route.name)[0]}: {why}")
            continue
        taken = share * _fraction(route.match)
        if taken:
            origin = origin_of(route, known)
            step = Step(Stage.ROUTE, describe(route.match), name=split_route_name(route.name)[0], origin=origin)
            yield from _taken(visit, [route, host, table], step, taken)
        share -= taken
        if share <= 0:
            return
    step = Step(Stage.ROUTE, "\n".join(["no route fits:", *_some(others)]), ok=False)
    end = _no_route(visit.manager)
    yield replace(end, share=share, steps=(step, *end.steps))


def _some(texts: list[str]) -> list[str]:
    rest = len(texts) - _SHOWN
    return texts if rest <= 0 else [*texts[:_SHOWN], f"… and {rest} more"]


def _fraction(match: Message) -> float:
    if not match.HasField("runtime_fraction"):
        return 1.0
    value = match.runtime_fraction.default_value
    return float(min(value.numerator / {0: 100, 1: 10_000, 2: 1_000_000}[value.denominator], 1.0))


def _no_route(manager: Message) -> End:
    status, body = reply(manager, 404, "", flag="NR", details="route_not_found")
    return End(status=status, body=body)


def _taken(visit: Visit, levels: list[Message], step: Step, share: float) -> Iterator[End]:
    """What follows when this route is taken."""
    steps, known = [step], _known(visit)
    if protocol := _refused_upgrade(visit, levels[0]):
        steps.append(Step(Stage.ROUTE, f"no upgrade to {protocol} here", ok=False, name=step.name, origin=step.origin))
        status, body = reply(visit.manager, 403, "", details="upgrade_failed")
        yield End(share, status, tuple(steps), body=body, answer_headers=answer_changes(levels, visit.headers, known))
        return
    asked = Asked(visit.request, visit.headers, visit.client)
    added: list[tuple[str, str | None]] = []
    asks: list[str] = []
    for name, verdict in verdicts(visit.manager, levels, asked):
        refused = verdict.status >= 400
        steps.append(Step(Stage.FILTER, f"{name}: {verdict.text}", ok=not refused, name=name, origin=step.origin))
        added.extend(verdict.headers)
        asks.extend([name] if verdict.maybe else ())
        if verdict.status:
            if verdict.status >= 400:  # all but preflights
                added.extend(answer_changes(levels, visit.headers, known))
            status, body = reply(visit.manager, verdict.status, verdict.body, details=verdict.details)
            yield End(share, status, tuple(steps), body=body, answer_headers=tuple(added), asks=tuple(asks))
            return
    route = levels[0]
    if route.WhichOneof("action") == "route":
        ends = forwarded(visit.snapshot, visit.manager, levels, visit.headers, known)
    else:
        ends = iter([answered(route, visit.headers, known)])
    for end in ends:
        yield replace(
            end,
            share=share * end.share,
            steps=(*steps, *(_about(one, step.origin) for one in end.steps)),
            answer_headers=(*added, *end.answer_headers),
            asks=tuple(asks),
        )


def _refused_upgrade(visit: Visit, route: Message) -> str:
    """The protocol that the client wants to go over to, when neither the route nor, by default, the manager lets it."""
    wanted = (visit.headers.get("upgrade") or "").lower()
    if not wanted or "upgrade" not in (visit.headers.get("connection") or "").lower():
        return ""
    for config in [*route.route.upgrade_configs, *visit.manager.upgrade_configs]:
        if config.upgrade_type.lower() == wanted:
            return "" if not config.HasField("enabled") or config.enabled.value else wanted
    return wanted


def _known(visit: Visit) -> dict[str, str]:
    """What commands in headers stand for. Without a certificate of the client there is nothing to say about it."""
    known = {
        "DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT": visit.client,
        "DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT": visit.request.client,
        "DOWNSTREAM_LOCAL_PORT": str(visit.request.port),
        "REQUESTED_SERVER_NAME": server_name(visit.request),
    }
    if not visit.request.tls:
        known["DOWNSTREAM_TLS_VERSION"] = ""
    if not visit.request.certificate:
        known |= dict.fromkeys((f"DOWNSTREAM_PEER_{what}" for what in _CERTIFICATE), "")
    return known


def _about(step: Step, origin: Origin | None) -> Step:
    return step if step.origin else replace(step, origin=origin)
