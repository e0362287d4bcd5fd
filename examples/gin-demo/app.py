"""The gin article's program in Python's standard library: GET /ping says when and which pod."""

import json
import signal
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # connections are kept: what a gateway in front of it wants

    def do_GET(self):
        status, body = 404, {"error": f"no such path: {self.path}"}
        if self.path == "/ping":
            now = time.strftime("%a %b %e %H:%M:%S UTC %Y", time.gmtime())
            status, body = 200, {"message": f"{now}\n pong at {socket.gethostname()}\n"}
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json; charset=utf-8")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, text, *values):
        print(f"{self.client_address[0]} {text % values}", flush=True)


class Server(ThreadingHTTPServer):
    request_queue_size = 128


def main():
    server = Server(("", 8080), Handler)
    # A container's first process has no default signal handlers: without this SIGTERM would be ignored.
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
    server.serve_forever(poll_interval=0.1)
    server.server_close()


main()
