"""The snapshot in a file: back as it was, only for whom it is meant, not written more often than need be."""

import asyncio
import os
import stat

import pytest
from xdsdialogue import snapshot

from sampan.base.clock import FakeClock
from sampan.base.errors import UserError
from sampan.xds import persist
from sampan.xds.persist import INTERVAL, Keeper, decode, encode, load
from sampan.xds.types import Snapshot

WORLD = snapshot(12, CDS="a@1>ea b@2>eb", EDS="ea@1 eb@1", LDS="l@1", RDS="r@1", SDS="s@1")


def test_it_comes_back_as_it_was():
    assert decode(encode(WORLD)) == WORLD
    assert decode(encode(Snapshot(3))) == Snapshot(3)


def test_no_file_is_no_snapshot(tmp_path):
    assert load(tmp_path / "none") is None


@pytest.mark.parametrize("data", [b"", b"garbage", encode(WORLD)[:-3]])
def test_a_damaged_file_is_said(tmp_path, data):
    path = tmp_path / "s"
    path.write_bytes(data)
    with pytest.raises(UserError, match="cannot be read"):
        load(path)


def test_only_its_owner_may_read_it(tmp_path):
    async def main():
        keeper = Keeper(tmp_path / "s", FakeClock(), owner=os.getuid())
        keeper.start()
        keeper.keep(WORLD)
        await keeper.stop()

    asyncio.run(main())
    found = (tmp_path / "s").stat()
    assert (stat.S_IMODE(found.st_mode), found.st_uid) == (0o600, os.getuid())


def test_the_first_is_written_at_once_and_of_the_next_the_newest(tmp_path, monkeypatch):
    written = []
    monkeypatch.setattr(
        persist.fs, "write_atomic", lambda path, data, mode, owner: written.append(decode(data).version)
    )

    async def threads():
        for _ in range(20):
            await asyncio.sleep(0.005)

    async def main():
        clock = FakeClock()
        keeper = Keeper(tmp_path / "s", clock)
        keeper.start()
        keeper.keep(snapshot(1, CDS="a@1"))
        await threads()
        assert written == [1]
        for version in range(2, 9):
            keeper.keep(snapshot(version, CDS="a@1"))
        await threads()
        assert written == [1]
        await clock.advance(INTERVAL)
        await threads()
        assert written == [1, 8]
        keeper.keep(snapshot(9, CDS="a@1"))
        await keeper.stop()
        assert written == [1, 8, 9]

    asyncio.run(main())


def test_a_full_disk_is_tried_again_with_the_next(tmp_path, monkeypatch):
    written = []

    def write(path, data, mode, owner):
        written.append(decode(data).version)
        if len(written) == 1:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(persist.fs, "write_atomic", write)

    async def main():
        keeper = Keeper(tmp_path / "s", FakeClock())
        for version in (1, 2):
            keeper.keep(snapshot(version, CDS="a@1"))
            await keeper._write()

    asyncio.run(main())
    assert written == [1, 2]
