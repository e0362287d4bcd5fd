"""The runtime's pure parts: what is on the wire and on disk, what may run, which file systems a pod sees."""

from __future__ import annotations

import asyncio
import json
import os
import socket
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from sampan.node.runtime import records, tcp, wire
from sampan.node.runtime.launch import CAPABILITIES, DEFAULT_CAPABILITIES, Failure, capabilities, find
from sampan.node.runtime.paths import Paths
from sampan.node.runtime.rootfs import filesystems
from sampan.node.runtime.streams import Streams
from sampan.node.runtime.types import Connections, ContainerSpec, ContainerState, Mount, Resources, SandboxSpec

SPEC = ContainerSpec(
    "web",
    2,
    ("sh", "-c", "true"),
    (("A", "1"),),
    "/",
    1000,
    1000,
    groups=(5, 6),
    mounts=(Mount("/a", "/b", read_only=True),),
    resources=Resources(1, 2, 3),
    add_capabilities=("NET_ADMIN",),
)


def test_specs_survive_json() -> None:
    assert records.container(json.loads(json.dumps(asdict(SPEC)))) == SPEC
    sandbox = SandboxSpec("u", "ns", "p", "p", "1.2.3.4", "", "", sysctls=(("a.b", "1"),), resources=Resources(1))
    assert records.sandbox(json.loads(json.dumps(asdict(sandbox)))) == sandbox


def test_a_record_of_another_boot_or_a_vanished_process_is_an_end(tmp_path: Path) -> None:
    paths = Paths(tmp_path / "run", tmp_path / "state")
    running = ContainerState("u", "web", 2, pid=os.getpid(), started_at=1.0)
    mine = records.Record(running, SPEC, records.boot_id(), records.birth(os.getpid()))
    records.save_record(paths, mine)
    assert list(records.load_records(paths)) == [mine]
    for lost, why in (
        (replace(mine, boot="another"), "the machine restarted"),
        (replace(mine, birth="1"), "its end was not seen: the spawner was killed"),
    ):
        records.save_record(paths, lost)
        (read,) = records.load_records(paths)
        assert (read.state.exit_code, read.state.reason, read.state.message) == (255, "Error", why)
        assert read.state.finished_at > 0
        assert list(records.load_records(paths)) == [read]  # the end is on disk now


def test_a_damaged_record_hurts_no_other(tmp_path: Path) -> None:
    paths = Paths(tmp_path / "run", tmp_path / "state")
    ended = ContainerState("u", "web", 2, pid=1, started_at=1.0, finished_at=2.0)
    records.save_record(paths, records.Record(ended, SPEC))
    paths.record("u", "web", 3).write_text("{")
    assert [record.state for record in records.load_records(paths)] == [ended]


def test_reasons() -> None:
    state = ContainerState("u", "web", 0)
    assert records.ended(state, 0).reason == "Completed"
    assert records.ended(state, 3).reason == "Error"
    assert records.ended(state, 137, oom=True).reason == "OOMKilled"
    assert records.ended(state, 0, oom=True).reason == "Completed"


def test_frames_arrive_whole_with_their_descriptors() -> None:
    left, right = socket.socketpair()
    read, write = os.pipe()
    big = {"id": 1, "text": "x" * 500_000}
    data = wire.frame(big) + wire.frame({"id": 2, "fds": 1}) + wire.frame({"id": 3})
    reader = wire.Reader()
    got = []
    right.setblocking(False)
    left.setblocking(False)
    sent = 0
    while len(got) < 3:
        if sent < len(data):
            at_fds = sent == len(wire.frame(big))
            end = len(data) if sent >= len(wire.frame(big)) else len(wire.frame(big))
            sent += socket.send_fds(left, [data[sent : min(end, sent + 50_000)]], [write] if at_fds else [])
        try:
            got += list(reader.receive(right))
        except BlockingIOError:
            pass
    assert [message["id"] for message, _ in got] == [1, 2, 3]
    assert got[0][0] == big
    assert [len(fds) for _, fds in got] == [0, 1, 0]
    os.write(got[1][1][0], b"through")
    assert os.read(read, 10) == b"through"
    left.close()
    with pytest.raises(ConnectionError):
        reader.receive(right)
    for fd in (read, write, got[1][1][0]):
        os.close(fd)
    right.close()


def test_capabilities() -> None:
    plain = replace(SPEC, add_capabilities=())
    assert capabilities(plain) == DEFAULT_CAPABILITIES
    assert capabilities(replace(plain, privileged=True)) == set(CAPABILITIES)
    assert capabilities(replace(plain, drop_capabilities=("ALL",), add_capabilities=("NET_ADMIN",))) == {"NET_ADMIN"}
    assert capabilities(replace(plain, add_capabilities=("ALL",), drop_capabilities=("SYS_ADMIN",))) == set(
        CAPABILITIES
    ) - {"SYS_ADMIN"}
    assert "NET_RAW" not in capabilities(replace(plain, drop_capabilities=("CAP_NET_RAW",)))
    assert len(CAPABILITIES) == 41
    assert CAPABILITIES.index("SYS_ADMIN") == 21


def test_programs_are_found_as_a_shell_does(tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    assert find("program", f"/nonexistent:{tmp_path}") == str(program)
    assert find(str(program), "") == str(program)
    for name, code, text in (
        ("other", 127, 'exec: "other": executable file not found in $PATH'),
        ("/no/such", 127, 'exec: "/no/such": stat /no/such: no such file or directory'),
        (str(tmp_path), 126, f'exec: "{tmp_path}": is a directory'),
        ("", 127, "no command specified"),
    ):
        with pytest.raises(Failure) as failure:
            find(name, str(tmp_path))
        assert (str(failure.value), failure.value.code) == (text, code)


def test_which_file_systems_a_pod_sees() -> None:
    table = """\
22 27 0:21 / /proc rw - proc proc rw
23 27 0:22 / /sys rw - sysfs sysfs rw
27 1 254:0 / / rw - ext4 /dev/vda rw
28 27 0:30 / /home rw shared:5 - ext4 /dev/vdb rw
29 28 0:31 / /home/my\\040disk rw - xfs /dev/vdc rw
30 27 0:32 / /run/user rw - tmpfs tmpfs rw
31 27 0:33 / /tmp rw - tmpfs tmpfs rw
32 27 0:34 / /var/lib/docker/overlay2/x/merged rw - overlay overlay rw
33 27 0:35 / /snap/core/1 ro - squashfs /dev/loop0 ro
34 27 0:36 net:[1] /var/x/ns rw - nsfs nsfs rw
"""
    assert filesystems(table) == ["/home", "/home/my disk", "/tmp"]


def test_streams_carry_both_outputs_and_a_close_wakes_the_reader() -> None:
    async def scene() -> None:
        out, out_end = os.pipe()
        err, err_end = os.pipe()
        code: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        closed: list[str] = []

        async def note() -> None:
            closed.append("closed")

        process = Streams([(1, out), (2, err)], -1, tty=False, code=code, on_close_stdin=note, on_close=note)
        os.write(out_end, b"out")
        os.write(err_end, b"err")
        os.close(err_end)
        got = []

        async def read() -> None:
            async for piece in process.output():
                got.append(piece)

        reading = asyncio.create_task(read())
        await asyncio.sleep(0.01)
        assert sorted(got) == [(1, b"out"), (2, b"err")]
        with pytest.raises(BrokenPipeError):
            await process.write(b"x")
        code.set_result(3)
        assert await process.wait() == 3
        await process.close()
        await asyncio.wait_for(reading, 1)
        assert closed == ["closed"]
        os.close(out_end)

    asyncio.run(scene())


TCP = """
   0: 00000000:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1 0 100 0 0 10 0
   1: 00000000:1F91 00000000:0000 0A 00000000:00000002 00:00000000 00000000     0        0 1 1 0 100 0 0 10 0
   2: 0200F40A:1F90 01F4000A:C001 01 00000010:00000005 00:00000000 00000000     0        0 1 1 0 20 4 30 10 -1
   3: 0200F40A:1F90 01F4000A:C002 03 00000000:00000000 01:00000000 00000000     0        0 0 1 0
   4: 0200F40A:1F90 01F4000A:C003 04 00000001:00000000 01:00000000 00000000     0        0 0 1 0
   5: 0200F40A:1F90 01F4000A:C004 05 00000000:00000000 00:00000000 00000000     0        0 0 1 0
   6: 0200F40A:1F90 01F4000A:C005 06 00000000:00000000 03:00000000 00000000     0        0 0 3 0
   7: 0200F40A:1F90 01F4000A:C006 09 00000001:00000000 01:00000000 00000000     0        0 0 1 0
   8: 0200F40A:1F90 01F4000A:C007 09 00000400:00000000 01:00000000 00000000     0        0 0 1 0
"""


def test_connections_that_the_kernel_is_not_done_with() -> None:
    """Arriving: an accept queue, a handshake. Leaving: a FIN without its answer, data after the other's FIN."""
    assert tcp.count(TCP.strip("\n").splitlines()) == Connections(arriving=2, leaving=2)
    assert tcp.connections(Path("/nowhere")) == Connections()
