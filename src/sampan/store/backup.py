"""Copies of a store that is in use. Synchronous: run `take` on a thread; writers go on meanwhile."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

from sampan.base.errors import UserError

KEPT = 2


def backups(path: Path) -> list[Path]:
    """The store's own backups, oldest first."""
    return sorted((path.parent / "backups").glob("*.db"))


def take(path: Path) -> Path:
    """Back the store up beside itself; all but the newest few backups are deleted. Raises UserError."""
    folder = path.parent / "backups"
    unfinished = folder / "unfinished"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        unfinished.unlink(missing_ok=True)
        revision = copy(path, unfinished)
        made = folder / f"{revision:020}.db"
        os.replace(unfinished, made)
        for old in backups(path)[:-KEPT]:
            old.unlink()
    except (OSError, UserError) as error:
        unfinished.unlink(missing_ok=True)
        raise UserError(f"cannot back up the store {path}: {error}", f"df -h {folder}") from error
    return made


def copy(path: Path, target: Path) -> int:
    """Write what the store holds now to a file that does not exist yet, synced; its newest revision.

    Raises UserError.
    """
    try:
        os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        source = sqlite3.connect(f"file:{path}?mode=rw", uri=True, isolation_level=None)
        try:
            source.execute("VACUUM INTO ?", (str(target),))
        finally:
            source.close()
        made = sqlite3.connect(target)
        try:
            found = made.execute("SELECT seq FROM sqlite_sequence WHERE name = 'log'").fetchone()
        finally:
            made.close()
        _sync(target)
    except FileExistsError:
        raise UserError(f"{target} exists already", "choose another name") from None
    except (OSError, sqlite3.Error) as error:
        raise UserError(f"cannot write {target}: {error}", f"df -h {target.parent}") from error
    return int(found[0]) if found else 0


def _sync(target: Path) -> None:
    fd = os.open(target, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
