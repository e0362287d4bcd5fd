"""LinuxRuntime on the real kernel: needs root; uses namespaces and control groups named spt-* and removes them."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from sampan.base.errors import SampanError
from sampan.base.netns import inside, mount, umount
from sampan.node.runtime.destroy import destroy
from sampan.node.runtime.runtime import LinuxRuntime
from sampan.node.runtime.types import ContainerSpec, ContainerState, Mount, Process, Resources, SandboxSpec

NETNS = f"spt-rt-{os.getpid()}"
UID = "0f0f0f0f-1111-2222-3333-444444444444"
IP = "10.244.0.7"
NOBODY = 65534

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: namespaces, mounts, control groups")


@dataclass
class World:
    base: Path
    runtime: LinuxRuntime

    def log(self, name: str = "c", attempt: int = 0, uid: str = UID) -> str:
        path = self.runtime.pod_dir(uid) / "logs" / name / f"{attempt}.log"
        lines = path.read_text().splitlines() if path.exists() else []
        return "".join(line.split(" ", 3)[3] + ("\n" if line.split(" ")[2] == "F" else "") for line in lines)

    async def sandbox(self, uid: str = UID, **more: Any) -> None:
        fields: dict[str, Any] = {
            "uid": uid,
            "namespace": "default",
            "name": "web-0",
            "hostname": "web-0",
            "ip": IP,
            "hosts": f"127.0.0.1\tlocalhost\n{IP}\tweb-0\n",
            "resolv_conf": "nameserver 10.96.0.10\n",
        }
        await self.runtime.create_sandbox(SandboxSpec(**{**fields, **more}))

    async def start(
        self, *argv: str, name: str = "c", uid: str = UID, user: int = NOBODY, **more: Any
    ) -> ContainerState:
        attempt = more.get("attempt", 0)
        fields: dict[str, Any] = {
            "name": name,
            "attempt": attempt,
            "argv": argv,
            "env": (("COLOR", "blue"),),
            "cwd": "/",
            "uid": user,
            "gid": user,
            "log_path": str(self.runtime.pod_dir(uid) / "logs" / name / f"{attempt}.log"),
        }
        return await self.runtime.start_container(uid, ContainerSpec(**{**fields, **more}))

    def state(self, name: str = "c", attempt: int = 0, uid: str = UID) -> ContainerState:
        return next(s for s in self.runtime.containers(uid) if (s.name, s.attempt) == (name, attempt))

    async def end(self, name: str = "c", attempt: int = 0, uid: str = UID) -> ContainerState:
        await until(lambda: self.state(name, attempt, uid).finished_at > 0)
        return self.state(name, attempt, uid)

    async def run(self, *argv: str, **more: Any) -> tuple[ContainerState, str]:
        await self.start(*argv, **more)
        state = await self.end(more.get("name", "c"), more.get("attempt", 0))
        return state, self.log(more.get("name", "c"), more.get("attempt", 0))

    def again(self) -> LinuxRuntime:
        return LinuxRuntime("spt", NETNS, self.base / "run", self.base / "state", "10.244.0.1")

    def spawner_pid(self) -> int:
        return int((self.base / "run" / "spawner.lock").read_text())


async def until(condition: Callable[[], bool], seconds: float = 10) -> None:
    give_up = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < give_up, "waited in vain"
        await asyncio.sleep(0.01)


async def output(process: Process) -> tuple[bytes, bytes]:
    got = {1: b"", 2: b""}
    async for number, data in process.output():
        got[number] += data
    return got[1], got[2]


def shell(*argv: str) -> str:
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout


@contextmanager
def node() -> Iterator[None]:
    def ip(*words: str) -> None:
        subprocess.run(["ip", *words], check=True, capture_output=True)

    ip("netns", "add", NETNS)
    try:
        ip("-n", NETNS, "link", "set", "lo", "up")
        ip("-n", NETNS, "link", "add", "pods", "type", "bridge")
        ip("-n", NETNS, "addr", "add", "10.244.0.1/24", "dev", "pods")
        ip("-n", NETNS, "link", "set", "pods", "up")
        yield
    finally:
        ip("netns", "del", NETNS)


def play(scene: Callable[[World], Awaitable[None]]) -> None:
    """Run a scene on a node of its own, then check that nothing is left of it."""
    failure: list[BaseException] = []

    async def main(base: Path) -> None:
        world = World(base, LinuxRuntime("spt", NETNS, base / "run", base / "state", "10.244.0.1"))
        try:
            await world.runtime.start()
            await asyncio.wait_for(scene(world), 50)
        finally:
            await world.runtime.close()

    def body(base: Path) -> None:  # a thread of its own: it stands in the node's namespace
        try:
            with inside(f"/run/netns/{NETNS}"):
                asyncio.run(main(base))
        except BaseException as error:
            spawner_log = base / "run" / "spawner.log"
            error.add_note("spawner.log: " + (spawner_log.read_text() if spawner_log.exists() else "none"))
            failure.append(error)

    with tempfile.TemporaryDirectory(prefix="spt-", dir="/var/tmp") as directory, node():
        os.chmod(directory, 0o755)
        base = Path(directory)
        try:
            thread = threading.Thread(target=body, args=(base,))
            thread.start()
            thread.join()
        finally:
            destroy(base / "run", base / "state", "spt", NETNS)
        if failure:
            raise failure[0]
        assert leftovers(directory) == []


def leftovers(directory: str) -> list[str]:
    mounts = [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if directory in line]
    groups = [str(path) for path in Path("/sys/fs/cgroup").rglob(NETNS)]
    processes = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                line = (entry / "cmdline").read_bytes().decode(errors="replace")
            except OSError:
                continue
            if directory in line:
                processes.append(line)
    return mounts + groups + processes


def test_a_pod_has_its_own_name_address_and_files() -> None:
    async def scene(w: World) -> None:
        await w.sandbox()
        script = "hostname; ip -4 -o addr show eth0; ip route; cat /etc/hosts /etc/resolv.conf /etc/hostname; id -u; echo $COLOR; echo $$"
        state, text = await w.run("sh", "-c", script)
        assert (state.exit_code, state.reason) == (0, "Completed")
        lines = text.splitlines()
        assert lines[0] == "web-0"
        assert f"{IP}/32" in lines[1]
        assert lines[2].split() == ["default", "via", "10.244.0.1", "dev", "eth0", "proto", "static"]
        assert "10.244.0.1 dev eth0 proto static scope link" in text
        assert "nameserver 10.96.0.10" in text
        assert lines[-3:] == [str(NOBODY), "blue", "1"]

    play(scene)


def test_the_node_reaches_the_pod_and_a_low_port_needs_no_root() -> None:
    server = (
        "import socket; s=socket.create_server(('', 80)); print('up', flush=True); c,_=s.accept(); c.sendall(b'hi')"
    )

    async def scene(w: World) -> None:
        await w.sandbox()
        await w.start("python3", "-c", server)
        await until(lambda: w.log() == "up\n")
        reader, writer = await asyncio.open_connection(IP, 80)
        assert await reader.read() == b"hi"
        writer.close()
        assert "isolated on" in shell("bridge", "-d", "link", "show", "dev", "v0f0f0f0f11")

    play(scene)


def test_a_container_is_not_root_on_the_machine_and_cannot_become_more_than_it_may() -> None:
    async def scene(w: World) -> None:
        await w.sandbox()
        state = await w.start("sleep", "60")
        status = Path(f"/proc/{state.pid}/status").read_text()
        assert f"Uid:\t{NOBODY}\t{NOBODY}" in status
        assert re.search(r"CapEff:\s+0+2000\n", status)
        _, text = await w.run(
            "sh", "-c", "grep CapBnd /proc/self/status; mount -t tmpfs x /mnt || echo no", name="root", user=0
        )
        assert "00000000a80425fb" in text  # what docker gives
        assert "no" in text.splitlines()
        _, text = await w.run("mount", "-t", "tmpfs", "x", "/mnt", name="p", user=0, privileged=True)
        assert w.state("p").exit_code == 0, text

    play(scene)


def test_device_nodes_made_by_a_pod_open_nothing() -> None:
    async def scene(w: World) -> None:
        await w.sandbox()
        script = "for d in / /dev /run; do mknod $d/disk b 254 0; head -c 1 $d/disk && echo LEAK; done; head -c 3 /dev/zero | wc -c"
        _, text = await w.run("sh", "-c", script, user=0)
        assert "LEAK" not in text
        assert text.endswith("3\n")

    play(scene)


def test_writes_stay_in_the_pod_and_sampans_own_directories_are_hidden() -> None:
    async def scene(w: World) -> None:
        await w.sandbox()
        mark = f"spt-mark-{os.getpid()}"
        script = (
            f"touch /etc/{mark} /usr/{mark} /tmp/{mark} && rm /etc/passwd && ls -A {w.base}/run {w.base}/state; ls /run"
        )
        state, text = await w.run("sh", "-c", script, user=0)
        assert state.exit_code == 0, text
        assert [line for line in text.split() if line not in (f"{w.base}/run:", f"{w.base}/state:")] == ["lock"]
        assert Path("/etc/passwd").exists()
        assert not any(Path(d, mark).exists() for d in ("/etc", "/usr", "/tmp"))
        state, text = await w.run("sh", "-c", "echo x > /etc/x", user=0, name="ro", read_only_root=True)
        assert state.exit_code != 0
        assert "Read-only file system" in text

    play(scene)


def test_mounts() -> None:
    async def scene(w: World) -> None:
        await w.sandbox()
        source = w.base / "volume"
        source.mkdir()
        (source / "key").write_text("value")
        mounts = (
            Mount(str(source), "/data/new", read_only=True),
            Mount(str(source / "key"), "/etc/app/key"),
            Mount(str(source), "/data/rw"),
        )
        script = "cat /data/new/key /etc/app/key; touch /data/new/x || echo ro; echo 2 > /data/rw/out"
        state, text = await w.run("sh", "-c", script, user=0, mounts=mounts)
        assert state.exit_code == 0, text
        assert "valuevaluero\n" in text
        assert (source / "out").read_text() == "2\n"
        state = await w.start("true", name="bad", mounts=(Mount("/no/such", "/x"),))
        assert (state.reason, state.exit_code) == ("StartError", 128)
        assert state.message.endswith('mount at "/x": the source "/no/such" does not exist')

    play(scene)


@pytest.mark.parametrize(
    ("argv", "text"),
    [
        (("nonesuch",), 'exec: "nonesuch": executable file not found in $PATH'),
        (("/no/such",), 'exec: "/no/such": stat /no/such: no such file or directory'),
        (
            ("/etc/passwd",),
            'exec: "/etc/passwd": permission denied (user 65534 lacks execute permission on /etc/passwd',
        ),
    ],
)
def test_what_cannot_run_says_why(argv: tuple[str, ...], text: str) -> None:
    async def scene(w: World) -> None:
        await w.sandbox()
        state = await w.start(*argv)
        assert (state.exit_code, state.reason) == (128, "StartError")
        assert state.message.startswith(f"unable to start container process: {text}")
        assert state.finished_at > 0
        assert w.state() == state

    play(scene)


def test_signals_and_exit_codes() -> None:
    async def scene(w: World) -> None:
        await w.sandbox()
        await w.start("sh", "-c", "trap 'echo bye; exit 5' TERM; echo ready; while :; do sleep 0.05; done")
        await until(lambda: w.log() == "ready\n")
        await w.runtime.signal(UID, "c", signal.SIGTERM)
        state = await w.end()
        assert (state.exit_code, state.signal, state.reason) == (5, 0, "Error")
        assert w.log() == "ready\nbye\n"
        await w.start("sleep", "60", attempt=1)
        await w.runtime.signal(UID, "c", signal.SIGKILL)
        state = await w.end(attempt=1)
        assert (state.exit_code, state.signal, state.reason) == (137, signal.SIGKILL, "Error")
        with pytest.raises(SampanError, match="container c is not running"):
            await w.runtime.signal(UID, "c", signal.SIGTERM)
        await w.runtime.remove_container(UID, "c", 0)
        assert [s.attempt for s in w.runtime.containers(UID)] == [1]
        assert w.log() == ""

    play(scene)


def test_the_end_of_a_short_life_is_never_missed() -> None:
    async def scene(w: World) -> None:
        await w.sandbox()
        for attempt in range(15):
            await w.start("true", attempt=attempt)
            assert (await w.end(attempt=attempt)).reason == "Completed"
        await asyncio.gather(*(w.start("true", name=f"c{n}") for n in range(10)))
        for n in range(10):
            assert (await w.end(f"c{n}")).reason == "Completed"

    play(scene)


def test_too_much_memory_is_oomkilled() -> None:
    async def scene(w: World) -> None:
        await w.sandbox()
        eat = "x = bytearray(200 << 20); print(len(x))"
        state, _ = await w.run("python3", "-c", eat, resources=Resources(memory_limit=32 << 20))
        assert (state.reason, state.exit_code) == ("OOMKilled", 137)

    play(scene)


def test_logs_rotate_and_keep_partial_lines() -> None:
    async def scene(w: World) -> None:
        await w.sandbox()
        await w.run(
            "sh",
            "-c",
            "for i in $(seq 20000); do echo line $i; done; printf end",
            log_max_bytes=20_000,
            log_max_files=3,
        )
        folder = w.runtime.pod_dir(UID) / "logs" / "c"
        assert sorted(f.name for f in folder.iterdir()) == ["0.log", "0.log.1", "0.log.2"]
        assert all(f.stat().st_size <= 20_000 + 65_536 * 6 for f in folder.iterdir())
        assert re.fullmatch(
            r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z stdout P end", (folder / "0.log").read_text().splitlines()[-1]
        )
        _, text = await w.run("sh", "-c", "echo err >&2; echo again > /dev/stdout", name="d")
        assert "err\n" in text
        assert "again\n" in text

    play(scene)


def test_exec_with_and_without_a_terminal() -> None:
    async def scene(w: World) -> None:
        await w.sandbox()
        await w.start("sleep", "60")
        p = await w.runtime.exec(UID, "c", ("sh", "-c", "id -u; hostname; echo $COLOR; echo oops >&2; exit 7"))
        out, err = await output(p)
        assert (out, err) == (f"{NOBODY}\nweb-0\nblue\n".encode(), b"oops\n")
        assert await p.wait() == 7
        await p.close()

        p = await w.runtime.exec(UID, "c", ("wc", "-c"), stdin=True)
        await p.write(b"x" * 300_000)
        await p.close_stdin()
        assert (await output(p))[0].strip() == b"300000"
        assert await p.wait() == 0
        await p.close()

        p = await w.runtime.exec(
            UID, "c", ("sh", "-c", "tty; read x; stty size; echo got $x; kill -9 $$"), tty=True, stdin=True
        )
        p.resize(132, 43)
        await p.write(b"hello\n")
        text = (await output(p))[0].decode()
        assert "/dev/pts/0\r\n" in text
        assert "43 132" in text
        assert "got hello" in text
        assert await p.wait() == 137
        await p.close()

        with pytest.raises(SampanError, match=r'exec failed: .*exec: "bogus": executable file not found in \$PATH'):
            await w.runtime.exec(UID, "c", ("bogus",))

    play(scene)


def test_closing_an_exec_kills_it() -> None:
    async def scene(w: World) -> None:
        await w.sandbox()
        await w.start("sleep", "60")
        p = await w.runtime.exec(UID, "c", ("sleep", "4242"))
        await p.close()
        probe = ("sh", "-c", "cat /proc/[0-9]*/cmdline | tr '\\0' ' '")

        async def gone() -> bool:
            q = await w.runtime.exec(UID, "c", probe)
            out, _ = await output(q)
            await q.close()
            return b"4242" not in out

        for _ in range(100):
            if await gone():
                return
        raise AssertionError("the exec'd process still runs")

    play(scene)


def test_attach() -> None:
    async def scene(w: World) -> None:
        await w.sandbox()
        await w.start("sh", "-c", "while read x; do echo got $x; done; echo eof; exit 3", stdin=True, stdin_once=True)
        p = await w.runtime.attach(UID, "c", stdin=True)
        await p.write(b"one\ntwo\n")
        await p.close_stdin()
        assert await output(p) == (b"got one\ngot two\neof\n", b"")
        assert await p.wait() == 3
        await p.close()
        assert w.log() == "got one\ngot two\neof\n"

        await w.start("sh", "-c", "read x; echo got $x; sleep 0.1", name="t", tty=True, stdin=True)
        p = await w.runtime.attach(UID, "t", stdin=True)
        p.resize(80, 24)
        await p.write(b"hello\n")
        assert b"got hello\r\n" in (await output(p))[0]
        assert await p.wait() == 0
        await p.close()
        assert "got hello" in w.log("t")

    play(scene)


def test_containers_of_a_pod_can_share_processes_and_die_with_it() -> None:
    async def scene(w: World) -> None:
        await w.sandbox(share_processes=True)
        await w.start("sleep", "4343", name="a")
        _, text = await w.run("sh", "-c", "(sleep 99 &) ; ps ax", name="b")
        assert "sleep 4343" in text
        assert "sleep infinity" in text
        assert w.state("a").running

    play(scene)


def test_two_containers_share_the_network_but_not_processes() -> None:
    async def scene(w: World) -> None:
        await w.sandbox()
        await w.start(
            "python3",
            "-c",
            "import socket as s; l=s.create_server(('127.0.0.1', 8080)); print('up', flush=True); l.accept()",
            name="a",
        )
        await until(lambda: w.log("a") == "up\n")
        _, text = await w.run(
            "python3", "-c", "import socket; socket.create_connection(('127.0.0.1', 8080)); print('ok')", name="b"
        )
        assert text == "ok\n"

    play(scene)


def test_a_killed_spawner_is_replaced_and_its_containers_adopted() -> None:
    async def scene(w: World) -> None:
        await w.sandbox()
        script = "i=0; while [ ! -e /tmp/stop ]; do i=$((i+1)); echo line $i; sleep 0.01; done; exit 9"
        before = await w.start("sh", "-c", script)
        await until(lambda: "line 5\n" in w.log())
        old = w.spawner_pid()
        os.kill(old, signal.SIGKILL)
        await until(lambda: w.spawner_pid() not in (0, old) if (w.base / "run/spawner.lock").read_text() else False)
        seen = w.log().count("\n")
        await until(lambda: w.log().count("\n") > seen + 5)
        assert w.state() == before
        await exec_when_back(w, ("touch", "/tmp/stop"))
        state = await w.end()
        assert state.exit_code in (9, 255)  # Linux before 6.15 tells the exit code to the parent only
        if tuple(map(int, os.uname().release.split(".")[:2])) >= (6, 15):
            assert state.exit_code == 9, state.message
        numbers = [int(line.split()[1]) for line in w.log().splitlines()]
        assert numbers == list(range(1, len(numbers) + 1)), "lines were lost or doubled"

    play(scene)


def test_a_container_with_a_terminal_survives_the_spawner_too() -> None:
    async def scene(w: World) -> None:
        await w.sandbox()
        await w.start("sh", "-c", "while read x; do echo got $x; done", tty=True, stdin=True)
        os.kill(w.spawner_pid(), signal.SIGKILL)
        await exec_when_back(w, ("true",))
        assert w.state().running
        p = await w.runtime.attach(UID, "c", stdin=True)
        await p.write(b"hello\n")
        await until(lambda: "got hello" in w.log())
        await p.close()
        assert w.state().running

    play(scene)


def test_everything_killed_then_destroyed_leaves_nothing() -> None:
    async def scene(w: World) -> None:
        await w.sandbox(share_processes=True)
        state = await w.start("sh", "-c", "trap '' TERM; sleep 99 & sleep 98", name="a")
        await w.start("cat", name="b", tty=True, stdin=True)
        await w.runtime.close()
        os.kill(w.spawner_pid(), signal.SIGKILL)
        assert Path(f"/proc/{state.pid}").exists()
        destroy(w.base / "run", w.base / "state", "spt", NETNS)
        assert leftovers(str(w.base)) == []
        await until(lambda: "State:\tZ" in status(state.pid))
        w.runtime = w.again()
        await w.runtime.start()  # as after a reboot: no sandboxes, all containers ended
        assert w.runtime.sandboxes() == {}
        assert [(s.exit_code, s.reason) for s in w.runtime.containers(UID)] == [(255, "Error")] * 2

    play(scene)


def status(pid: int) -> str:
    """Of a process; one that has gone counts as a zombie (its parent has reaped it)."""
    try:
        return Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return "State:\tZ"


def test_state_on_an_overlay_still_gives_a_writable_root() -> None:
    async def scene(w: World) -> None:
        for name in ("lower", "upper", "work", "state"):
            (w.base / name).mkdir()
        options = f"lowerdir={w.base}/lower,upperdir={w.base}/upper,workdir={w.base}/work"
        mount("overlay", str(w.base / "state"), "overlay", 0, options)
        try:
            await w.sandbox()
            _, text = await w.run("sh", "-c", "echo kept > /etc/spt-new; cat /etc/spt-new", user=0)
            assert text == "kept\n"
            assert not Path("/etc/spt-new").exists()
            assert not list((w.base / "state").rglob("spt-new"))  # it was in the container's own tmpfs
            await w.runtime.remove_sandbox(UID)
        finally:
            umount(str(w.base / "state"))

    play(scene)


async def exec_when_back(w: World, argv: tuple[str, ...]) -> None:
    """The first request may have been on its way to the killed spawner; the next one waits for the new."""
    try:
        p = await w.runtime.exec(UID, "c", argv)
    except SampanError:
        p = await w.runtime.exec(UID, "c", argv)
    assert await p.wait() == 0
    await p.close()


def test_the_agent_returns_and_knows_all() -> None:
    async def scene(w: World) -> None:
        await w.sandbox()
        await w.start("sleep", "60", name="a")
        await w.run("sh", "-c", "exit 4", name="b")
        told = w.runtime.containers(UID)
        await w.runtime.close()
        w.runtime = w.again()
        await w.runtime.start()
        assert w.runtime.containers(UID) == told
        assert w.runtime.sandboxes()[UID].hostname == "web-0"
        changes = w.runtime.changes()
        while await asyncio.wait_for(anext(changes), 1) == UID and not w.runtime._changed.empty():
            pass
        await w.runtime.signal(UID, "a", signal.SIGKILL)
        assert await asyncio.wait_for(anext(changes), 5) == UID
        assert w.state("a").exit_code == 137

    play(scene)


def test_update_of_hosts_is_seen_in_running_containers() -> None:
    async def scene(w: World) -> None:
        await w.sandbox()
        await w.start("sh", "-c", "until grep -q fresh /etc/hosts; do sleep 0.02; done; echo seen")
        await w.runtime.update_sandbox_files(UID, "1.2.3.4 fresh\n", "nameserver 1.1.1.1\n")
        await w.end()
        assert w.log() == "seen\n"

    play(scene)


def test_removing_a_sandbox_leaves_logs_and_forget_leaves_nothing() -> None:
    async def scene(w: World) -> None:
        await w.sandbox()
        await w.start("sh", "-c", "echo hi; sleep 60")
        await until(lambda: w.log() == "hi\n")
        await w.runtime.remove_sandbox(UID)
        assert w.state().exit_code == 137
        assert w.runtime.sandboxes() == {}
        assert w.log() == "hi\n"
        assert "v0f0f0f0f11" not in shell("ip", "-o", "link")
        assert list((w.base / "run/ns").iterdir()) == []
        assert not [p for p in Path("/sys/fs/cgroup").rglob(UID) if NETNS in str(p)]
        assert not (w.runtime.pod_dir(UID) / "layers").exists()
        await w.runtime.remove_sandbox(UID)  # again is no mistake
        await w.runtime.forget(UID)
        assert not w.runtime.pod_dir(UID).exists()
        assert w.runtime.containers(UID) == []

    play(scene)


def test_a_host_network_pod_stands_in_the_nodes_namespace() -> None:
    async def scene(w: World) -> None:
        await w.sandbox(host_network=True, ip="")
        _, text = await w.run("ip", "-o", "link", "show", "pods")
        assert "pods" in text

    play(scene)


def test_a_host_pid_pod_sees_the_machine_and_takes_its_orphans_along() -> None:
    async def scene(w: World) -> None:
        await w.sandbox(host_pid=True, host_ipc=True)
        script = (
            f"setsid sleep 4545 & test -d /proc/{w.spawner_pid()} && echo sees; readlink /proc/self/ns/ipc; sleep 0.1"
        )
        _, text = await w.run("sh", "-c", script)
        assert text.splitlines() == ["sees", os.readlink("/proc/self/ns/ipc")]
        await until(lambda: "sleep 4545" not in shell("ps", "ax"))

    play(scene)


def test_sysctls_of_a_pod_are_its_own() -> None:
    async def scene(w: World) -> None:
        await w.sandbox(sysctls=(("net.ipv4.tcp_syncookies", "0"), ("kernel.shm_rmid_forced", "1")))
        script = "cat /proc/sys/net/ipv4/tcp_syncookies /proc/sys/kernel/shm_rmid_forced; echo 1 > /proc/sys/net/ipv4/ip_forward"
        _, text = await w.run("sh", "-c", script, user=0)
        assert "0\n1\n" in text
        assert "Read-only file system" in text
        with pytest.raises(SampanError, match=r"cannot set its sysctls: sysctl net\.no\.such=1: No such file"):
            await w.sandbox("1f0f0f0f-1111-2222-3333-444444444444", ip="10.244.0.8", sysctls=(("net.no.such", "1"),))
        assert list(w.runtime.sandboxes()) == [UID]

    play(scene)


def test_a_noisy_container_loses_nothing_and_does_not_starve_others() -> None:
    async def scene(w: World) -> None:
        await w.sandbox()
        await w.start("sh", "-c", "yes noise", name="noisy", log_max_bytes=1 << 20, log_max_files=2)
        began = time.monotonic()
        _, text = await w.run("sh", "-c", "echo quiet")
        assert text == "quiet\n"
        assert time.monotonic() - began < 2

    play(scene)
