"""The kubelet's HTTP endpoints, which the API server calls and forwards connections to.

GET /healthz, GET /pods, GET /stats/summary, GET /containerLogs/NS/POD/CONTAINER, and upgrades to SPDY/3.1 or WebSocket
on /exec/NS/POD/CONTAINER, /attach/NS/POD/CONTAINER and /portForward/NS/POD.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Protocol

import orjson

from sampan.api import meta
from sampan.api.meta import Key, Obj
from sampan.api.status import ApiError, bad_request, not_found
from sampan.base.clock import Clock
from sampan.base.http.types import Handler, Raw, Request, Response, Stream, Upgrade
from sampan.base.http.websocket import BadHandshake, WebSocket, offered
from sampan.node import channels, portforward, spdy_streams
from sampan.node.container import log_path
from sampan.node.logs import LogOptions, read_log
from sampan.node.pod import containers, latest
from sampan.node.runtime.types import ContainerState, Process, Runtime
from sampan.node.stats import summary
from sampan.node.streams import Wanted, serve
from sampan.node.upgrades import upgrade


class Pods(Protocol):
    """The pods of this node, as the endpoints see them."""

    def find(self, key: Key) -> Obj | None: ...
    def all(self) -> list[Obj]: ...


class Endpoints:
    """`handle` is the handler of a base.http Server. `others` are, by path, handlers of the node's other parts."""

    def __init__(
        self, pods: Pods, runtime: Runtime, clock: Clock, others: Mapping[str, Handler] = MappingProxyType({})
    ) -> None:
        self._others = others
        self._pods = pods
        self._runtime = runtime
        self._clock = clock

    async def handle(self, request: Request) -> Response | Stream | Upgrade:
        if other := self._others.get(request.path):
            return await other(request)
        try:
            return self._route(request, request.path.strip("/").split("/"))
        except BadHandshake as error:
            return _text(400, str(error))
        except ApiError as error:  # as the kubelet: the bare text, the API server makes a Status of it
            return _text(error.code, error.message)

    def _route(self, request: Request, parts: list[str]) -> Response | Stream | Upgrade:
        match parts:
            case ["healthz"]:
                return _text(200, "ok")
            case ["pods"]:
                pods = {"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": self._pods.all()}
                return Response(200, orjson.dumps(pods), [("content-type", "application/json")])
            case ["stats", "summary"]:
                found = summary(self._pods.all(), self._runtime, self._clock.now())
                return Response(200, orjson.dumps(found), [("content-type", "application/json")])
            case ["containerLogs", namespace, pod, container]:
                return self._logs(request, self._pod(namespace, pod), container)
            case ["exec", namespace, pod, container]:
                return self._exec(request, self._pod(namespace, pod), container)
            case ["attach", namespace, pod, container]:
                return self._attach(request, self._pod(namespace, pod), container)
            case ["portForward", namespace, pod]:
                return self._port_forward(request, self._pod(namespace, pod))
        return _text(404, "404 page not found")

    def _pod(self, namespace: str, name: str) -> Obj:
        pod = self._pods.find(Key(namespace, name))
        if pod is None:
            raise not_found("pods", name)
        return pod

    # -- logs -------------------------------------------------------------------------------------------------------

    def _logs(self, request: Request, pod: Obj, container: str) -> Stream:
        query = _flat(request)
        if container not in {c["name"] for c in containers(pod)}:
            raise bad_request(f"container {container} is not valid for pod {meta.name(pod)}")
        uid = meta.uid(pod)
        attempt = self._attempt(pod, container, _flag(query, "previous"))
        path = log_path(self._runtime.pod_dir(uid), container, attempt)

        def running() -> bool:
            return any(s.running for s in self._runtime.containers(uid) if (s.name, s.attempt) == (container, attempt))

        options = _log_options(query, self._clock.now().timestamp())
        chunks = read_log(path, options, self._clock, running)
        return Stream(200, chunks, [("content-type", "text/plain")])

    def _attempt(self, pod: Obj, container: str, previous: bool) -> int:
        state = latest(self._runtime.containers(meta.uid(pod))).get(container)
        where = f'container "{container}" in pod "{meta.name(pod)}"'
        if previous:
            if state is None or state.attempt == 0:
                raise bad_request(f"previous terminated {where} not found")
            return state.attempt - 1
        if state is None:
            raise bad_request(f"{where} is waiting to start: {_waiting_reason(pod, container)}")
        return state.attempt

    # -- exec and attach --------------------------------------------------------------------------------------------

    def _exec(self, request: Request, pod: Obj, container: str) -> Upgrade:
        command = tuple(request.query.get("command", ()))
        if not command:
            raise bad_request("you must specify at least 1 command for the container")
        wanted = _wanted(request)
        uid = self._running(pod, container).pod_uid

        async def begin() -> Process:
            return await self._runtime.exec(uid, container, command, tty=wanted.tty, stdin=wanted.stdin)

        return _session(request, wanted, begin)

    def _attach(self, request: Request, pod: Obj, container: str) -> Upgrade:
        manifest = next((c for c in containers(pod) if c["name"] == container), {})
        wanted = replace(_wanted(request), tty=bool(manifest.get("tty")), code=False)
        wanted = replace(wanted, stdin=wanted.stdin and bool(manifest.get("stdin")))
        uid = self._running(pod, container).pod_uid

        async def begin() -> Process:
            return await self._runtime.attach(uid, container, stdin=wanted.stdin)

        return _session(request, wanted, begin)

    # -- port-forward -----------------------------------------------------------------------------------------------

    def _port_forward(self, request: Request, pod: Obj) -> Upgrade:
        uid = meta.uid(pod)
        if uid not in self._runtime.sandboxes():
            raise ApiError(500, "InternalError", f"pod {meta.name(pod)} is not running: it has no network yet")
        dial = portforward.dialer(self._runtime.network(uid), uid)

        async def over_spdy(raw: Raw, _protocol: str) -> None:
            await portforward.SpdyForwards(raw, dial).run()

        async def over_websocket(socket: WebSocket) -> None:
            if socket.protocol == portforward.TUNNEL_PROTOCOL:
                await portforward.SpdyForwards(portforward.Tunnel(socket), dial).run()
            else:
                await portforward.ChannelForwards(socket, portforward.ports(request.query.get("ports", [])), dial).run()

        if request.upgrade == "websocket" and portforward.TUNNEL_PROTOCOL not in offered(request):
            portforward.ports(request.query.get("ports", []))  # refuse now what could not be said later
        return upgrade(
            request,
            spdy=(portforward.SPDY_PROTOCOL,),
            run_spdy=over_spdy,
            websocket=(portforward.TUNNEL_PROTOCOL, portforward.CHANNEL_PROTOCOL),
            run_websocket=over_websocket,
        )

    def _running(self, pod: Obj, container: str) -> ContainerState:
        state = latest(self._runtime.containers(meta.uid(pod))).get(container)
        if state is None or not state.running:
            # Not 404: kubectl shows that as a resource the server does not know.
            raise ApiError(500, "InternalError", f'container not found ("{container}")')
        return state


def _session(request: Request, wanted: Wanted, begin: Callable[[], Awaitable[Process]]) -> Upgrade:
    async def over_spdy(raw: Raw, protocol: str) -> None:
        await serve(spdy_streams.SpdyStreams(raw, protocol, _wanted(request)), wanted, begin)

    async def over_websocket(socket: WebSocket) -> None:
        await serve(channels.WebSocketChannels(socket, _wanted(request)), wanted, begin)

    return upgrade(
        request,
        spdy=spdy_streams.PROTOCOLS,
        run_spdy=over_spdy,
        websocket=channels.PROTOCOLS,
        run_websocket=over_websocket,
    )


def _wanted(request: Request) -> Wanted:
    """The API's names of the streams (stdin, …) and the kubelet's (input, …)."""
    query = _flat(request)
    return Wanted(
        stdin=_flag(query, "stdin") or _flag(query, "input"),
        stdout=_flag(query, "stdout") or _flag(query, "output"),
        stderr=_flag(query, "stderr") or _flag(query, "error"),
        tty=_flag(query, "tty"),
    )


def _flat(request: Request) -> dict[str, str]:
    return {name: values[-1] for name, values in request.query.items()}


def _flag(query: dict[str, str], name: str) -> bool:
    return query.get(name, "").lower() in ("1", "true", "t")


def _log_options(query: dict[str, str], now: float) -> LogOptions:
    """Raises ApiError 400 for a value that is none."""
    try:
        since = 0.0
        if "sinceSeconds" in query:
            since = now - int(query["sinceSeconds"])
        elif "sinceTime" in query:
            since = meta.parse_time(query["sinceTime"]).timestamp()
        return LogOptions(
            follow=_flag(query, "follow"),
            timestamps=_flag(query, "timestamps"),
            since=since,
            tail=int(query["tailLines"]) if "tailLines" in query else None,
            limit=int(query["limitBytes"]) if "limitBytes" in query else None,
        )
    except ValueError as error:
        raise bad_request(f"invalid log options: {error}") from None


def _waiting_reason(pod: Obj, container: str) -> str:
    status = pod.get("status") or {}
    lists = (status.get(f"{kind}Statuses") or () for kind in ("initContainer", "container", "ephemeralContainer"))
    for entry in (entry for entries in lists for entry in entries):
        if entry["name"] == container and "waiting" in (entry.get("state") or {}):
            waiting: Obj = entry["state"]["waiting"]
            reason = str(waiting.get("reason", ""))
            pulling = reason in ("ErrImagePull", "ImagePullBackOff", "InvalidImageName")
            return "trying and failing to pull image" if pulling else reason
    return "ContainerCreating"


def _text(status: int, text: str) -> Response:
    return Response(status, text.encode(), [("content-type", "text/plain")])
