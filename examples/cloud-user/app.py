"""The demo's program, standard library only: it plays both services, by the paths it is asked for.

GET /actuator/info                  who answers: {"hostname": …, "app": …}
GET /ext-service/user-service/info  asks the user service (USER_SERVICE, host:port) and says who answered there
"""

import json
import os
import signal
import socket
import threading
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

NAME = os.environ.get("APP_NAME", "app")
USER_SERVICE = os.environ.get("USER_SERVICE", "clusterip-cloud-user:8080")


def info():
    return 200, {"app": NAME, "hostname": socket.gethostname()}


def ask_user_service():
    url = f"http://{USER_SERVICE}/actuator/info"
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            found = json.load(answer)
    except OSError as error:
        return 500, {"returnCode": -1, "returnMsg": f"Error in getting user service info: {error}"}
    message = f"user service is running in the host: {found['hostname']}"
    return 200, {"returnCode": 0, "returnMsg": message, "data": found}


ROUTES = {"/actuator/info": info, "/ext-service/user-service/info": ask_user_service}


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        status, body = ROUTES.get(self.path, lambda: (404, {"error": f"no such path: {self.path}"}))()
        data = json.dumps(body).encode() + b"\n"
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, text, *values):
        print(f"{self.client_address[0]} {text % values}", flush=True)


class Server(ThreadingHTTPServer):
    daemon_threads = False  # requests in progress are answered before the program ends
    request_queue_size = 128


def main():
    server = Server(("", int(os.environ.get("PORT", "8080"))), Handler)
    # A container's first process has no default signal handlers: without this SIGTERM would be ignored.
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
    print(f"{NAME} listens on {server.server_port}", flush=True)
    server.serve_forever(poll_interval=0.1)
    server.server_close()
    print(f"{NAME} ends", flush=True)


main()
