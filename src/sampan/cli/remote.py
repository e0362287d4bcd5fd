"""The API for verbs that show what is there: any kind by any of its names, answers as the server gives them."""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from typing import Any, NamedTuple
from urllib.parse import urlencode

import orjson

from sampan.app.config import Cluster
from sampan.app.supervisor import running
from sampan.base.errors import UserError
from sampan.base.http.client import HttpClient

_DISCOVERY = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"


class Resource(NamedTuple):
    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool

    @property
    def id(self) -> str:
        return f"{self.plural}.{self.group}" if self.group else self.plural

    def path(self, namespace: str = "") -> str:
        base = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        inside = f"/namespaces/{namespace}" if namespace and self.namespaced else ""
        return f"{base}{inside}/{self.plural}"


class Remote:
    """`async with Remote(cluster)`. Errors of the API are UserErrors with its text."""

    def __init__(self, cluster: Cluster) -> None:
        if not running(cluster):
            raise UserError(f'cluster "{cluster.name}" is down', f"sampan up -d --cluster {cluster.name}")
        pki = cluster.pki
        try:
            context = ssl.create_default_context(cafile=pki / "ca.crt")
            context.load_cert_chain(pki / "admin.crt", pki / "admin.key")
        except PermissionError as error:
            raise UserError(f"the cluster's key cannot be read: {error}", "sudo sampan …") from None
        self._client = HttpClient(cluster.url, context, headers=[("user-agent", "sampan-cli")])

    async def __aenter__(self) -> Remote:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.close()

    async def get(self, path: str, accept: str = "application/json", /, **query: str | Sequence[str]) -> Any:
        """The answer as JSON. A list in `query` is a parameter that comes again. Raises UserError."""
        target = f"{path}?{urlencode({k: v for k, v in query.items() if v}, doseq=True)}"
        try:
            answer = await self._client.request("GET", target, [("accept", accept)])
        except (OSError, TimeoutError) as error:
            raise UserError(f"the API does not answer: {error}", "sampan status") from None
        try:
            body = orjson.loads(answer.body)
        except orjson.JSONDecodeError:
            body = {"message": answer.body.decode(errors="replace").strip()}
        if answer.status >= 400:
            raise UserError(body.get("message") or f"the API answers {answer.status}")
        return body

    async def resource(self, word: str) -> Resource:
        """A kind by its plural, singular, short name or kind, with or without its group. Raises UserError."""
        wanted = word.lower()
        for path in ("/api", "/apis"):
            for group in (await self.get(path, _DISCOVERY))["items"]:
                name = group["metadata"].get("name", "")
                version = group["versions"][0]
                for found in version["resources"]:
                    names = {found["resource"], found.get("singularResource"), found["responseKind"]["kind"].lower()}
                    names.update(found.get("shortNames") or ())
                    if wanted in names or wanted in {f"{n}.{name}" for n in names}:
                        return Resource(name, version["version"], found["resource"], found["responseKind"]["kind"],
                                        found["scope"] == "Namespaced")  # fmt: skip
        raise UserError(f'the server does not have a resource type "{word}"', "kubectl api-resources")
