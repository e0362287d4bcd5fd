"""The real Envoy in a network namespace of its own, with the bootstrap that pods get, and upstreams that say what they
saw. The xDS server of the bootstrap is not there: Envoy gets its configuration from the failover address.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import shutil
import socket
import socketserver
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import golden
from adsserver import AdsServer
from proxylab import new_netns, sh

from sampan.base.netns import inside, pin, unpin
from sampan.xds import bootstrap
from sampan.xds.types import Snapshot

ENVOY = Path(sys.executable).with_name("envoy")
UPSTREAM_PORT = 8080
UDP_PORT = 8053
POLL_SECONDS = 0.02  # until an upstream notices that it shall end


class Answer:
    def __init__(self, response: http.client.HTTPResponse) -> None:
        self.status = response.status
        self.headers = {k.lower(): v for k, v in response.getheaders()}
        self.cookies = response.headers.get_all("set-cookie") or []
        self.body = response.read().decode()

    @property
    def seen(self) -> dict[str, Any]:
        """What the upstream saw."""
        made: dict[str, Any] = json.loads(self.body)
        return made

    def __repr__(self) -> str:
        return f"{self.status} {self.headers} {self.body[:300]!r}"


def anybody() -> ssl.SSLContext:
    """For a client that takes any certificate. (The default context reads the machine's roots: 70 ms each.)"""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def faults(
    case: golden.Case,
    ask: Callable[[golden.Request], Answer],
    wrong: Callable[[golden.Request, Answer], dict[str, Any]],
) -> dict[str, tuple[dict[str, Any], Answer]]:
    """Each request of the case that did not become what it should: what is wrong, and the whole answer."""
    bad = {}
    for request in case.requests:
        answer = ask(request)
        if found := wrong(request, answer):
            bad[str(request)] = found, answer
    return bad


class EnvoyLab:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.netns = folder / "net"
        self._stack = ExitStack()
        with new_netns():
            pin("net", self.netns, "thread-self")
            sh("ip link set lo up")
        self._stack.callback(unpin, self.netns)
        with inside(self.netns):
            self.ads = AdsServer(":".join(map(str, bootstrap.REPLAY)))
            upstream = ThreadingHTTPServer(("0.0.0.0", UPSTREAM_PORT), Upstream)
        self._stack.callback(self.ads.stop)
        with inside(self.netns):
            servers = [upstream, *(socketserver.UDPServer((f"127.1.0.{n}", UDP_PORT), Datagrams) for n in (1, 2))]
        for server in servers:
            self._stack.callback(server.server_close)
            self._stack.callback(server.shutdown)
            threading.Thread(target=server.serve_forever, args=(POLL_SECONDS,), daemon=True).start()
        self.log = folder / "envoy.log"
        self.process = self._start()
        self._stack.callback(self._stop)

    def close(self) -> None:
        self._stack.close()

    def push(self, snapshot: Snapshot) -> dict[str, str]:
        """What Envoy refused."""
        return self.ads.push(snapshot)

    def admin(self, path: str) -> str:
        return self.request(f"http://{':'.join(map(str, bootstrap.ADMIN))}{path}").body

    def connect(self, port: int, source: str = "127.0.0.1") -> socket.socket:
        with inside(self.netns):
            made = socket.create_connection(("127.0.0.1", port), timeout=10, source_address=(source, 0))
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # as clients do, who else wait 40 ms for it
        return made

    def request(
        self,
        url: str,
        method: str = "GET",
        headers: dict[str, str] | None = None,
        body: bytes | None = None,
        *,
        source: str = "127.0.0.1",
        sni: str = "",
    ) -> Answer:
        """Whatever the host: it is asked of Envoy. `source`: the client's address."""
        parts = urlsplit(url)
        tls = parts.scheme == "https"
        port = parts.port or (443 if tls else 80)
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        connection.sock = self.connect(port, source)
        if tls:
            context = anybody()
            connection.sock = context.wrap_socket(connection.sock, server_hostname=sni or parts.hostname)
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        sent = {"Host": parts.netloc} | {k.title() if k == "host" else k: v for k, v in (headers or {}).items()}
        try:
            connection.request(method, target, body, sent)
            return Answer(connection.getresponse())
        finally:
            connection.close()

    def _start(self) -> subprocess.Popen[bytes]:
        assert ENVOY.exists() or shutil.which("envoy")
        sds = self.folder / "sds"
        sds.mkdir()
        chain, key = golden.pair(("xds.test",))
        for name, content in (("chain.pem", chain), ("key.pem", key), ("ca.pem", chain)):
            (sds / name).write_bytes(content)
        for name, entry in bootstrap.identity(sds / "chain.pem", sds / "key.pem", sds / "ca.pem").items():
            (sds / name).write_text(json.dumps(entry))
        pod = bootstrap.Pod("test", "test", ("127.0.0.1", 15012), "xds.test", sds)
        config = self.folder / "bootstrap.json"
        config.write_text(json.dumps(bootstrap.bootstrap(pod)))
        with inside(self.netns), self.log.open("wb") as log:
            arguments = bootstrap.arguments(config, concurrency=1)
            return subprocess.Popen([str(ENVOY), *arguments], stdout=log, stderr=log)

    def _stop(self) -> None:
        self.process.kill()
        self.process.wait()

    def wait_until_ready(self, seconds: float = 20) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            try:
                if self.request(f"http://probe:{bootstrap.HEALTH_PORT}{bootstrap.READY_PATH}").status == 200:
                    return
            except OSError:
                assert self.process.poll() is None, self.log.read_text()
            time.sleep(0.05)
        raise AssertionError(self.log.read_text())


class Upstream(BaseHTTPRequestHandler):
    """JSON of what it saw, with the address it was asked at. /status/N answers so; /auth lets `x-token: good` pass;
    /page… is a page of errors; /digest, /download/MIB, /ws and /sse stream.
    """

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else a body waits 40 ms for the acknowledgement of its head

    def handle_one_request(self) -> None:
        try:
            super().handle_one_request()
        except (ConnectionError, TimeoutError):
            self.close_connection = True

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        if path in STREAMS:
            STREAMS[path](self)
            return
        if path.startswith("/download/"):
            _download(self, int(path.rpartition("/")[2]))
            return
        body = self._body()
        headers = {k.lower(): ", ".join(self.headers.get_all(k) or []) for k in self.headers}
        seen = {
            "ip": self.connection.getsockname()[0],
            "method": self.command,
            "path": self.path,
            "host": self.headers["host"],
            "headers": headers,
            "length": len(body),
        }
        if path.startswith("/status/"):
            size = int(headers.get("x-size", "0"))
            body = b"" if "x-empty" in headers else b"from the upstream".ljust(size, b".")
            chunked = "x-chunked" in headers
            self._answer(int(path.rpartition("/")[2]), body, {"content-type": "text/plain"}, chunked=chunked)
        elif path == "/auth" and headers.get("x-token") != "good":
            refusal = {"www-authenticate": "Bearer", "x-asked": self.path, "x-asked-method": self.command}
            self._answer(401, json.dumps(seen).encode(), refusal)
        elif path == "/auth":
            self._answer(200, b"", {"x-user": "bob", "x-asked": self.path, "set-cookie": "seen=1"})
        elif path.startswith("/page"):
            self._answer(
                200, f"page of {headers.get('x-code')} {headers.get('x-uri')}".encode(), {"content-type": "text/html"}
            )
        else:
            self._answer(200, json.dumps(seen).encode(), {"content-type": "application/json", "server": "upstream/1"})

    do_POST = do_PUT = do_DELETE = do_PATCH = do_OPTIONS = do_HEAD = do_GET

    def _body(self) -> bytes:
        if "chunked" not in self.headers.get("transfer-encoding", ""):
            return self.rfile.read(int(self.headers.get("content-length") or 0))
        out = b""
        while size := int(self.rfile.readline().split(b";")[0], 16):
            out += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return out

    def _answer(self, status: int, body: bytes, headers: dict[str, str], *, chunked: bool = False) -> None:
        self.send_response_only(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if chunked:
            self.send_header("transfer-encoding", "chunked")
            body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
        else:
            self.send_header("content-length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *args: Any) -> None:
        pass


def _digest(handler: Upstream) -> None:
    digest, left = hashlib.sha256(), int(handler.headers["content-length"])
    while left:
        data = handler.rfile.read(min(left, 1 << 20))
        digest.update(data)
        left -= len(data)
    handler._answer(200, digest.hexdigest().encode(), {})


def _download(handler: Upstream, mib: int) -> None:
    handler.send_response_only(200)
    handler.send_header("content-length", str(mib << 20))
    handler.end_headers()
    for _ in range(mib):
        handler.wfile.write(bytes(1 << 20))


def _websocket(handler: Upstream) -> None:
    """Echoes bytes; the framing is nobody's on the way."""
    handler.send_response_only(101)
    handler.send_header("connection", "Upgrade")
    handler.send_header("upgrade", handler.headers.get("upgrade", "websocket"))
    handler.end_headers()
    handler.wfile.flush()
    while data := handler.connection.recv(65536):
        handler.wfile.write(data)
    handler.close_connection = True


def _events(handler: Upstream) -> None:
    handler.send_response_only(200)
    handler.send_header("content-type", "text/event-stream")
    handler.send_header("connection", "close")
    handler.end_headers()
    for number in range(4):
        handler.wfile.write(b"data: %d\n\n" % number)
        handler.wfile.flush()
        time.sleep(0.1)
    handler.close_connection = True


STREAMS = {"/digest": _digest, "/ws": _websocket, "/sse": _events}


class Datagrams(socketserver.BaseRequestHandler):
    """Answers with the address it listens on."""

    def handle(self) -> None:
        _, socket_ = self.request
        socket_.sendto(self.server.server_address[0].encode(), self.client_address)  # type: ignore[union-attr]
