"""Output to CRI log lines."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sampan.node.runtime.logs import MAX_LINE, LogWriter

STAMP = "2026-11-20T12:00:00.000000007Z"
NOW_NS = 1_795_176_000_000_000_007


def writer(path: Path, max_bytes: int = 1 << 20, max_files: int = 3) -> LogWriter:
    return LogWriter(path / "0.log", max_bytes, max_files, now_ns=lambda: NOW_NS)


def lines(path: Path, name: str = "0.log") -> list[str]:
    return (path / name).read_text().splitlines()


def test_whole_lines_are_full_and_the_last_is_partial(tmp_path: Path) -> None:
    log = writer(tmp_path)
    log.feed(b"stdout", b"one\ntw")
    log.feed(b"stderr", b"oops\n")
    log.feed(b"stdout", b"o\n\nend")
    assert lines(tmp_path) == [
        f"{STAMP} {rest}" for rest in ("stdout F one", "stderr F oops", "stdout F two", "stdout F ")
    ]
    log.end(b"stdout")
    log.end(b"stderr")
    assert lines(tmp_path)[-1] == f"{STAMP} stdout P end"


@pytest.mark.parametrize("chunk", [1000, MAX_LINE, 1 << 16])
def test_a_long_line_comes_in_pieces_whatever_the_chunks(tmp_path: Path, chunk: int) -> None:
    log = writer(tmp_path)
    data = b"x" * (2 * MAX_LINE + 5) + b"\n"
    for at in range(0, len(data), chunk):
        log.feed(b"stdout", data[at : at + chunk])
    got = [line.split(" ", 3)[2:] for line in lines(tmp_path)]
    assert [tag for tag, _ in got] == ["P", "P", "F"]
    assert [len(text) for _, text in got] == [MAX_LINE, MAX_LINE, 5]


def test_rotation_keeps_the_newest(tmp_path: Path) -> None:
    log = writer(tmp_path, max_bytes=100, max_files=3)
    for n in range(10):
        log.feed(b"stdout", b"line %d\n" % n)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["0.log", "0.log.1", "0.log.2"]
    kept = [line[-1] for name in ("0.log.2", "0.log.1", "0.log") for line in lines(tmp_path, name)]
    assert kept == ["4", "5", "6", "7", "8", "9"]
    assert all((tmp_path / name).stat().st_size <= 100 for name in os.listdir(tmp_path))


def test_a_second_writer_goes_on_where_the_first_was(tmp_path: Path) -> None:
    first = writer(tmp_path)
    first.feed(b"stdout", b"one\n")
    first.close()
    writer(tmp_path).feed(b"stdout", b"two\n")
    assert [line[-3:] for line in lines(tmp_path)] == ["one", "two"]


def test_a_full_disk_loses_lines_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = writer(tmp_path)
    log.feed(b"stdout", b"before\n")
    real = os.write

    def full(fd: int, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    log.feed(b"stdout", b"lost\n")
    monkeypatch.setattr(os, "write", real)
    log.feed(b"stdout", b"after\n")
    text = [line.split(" ", 1)[1] for line in lines(tmp_path)]
    lost = len(f"{STAMP} stdout F lost\n")
    assert text == [
        "stdout F before",
        f"stderr F sampan: {lost} bytes of log were lost: No space left on device",
        "stdout F after",
    ]
