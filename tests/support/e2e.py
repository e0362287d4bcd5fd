"""A real cluster for end-to-end tests, driven as a user does: `sampan` and `kubectl` as programs."""

from __future__ import annotations

import collections
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SAMPAN = (sys.executable, "-m", "sampan")
APP = ROOT / "examples/cloud-user"


class Result(str):
    """What a command printed to stdout; `code` and `err` beside it."""

    code: int
    err: str


def command(*argv: str, stdin: str = "", env: dict[str, str] | None = None, timeout: float = 120) -> Result:
    done = subprocess.run(argv, input=stdin, capture_output=True, text=True, timeout=timeout, env=env, check=False)
    result = Result(done.stdout)
    result.code, result.err = done.returncode, done.stderr
    return result


class Cluster:
    """One cluster with a state directory of its own, below a path that pods' users may enter."""

    def __init__(self, name: str, nodes: int = 1) -> None:
        self.name = f"{name}-{os.getpid()}"  # several test runs may share this machine
        self.nodes = nodes
        self.state = Path(tempfile.mkdtemp(prefix="sampan-test-", dir="/var/tmp"))
        self.state.chmod(0o755)

    def sampan(self, *argv: str, check: bool = True, timeout: float = 120) -> Result:
        result = command(*SAMPAN, *argv, "--state", str(self.state), timeout=timeout)
        assert not check or result.code == 0, f"sampan {argv}: {result.code}\n{result}\n{result.err}\n{self.logs()}"
        return result

    def up(self) -> Result:
        return self.sampan(
            "up", "-d", "--cluster", self.name, "--nodes", str(self.nodes), "--no-kubeconfig-merge", timeout=60
        )

    def down(self) -> Result:
        return self.sampan("down", "--cluster", self.name)

    def remove(self) -> None:
        self.sampan("down", "--cluster", self.name, "--delete")
        shutil.rmtree(self.state)

    def register(
        self, name: str = "cloud-user:1.0", *options: str, workdir: Path = APP, argv: tuple[str, ...] = ()
    ) -> None:
        run = argv or ("python3", "-u", "app.py")
        result = command(
            *SAMPAN,
            "image",
            "register",
            name,
            "--workdir",
            str(workdir),
            "--state",
            str(self.state),
            *options,
            "--",
            *run,
        )
        assert result.code == 0, result.err

    @property
    def directory(self) -> Path:
        return self.state / "clusters" / self.name

    @property
    def env(self) -> dict[str, str]:
        return os.environ | {"KUBECONFIG": str(self.directory / "kubeconfig")}

    def kubectl(self, *argv: str, stdin: str = "", check: bool = True, timeout: float = 120) -> Result:
        """`kubectl argv…`; fails the test when it fails, unless check=False."""
        result = command("kubectl", *argv, stdin=stdin, env=self.env, timeout=timeout)
        assert not check or result.code == 0, f"kubectl {' '.join(argv)}: {result.code}\n{result}\n{result.err}"
        return result

    def apply(self, manifest: str, *argv: str, check: bool = True) -> Result:
        return self.kubectl("apply", "-f", "-", *argv, stdin=manifest, check=check)

    def get(self, *argv: str) -> dict:
        return json.loads(self.kubectl("get", *argv, "-o", "json"))

    def jsonpath(self, path: str, *argv: str) -> str:
        return str(self.kubectl("get", *argv, "-o", f"jsonpath={path}"))

    def exec(self, pod: str, *argv: str, check: bool = True) -> Result:
        return self.kubectl("exec", pod, "--", *argv, check=check)

    def pids(self, what: str) -> list[int]:
        """Processes of the cluster: "supervise", "server", "agent", "spawner"."""
        pattern = f"--cgroup sampan/{self.name}/" if what == "spawner" else f"sampan {what} .*--cluster {self.name} "
        found = command("pgrep", "-f", "--", pattern)
        return [int(pid) for pid in found.split()]

    def logs(self) -> str:
        parts = [f"--- {p.name}\n{p.read_text()[-3000:]}" for p in sorted((self.directory / "logs").glob("*.log"))]
        return "\n".join(parts)


def until(check: Callable[[], object], what: str, timeout: float = 30) -> object:
    """Wait until `check()` is true and return its value."""
    deadline = time.monotonic() + timeout
    while True:
        value = check()
        if value:
            return value
        assert time.monotonic() < deadline, f"not within {timeout} s: {what}"
        time.sleep(0.1)


def fetch(url: str, timeout: float = 5, host: str = "") -> dict:
    """The JSON of a URL; `host` is sent as Host."""
    request = urllib.request.Request(url, headers={"Host": host} if host else {})
    with urllib.request.urlopen(request, timeout=timeout) as answer:
        return json.load(answer)


def answered_by(url: str, requests: int) -> collections.Counter[str]:
    return collections.Counter(fetch(url)["hostname"] for _ in range(requests))


class Load:
    """Requests from a few threads until left; `answered` counts by pod, `failed` has what went wrong."""

    def __init__(self, url: str, threads: int = 4, host: str = "") -> None:
        self.answered: collections.Counter[str] = collections.Counter()
        self.failed: list[str] = []
        self._url, self._host = url, host
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run) for _ in range(threads)]

    @property
    def total(self) -> int:
        return sum(self.answered.values())

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self.answered[fetch(self._url, host=self._host)["hostname"]] += 1
            except (OSError, ValueError) as error:
                self.failed.append(f"{time.strftime('%X')} {error!r}")


def traces(mine: str = "trace") -> dict[str, str]:
    """What a cluster whose name starts with `mine` could leave behind on this machine.

    Pods of other clusters come and go meanwhile: their mounts, cgroups and processes are left out.
    """
    others = [p.name for p in Path("/run/sampan").glob("*") if not p.name.startswith(mine)]

    def ours(lines: Iterable[str]) -> str:
        return "\n".join(sorted(line for line in lines if not any(f"/{other}/" in f"{line}/" for other in others)))

    processes = command("ps", "-eo", "args").splitlines()
    return {
        "links": str(command("ip", "-o", "link")),
        "addresses": "\n".join(line.split("valid_lft")[0] for line in command("ip", "-o", "addr").splitlines()),
        "routes": str(command("ip", "route", "show", "table", "all")),
        "rules": str(command("nft", "list", "ruleset")),
        "mounts": ours(Path("/proc/self/mounts").read_text().splitlines()),
        "processes": ours(p for p in processes if "sampan" in p and mine in p and "pytest" not in p),
        "cgroups": ours(str(p) for p in Path("/sys/fs/cgroup").glob("**/sampan*/**")),
        "run": "\n".join(sorted(p.name for p in Path("/run/sampan").glob(f"{mine}*"))),
        "forwarding": Path("/proc/sys/net/ipv4/ip_forward").read_text(),
    }
