"""The two ways a client may ask for streams: the SPDY/3.1 upgrade with its version negotiation, and WebSocket."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from sampan.api.status import ApiError, bad_request
from sampan.base.http.types import Raw, Request, Upgrade
from sampan.base.http.websocket import WebSocket, accept

SPDY = "spdy/3.1"


def upgrade(
    request: Request,
    *,
    spdy: Sequence[str],
    run_spdy: Callable[[Raw, str], Awaitable[None]],
    websocket: Sequence[str],
    run_websocket: Callable[[WebSocket], Awaitable[None]],
) -> Upgrade:
    """Answer with the first of our protocols that the client offers. Over SPDY a client that names none gets the last.

    Raises ApiError 400 or 403, BadHandshake.
    """
    if request.upgrade == "websocket":
        return accept(request, websocket, run_websocket)
    if request.upgrade != SPDY:
        raise bad_request("unable to upgrade: missing upgrade headers in request")
    offered = [p.strip() for p in request.headers.get("x-stream-protocol-version", "").split(",") if p.strip()]
    chosen = next((p for p in spdy if p in offered), None)
    if chosen is None and offered:
        text = f"client supports [{' '.join(offered)}], server accepts [{' '.join(spdy)}]"
        raise ApiError(403, "Forbidden", f"unable to upgrade: unable to negotiate protocol: {text}")
    headers = [("connection", "Upgrade"), ("upgrade", "SPDY/3.1")]
    if chosen:
        headers.append(("x-stream-protocol-version", chosen))
    protocol = chosen or spdy[-1]

    async def run(raw: Raw) -> None:
        await run_spdy(raw, protocol)

    return Upgrade(run, headers)
