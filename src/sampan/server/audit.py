"""Who writes: a few words that the store keeps beside each write, in the same transaction.

The request under way is the context of all that it writes, however deep in the registry that happens. Writes without a
request are the server's own: its controllers are told apart by the names of their tasks.
"""

from __future__ import annotations

import asyncio
import itertools
import os
from contextvars import ContextVar
from typing import NamedTuple

import orjson

from sampan.api.meta import Obj
from sampan.base.http.types import Request
from sampan.server.types import SYSTEM, User

_CONTROLLERS = "controllers/"
# Longer ones are cut: they are said by the client and kept with every write.
_AGENT_SIZE = 120
_ID_SIZE = 64

_process = os.urandom(4).hex()
_numbers = itertools.count(1)


class Call(NamedTuple):
    """A request that may write. `by`: who really asked, when `user` is impersonated."""

    user: User
    verb: str
    request: Request
    id: str
    by: str


_call: ContextVar[Call | None] = ContextVar("call", default=None)


def begin(request: Request, user: User, verb: str, by: str = "") -> str:
    """From here on this task writes for this request. Its Audit-ID: the client's own or a new one."""
    id = request.headers.get("audit-id", "")[:_ID_SIZE] or f"{_process}-{next(_numbers)}"
    _call.set(Call(user, verb, request, id, by))
    return id


def author() -> bytes:
    """What to keep with a write: JSON with `user` and, for requests, `verb`, `agent`, `ip`, `id` and `by`."""
    call = _call.get()
    if call is None:
        return orjson.dumps(_own())
    request = call.request
    words = {
        "user": call.user.name,
        "verb": call.verb,
        "agent": request.headers.get("user-agent", "")[:_AGENT_SIZE],
        "ip": request.peer.rpartition(":")[0],
        "id": call.id,
    }
    if call.by:
        words["by"] = call.by
    return orjson.dumps(words)


def read(kept: bytes) -> Obj:
    """{} for a write of a time when nobody was noted."""
    found: Obj = orjson.loads(kept) if kept else {}
    return found


def _own() -> Obj:
    task = asyncio.current_task()
    name = task.get_name() if task else ""
    if name.startswith(_CONTROLLERS):
        return {"user": f"system:controller:{name.split('/')[1]}"}
    return {"user": SYSTEM.name}
