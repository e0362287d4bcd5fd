"""The verbs over HTTP: a request in, the registry's answer out. One method a verb, two tables that name them all."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from sampan.api import patch as patches
from sampan.api import scale, schema
from sampan.api.kinds.review import TOKEN_REQUEST
from sampan.api.meta import Obj
from sampan.api.scheme import Resource
from sampan.api.status import bad_request, method_not_allowed
from sampan.base.http.types import Request, Response, Stream, Upgrade
from sampan.server import answer, eviction, negotiate, pods, scaling
from sampan.server.admission import Attributes
from sampan.server.agents import Agents
from sampan.server.negotiate import PLAIN, Query
from sampan.server.proxy import Proxy
from sampan.server.registry import Registry
from sampan.server.tokens import Tokens
from sampan.server.types import Deleted, Held, Options, User

Answer = Response | Stream | Upgrade
Action = Callable[[Request, "Target"], Awaitable[Answer]]

# A watch may send less than its reader could take for as long as nothing happens; one that does not read is cut off.
_WATCH_STALL = 30.0
# What webhooks are shown of a connection.
_CONNECTS = {"exec": "PodExecOptions", "attach": "PodAttachOptions", "portforward": "PodPortForwardOptions"}
# Deleting one of these answers with the object, not with a Status.
_RETURNED = frozenset({"pods", "serviceaccounts"})


@dataclass(frozen=True, slots=True)
class Target:
    """What a request is about."""

    resource: Resource
    verb: str
    namespace: str
    name: str
    subresource: str
    query: Query
    user: User


class Verbs:
    """`table`: verb → action. `subresources`: (subresource, verb) → action."""

    def __init__(self, registry: Registry, agents: Agents, tokens: Tokens | None = None) -> None:
        self.registry = registry
        self._agents = agents
        self._proxy = Proxy(registry, agents)
        self._tokens = tokens
        self.table: dict[str, Action] = {
            "get": self._get,
            "list": self._list,
            "watch": self._watch,
            "create": self._create,
            "update": self._update,
            "patch": self._patch,
            "delete": self._delete,
            "deletecollection": self._delete_collection,
        }
        self.subresources: dict[tuple[str, str], Action] = {
            ("status", "get"): self._get,
            ("status", "update"): self._update,
            ("status", "patch"): self._patch,
            ("finalize", "update"): self._update,
            ("approval", "get"): self._get,
            ("approval", "update"): self._update,
            ("approval", "patch"): self._patch,
            ("ephemeralcontainers", "get"): self._get,
            ("ephemeralcontainers", "update"): self._update,
            ("ephemeralcontainers", "patch"): self._patch,
            ("scale", "get"): self._get_scale,
            ("scale", "update"): self._update_scale,
            ("scale", "patch"): self._patch_scale,
            ("binding", "create"): self._bind,
            ("eviction", "create"): self._evict,
            ("token", "create"): self._token,
            ("log", "get"): self._log,
            ("exec", "get"): self._stream,
            ("exec", "create"): self._stream,
            ("attach", "get"): self._stream,
            ("attach", "create"): self._stream,
            ("portforward", "get"): self._port_forward,
            ("portforward", "create"): self._port_forward,
            **{("proxy", verb): self._proxied for verb in ("get", "create", "update", "patch", "delete")},
        }

    # -- reads

    async def _get(self, request: Request, target: Target) -> Response:
        held = await self.registry.read(target.resource.ref, target.name, target.namespace)
        return self._one(request, target, held)

    async def _list(self, request: Request, target: Target) -> Response:
        shape = negotiate.accepted(request.headers.get("accept", ""))
        found = await self.registry.list(target.resource.ref, target.namespace, **_selection(target.query))
        return answer.many(target.resource, found, shape, _include(target.query), self.registry.clock.now())

    async def _watch(self, request: Request, target: Target) -> Stream:
        shape = negotiate.accepted(request.headers.get("accept", ""))
        asked = negotiate.watch(target.query, target.name)
        batches = self.registry.watch(target.resource.ref, target.namespace, asked)
        lines = answer.events(target.resource, batches, shape, _include(target.query), self.registry.clock.now)
        return Stream(200, lines, [answer.JSON], _WATCH_STALL)

    # -- writes

    async def _create(self, request: Request, target: Target) -> Response:
        options = negotiate.options(target.query, target.user, _agent(request))
        obj = self._decode(request, target.resource, options)
        held = await self.registry.create(target.resource.ref, obj, target.namespace, options)
        return answer.warn(self._one(request, target, held, 201), options.warnings)

    async def _update(self, request: Request, target: Target) -> Response:
        options = negotiate.options(target.query, target.user, _agent(request), "UpdateOptions")
        obj = self._decode(request, target.resource, options)
        held = await self.registry.update(
            target.resource.ref, obj, target.namespace, target.name, options, target.subresource
        )
        return answer.warn(self._one(request, target, held), options.warnings)

    async def _patch(self, request: Request, target: Target) -> Response:
        kind = _patch_type(request)
        if kind == patches.APPLY:
            return await self._apply(request, target)
        options = negotiate.patch_options(target.query, target.user, _agent(request))
        held = await self.registry.patch(
            target.resource.ref,
            target.name,
            target.namespace,
            request.body,
            kind=kind,
            subresource=target.subresource,
            options=options,
        )
        return answer.warn(self._one(request, target, held), options.warnings)

    async def _apply(self, request: Request, target: Target) -> Response:
        options = negotiate.apply_options(target.query, target.user)
        body = negotiate.yaml_body(request.body)
        config, warnings = schema.decode(target.resource, body, options.validation)
        options.warnings += warnings
        held, new = await self.registry.apply(
            target.resource.ref, target.name, target.namespace, config, options, target.subresource
        )
        return answer.warn(self._one(request, target, held, 201 if new else 200), options.warnings)

    async def _delete(self, request: Request, target: Target) -> Response:
        asked = negotiate.deletion(target.query, negotiate.parse_body(request, negotiate.DELETE_OPTIONS), target.user)
        done = await self.registry.delete(target.resource.ref, target.name, target.namespace, asked)
        status = 202 if not done.gone and asked.propagation == "Foreground" else 200
        return self._deleted(request, target, done, status)

    async def _delete_collection(self, request: Request, target: Target) -> Response:
        asked = negotiate.deletion(target.query, negotiate.parse_body(request, negotiate.DELETE_OPTIONS), target.user)
        found = await self.registry.delete_collection(
            target.resource.ref, target.namespace, asked, **_selection(target.query)
        )
        return answer.many(target.resource, found, PLAIN, "", self.registry.clock.now())

    # -- subresources

    async def _get_scale(self, request: Request, target: Target) -> Response:
        held = await self.registry.read(target.resource.ref, target.name, target.namespace)
        return answer.json(200, scale.to_scale(held.obj, target.resource.scale))

    async def _update_scale(self, request: Request, target: Target) -> Response:
        options = negotiate.options(target.query, target.user, _agent(request), "UpdateOptions")
        body = self._decode(request, scaling.SCALE, options)
        held = await scaling.replace(self.registry, target.resource, target.namespace, target.name, body, options)
        return answer.json(200, scale.to_scale(held.obj, target.resource.scale))

    async def _patch_scale(self, request: Request, target: Target) -> Response:
        options = negotiate.patch_options(target.query, target.user, _agent(request))
        kind = _patch_type(request)
        held = await scaling.patch(
            self.registry, target.resource, target.namespace, target.name, request.body, kind, options
        )
        return answer.json(200, scale.to_scale(held.obj, target.resource.scale))

    async def _bind(self, request: Request, target: Target) -> Response:
        options = negotiate.options(target.query, target.user)
        sent = negotiate.parse_body(request, negotiate.BINDING)
        body = await self._hooked(target, {"apiVersion": "v1", "kind": "Binding", **sent}, options)
        await pods.bind(self.registry, target.namespace, target.name, body, options)
        return answer.success(201, "", "")

    async def _evict(self, request: Request, target: Target) -> Response:
        options = negotiate.options(target.query, target.user)
        sent = negotiate.parse_body(request, negotiate.EVICTION)
        body = await self._hooked(target, {"apiVersion": "policy/v1", "kind": "Eviction", **sent}, options)
        await eviction.evict(self.registry, target.namespace, target.name, body, options)
        return answer.success(201, "", "")

    async def _token(self, request: Request, target: Target) -> Response:
        if self._tokens is None:
            raise method_not_allowed()
        options = negotiate.options(target.query, target.user)
        body = await self._hooked(target, self._decode(request, TOKEN_REQUEST, options), options)
        made = self._tokens.request(target.namespace, target.name, body, target.user)
        return answer.warn(answer.json(201, made), options.warnings)

    async def _log(self, request: Request, target: Target) -> Answer:
        pod = self.registry.get("pods", target.name, target.namespace).obj
        return await self._agents.log(pod, target.query)

    async def _stream(self, request: Request, target: Target) -> Answer:
        pod = self.registry.get("pods", target.name, target.namespace).obj
        await self._connects(target)
        return await self._agents.stream(request, target.subresource, pod, target.query)

    async def _proxied(self, request: Request, target: Target) -> Answer:
        return await self._proxy.answer(request, target.resource.plural, target.namespace, target.name)

    async def _port_forward(self, request: Request, target: Target) -> Answer:
        pod = self.registry.get("pods", target.name, target.namespace).obj
        await self._connects(target)
        return await self._agents.port_forward(request, pod, target.query)

    # -- helpers

    async def _hooked(self, target: Target, body: Obj, options: Options, operation: str = "CREATE") -> Obj:
        """A subresource's body after webhooks and policies. Raises ApiError of the one that refuses."""
        hooks = self.registry.hooks
        plan = hooks and hooks.plan(target.resource, target.subresource, operation)
        if not hooks or not plan:
            return body
        asked = Attributes(
            operation, target.resource, target.namespace, target.name, body, None, self.registry.lookup,
            target.subresource, options.user, options.dry_run,
        )  # fmt: skip
        body = asked.obj = await hooks.mutate(plan, asked, options.warnings) or body
        await hooks.validate(plan, asked, options.warnings)
        return body

    async def _connects(self, target: Target) -> None:
        kind = _CONNECTS[target.subresource]
        given = {key: values if key == "command" else values[0] for key, values in target.query.items()}
        options = Options(user=target.user)
        await self._hooked(target, {"apiVersion": "v1", "kind": kind, **given}, options, "CONNECT")

    def _decode(self, request: Request, resource: Resource, options: Options) -> Obj:
        obj, warnings = schema.decode(resource, negotiate.json_body(request), options.validation)
        options.warnings += warnings
        return obj

    def _one(self, request: Request, target: Target, held: Held, status: int = 200) -> Response:
        shape = negotiate.accepted(request.headers.get("accept", ""))
        if shape is PLAIN:
            return Response(status, held.bytes, [answer.JSON])
        now = self.registry.clock.now()
        return answer.one(target.resource, held, shape, _include(target.query), now, status)

    def _deleted(self, request: Request, target: Target, done: Deleted, status: int) -> Response:
        if not done.gone or target.resource.id in _RETURNED:
            return self._one(request, target, done.held, status)
        uid = done.held.obj["metadata"].get("uid", "")
        return answer.success(200, target.resource.id, target.name, uid)


def _selection(query: Query) -> dict[str, Any]:
    """What of a list a query asks for, as `Registry.list` takes it. Raises ApiError 400."""
    limit = negotiate.integer(query, "limit") or 0
    if limit < 0:
        raise bad_request(f"limit: Invalid value: {limit}: must be greater than or equal to 0")
    names = {"labels": "labelSelector", "fields": "fieldSelector", "token": "continue", "revision": "resourceVersion"}
    found: dict[str, Any] = {name: negotiate.one(query, parameter) for name, parameter in names.items()}
    match = negotiate.one(query, "resourceVersionMatch")
    return {**found, "limit": limit, "match": match, "initial": negotiate.initial_events(query)}


def _include(query: Query) -> str:
    return negotiate.one(query, "includeObject")


def _patch_type(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip()


def _agent(request: Request) -> str:
    return request.headers.get("user-agent", "")
