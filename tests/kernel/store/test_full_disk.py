"""The state directory on a small disk that fills up, or turns read-only, under a running API server.

In a mount namespace of its own, so nothing of it is seen outside and nothing is left, however the test ends.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import orjson
import pytest
from apiserver import ApiServer, running

from sampan.base.clock import SystemClock
from sampan.base.errors import UserError
from sampan.store.sqlite import Keep, SqliteStore

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="mounts need root")

CM = "/api/v1/namespaces/default/configmaps"
WATCH = [("authorization", "Bearer root")]


def config(name: str, size: int = 10) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"k": "x" * size}}


@pytest.mark.parametrize("trouble", ["full", "readonly"])
def test_writes_fail_loudly_and_all_else_goes_on(tmp_path: Path, trouble: str) -> None:
    done = subprocess.run(
        ["unshare", "--mount", "--propagation", "private", sys.executable, __file__, str(tmp_path), trouble],
        capture_output=True,
        text=True,
        timeout=60,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def mount(folder: Path, *options: str) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "-o", ",".join(["size=6m", *options]), "spt-tmpfs", folder], check=True)


def remount(folder: Path, mode: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{mode}", folder], check=True)


async def main(folder: Path, trouble: str) -> None:
    disk = folder / "disk"
    disk.mkdir()
    mount(disk)
    keys = folder / "keys"
    keys.mkdir()
    store = await SqliteStore.open(disk / "store.db", clock=SystemClock(), keep=Keep(backup=0))
    async with running(keys, store) as api:
        await play(api, disk, trouble)
    await store.close()
    if trouble == "readonly":
        await start_read_only(disk)
    # What was acknowledged, and nothing else, is there after a restart.
    store = await SqliteStore.open(disk / "store.db", clock=SystemClock())
    names = {r.key.rpartition("/")[2] for r in store.list("/registry/core/configmaps/default/")}
    await store.close()
    assert names >= {"before", "after"} | set(ACKNOWLEDGED), names
    assert names <= {"before", "after", *ACKNOWLEDGED}, names


ACKNOWLEDGED: list[str] = []


async def play(api: ApiServer, disk: Path, trouble: str) -> None:
    code, made = await api.call("POST", CM, config("before"))
    assert code == 201
    since = made["metadata"]["resourceVersion"]
    stream = await api.client.stream("GET", f"{CM}?watch=1&resourceVersion={since}", WATCH)
    events = aiter(stream)
    refusal = await (fill if trouble == "full" else lock)(api, disk)
    assert refusal["kind"] == "Status"
    assert str(disk) in refusal["message"], refusal
    assert ("make room" if trouble == "full" else "writable") in refusal["message"], refusal
    code, found = await api.call("GET", CM)
    assert code == 200
    assert {i["metadata"]["name"] for i in found["items"]} >= {"before", *ACKNOWLEDGED}
    assert (await api.call("GET", "/readyz"))[0] == 200
    if trouble == "full":
        (disk / "ballast").unlink()
    else:
        _only_read(api, "OFF")
    code, answer = await api.call("POST", CM, config("after"))  # without a restart
    assert code == 201, answer
    seen: list[str] = []
    text = b""
    while "after" not in seen:
        text += await asyncio.wait_for(anext(events), 10)
        *lines, text = text.split(b"\n")
        seen += [orjson.loads(line)["object"]["metadata"]["name"] for line in lines]
    assert [name for name in seen if name.startswith(("full", "after"))] == [*ACKNOWLEDGED, "after"]


async def fill(api: ApiServer, disk: Path) -> Any:
    (disk / "ballast").write_bytes(b"x" * (shutil.disk_usage(disk).free - 500_000))
    for n in range(100):
        code, answer = await api.call("POST", CM, config(f"full{n}", 50_000))
        if code != 201:
            assert code == 503, answer
            return answer
        ACKNOWLEDGED.append(f"full{n}")
    raise AssertionError("the disk never was full")


async def lock(api: ApiServer, disk: Path) -> Any:
    """As after the kernel turned a failing disk read-only. (`mount -o remount,ro` refuses: the files are open.)"""
    _only_read(api, "ON")
    code, answer = await api.call("POST", CM, config("refused"))
    assert code == 503, answer
    return answer


def _only_read(api: ApiServer, value: str) -> None:
    api.server.registry.store._disk._writer.execute(f"PRAGMA query_only = {value}")  # type: ignore[attr-defined]


async def start_read_only(disk: Path) -> None:
    """A disk that was mounted read-only: the start says what to do, and works as soon as that was done."""
    remount(disk, "ro")
    with pytest.raises(UserError) as caught:
        await SqliteStore.open(disk / "store.db", clock=SystemClock())
    assert str(disk) in caught.value.message
    assert "writable" in caught.value.hint
    remount(disk, "rw")


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2]))
