"""The API server put together: store and scheme below, HTTPS above."""

from __future__ import annotations

import random
import socket
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Network
from pathlib import Path

from sampan.api.kinds import certificatesigningrequest, componentstatus, metrics
from sampan.api.meta import Obj
from sampan.api.scheme import Scheme
from sampan.api.status import ApiError, too_large, unavailable
from sampan.base import log
from sampan.base.clock import Clock
from sampan.base.errors import StoreError
from sampan.base.http.server import Server as HttpServer
from sampan.base.http.types import Request, Response, Stream, Upgrade
from sampan.base.tasks import Tasks
from sampan.server import answer, bootstrap, builtin, certificates, escalation
from sampan.server.agents import Agents
from sampan.server.allocators import Services
from sampan.server.apiservices import ApiServices
from sampan.server.authn import Authenticator
from sampan.server.authz import Authorizer
from sampan.server.customresources import CustomResources
from sampan.server.discovery import Discovery
from sampan.server.documents import Documents
from sampan.server.hooks.hooks import Hooks
from sampan.server.metrics import Metrics
from sampan.server.registry import Registry
from sampan.server.routes import Api, Page, Parts
from sampan.server.tokens import Tokens
from sampan.server.types import User
from sampan.server.usage import Usage
from sampan.server.verbs import Verbs
from sampan.store.types import Store

BODY_LIMIT = 3 * 1024 * 1024
_BOOTSTRAP_SECONDS = 10.0
_log = log.get("server")


@dataclass(frozen=True)
class ServerConfig:
    """`listen`: addresses to bind; `port` 0 takes a free one. `sockets`: ones that listen already (a supervisor's).

    `advertise`: the address pods and nodes reach us at.

    `cert`, `key`: the server's own; `client_ca`: who signs client certificates. `tokens`: bearer token → user.
    `node_ports` is inclusive. `agent_socket(node)`: the Unix socket of a node's agent.
    `account_key`: what signs the tokens of service accounts; made when missing. `pages`: further fixed paths.
    """

    listen: tuple[str, ...]
    port: int
    advertise: str
    cert: Path
    key: Path
    client_ca: Path
    service_cidr: IPv4Network
    agent_socket: Callable[[str], Path]
    account_key: Path
    node_ports: tuple[int, int] = (30000, 32767)
    tokens: Mapping[str, User] = field(default_factory=dict)
    sockets: tuple[socket.socket, ...] = ()
    pages: Mapping[str, Page] = field(default_factory=dict)


class Server:
    """`registry` may be used in-process before `start`; `port` is known after it."""

    def __init__(
        self, config: ServerConfig, scheme: Scheme, store: Store, clock: Clock, chance: random.Random | None = None
    ) -> None:
        self.config = config
        self.port = config.port
        self._scheme = scheme
        self._clock = clock
        self._chance = chance or random.SystemRandom()
        self._tasks = Tasks("server")
        self._services = Services(config.service_cidr, config.node_ports, chance)
        self.registry = Registry(scheme, store, clock, self._services, chance)
        self._authorizer = Authorizer(self.registry)
        self.registry.check = self._authorizer.check_resource
        self.registry.guards = escalation.guards(self._authorizer) | {
            certificatesigningrequest.RESOURCE.id: certificates.guard(self._authorizer, clock)
        }
        self.registry.hooks = self._hooks = Hooks(self.registry)
        self.tokens = Tokens(config.account_key, self.registry.lookup, clock)
        self._custom = CustomResources(self.registry)
        self._agents = Agents(config.agent_socket)
        usage = Usage(self.registry, self._agents.summary, clock)
        self.registry.computed |= {
            metrics.POD.id: usage.pods,
            metrics.NODE.id: usage.nodes,
            componentstatus.RESOURCE.id: _components,
        }
        self._http: HttpServer | None = None
        self._api: Api | None = None
        self._ready = False

    async def start(self) -> None:
        """Make sure of the objects every cluster has, then listen. Raises OSError when an address is taken."""
        held = await self.registry.list("services")
        self._services.rebuild(one.obj for one in held.items)
        await builtin.ensure(self.registry, self._chance)
        self._custom.load()
        self._http = HttpServer(self._answer, name="apiserver", limit=BODY_LIMIT, oversize=_oversize)
        context = self._tls()
        for address in self.config.listen:
            self.port = await self._http.listen_tcp(address, self.port, context)
        for sock in self.config.sockets:
            await self._http.listen_socket(sock, context)
        self._api = self._build()
        await self._bootstrap()
        await bootstrap.roles(self.registry)
        await bootstrap.classes(self.registry)
        await bootstrap.custom(self.registry)
        self._ready = True
        self._tasks.start("bootstrap", self._keep_bootstrapped())
        self._tasks.start("custom-resources", self._custom.run())
        self._tasks.start("apiservices", ApiServices(self.registry).run())

    async def _bootstrap(self) -> None:
        await bootstrap.run(self.registry, self._services, self.config.advertise, self.port)

    async def _keep_bootstrapped(self) -> None:
        """Put back what somebody deleted (`kubectl delete svc --all` takes `kubernetes` too)."""
        while True:
            await self._clock.sleep(_BOOTSTRAP_SECONDS)
            try:
                await self._bootstrap()
            except (ApiError, StoreError) as error:
                _log.warning("cannot restore the cluster's own objects: %s", error)

    async def close(self) -> None:
        """Stop answering; the store stays open."""
        self._ready = False
        await self._tasks.stop()
        if self._http is not None:
            await self._http.close()
        await self._agents.close()
        await self._hooks.client.close()
        await self.registry.conversion.close()

    async def _answer(self, request: Request) -> Response | Stream | Upgrade:
        if self._api is None:
            return answer.error(unavailable("the API server is starting"))
        return await self._api(request)

    def _build(self) -> Api:
        return Api(
            Parts(
                verbs=Verbs(self.registry, self._agents, self.tokens),
                authenticator=Authenticator(self.config.tokens, self.tokens.judge),
                authorizer=self._authorizer,
                discovery=Discovery(self._scheme, f"{self.config.advertise}:{self.port}"),
                documents=Documents(self._scheme),
                checks={
                    "ping": lambda: "",
                    "poststarthook/bootstrap": lambda: "" if self._ready else "not finished",
                },
                metrics=Metrics(self.registry),
                pages={
                    **self.config.pages,
                    "/openid/v1/jwks": lambda request: answer.json(200, self.tokens.signer.key_set()),
                    "/.well-known/openid-configuration": lambda request: answer.json(
                        200, self.tokens.discovery(f"https://{self.config.advertise}:{self.port}")
                    ),
                },
            )
        )

    def _tls(self) -> ssl.SSLContext:
        """Client certificates are asked for, not demanded: a bearer token will do too."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(self.config.cert, self.config.key)
        context.load_verify_locations(self.config.client_ca)
        context.verify_mode = ssl.CERT_OPTIONAL
        context.set_alpn_protocols(["http/1.1"])
        return context


async def _components(namespace: str) -> list[Obj]:
    """All parts are one process: who can ask gets a good answer."""
    return [componentstatus.healthy(name) for name in componentstatus.NAMES]


def _oversize() -> Response:
    return answer.error(too_large(f"Request entity too large: limit is {BODY_LIMIT}"))
