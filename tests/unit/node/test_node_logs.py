"""Container logs: format, tail, since, limits, rotation, following."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from sampan.base.clock import FakeClock
from sampan.node.logs import LogOptions, files, read_log, tail


def entry(second: int, text: str, tag: str = "F") -> str:
    return f"2026-01-01T00:00:{second:02d}.123456789Z stdout {tag} {text}\n"


def read(path: Path, **options: object) -> str:
    async def main() -> bytes:
        chosen = LogOptions(**options)  # type: ignore[arg-type]
        return b"".join([block async for block in read_log(path, chosen, FakeClock(), lambda: False)])

    return asyncio.run(main()).decode()


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "0.log"
    (tmp_path / "0.log.2").write_text(entry(1, "one"))
    (tmp_path / "0.log.1").write_text(entry(2, "two") + entry(3, "thr", "P") + entry(3, "ee"))
    path.write_text(entry(4, "four") + entry(5, "five"))
    return path


def test_all_files_in_order(log: Path) -> None:
    assert [p.name for p in files(log)] == ["0.log.2", "0.log.1", "0.log"]
    assert read(log) == "one\ntwo\nthree\nfour\nfive\n"


@pytest.mark.parametrize(
    ("lines", "text"),
    [
        (0, ""),
        (1, "five\n"),
        (2, "four\nfive\n"),
        (3, "ee\nfour\nfive\n"),
        (5, "two\nthree\nfour\nfive\n"),
        (99, "one\ntwo\nthree\nfour\nfive\n"),
    ],
)
def test_tail_counts_stored_lines_across_files(log: Path, lines: int, text: str) -> None:
    assert read(log, tail=lines) == text


def test_tail_of_a_big_file(tmp_path: Path) -> None:
    path = tmp_path / "0.log"
    path.write_text("".join(entry(n % 60, f"line {n} " + "x" * 100) for n in range(3000)))
    lines = read(path, tail=1500).splitlines()
    assert (len(lines), lines[0].split()[1], lines[-1].split()[1]) == (1500, "1500", "2999")
    assert tail(path, 2).decode().count("\n") == 2


def test_since_timestamps_and_limit(log: Path) -> None:
    from datetime import UTC, datetime

    since = datetime(2026, 1, 1, 0, 0, 4, tzinfo=UTC).timestamp()
    assert read(log, since=since) == "four\nfive\n"
    assert read(log, tail=1, timestamps=True) == "2026-01-01T00:00:05.123456789Z five\n"
    assert read(log, limit=5) == "one\nt"


def test_no_log_is_an_empty_one(tmp_path: Path) -> None:
    assert read(tmp_path / "none.log") == ""
    assert read(tmp_path / "none.log", follow=True, tail=3) == ""


def test_following_across_rotation_until_the_end(tmp_path: Path) -> None:
    async def main() -> list[str]:
        clock, path, seen = FakeClock(), tmp_path / "0.log", []
        alive = True
        path.write_text(entry(1, "one") + entry(2, "two"))

        async def follow() -> None:
            async for block in read_log(path, LogOptions(follow=True, tail=1), clock, lambda: alive):
                seen.append(block.decode())

        task = asyncio.create_task(follow())
        await clock.advance(1)
        with path.open("a") as file:
            file.write(entry(3, "three") + entry(4, "fo")[:-1])
        await clock.advance(1)
        with path.open("a") as file:
            file.write("ur\n")
        path.rename(tmp_path / "0.log.1")
        path.write_text(entry(5, "five"))
        await clock.advance(1)
        alive = False
        await clock.advance(1)
        await asyncio.wait_for(task, 5)
        return seen

    assert "".join(asyncio.run(main())) == "two\nthree\nfour\nfive\n"
