"""log, exec and attach against an agent that is a real HTTP server on a Unix socket."""

import asyncio

import pytest

from sampan.api.status import ApiError
from sampan.base.http.client import HttpClient
from sampan.base.http.server import Server
from sampan.base.http.types import Request, Response, Stream, Upgrade
from sampan.server.agents import Agents, choose_container, log_parameters, stream_parameters


def pod(*names, init=(), node="n1"):
    spec = {"containers": [{"name": n} for n in names], "initContainers": [{"name": n} for n in init]}
    return {"metadata": {"name": "p", "namespace": "ns"}, "spec": {**spec, **({"nodeName": node} if node else {})}}


def test_the_container_meant():
    assert choose_container(pod("a", init=["i"]), "") == "a"
    assert choose_container(pod("a", "b", init=["i"]), "i") == "i"
    with pytest.raises(ApiError) as several:
        choose_container(pod("a", "b", init=["i"]), "")
    text = "a container name must be specified for pod p, choose one of: [a b] or one of the init containers: [i]"
    assert (several.value.code, several.value.message) == (400, text)
    with pytest.raises(ApiError, match="container z is not valid for pod p"):
        choose_container(pod("a"), "z")


def test_parameters_are_translated_to_the_kubelets():
    query = {"command": ["sh", "-c"], "stdin": ["true"], "stdout": ["1"], "stderr": ["false"], "tty": ["true"]}
    assert stream_parameters("exec", query) == [
        ("command", "sh"),
        ("command", "-c"),
        ("input", "1"),
        ("output", "1"),
        ("tty", "1"),
    ]
    with pytest.raises(ApiError, match="at least one of stdin, stdout, stderr"):
        stream_parameters("attach", {"tty": ["true"]})
    with pytest.raises(ApiError, match="at least one command"):
        stream_parameters("exec", {"stdout": ["true"]})
    asked = {"follow": ["true"], "previous": ["false"], "tailLines": ["5"]}
    assert log_parameters("p", asked) == [("follow", "true"), ("tailLines", "5")]


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ({"tailLines": ["-1"]}, "tailLines: Invalid value: -1: must be greater than or equal to 0"),
        ({"sinceSeconds": ["0"]}, "sinceSeconds: Invalid value: 0: must be greater than 0"),
        ({"limitBytes": ["x"]}, 'limitBytes: Invalid value: "x": must be an integer'),
        ({"sinceSeconds": ["1"], "sinceTime": ["t"]}, "at most one of `sinceTime` or `sinceSeconds`"),
    ],
)
def test_log_parameters_are_checked(query, text):
    with pytest.raises(ApiError) as error:
        log_parameters("p", query)
    assert error.value.code == 422
    assert text in error.value.message


def with_agent(path, handler, work):
    """Run `work(agents)` while an agent answers with `handler`."""

    async def main():
        server = Server(handler, name="agent")
        await server.listen_unix(path)
        agents = Agents(lambda node: path)
        try:
            async with asyncio.timeout(5):
                return await work(agents)
        finally:
            await agents.close()
            await server.close()

    return asyncio.run(main())


def test_logs_are_streamed(tmp_path):
    seen = []

    async def lines():
        yield b"one\n"
        yield b"two\n"

    async def agent(request):
        seen.append(request.target)
        return Stream(200, lines())

    async def work(agents):
        answer = await agents.log(pod("c"), {"follow": ["true"]})
        return b"".join([chunk async for chunk in answer.chunks])

    assert with_agent(tmp_path / "s", agent, work) == b"one\ntwo\n"
    assert seen == ["/containerLogs/ns/p/c?follow=true"]


def test_the_agents_refusal_is_told(tmp_path):
    async def agent(request):
        return Response(400, b'container "c" in pod "p" is waiting to start: ContainerCreating')

    async def work(agents):
        with pytest.raises(ApiError) as error:
            await agents.log(pod("c"), {})
        return error.value

    error = with_agent(tmp_path / "s", agent, work)
    assert error.reason == "BadRequest"
    assert error.message == 'container "c" in pod "p" is waiting to start: ContainerCreating'


def test_a_pod_without_a_node_has_no_log_and_no_shell(tmp_path):
    request = Request("GET", "/", "/", "", {})

    async def work():
        agents = Agents(lambda node: tmp_path / "nobody")
        empty = await agents.log(pod("c", node=""), {})
        with pytest.raises(ApiError) as no_host:
            await agents.stream(request, "exec", pod("c", node=""), {})
        with pytest.raises(ApiError) as nobody:
            await agents.log(pod("c"), {})
        return empty, no_host.value.message, nobody.value.code

    empty, no_host, nobody = asyncio.run(work())
    assert (empty.status, empty.body) == (200, b"")
    assert no_host == "pod p does not have a host assigned"
    assert nobody == 503


def test_exec_carries_bytes_both_ways(tmp_path):
    seen = []

    async def echo(raw):
        while data := await raw.read():
            await raw.write(data.upper())
            if data.endswith(b"bye"):
                return

    async def agent(request):
        seen.append((request.target, request.headers["sec-websocket-protocol"]))
        return Upgrade(echo, [("upgrade", "websocket"), ("connection", "Upgrade"), ("sec-websocket-accept", "x")])

    async def work(agents):
        async def api(request):
            return await agents.stream(request, "exec", pod("c"), request.query)

        front = Server(api, name="api")
        port = await front.listen_tcp("127.0.0.1", 0)
        client = HttpClient(f"http://127.0.0.1:{port}")
        headers = [
            ("connection", "Upgrade"),
            ("upgrade", "websocket"),
            ("sec-websocket-protocol", "v5.channel.k8s.io"),
            ("sec-websocket-key", "k"),
        ]
        upgraded = await client.upgrade("GET", "/?command=sh&stdout=1", headers)
        await upgraded.raw.write(b"hi bye")
        got = b""
        while data := await upgraded.raw.read():
            got += data
        await client.close()
        await front.close()
        return upgraded.status, upgraded.headers.get("sec-websocket-accept"), got

    assert with_agent(tmp_path / "s", agent, work) == (101, "x", b"HI BYE")
    assert seen == [("/exec/ns/p/c?command=sh&output=1", "v5.channel.k8s.io")]
