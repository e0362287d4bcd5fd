"""What a route does: sends the request on, or answers."""

from __future__ import annotations

from collections.abc import Iterator

from sampan.xds.messages import Message
from sampan.xds.simulate.clusters import Upstream, upstream
from sampan.xds.simulate.headers import Headers, Pairs, change
from sampan.xds.simulate.replies import reply
from sampan.xds.simulate.rewrite import location, rewritten
from sampan.xds.simulate.types import End, Member, Stage, Step
from sampan.xds.types import Snapshot

_REDIRECTS = (301, 302, 303, 307, 308)
# RouteAction.ClusterNotFoundResponseCode
_NOT_FOUND = (503, 404, 500)
_SHOWN = 10


def answered(route: Message, headers: Headers, known: dict[str, str]) -> End:
    """By the proxy: a redirect or a direct response."""
    changes = answer_changes([route], headers, known)
    if route.WhichOneof("action") == "redirect":
        to = location(route.redirect, route.match, headers)
        status = _REDIRECTS[route.redirect.response_code]
        return End(status=status, steps=(Step(Stage.ANSWER, f"{status} to {to}"),), location=to, answer_headers=changes)
    status, body = route.direct_response.status, route.direct_response.body.inline_string
    text = f"{status}{f': {body.strip()}' if body.strip() else ''}"
    return End(status=status, steps=(Step(Stage.ANSWER, text, status < 400),), body=body, answer_headers=changes)


def forwarded(
    snapshot: Snapshot, manager: Message, levels: list[Message], headers: Headers, known: dict[str, str]
) -> Iterator[End]:
    """One end for each cluster that may get it. `levels`: route, virtual host, table."""
    route = levels[0]
    for cluster, share, weighted in _targets(route.route):
        mine = [weighted, *levels] if weighted is not None else levels
        after = headers.copy()
        for level in mine:
            change(after, level.request_headers_to_add, level.request_headers_to_remove, known)
        path = rewritten(route.route, route.match, after.get(":path") or "")
        host = route.route.host_rewrite_literal or after.get(":authority") or ""
        steps = [*_rewrite_steps(headers, path, host), *_header_steps(headers.changes(after))]
        found = upstream(snapshot, cluster)
        steps.append(_cluster_step(found, share))
        status, body, step = _reached(found, manager, route.route)
        yield End(
            share=share,
            status=status,
            steps=(*steps, *step),
            cluster=cluster,
            members=found.members,
            path=path,
            host=host,
            headers=headers.changes(after),
            answer_headers=answer_changes(mine, headers, known),
            body=body,
        )


def _targets(action: Message) -> Iterator[tuple[str, float, Message | None]]:
    if action.WhichOneof("cluster_specifier") == "cluster":
        yield action.cluster, 1.0, None
        return
    total = sum(one.weight.value for one in action.weighted_clusters.clusters)
    for one in action.weighted_clusters.clusters:
        if one.weight.value:
            yield one.name, one.weight.value / total, one


def _reached(found: Upstream, manager: Message, action: Message) -> tuple[int, str, list[Step]]:
    """(0 or the status of the proxy's own answer, its body, what to say)"""
    if not found.known:
        code = _NOT_FOUND[action.cluster_not_found_response_code]
        status, body = reply(manager, code, "", flag="NC", details="cluster_not_found")
        return status, body, [Step(Stage.ANSWER, f"{status}: no cluster {found.name}", False)]
    if found.serves:
        return 0, "", [Step(Stage.ENDPOINTS, _listed(found.members))]
    status, body = reply(manager, 503, "no healthy upstream", flag="UH", service=found.service or "-")
    here = Step(Stage.ENDPOINTS, _listed(found.members) or "none", False, origin=found.origin)
    return status, body, [here, Step(Stage.ANSWER, f"{status}: {body.strip()}", False, origin=found.origin)]


def _cluster_step(found: Upstream, share: float) -> Step:
    service = f" (Service {found.service})" if found.service else ""
    part = f", {share:.3g} of such requests" if share < 1 else ""
    return Step(Stage.CLUSTER, f"{found.name}{service}{part}", found.known, name=found.name, origin=found.origin)


def _listed(members: tuple[Member, ...]) -> str:
    shown = [
        f"{one.address} {one.state}{f', weight {one.weight}' if one.weight != 1 else ''}" for one in members[:_SHOWN]
    ]
    rest = len(members) - _SHOWN
    return "\n".join([*shown, f"… and {rest} more"] if rest > 0 else shown)


def _rewrite_steps(headers: Headers, path: str, host: str) -> Iterator[Step]:
    for what, before, after in (("path", headers.get(":path"), path), ("host", headers.get(":authority"), host)):
        if before != after:
            yield Step(Stage.REWRITE, f"{what} {before} → {after}")


def _header_steps(changes: Pairs) -> list[Step]:
    lines = [f"{name} is removed" if value is None else f"{name}: {value}" for name, value in changes]
    return [Step(Stage.HEADERS, "\n".join(lines))] if lines else []


def answer_changes(levels: list[Message], headers: Headers, known: dict[str, str]) -> Pairs:
    """What the configuration does to the answer's headers, whatever they are."""
    made: dict[str, str | None] = {}
    for level in levels:
        answer = Headers()
        change(answer, level.response_headers_to_add, (), known, headers)
        made.update(dict.fromkeys((name.lower() for name in level.response_headers_to_remove), None))
        made.update(
            (option.header.key.lower(), answer.get(option.header.key)) for option in level.response_headers_to_add
        )
    return tuple(made.items())
