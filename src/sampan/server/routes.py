"""The URL grammar and what each verb does: the handler of the API server.

    /api/v1/[namespaces/NS/]PLURAL[/NAME[/SUBRESOURCE]]
    /apis/GROUP/VERSION/[namespaces/NS/]PLURAL[/NAME[/SUBRESOURCE]]

Everything else is a fixed path (`_plain`).
Source: k8s.io/apiserver/pkg/endpoints/{request/requestinfo.go,installer.go}.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from sampan.api.rbac import Ask
from sampan.api.scheme import Resource
from sampan.api.status import ApiError, internal, method_not_allowed, unavailable, unsupported_media_type
from sampan.base import log
from sampan.base.errors import StoreUnavailable
from sampan.base.http.types import Request, Response, Stream, Upgrade
from sampan.server import answer, audit, health, impersonation, past
from sampan.server.authn import Authenticator
from sampan.server.authz import Authorizer
from sampan.server.discovery import Discovery
from sampan.server.documents import Documents
from sampan.server.metrics import Metrics
from sampan.server.reader import not_served
from sampan.server.reviews import Reviews
from sampan.server.types import User
from sampan.server.verbs import Target, Verbs

_log = log.get("server")

Answer = Response | Stream | Upgrade

Page = Callable[[Request], Response | Awaitable[Response]]

# (method, is there a name) → verb; a GET without a name may be a watch.
_VERBS = {
    ("GET", True): "get",
    ("GET", False): "list",
    ("HEAD", True): "get",
    ("HEAD", False): "list",
    ("POST", False): "create",
    ("POST", True): "create",
    ("PUT", True): "update",
    ("PATCH", True): "patch",
    ("DELETE", True): "delete",
    ("DELETE", False): "deletecollection",
}
_HEALTH = ("healthz", "livez", "readyz")
_READS = frozenset({"get", "list", "watch"})
_PAGE_NOT_FOUND = "404 page not found\n"


@dataclass(frozen=True)
class Parts:
    """What the handler stands on."""

    verbs: Verbs
    authenticator: Authenticator
    authorizer: Authorizer
    discovery: Discovery
    documents: Documents
    checks: Mapping[str, health.Check]
    metrics: Metrics
    # Further fixed paths.
    pages: Mapping[str, Page] = field(default_factory=dict)


class Api:
    """The handler for `base.http.server`."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._clock = parts.verbs.registry.clock
        self._past = past.Past(parts.verbs.registry, parts.authorizer)
        self._reviews = Reviews(parts.authorizer, parts.authenticator).actions
        self._scheme = parts.verbs.registry.scheme
        self._index()
        self._scheme.changed.append(self._index)
        self._plain: dict[str, Page] = {
            "/version": lambda request: answer.json(200, health.version()),
            "/metrics": parts.metrics.answer,
            **parts.pages,
        }
        for name in _HEALTH:
            self._plain[f"/{name}"] = self._health(name)

    def _index(self) -> None:
        self._resources = self._scheme.by_path
        self._groups = {(r.group, r.version) for r in self._scheme.resources}

    async def __call__(self, request: Request) -> Answer:
        start = self._clock.monotonic()
        verb, plural = request.method, ""
        try:
            user = self._parts.authenticator.user(request)
            user = impersonation.impersonated(request.headers, user, self._parts.authorizer)
            target = self._target(request, user)
            if target is None and request.path.startswith(past.PREFIX):
                result: Answer = await self._past.answer(request, user)
            elif target is None:
                result = await self._fixed(request, user)
            else:
                verb, plural = target.verb, target.resource.plural
                result = await self._resource(request, target)
        except ApiError as fault:
            result = answer.error(fault)
        except StoreUnavailable as fault:
            result = answer.error(unavailable(f"the store refuses to write: {fault}"))
        except Exception as fault:
            _log.exception("%s %s failed", request.method, request.path)
            result = answer.error(internal(f"{type(fault).__name__} (the server's log says more)"))
        code = 101 if isinstance(result, Upgrade) else result.status
        self._parts.metrics.count(verb, plural, code, self._clock.monotonic() - start)
        return result

    # -- resources

    async def _resource(self, request: Request, target: Target) -> Answer:
        resource = target.resource
        self._parts.authorizer.check_resource(
            target.user, target.verb, resource, target.subresource, target.namespace, target.name or _only_name(target)
        )
        act = self._action(target)
        id = self._audit(request, target) if target.verb not in _READS else ""
        result = await act(request, target)
        if isinstance(result, Response):
            result = answer.compressed(request, result)
            if id:
                result.headers.append(("audit-id", id))
            if resource.strategy.deprecated:
                answer.warn(result, (resource.strategy.deprecated,))
        elif isinstance(result, Stream) and resource.strategy.deprecated:
            result.headers.append(("warning", f'299 - "{resource.strategy.deprecated}"'))
        return result

    def _audit(self, request: Request, target: Target) -> str:
        if request.headers.get("content-encoding", "identity") != "identity":
            raise unsupported_media_type("bodies of requests are taken as they are: send them without Content-Encoding")
        real = self._parts.authenticator.user(request).name if impersonation.USER in request.headers else ""
        verb = f"{target.verb} {target.subresource}" if target.subresource else target.verb
        return audit.begin(request, target.user, verb, real)

    def _action(self, target: Target) -> Callable[[Request, Target], Awaitable[Answer]]:
        verbs = self._parts.verbs
        if not target.subresource:
            if target.resource.stored or (target.resource.computed and target.verb in target.resource.verbs):
                return verbs.table[target.verb]
            if target.verb != "create" or target.resource.computed:
                raise method_not_allowed()
            return self._reviews[target.resource.id]
        if target.subresource not in target.resource.subresources:
            raise not_served()
        found = verbs.subresources.get((target.subresource, target.verb))
        if found is None:
            raise method_not_allowed()
        return found

    def _target(self, request: Request, user: User) -> Target | None:
        """The resource a path means, None when it means none. Raises ApiError 404, 405."""
        parts = request.path.split("/")
        if len(parts) < 4:
            return None
        if parts[1] == "api":
            group, version, rest = "", parts[2], parts[3:]
        elif parts[1] == "apis" and len(parts) > 4:
            group, version, rest = parts[2], parts[3], parts[4:]
        else:
            return None
        if not rest[-1]:
            rest.pop()
        if not rest or (group, version) not in self._groups:
            return None
        namespace = ""
        if rest[0] == "namespaces" and len(rest) > 2 and rest[2] not in ("status", "finalize"):
            namespace, rest = rest[1], rest[2:]
        resource = self._resources.get((group, version, rest[0]))
        too_long = len(rest) > 3 and rest[2] != "proxy"
        if resource is None or too_long or (namespace and not resource.namespaced):
            raise not_served()
        name = rest[1] if len(rest) > 1 else ""
        return _target(request, user, resource, namespace, name, rest[2] if len(rest) > 2 else "")

    # -- everything else

    async def _fixed(self, request: Request, user: User) -> Response:
        path = request.path.rstrip("/") or "/"
        self._parts.authorizer.check(user, Ask(request.method.lower(), path=path))
        found = await self._page(request, path)
        if found is None:
            return answer.text(404, _PAGE_NOT_FOUND)
        if request.method not in ("GET", "HEAD"):
            raise method_not_allowed()
        return answer.compressed(request, found)

    async def _page(self, request: Request, path: str) -> Response | None:
        if plain := self._plain.get(path):
            made = plain(request)
            return made if isinstance(made, Response) else await made
        checks, discovery, documents = self._parts.checks, self._parts.discovery, self._parts.documents
        first, _, check = path[1:].partition("/")
        if check in checks and first in _HEALTH:
            return health.report({check: checks[check]}, check, False)
        if path == "/":
            return answer.json(200, {"paths": sorted([*discovery.paths(), *self._plain, *documents.paths()])})
        return discovery.answer(request, path) or documents.answer(request, path)

    def _health(self, name: str) -> Page:
        def ask(request: Request) -> Response:
            return health.report(self._parts.checks, name, "verbose" in request.query)

        return ask


def _only_name(target: Target) -> str:
    """The one object that a list or a watch is about (`kubectl wait`, a kubelet's own node)."""
    for selector in target.query.get("fieldSelector", ()):
        field, _, name = selector.partition("=")
        if field == "metadata.name" and "," not in name:
            return name.removeprefix("=")
    return ""


def _target(request: Request, user: User, resource: Resource, namespace: str, name: str, subresource: str) -> Target:
    verb = _VERBS.get((request.method, bool(name)))
    if verb is None or (verb == "create" and name and not subresource):
        raise method_not_allowed()
    query = request.query if request.query_string else {}
    if request.method == "GET" and not subresource and _watching(query):
        verb = "watch"
    if resource.namespaced and not namespace and (name or verb == "create"):
        raise method_not_allowed() if verb == "create" else not_served()
    return Target(resource, verb, namespace, name, subresource, query, user)


def _watching(query: dict[str, list[str]]) -> bool:
    return "watch" in query and query["watch"][0] not in ("false", "0")
