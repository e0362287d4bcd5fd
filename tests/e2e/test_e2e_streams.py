"""exec, attach, cp, run, port-forward, debug and proxy with every kubectl on this machine: 1.20 and 1.27–1.29 speak
SPDY/3.1, later ones WebSocket."""

from __future__ import annotations

import concurrent.futures
import contextlib
import fcntl
import glob
import hashlib
import json
import os
import pty
import re
import socket
import struct
import subprocess
import termios
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from e2e import Cluster, command, until

# The default one always; older ones where they are installed.
OTHERS = sorted(glob.glob("/usr/lib/google-cloud-sdk/bin/kubectl.1.2[79]"))
KUBECTLS = ["kubectl", *OTHERS, *(p for p in [os.environ.get("SAMPAN_TEST_OLD_KUBECTL", "")] if p)]

SERVER = """
import http.server, socketserver
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        size = int(self.path[1:]) if self.path[1:].isdigit() else 0
        self.answer(b"x" * size if size else ("path " + self.path).encode())
    def do_POST(self):
        left = size = int(self.headers["content-length"])
        while left:
            left -= len(self.rfile.read(min(left, 65536)))
        self.answer(str(size).encode())
    def answer(self, body):
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *args): pass
class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads, request_queue_size = True, 200
Server(("127.0.0.1", 8000), Handler).serve_forever()
"""

PODS = """
apiVersion: v1
kind: Pod
metadata: {name: box, labels: {app: box}}
spec:
  containers: [{name: box, image: busybox, command: [sleep, infinity]}]
  terminationGracePeriodSeconds: 0
---
apiVersion: v1
kind: Pod
metadata: {name: local, labels: {app: local}}
spec:
  containers:
  - name: local
    image: busybox
    command: [python3, -c, %s]
    ports: [{containerPort: 8000}]
    readinessProbe:
      exec: {command: [python3, -c, "import socket; socket.create_connection(('127.0.0.1', 8000))"]}
      periodSeconds: 1
  terminationGracePeriodSeconds: 0
---
apiVersion: v1
kind: Service
metadata: {name: local}
spec: {selector: {app: local}, ports: [{port: 80, targetPort: 8000}]}
"""


@pytest.fixture(scope="module")
def box(shared: Cluster) -> Iterator[Cluster]:
    """A namespace for all tests of this file, as kubectl's default."""
    shared.kubectl("create", "namespace", "streams")
    shared.kubectl("config", "set-context", "--current", "--namespace=streams")
    shared.apply(PODS % json.dumps(SERVER))
    shared.kubectl("wait", "pod/box", "pod/local", "--for=condition=Ready", "--timeout=30s")
    yield shared
    shared.kubectl("config", "set-context", "--current", "--namespace=default")
    shared.kubectl("delete", "namespace", "streams", "--wait=false")
    nodes = shared.kubectl("get", "pods", "-n", "default", "-o", "name").split()
    shared.kubectl("delete", "-n", "default", "--now", *[n for n in nodes if "node-debugger" in n], check=False)


def run(cluster: Cluster, kubectl: str, *argv: str, stdin: bytes = b"", timeout: float = 30) -> tuple[int, bytes, str]:
    done = subprocess.run([kubectl, *argv], input=stdin, capture_output=True, timeout=timeout, env=cluster.env)
    return done.returncode, done.stdout, done.stderr.decode()


def on_terminal(cluster: Cluster, *argv: str, typed: bytes = b"", timeout: float = 30) -> tuple[int, str]:
    """Run on a terminal of 100 columns; `typed` is typed once something was printed."""
    pid, fd = pty.fork()
    if pid == 0:
        os.environ.update(cluster.env)
        os.execvp(argv[0], argv)
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 100, 0, 0))
    output, deadline = b"", time.monotonic() + timeout
    os.set_blocking(fd, False)
    while time.monotonic() < deadline:
        try:
            data = os.read(fd, 4096)
        except BlockingIOError:
            time.sleep(0.02)
            continue
        except OSError:  # EIO: kubectl has ended
            break
        output += data
        if typed:
            os.write(fd, typed)
            typed = b""
    else:
        os.kill(pid, 9)
    os.close(fd)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), output.decode()


@contextlib.contextmanager
def forwarding(cluster: Cluster, kubectl: str, what: str, ports: str) -> Iterator[tuple[int, subprocess.Popen]]:
    """`kubectl port-forward what ports`: the local port, and the process."""
    process = subprocess.Popen(
        [kubectl, "port-forward", what, ports], env=cluster.env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    try:
        line = process.stdout.readline().decode()
        found = re.search(r"127.0.0.1:(\d+) ->", line)
        assert found, line + process.stdout.read().decode()
        yield int(found[1]), process
    finally:
        process.terminate()
        process.wait()


def memory(cluster: Cluster) -> int:
    """Resident KiB of server and agents."""
    pids = [pid for what in ("server", "agent") for pid in cluster.pids(what)]
    return sum(int(re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{p}/status").read_text())[1]) for p in pids)


@pytest.mark.parametrize("kubectl", KUBECTLS)
def test_exec(box: Cluster, kubectl: str) -> None:
    code, out, err = run(box, kubectl, "exec", "box", "--", "sh", "-c", "echo out; echo err >&2; exit 3")
    assert (code, out) == (3, b"out\n")
    assert "err\n" in err
    assert "command terminated with exit code 3" in err
    data = os.urandom(3 << 20)
    assert run(box, kubectl, "exec", "-i", "box", "--", "cat", stdin=data)[:2] == (0, data)
    code, _, err = run(box, kubectl, "exec", "box", "--", "no-such-program")
    assert code != 0
    assert 'exec: "no-such-program": executable file not found in $PATH' in err
    code, shown = on_terminal(box, kubectl, "exec", "-it", "box", "--", "sh", "-c", "sleep 0.3; stty size; exit 4")
    assert code == 4
    assert "40 100" in shown


@pytest.mark.parametrize("kubectl", KUBECTLS)
def test_copy_both_ways(box: Cluster, kubectl: str, tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "below").mkdir(parents=True)
    (source / "below/data").write_bytes(os.urandom(2 << 20))
    (source / "empty").touch()
    there = f"box:/tmp/copy{KUBECTLS.index(kubectl)}"
    assert run(box, kubectl, "cp", str(source), there)[0] == 0
    assert run(box, kubectl, "cp", there, str(tmp_path / "back"))[0] == 0
    assert command("diff", "-r", str(source), str(tmp_path / "back")).code == 0


@pytest.mark.parametrize("kubectl", KUBECTLS)
def test_port_forward(box: Cluster, kubectl: str) -> None:
    with forwarding(box, kubectl, "svc/local", ":80") as (port, _):
        url = f"http://127.0.0.1:{port}"

        def fetch(number: int) -> int:
            with urllib.request.urlopen(f"{url}/{1000 + number}", timeout=20) as answer:
                return len(answer.read())

        with concurrent.futures.ThreadPoolExecutor(30) as pool:
            assert list(pool.map(fetch, range(120))) == [1000 + i for i in range(120)]
        assert fetch(20_000_000) == 20_001_000
        with urllib.request.urlopen(url, data=bytes(20_000_000), timeout=20) as answer:
            assert answer.read() == b"20000000"


@pytest.mark.parametrize("kubectl", KUBECTLS)
def test_port_forward_to_a_port_nobody_listens_on(box: Cluster, kubectl: str) -> None:
    with forwarding(box, kubectl, "pod/local", ":81") as (port, process):
        with socket.create_connection(("127.0.0.1", port)) as sock:
            sock.settimeout(10)
            with contextlib.suppress(ConnectionError):
                assert sock.recv(1) == b""
        process.terminate()
        shown = process.stdout.read().decode()
    assert f"an error occurred forwarding {port} -> 81: error forwarding port 81 to pod" in shown
    assert "connect: connection refused" in shown


@pytest.mark.parametrize("kubectl", KUBECTLS)
def test_run_and_attach(box: Cluster, kubectl: str) -> None:
    image = ("--image=busybox", "--restart=Never")
    code, out, err = run(
        box, kubectl, "run", "once", "-i", "--rm", *image, "--", "sh", "-c", "cat; exit 5", stdin=b"hi\n"
    )
    assert code == 5, err
    assert b"hi\n" in out
    argv = (
        kubectl,
        "run",
        "shell",
        "-it",
        "--rm",
        *image,
        "--",
        "sh",
        "-c",
        "sleep 1; echo ready; read line; echo got $line",
    )
    code, shown = on_terminal(box, *argv, typed=b"something\n")
    assert code == 0, shown
    assert "got something" in shown
    assert 'pod "shell" deleted' in shown


def test_large_outputs_take_no_memory_and_wait_for_who_reads_slowly(box: Cluster) -> None:
    run(box, "kubectl", "exec", "box", "--", "head", "-c", "20000000", "/dev/zero")
    before = memory(box)
    for kubectl in KUBECTLS[:2]:
        reader = subprocess.Popen(
            [kubectl, "exec", "box", "--", "head", "-c", "100000000", "/dev/zero"], env=box.env, stdout=subprocess.PIPE
        )
        time.sleep(1)  # nobody reads yet
        assert memory(box) - before < 20_000
        assert sum(len(data) for data in iter(lambda r=reader: r.stdout.read(1 << 20), b"")) == 100_000_000
        assert reader.wait() == 0
    assert memory(box) - before < 20_000


@pytest.mark.parametrize("kubectl", KUBECTLS)
def test_what_a_vanished_client_ran_ends_and_nothing_else(box: Cluster, kubectl: str) -> None:
    mark = f"sleep {7000 + KUBECTLS.index(kubectl)}"
    client = subprocess.Popen([kubectl, "exec", "box", "--", *mark.split()], env=box.env)
    until(lambda: command("pgrep", "-fx", mark), "the exec'd process")
    client.kill()
    client.wait()
    until(lambda: not command("pgrep", "-fx", mark), "its end")
    attached = subprocess.Popen([kubectl, "attach", "box"], env=box.env, stderr=subprocess.DEVNULL)
    time.sleep(0.5)
    attached.kill()
    attached.wait()
    time.sleep(0.2)
    assert box.jsonpath("{.status.phase} {.status.containerStatuses[0].restartCount}", "pod", "box") == "Running 0"


def test_debug_a_pod(box: Cluster) -> None:
    debug = ("debug", "box", "--image=busybox", "-i", "-q")
    shell = ("--", "sh", "-c", "sleep 0.5; cat /proc/1/cmdline | tr '\\0' ' '; hostname")
    code, out, err = run(box, "kubectl", *debug, "--target=box", "-c", "look", *shell)
    assert (code, out.split()) == (0, [b"sleep", b"infinity", b"box"]), err
    state = box.jsonpath("{.status.ephemeralContainerStatuses[0].state.terminated.exitCode}", "pod", "box")
    assert state == "0"
    assert box.jsonpath("{.status.containerStatuses[0].ready}", "pod", "box") == "true"
    code, _, err = run(box, "kubectl", *debug, "--target=none", "-c", "other", *shell)
    assert 'spec.ephemeralContainers[1].targetContainerName: Not found: "none"' in err
    show = ("--", "sh", "-c", "sleep 0.5; grep CapEff /proc/self/status")
    bits = {"general": 1 << 19, "netadmin": 1 << 12, "sysadmin": 1 << 21, "baseline": 0, "restricted": 0}
    for profile, bit in bits.items():
        code, out, err = run(box, "kubectl", *debug, f"--profile={profile}", "-c", profile, *show)
        assert code == 0, err
        assert int(out.split()[1], 16) & bit == bit, profile
    assert int(out.split()[1], 16) == 0  # restricted


def test_debug_a_copy_and_a_node(box: Cluster) -> None:
    copy = ("debug", "box", "--copy-to=twin", "--share-processes", "--image=busybox", "-c", "look", "-i", "-q")
    code, out, err = run(box, "kubectl", *copy, "--", "sh", "-c", "sleep 1; ps -e -o args")
    assert code == 0, err
    assert b"sleep infinity" in out
    node = ("debug", "node/node-0", "--image=busybox", "-i", "-q", "--profile=sysadmin", "--")
    code, out, err = run(
        box, "kubectl", *node, "sh", "-c", "sleep 0.5; chroot /host cat /etc/hostname; pgrep -f sampan"
    )
    assert code == 0, err
    hostname, *pids = out.decode().split()
    assert hostname == Path("/etc/hostname").read_text().strip()
    assert set(map(str, box.pids("server"))) <= set(pids)  # it is among the machine's processes


def test_proxies(box: Cluster) -> None:
    space = "/api/v1/namespaces/streams"
    answer = box.kubectl("get", "--raw", f"{space}/pods/local:8000/proxy/x", check=False)
    assert "error trying to reach service: dial tcp" in answer.err  # it listens on loopback only
    assert "connection refused" in answer.err
    assert str(box.kubectl("get", "--raw", "/api/v1/nodes/node-0/proxy/healthz")) == "ok"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    proxy = subprocess.Popen(
        ["kubectl", "proxy", f"--port={port}", "--disable-filter"],
        env=box.env,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        until(lambda: command("curl", "-sf", f"http://127.0.0.1:{port}/version"), "kubectl proxy")
        for kubectl in KUBECTLS:
            argv = ("-s", f"http://127.0.0.1:{port}", "-n", "streams", "exec", "box", "--", "echo", "through")
            assert run(box, kubectl, *argv)[1] == b"through\n"
    finally:
        proxy.terminate()
        proxy.wait()


def test_input_of_any_size_arrives_whole(box: Cluster) -> None:
    data = os.urandom(1 << 20) * 50
    for kubectl in KUBECTLS[:2]:
        _, out, _ = run(box, kubectl, "exec", "-i", "box", "--", "sha256sum", stdin=data)
        assert out.split()[0].decode() == hashlib.sha256(data).hexdigest()
