"""Calls to webhooks: a JSON object posted over HTTPS to a URL or to a Service of the cluster.

A Service's certificate is for NAME.NAMESPACE.svc; the connection goes to its cluster IP, which this machine reaches.
Source: https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/#contacting-the-webhook
"""

from __future__ import annotations

import base64
import binascii
import ssl
from collections.abc import Callable
from urllib.parse import urlsplit

import orjson

from sampan.api.meta import Obj
from sampan.base.errors import SampanError
from sampan.base.http.client import HttpClient

Lookup = Callable[[str, str, str], Obj | None]
_HEADERS = (("content-type", "application/json"), ("accept", "application/json"), ("user-agent", "kube-apiserver"))


class WebhookError(SampanError):
    """The webhook could not be asked, or its answer is none."""


class WebhookClient:
    """`lookup(resource, name, namespace)` reads the store. Connections are kept."""

    def __init__(self, lookup: Lookup) -> None:
        self._lookup = lookup
        self._clients: dict[tuple[str, str, str], HttpClient] = {}

    async def post(self, config: Obj, body: Obj, timeout: float) -> Obj:
        """`config`: a WebhookClientConfig; `timeout` in seconds. Raises WebhookError."""
        base, path, address = self._target(config)
        shown = f'Post "{base}{path}?timeout={timeout:g}s"'
        try:
            client = self._client(base, address, config.get("caBundle") or "")
            target = f"{path}?timeout={timeout:g}s"
            answer = await client.request("POST", target, _HEADERS, orjson.dumps(body), timeout)
        except TimeoutError:
            raise WebhookError(f"failed to call webhook: {shown}: context deadline exceeded") from None
        except (ConnectionError, ssl.SSLError, binascii.Error) as error:
            raise WebhookError(f"failed to call webhook: {shown}: {error}") from None
        if answer.status != 200:
            text = answer.body.decode(errors="replace").strip()[:500]
            raise WebhookError(f"failed to call webhook: the server responded with {answer.status}: {text}")
        try:
            found = orjson.loads(answer.body)
        except orjson.JSONDecodeError as error:
            raise WebhookError(f"received invalid webhook response: {error}") from None
        if not isinstance(found, dict):
            raise WebhookError("received invalid webhook response: it is no object")
        return found

    async def close(self) -> None:
        for client in self._clients.values():
            await client.close()
        self._clients.clear()

    def _target(self, config: Obj) -> tuple[str, str, str]:
        """(base URL, path, where to connect instead of the URL's host or "")."""
        if url := config.get("url"):
            parts = urlsplit(url)
            return f"https://{parts.netloc}", parts.path or "/", ""
        service = config.get("service") or {}
        name, namespace, port = service.get("name", ""), service.get("namespace", ""), service.get("port") or 443
        found = self._lookup("services", name, namespace)
        if found is None:
            raise WebhookError(f'failed to call webhook: service "{name}" not found')
        spec = found["spec"]
        if not any(p["port"] == port for p in spec.get("ports") or ()) and spec.get("type") != "ExternalName":
            raise WebhookError(f'failed to call webhook: no service port {port} found for service "{name}"')
        address = spec.get("externalName") if spec.get("type") == "ExternalName" else spec.get("clusterIP")
        if address in (None, "", "None"):
            raise WebhookError(f'failed to call webhook: service "{name}" has no cluster IP')
        path = service.get("path") or "/"
        return f"https://{name}.{namespace}.svc:{port}", path if path.startswith("/") else f"/{path}", address

    def _client(self, base: str, address: str, bundle: str) -> HttpClient:
        key = (base, address, bundle)
        client = self._clients.get(key)
        if client is None:
            context = ssl.create_default_context(cadata=base64.b64decode(bundle).decode() if bundle else None)
            client = self._clients[key] = HttpClient(base, context, connect_to=address)
        return client
