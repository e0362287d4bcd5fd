"""The proxy subresources, with real HTTP servers as pods and a registry of a few objects."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from sampan.api.status import ApiError, not_found
from sampan.base.http.server import Server
from sampan.base.http.types import Raw, Request, Response, Stream, Upgrade
from sampan.server.agents import Agents
from sampan.server.proxy import Proxy, parse, split

PREFIX = "/api/v1/namespaces/ns"


def test_names() -> None:
    assert parse("web", "pod") == ("http", "web", "")
    assert parse("web:80", "pod") == ("http", "web", "80")
    assert parse("https:web:web", "service") == ("https", "web", "web")
    for bad in ("ftp:web:80", "a:b:c:d", ":80"):
        with pytest.raises(ApiError, match=f'invalid pod request "{bad}"'):
            parse(bad, "pod")


def test_paths() -> None:
    assert split(f"{PREFIX}/pods/web/proxy", namespaced=True) == (f"{PREFIX}/pods/web/proxy", "")
    assert split(f"{PREFIX}/pods/web/proxy/?a=1", namespaced=True) == (f"{PREFIX}/pods/web/proxy", "/")
    assert split("/api/v1/nodes/n/proxy/a%2Fb/c", namespaced=False) == ("/api/v1/nodes/n/proxy", "/a%2Fb/c")


class Registry:
    """Objects by (resource, name); `list` gives the slices."""

    def __init__(self, objects: dict[tuple[str, str], dict[str, Any]], slices: list[dict[str, Any]]) -> None:
        self._objects, self._slices = objects, slices

    def get(self, resource: str, name: str, namespace: str = "") -> Any:
        if (resource, name) not in self._objects:
            raise not_found(resource, name)
        return SimpleNamespace(obj=self._objects[resource, name])

    async def list(self, resource: str, namespace: str, *, labels: str) -> Any:
        assert labels == "kubernetes.io/service-name=web"
        return SimpleNamespace(items=[SimpleNamespace(obj=one) for one in self._slices])


async def backend(request: Request) -> Response | Upgrade:
    if request.path == "/away":
        return Response(302, b"", [("location", "/next?x=1")])
    if request.upgrade:

        async def echo(raw: Raw) -> None:
            await raw.write((await raw.read()).upper())

        return Upgrade(echo, [("connection", "Upgrade"), ("upgrade", request.upgrade)])
    seen = [request.method, request.target, request.headers.get("authorization", "-"), request.body.decode()]
    return Response(207, "|".join([*seen, request.headers["x-forwarded-uri"]]).encode(), [("x-mine", "1")])


def through(plural: str, name: str, path: str, *, method: str = "GET", body: bytes = b"", **headers: str) -> Any:
    """The answer to one request: (status, headers, body), or what an upgrade gives for b"hello"."""

    async def main() -> Any:
        server = Server(backend, name="pod")
        port = await server.listen_tcp("127.0.0.1", 0)
        pod = {"spec": {"containers": [{"ports": [{"containerPort": port}]}]}, "status": {"podIP": "127.0.0.1"}}
        service = {"spec": {"ports": [{"name": "http", "port": 80}]}}
        endpoints = [{"addresses": ["127.0.0.1"], "conditions": {"ready": True}}]
        slices = [{"ports": [{"name": "http", "port": port}], "endpoints": endpoints}]
        objects = {("pods", "web"): pod, ("pods", "new"): {"spec": {}}, ("services", "web"): service}
        proxy = Proxy(Registry(objects, slices), Agents(lambda node: None))  # type: ignore[arg-type]
        target = f"{PREFIX}/{plural}/{name}/proxy{path}"
        bare, _, query = target.partition("?")
        request = Request(method, target, bare, query, headers, body, "10.0.0.9:1")
        try:
            answer = await proxy.answer(request, plural, "ns", name)
            if isinstance(answer, Upgrade):
                return await talk(answer)
            if isinstance(answer, Response):
                return answer.status, dict(answer.headers), answer.body
            assert isinstance(answer, Stream)
            return answer.status, dict(answer.headers), b"".join([chunk async for chunk in answer.chunks])
        finally:
            await server.close()

    return asyncio.run(asyncio.wait_for(main(), 10))


async def talk(upgrade: Upgrade) -> bytes:
    class Near:
        def __init__(self) -> None:
            self.got, self._said = b"", False

        async def read(self) -> bytes:
            if self._said:
                await asyncio.sleep(60)
            self._said = True
            return b"hello"

        async def write(self, data: bytes) -> None:
            self.got += data

        def close(self) -> None: ...

    near = Near()
    await upgrade.run(near)
    return near.got


def test_a_request_through_a_pod() -> None:
    status, headers, body = through("pods", "web", "/a%20b?q=1", method="POST", body=b"data", authorization="Bearer x")
    assert (status, headers["x-mine"]) == (207, "1")
    assert body.decode() == f"POST|/a%20b?q=1|-|data|{PREFIX}/pods/web/proxy/a%20b"


@pytest.mark.parametrize("name", ["web:80", "web:http", "http:web:80"])
def test_a_request_through_a_service(name: str) -> None:
    assert through("services", name, "/x")[2].decode().startswith("GET|/x|")


def test_an_upgrade_goes_through() -> None:
    assert through("pods", "web", "/ws", connection="Upgrade", upgrade="shout") == b"HELLO"


def test_redirects_stay_behind_the_proxy() -> None:
    assert through("pods", "web", "/away")[1]["location"] == f"{PREFIX}/pods/web/proxy/next?x=1"
    status, headers, _ = through("pods", "web", "")
    assert (status, headers["location"]) == (301, f"{PREFIX}/pods/web/proxy/")


@pytest.mark.parametrize(
    ("plural", "name", "code", "text"),
    [
        ("pods", "web:1", 503, "error trying to reach service: dial tcp 127.0.0.1:1: connect: connection refused"),
        ("pods", "new", 400, "address not allowed"),
        ("pods", "none", 404, 'pods "none" not found'),
        ("services", "web:81", 503, 'no service port 81 found for service "web"'),
        ("services", "web:other", 503, 'no endpoints available for service "web"'),
        ("services", "web", 503, 'no endpoints available for service "web"'),  # its port has a name
    ],
)
def test_what_cannot_be_reached(plural: str, name: str, code: int, text: str) -> None:
    with pytest.raises(ApiError) as error:
        through(plural, name, "/x")
    assert (error.value.code, error.value.message) == (code, text)
