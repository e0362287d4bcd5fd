"""The upstream of the edge's end-to-end tests: says what it saw, and speaks what gateways have to carry.

    /ping /anything…   JSON: who answered, method, path, host, headers, length of the body
    /upload            counts and hashes the body        /download?mib=N   N MiB of a pattern
    /sse?events=N      server-sent events, 50 ms apart   /ws               echoes WebSocket messages
    /slow?seconds=S    answers late                      /status?code=N    answers so
    gRPC on GRPC_PORT: /echo.Echo/Unary and /echo.Echo/Stream, bytes in, bytes out

Environment: PORT, GRPC_PORT ("" none), NAME. Runs in the project's virtual environment (aiohttp, grpcio).
"""

import asyncio
import hashlib
import os
import signal
import socket

import grpc
from aiohttp import WSMsgType, web

NAME = os.environ.get("NAME") or socket.gethostname()


async def anything(request):
    body = await request.read()
    seen = {
        "hostname": NAME,
        "method": request.method,
        "path": request.raw_path,
        "host": request.headers.get("host"),
        "headers": {k.lower(): v for k, v in request.headers.items()},
        "peer": request.remote,
        "length": len(body),
    }
    return web.json_response(seen)


async def upload(request):
    digest, length = hashlib.sha256(), 0
    async for chunk in request.content.iter_any():
        digest.update(chunk)
        length += len(chunk)
    return web.json_response({"length": length, "sha256": digest.hexdigest()})


async def download(request):
    answer = web.StreamResponse()
    await answer.prepare(request)
    block = bytes(range(256)) * 4096
    for _ in range(int(request.query["mib"])):
        await answer.write(block)
    return answer


async def sse(request):
    answer = web.StreamResponse(headers={"content-type": "text/event-stream"})
    await answer.prepare(request)
    for number in range(int(request.query["events"])):
        await answer.write(f"data: {number}\n\n".encode())
        await asyncio.sleep(0.05)
    return answer


async def ws(request):
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    async for message in socket:
        if message.type == WSMsgType.TEXT:
            await socket.send_str(f"{NAME}: {message.data}")
    return socket


async def slow(request):
    await asyncio.sleep(float(request.query["seconds"]))
    return await anything(request)


async def status(request):
    return web.Response(status=int(request.query["code"]), text="from the upstream")


class Echo(grpc.GenericRpcHandler):
    def service(self, details):
        async def unary(request, context):
            return NAME.encode() + b": " + request

        async def stream(requests, context):
            async for request in requests:
                yield NAME.encode() + b": " + request

        if details.method == "/echo.Echo/Unary":
            return grpc.unary_unary_rpc_method_handler(unary)
        if details.method == "/echo.Echo/Stream":
            return grpc.stream_stream_rpc_method_handler(stream)
        return None


async def main():
    app = web.Application(client_max_size=1 << 30)
    for path, handler in {
        "/upload": upload,
        "/download": download,
        "/sse": sse,
        "/ws": ws,
        "/slow": slow,
        "/status": status,
    }.items():
        app.router.add_route("*", path, handler)
    app.router.add_route("*", "/{rest:.*}", anything)
    runner = web.AppRunner(app, shutdown_timeout=10)
    await runner.setup()
    await web.TCPSite(runner, port=int(os.environ.get("PORT", "8080")), backlog=512).start()
    rpc = None
    if port := os.environ.get("GRPC_PORT"):
        rpc = grpc.aio.server()
        rpc.add_generic_rpc_handlers((Echo(),))
        rpc.add_insecure_port(f"0.0.0.0:{port}")
        await rpc.start()
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    print(f"{NAME} listens", flush=True)
    await stop.wait()
    if rpc:
        await rpc.stop(5)
    await runner.cleanup()


asyncio.run(main())
