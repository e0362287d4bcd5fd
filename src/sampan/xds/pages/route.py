"""A request that is not made: the way it would go."""

from __future__ import annotations

from dataclasses import asdict
from ipaddress import ip_address
from typing import Any

from sampan.api.status import bad_request
from sampan.base.regex import NotRe2
from sampan.xds.pages.config import origin
from sampan.xds.pages.query import Query, View, number, of_kind, one
from sampan.xds.simulate import End, Request, Step, Walk, simulate


def route(view: View, query: Query) -> Any:
    """`method`, `host`, `path` (with its query), `port` (where the proxy listens), `tls` (true), `sni`, `header`
    (NAME: VALUE, may come again), `body` (its length), `client` (an address), `certificate` (true: the client shows
    one), `kind`. Raises ApiError 400.
    """
    kind, snapshot = of_kind(view, query)
    request = _request(query)
    try:
        walk = simulate(snapshot, request)
    except NotRe2 as error:
        raise bad_request(f"the configuration holds a regular expression that is none: {error}") from None
    return {"kind": kind, "version": snapshot.version, "request": asdict(request), **shown(walk)}


def _request(query: Query) -> Request:
    client = one(query, "client", "127.0.0.1")
    try:
        ip_address(client)
    except ValueError:
        raise bad_request(f"client: {client} is not an address") from None
    path = one(query, "path", "/")
    if not path.startswith("/"):
        raise bad_request(f"path: {path} does not begin with /")
    return Request(
        one(query, "method", "GET"),
        one(query, "host"),
        path,
        number(query, "port", 80),
        one(query, "tls") == "true",
        one(query, "sni") if "sni" in query else None,
        one(query, "certificate") == "true",
        tuple(_header(text) for text in query.get("header", ())),
        number(query, "body", 0),
        client,
    )


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon or not name.strip():
        raise bad_request(f"header: {text} is not NAME: VALUE")
    return name.strip().lower(), value.strip()


def shown(walk: Walk) -> dict[str, Any]:
    """`refused`: the proxy itself answers every such request with an error."""
    return {
        "refused": walk.refused,
        "steps": [_step(step) for step in walk.steps],
        "ends": [_end(end) for end in walk.ends],
    }


def _step(step: Step) -> dict[str, Any]:
    made: dict[str, Any] = {"stage": str(step.stage), "ok": step.ok, "text": step.text}
    if step.name:
        made["name"] = step.name
    if step.origin:
        made["origin"] = origin(step.origin)
    return made


def _end(end: End) -> dict[str, Any]:
    made = {
        "share": round(end.share, 6),
        "status": end.status,
        "cluster": end.cluster,
        "path": end.path,
        "host": end.host,
        "location": end.location,
        "body": end.body,
        "headers": dict(end.headers),
        "answerHeaders": dict(end.answer_headers),
        "asks": list(end.asks),
        "endpoints": [asdict(member) for member in end.members],
    }
    kept = {key: value for key, value in made.items() if value or key in ("share", "status")}
    return {**kept, "steps": [_step(step) for step in end.steps]}
