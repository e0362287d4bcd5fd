"""The pod's subresources that talk to its node: log, exec, attach, portforward. The node's agent answers them.

The agent speaks the kubelet's own API (paths and parameters of kubernetes/pkg/kubelet/server) on a Unix socket; how the
query is translated: kubernetes/pkg/registry/core/pod/strategy.go (LogLocation, streamLocation).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from urllib.parse import quote, urlencode

import orjson

from sampan.api import fields
from sampan.api.meta import Obj
from sampan.api.status import ApiError, FieldError, bad_request, internal, invalid, unavailable
from sampan.base.http.client import HttpClient, StreamResponse
from sampan.base.http.raw import RawConnection
from sampan.base.http.types import Raw, Request, Response, Stream, Upgrade
from sampan.server.negotiate import Query, flag, one

# kubectl's name → the kubelet's.
_STREAMS = {"stdin": "input", "stdout": "output", "stderr": "error", "tty": "tty"}
_LOG_FLAGS = ("follow", "previous", "timestamps")
_LOG_VALUES = ("tailLines", "limitBytes", "sinceSeconds", "sinceTime")
_SUMMARY_SECONDS = 5.0
_LINGER = 2.0  # seconds for the agent to take what a client sent last
_FORWARDED = ("upgrade", "connection", "x-stream-protocol-version", "origin")


class Agents:
    """`socket(node)` is the path of a node's agent's Unix socket."""

    def __init__(self, socket: Callable[[str], Path]) -> None:
        self._socket = socket
        self._clients: dict[str, HttpClient] = {}

    async def close(self) -> None:
        for client in self._clients.values():
            await client.close()
        self._clients.clear()

    async def summary(self, node: str) -> Obj:
        """What the node's containers have used (the kubelet's /stats/summary). Raises ApiError 503."""
        try:
            answer = await self._client(node).request("GET", "/stats/summary", timeout=_SUMMARY_SECONDS)
        except (OSError, TimeoutError) as error:
            raise _unreachable(node, error) from None
        if answer.status != 200:
            raise _refused(answer.status, answer.body)
        found: Obj = orjson.loads(answer.body)
        return found

    async def log(self, pod: Obj, query: Query) -> Response | Stream:
        """Raises ApiError 400 for a container that is not there or has no log yet."""
        container = choose_container(pod, one(query, "container"))
        parameters = log_parameters(pod["metadata"]["name"], query)
        node = pod["spec"].get("nodeName")
        if not node:
            return Response(200, b"", [("content-type", "text/plain")])
        target = _target("containerLogs", pod, container, parameters)
        try:
            answer = await self._client(node).stream("GET", target)
        except (OSError, TimeoutError) as error:
            raise _unreachable(node, error) from None
        if answer.status != 200:
            raise _refused(answer.status, await answer.read())
        return Stream(200, _chunks(answer), [("content-type", "text/plain")])

    async def stream(self, request: Request, kind: str, pod: Obj, query: Query) -> Upgrade:
        """exec and attach. Raises ApiError."""
        container = choose_container(pod, one(query, "container"))
        node = _node(pod)
        if not request.upgrade:
            raise bad_request("Upgrade request required")
        return await self._upgrade(request, node, _target(kind, pod, container, stream_parameters(kind, query)))

    async def port_forward(self, request: Request, pod: Obj, query: Query) -> Upgrade:
        """Raises ApiError."""
        node = _node(pod)
        if not request.upgrade:
            raise bad_request("Upgrade request required")
        ports = [("ports", value) for value in query.get("ports") or ()]
        return await self._upgrade(request, node, _target("portForward", pod, "", ports))

    async def _upgrade(self, request: Request, node: str, target: str) -> Upgrade:
        """The upgrade goes through to the agent, then bytes both ways."""
        headers = [(k, v) for k, v in request.headers.items() if k in _FORWARDED or k.startswith("sec-websocket-")]
        try:
            upgraded = await self._client(node).upgrade(request.method, target, headers)
        except (OSError, TimeoutError) as error:
            raise _unreachable(node, error) from None
        if upgraded.raw is None:
            raise _refused(upgraded.status, upgraded.body)
        far = upgraded.raw

        async def run(near: Raw) -> None:
            await splice(near, far)

        skipped = ("date", "content-length")
        return Upgrade(run, [(k, v) for k, v in upgraded.headers.items() if k not in skipped])

    def base(self, node: str) -> str:
        """Where a node's agent listens, as HttpClient has it."""
        return f"unix:{self._socket(node)}"

    def _client(self, node: str) -> HttpClient:
        client = self._clients.get(node)
        if client is None:
            client = self._clients[node] = HttpClient(self.base(node))
        return client


def choose_container(pod: Obj, name: str) -> str:
    """The container meant: the one named, or the only one. Raises ApiError 400."""
    spec, pod_name = pod["spec"], pod["metadata"]["name"]
    regular = [c["name"] for c in spec.get("containers") or ()]
    initial = [c["name"] for c in spec.get("initContainers") or ()]
    if name:
        others = [c["name"] for c in spec.get("ephemeralContainers") or ()]
        if name not in (*regular, *initial, *others):
            raise bad_request(f"container {name} is not valid for pod {pod_name}")
        return name
    if len(regular) == 1:
        return str(regular[0])
    text = f"a container name must be specified for pod {pod_name}, choose one of: [{' '.join(regular)}]"
    if initial:
        text += f" or one of the init containers: [{' '.join(initial)}]"
    raise bad_request(text)


def log_parameters(pod: str, query: Query) -> list[tuple[str, str]]:
    """The query of /containerLogs. Raises ApiError 422."""
    if errors := _log_faults(query):
        raise invalid("", "PodLogOptions", pod, errors)
    found = [(key, "true") for key in _LOG_FLAGS if flag(query, key)]
    return found + [(key, one(query, key)) for key in _LOG_VALUES if one(query, key)]


def _log_faults(query: Query) -> list[FieldError]:
    found = []
    for key, least, text in (
        ("tailLines", 0, "must be greater than or equal to 0"),
        ("limitBytes", 1, "must be greater than 0"),
        ("sinceSeconds", 1, "must be greater than 0"),
    ):
        value = one(query, key)
        if not value:
            continue
        if not value.removeprefix("-").isdigit():
            found.append(fields.invalid(key, value, "must be an integer"))
        elif int(value) < least:
            found.append(fields.invalid(key, int(value), text))
    if one(query, "sinceSeconds") and one(query, "sinceTime"):
        found.append(fields.forbidden("", "at most one of `sinceTime` or `sinceSeconds` may be specified"))
    return found


def stream_parameters(kind: str, query: Query) -> list[tuple[str, str]]:
    """The query of /exec and /attach. Raises ApiError 400 when no stream is asked for."""
    streams = [(theirs, "1") for ours, theirs in _STREAMS.items() if flag(query, ours)]
    if not {"input", "output", "error"} & {name for name, _ in streams}:
        raise bad_request("you must specify at least one of stdin, stdout, stderr")
    commands = query.get("command") or [] if kind == "exec" else []
    if kind == "exec" and not commands:
        raise bad_request("you must specify at least one command for the container")
    return [("command", word) for word in commands] + streams


def _node(pod: Obj) -> str:
    """Where it runs. Raises ApiError 400."""
    node = pod["spec"].get("nodeName")
    if not node:
        raise bad_request(f"pod {pod['metadata']['name']} does not have a host assigned")
    return str(node)


def _target(kind: str, pod: Obj, container: str, parameters: list[tuple[str, str]]) -> str:
    metadata = pod["metadata"]
    parts = (kind, metadata["namespace"], metadata["name"], *((container,) if container else ()))
    path = "/".join(quote(part, safe="") for part in parts)
    return f"/{path}?{urlencode(parameters)}" if parameters else f"/{path}"


async def _chunks(answer: StreamResponse) -> AsyncIterator[bytes]:
    try:
        async for data in answer:
            yield data
    except ConnectionError:
        return  # the agent went away: what came so far is all there is
    finally:
        answer.close()


async def splice(near: Raw, far: RawConnection) -> None:
    """Bytes both ways until the near side leaves or the far side ends; what that sent last is still delivered."""
    up, down = asyncio.create_task(_copy(near, far)), asyncio.create_task(_copy(far, near))
    try:
        await asyncio.wait((up, down), return_when=asyncio.FIRST_COMPLETED)
        if not down.done() and up.exception() is not None:  # the far side takes no more, but has not said all
            await down
    finally:
        for task in (up, down):
            task.cancel()
        near.close()
        far.close()
        # A process that does not read its input must not keep the agent from seeing that the client has left.
        asyncio.get_running_loop().call_later(_LINGER, far.abort)
        await asyncio.gather(up, down, return_exceptions=True)


async def _copy(source: Raw, sink: Raw) -> None:
    while data := await source.read():
        await sink.write(data)


def _refused(status: int, body: bytes) -> ApiError:
    text = body.decode(errors="replace").strip()
    if status == 400:
        return bad_request(text)
    if status == 404:
        return ApiError(404, "NotFound", f"the server could not find the requested resource ({text})")
    return internal(f'an error on the server ("{text}") has prevented the request from succeeding')


def _unreachable(node: str, error: Exception) -> ApiError:
    return unavailable(f'the agent of node "{node}" does not answer ({error}); `sampan status` shows what runs')
