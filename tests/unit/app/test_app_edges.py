"""The edges of bringing up and taking down: locks, damaged files, kubeconfigs of others, machines without room."""

from __future__ import annotations

import asyncio
import fcntl
import os
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
import uvloop
import yaml

from sampan.app import config, kubeconfig, processes
from sampan.app.config import Cluster, load
from sampan.app.destroy import _clear
from sampan.app.supervisor import LOCK, claim, running
from sampan.base.errors import ProcessError, UserError
from sampan.base.fs import exclusive, write_atomic
from sampan.base.proc import run
from sampan.base.tasks import Tasks
from sampan.ca.authority import Authority, Leaf
from sampan.node.network import NetworkPlan


def cluster(folder: Path, name: str = "spt") -> Cluster:
    made = Cluster(name, folder, NetworkPlan(name, 3, ("node-0",), folder / "run" / name), 6443)
    made.save()
    now = datetime(2026, 1, 1, tzinfo=UTC)
    Authority.open(made.pki, "test", now).ensure(Leaf("admin", "admin", ("system:masters",), client=True), now)
    return made


# -- locks

HOLD = """
import fcntl, sys
lock = open(sys.argv[1], "a+")
fcntl.flock(lock, fcntl.LOCK_EX)
print("locked", flush=True)
sys.stdin.readline()
lock.truncate(0)
lock.write("4242")
lock.flush()
print("written", flush=True)
sys.stdin.readline()
"""


def test_who_only_looks_is_never_taken_for_the_supervisor(tmp_path: Path) -> None:
    made = cluster(tmp_path)
    made.run.mkdir(parents=True)
    (made.run / LOCK).write_text("1")  # of a supervisor that died
    assert running(made) == 0
    with (made.run / LOCK).open() as looking:
        fcntl.flock(looking, fcntl.LOCK_SH)
        assert running(made) == 0


def test_a_supervisor_is_seen_from_its_first_moment(tmp_path: Path) -> None:
    made = cluster(tmp_path)
    made.run.mkdir(parents=True)
    with subprocess.Popen([sys.executable, "-c", HOLD, made.run / LOCK], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE, text=True) as process:  # fmt: skip
        assert process.stdin
        assert process.stdout
        try:
            assert process.stdout.readline() == "locked\n"
            assert claim(made) is None
            assert running(made) == 0  # a `down` holds the lock without a name
            process.stdin.write("\n")
            process.stdin.flush()
            assert process.stdout.readline() == "written\n"
            assert running(made) == 4242
        finally:
            process.kill()
    lock = claim(made)
    assert lock is not None
    assert lock.read() == ""
    lock.close()


def test_a_lock_that_was_removed_is_no_lock(tmp_path: Path) -> None:
    made = cluster(tmp_path)
    first = claim(made)
    assert first is not None
    _clear(made.run)
    assert not made.run.exists()
    second = claim(made)
    assert second is not None
    assert claim(made) is None
    first.close()
    second.close()


def test_clearing_leaves_what_is_new(tmp_path: Path) -> None:
    run = tmp_path / "run"
    (run / "nodes" / "a").mkdir(parents=True)
    (run / "ip_forward").write_text("1")
    (run / LOCK).write_text("")
    _clear(run)
    assert not run.exists()
    _clear(run)  # nothing there is fine


# -- cluster.json


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "null", '"x"', "{}", '{"index": 1}', '{"index": 500, "nodes": ["node-0"], "apiPort": 6443}',
     '{"index": 1, "nodes": [], "apiPort": 6443}', '{"index": 1, "nodes": 3, "apiPort": 6443}',
     '{"index": 1, "nodes": ["../.."], "apiPort": 6443}', '{"index": 1, "nodes": ["node-0"], "apiPort": 70000}',
     '{"index": 1, "nodes": ["node-0"], "apiPort": "x"}',
     '{"index": 1, "nodes": ["node-0"], "apiPort": 6443, "historySeconds": "long"}', "\x00\x01"],
)  # fmt: skip
def test_a_damaged_cluster_json_is_named_with_a_way_out(tmp_path: Path, text: str) -> None:
    made = cluster(tmp_path)
    path = made.directory / "cluster.json"
    path.write_text(text)
    with pytest.raises(UserError, match=r"cluster\.json is damaged") as caught:
        load("spt", tmp_path)
    subprocess.run(caught.value.hint.split(), check=True)  # the hint works
    found = load("spt", tmp_path)
    assert found is not None
    assert (found.plan.index, found.api_port, found.history) == (3, 6443, made.history)


def test_another_clusters_damage_keeps_nobody_down(tmp_path: Path) -> None:
    (cluster(tmp_path, "other").directory / "cluster.json").write_text("{")
    assert config._healthy("other", tmp_path) is None


def test_a_cluster_from_before_history_had_a_length(tmp_path: Path) -> None:
    made = cluster(tmp_path)
    (made.directory / "cluster.json").write_text('{"index": 3, "nodes": ["node-0"], "apiPort": 6443}')
    found = load("spt", tmp_path)
    assert found is not None
    assert found.history == (config.HISTORY_SECONDS, config.HISTORY_BYTES)


def test_a_state_directory_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert load("spt", tmp_path / "file") is None


def test_a_relative_state_directory_is_made_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert config.state_root(Path("here")) == tmp_path / "here"
    monkeypatch.setenv("SAMPAN_STATE", "there")
    assert config.state_root() == tmp_path / "there"


# -- kubeconfig

THEIRS = {"apiVersion": "v1", "kind": "Config", "current-context": "work", "preferences": {"colors": True},
          "contexts": [{"name": "work", "context": {"cluster": "w", "user": "w"}}],
          "clusters": [{"name": "w", "cluster": {"server": "https://w"}}], "users": [{"name": "w", "user": {}}]}  # fmt: skip


def test_merge_and_unmerge_leave_the_rest_alone(tmp_path: Path) -> None:
    made, path = cluster(tmp_path), tmp_path / "config"
    path.write_text(yaml.safe_dump(THEIRS))
    kubeconfig.merge(made, path)
    kubeconfig.merge(made, path)
    found = yaml.safe_load(path.read_text())
    assert found["current-context"] == "sampan-spt"
    assert [c["name"] for c in found["contexts"]] == ["work", "sampan-spt"]
    kubeconfig.unmerge(made, path)
    assert yaml.safe_load(path.read_text()) == THEIRS | {"current-context": ""}


def test_a_namesake_of_another_state_directory_keeps_its_context(tmp_path: Path) -> None:
    path = tmp_path / "config"
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    first, second = cluster(tmp_path / "a"), cluster(tmp_path / "b")
    kubeconfig.merge(first, path)
    kubeconfig.unmerge(second, path)
    assert "sampan-spt" in path.read_text()
    kubeconfig.unmerge(first, path)
    assert "name: sampan-spt" not in path.read_text()


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    real, link = tmp_path / "real", tmp_path / "link"
    real.write_text("")
    link.symlink_to(real)
    kubeconfig.merge(cluster(tmp_path), link)
    assert link.is_symlink()
    assert "sampan-spt" in real.read_text()


@pytest.mark.parametrize(
    "text", ["- a", "contexts: 3", "contexts: [3]", "clusters: {a: b}", "\t", "a: [", "just words"]
)
def test_what_is_no_kubeconfig_is_left_as_it_is(tmp_path: Path, text: str) -> None:
    path = tmp_path / "config"
    path.write_text(text)
    with pytest.raises(UserError) as caught:
        kubeconfig.merge(cluster(tmp_path), path)
    assert "--no-kubeconfig-merge" in caught.value.hint
    assert path.read_text() == text


def test_the_users_config_is_the_first_that_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", ":/a:/b")
    assert kubeconfig.user_config() == Path("/a")
    monkeypatch.setenv("KUBECONFIG", "::")
    assert kubeconfig.user_config().name == "config"


# -- processes, files, tasks


def test_a_log_that_cannot_be_written_keeps_no_process_down(tmp_path: Path) -> None:
    child = processes.Child("x", ["--help"], tmp_path / "nowhere" / "x.log")
    child.start()
    assert child.process is not None
    child.process.wait(20)
    os.close(child.ready_fd)


def test_a_machine_without_room_for_a_process_leaks_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(subprocess, "Popen", refuse)
    child = processes.Child("x", ["--help"], tmp_path / "x.log")
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(OSError, match="temporarily"):
        child.start()
    assert len(os.listdir("/proc/self/fd")) == before
    assert child.process is None


def test_a_program_that_ends_at_once_is_no_riddle_to_the_event_loop() -> None:
    async def main() -> None:
        for _ in range(30):
            assert await run(["true"]) == b""
            assert await run(["cat"], b"x") == b"x"
            with pytest.raises(ProcessError, match="false exited with 1"):
                await run(["false"], b"something")

    uvloop.run(main())


def test_half_a_file_is_not_left_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(fd: int) -> None:
        raise OSError(28, "No space left on device")

    (tmp_path / "f").write_text("old")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_atomic(tmp_path / "f", b"new")
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [("f", "old")]


def test_stopping_tasks_from_one_of_them_and_those_started_late() -> None:
    async def main() -> list[str]:
        tasks, ended = Tasks("test"), list[str]()

        async def sleeper(name: str, *, heir: bool = False) -> None:
            try:
                await asyncio.sleep(60)
            finally:
                ended.append(name)
                if heir:
                    tasks.start("late", sleeper("late"))
                    await asyncio.sleep(0)

        async def stopper() -> None:
            await asyncio.sleep(0)
            await tasks.stop()
            ended.append("stopper")

        tasks.start("a", sleeper("a", heir=True))
        await asyncio.wait_for(tasks.start("stopper", stopper()), 5)
        await asyncio.sleep(0)
        assert len(tasks) == 0
        return ended

    assert asyncio.run(main())[0] == "a"
    assert asyncio.run(main())[-1] == "stopper"


def test_a_plan_is_kept_as_it_was(tmp_path: Path) -> None:
    made = replace(cluster(tmp_path), history=(60.0, 1 << 20))
    made.save()
    found = load("spt", tmp_path)
    assert found is not None
    assert found.history == (60.0, 1 << 20)


def test_one_at_a_time(tmp_path: Path) -> None:
    def taken() -> bool:
        fd = os.open(tmp_path, os.O_RDONLY)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(fd)
        return False

    with exclusive(tmp_path):
        assert taken()
    with pytest.raises(KeyError), exclusive(tmp_path):
        raise KeyError
    assert not taken()
    with pytest.raises(FileNotFoundError), exclusive(tmp_path / "nowhere"):
        pass


# -- the time of `up`


def test_up_does_not_load_what_only_its_processes_need() -> None:
    """Each of these takes tens of milliseconds before the first process is started."""
    script = "import sys, sampan.app.prepare; print(*sys.modules)"
    loaded = set(
        subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    )
    assert not loaded & {"sampan.ir", "sampan.gateway", "sampan.xds", "sampan.server", "google.protobuf", "grpc"}
